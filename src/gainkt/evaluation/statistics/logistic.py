"""Logistic regression on a few columns, log loss, and the logistic function with its inverse."""

from __future__ import annotations

import numpy as np

from gainkt.evaluation.statistics.bootstrap import Array


def fit_logistic(x_NF: Array, y_N: Array, steps: int = 30) -> Array:
    """Logits [N] of the logistic regression of a response on F columns and a constant (Newton's method)."""
    spread = x_NF.std(0)
    z = (x_NF - x_NF.mean(0)) / np.where(spread > 1e-9, spread, 1.0)
    z = np.column_stack([np.ones(len(z)), z])
    w = np.zeros(z.shape[1])
    w[0] = logit_of(y_N.mean())
    ridge = 1e-6 * len(z) * np.eye(len(w))  # keeps a constant or doubled column from being singular
    for _ in range(steps):
        p = sigmoid(z @ w)
        step = np.linalg.solve((z * (p * (1 - p))[:, None]).T @ z + ridge, z.T @ (y_N - p))
        w += step
        if np.abs(step).max() < 1e-6:
            break
    return z @ w


def log_loss(logit_N: Array, y_N: Array) -> float:
    """Mean cross-entropy in nats."""
    return float((np.logaddexp(0, logit_N) - y_N * logit_N).mean())


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def logit_of(p: Array | float) -> Array:
    """log(p / (1 - p)), with p kept 1e-7 from 0 and 1."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return np.log(p / (1 - p))
