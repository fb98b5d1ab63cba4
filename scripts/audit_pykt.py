"""Audit pyKT's models as they install from the package index, on simulated students.

    python -m venv pykt && pykt/bin/pip install torch==2.13.0 pykt-toolkit . --constraint constraints.txt
    pykt/bin/python scripts/audit_pykt.py

Weights are random, scaled up so that every path shows: whether a model can see a response that it should not is a
matter of its structure. Each model is called as pyKT's own evaluation calls it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from pykt.models.akt import AKT
from pykt.models.atkt import ATKT
from pykt.models.deep_irt import DeepIRT
from pykt.models.dkt import DKT
from pykt.models.dkt_plus import DKTPlus
from pykt.models.dkvmn import DKVMN
from pykt.models.kqn import KQN
from pykt.models.saint import SAINT
from pykt.models.sakt import SAKT
from pykt.models.skvmn import SKVMN
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gainkt.runs.audit import Predict, audit_model, from_module

K, ITEMS, STEPS = 6, 20, 40


class Adapter(nn.Module):
    """Skills and responses in, probabilities out, column t for step t; the first has none."""

    def __init__(self, model: nn.Module, call: Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.call = model, call
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(3)

    def forward(self, skill: Tensor, response: Tensor, item: Tensor) -> Tensor:
        """Probabilities, [B, T]."""
        with contextlib.redirect_stdout(io.StringIO()):
            told = self.call(self.model, skill, response, item)
        return torch.cat([torch.full_like(told[:, :1], torch.nan), told], 1)


def of_next(y: Tensor, skill: Tensor) -> Tensor:
    """Of probabilities of all skills, those of each next step's."""
    return (y * one_hot(skill[:, 1:], K)).sum(-1)


def models() -> dict[str, Predict]:
    """Models of pyKT by name."""
    made: dict[str, tuple[Callable[[], nn.Module], Callable[..., Tensor]]] = {
        "dkt": (lambda: DKT(K, 16), lambda m, c, r, q: of_next(m(c[:, :-1], r[:, :-1]), c)),
        "dkt+": (lambda: DKTPlus(K, 16, 0.1, 0.1, 0.1), lambda m, c, r, q: of_next(m(c[:, :-1], r[:, :-1]), c)),
        "dkvmn": (lambda: DKVMN(K, 16, 8), lambda m, c, r, q: m(c, r)[:, 1:]),
        "deep_irt": (lambda: DeepIRT(K, 16, 8), lambda m, c, r, q: m(c, r)[:, 1:]),
        "skvmn": (lambda: SKVMN(K, 16, 8), lambda m, c, r, q: m(c, r)[:, 1:]),
        "kqn": (lambda: KQN(K, 16, 16, 16, 0.1), lambda m, c, r, q: m(c[:, :-1], r[:, :-1], c[:, 1:])),
        "sakt": (lambda: SAKT(K, STEPS, 16, 2, 0.1), lambda m, c, r, q: m(c[:, :-1], r[:, :-1], c[:, 1:])),
        "saint": (lambda: SAINT(ITEMS, K, STEPS, 16, 2, 0.1), lambda m, c, r, q: m(q, c, r[:, :-1])[:, 1:]),
        "atktfix": (lambda: ATKT(K, 16, 16, 16, fix=True), lambda m, c, r, q: of_next(m(c[:, :-1], r[:, :-1])[0], c)),
        "akt": (lambda: AKT(K, ITEMS, 16, 2, 0.1), lambda m, c, r, q: m(c, r, q)[0][:, 1:]),
        "atkt": (lambda: ATKT(K, 16, 16, 16, fix=False), lambda m, c, r, q: of_next(m(c[:, :-1], r[:, :-1])[0], c)),
    }
    found: dict[str, Predict] = {}
    for name, (make, call) in made.items():
        torch.manual_seed(0)
        with contextlib.redirect_stdout(io.StringIO()):
            found[name] = from_module(Adapter(make(), call))
    return found


def histories() -> pd.DataFrame:
    """30 students of equal length, so that what these models do with padding plays no part."""
    draw = np.random.default_rng(0)
    rows = 30 * STEPS
    item = draw.integers(0, ITEMS, rows)
    return pd.DataFrame(
        {
            "student": np.repeat(np.arange(30), STEPS),
            "skill": item % K,
            "item": item,
            "response": draw.integers(0, 2, rows),
        }
    )


def main() -> None:
    """Print a line a model: the guards that fail, and the smallest counterexample's size."""
    for name, predict in models().items():
        try:
            done = audit_model(predict, histories(), subject=name)
        except Exception as error:
            print(f"{name:10} cannot be asked: {type(error).__name__}: {' '.join(str(error).split())[:140]}")
            continue
        failed = [f"{found['name']} ({found['reading']})" for found in done.guards if found["passed"] is False]
        print(f"{name:10} {'; '.join(failed) or 'no leak found'}", flush=True)


if __name__ == "__main__":
    main()
