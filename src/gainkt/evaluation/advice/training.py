"""What the rules of the decision tree look for in training: Encoder 1, and epochs that were too many or too few."""

from __future__ import annotations

from gainkt.evaluation.advice.rule import Seen, Sighting
from gainkt.evaluation.scorecard.immediate_checks import YARDSTICK_AUC

BEHIND = 0.005
"""AUC by which Encoder 1 may lie behind Encoder 2, or behind its own best epoch."""
OVERFIT = 0.03
"""Encoder 1's training AUC less its validation AUC, from which it learns its students by heart."""
RISING = 0.002
"""AUC gained in the last epoch, from which training stopped too early."""


def encoder1_weak(run: Seen) -> Sighting | None:
    """An Encoder 1 that is no yardstick: weak, or behind Encoder 2."""
    auc = run.card["further"]["encoder1_auc"]["value"]
    if auc is None:
        return None
    if auc < YARDSTICK_AUC:
        return Sighting(f"Encoder 1's AUC is {auc:.3f} (under {YARDSTICK_AUC} it is no yardstick)", auc, YARDSTICK_AUC)
    if run.lead is not None and run.lead < -BEHIND:
        text = f"Encoder 1 lies {-run.lead:.3f} AUC behind Encoder 2, which it should bound (up to {BEHIND} is noise)"
        return Sighting(text, run.lead, -BEHIND)
    return None


def encoder1_falls(run: Seen) -> Sighting | None:
    """An Encoder 1 that was better before the epoch that was kept."""
    best, kept = run.best_of_encoder1, run.kept
    if best is None or kept is None:
        return None
    loss = float(best["val/encoder1_auc"] - kept["val/encoder1_auc"])
    if loss <= BEHIND:
        return None
    text = f"Encoder 1's validation AUC was {best['val/encoder1_auc']:.3f} in epoch {best['epoch']:.0f} and is "
    text += f"{kept['val/encoder1_auc']:.3f} in epoch {kept['epoch']:.0f}, which was kept (a fall of {BEHIND} is noise)"
    return Sighting(text, loss, BEHIND, loss)


def encoder1_overfits(run: Seen) -> Sighting | None:
    """An Encoder 1 that knows its training students by heart."""
    if run.kept is None:
        return None
    gap = float(run.kept["train/encoder1_auc"] - run.kept["val/encoder1_auc"])
    if not gap > OVERFIT:
        return None
    text = f"Encoder 1's AUC is {run.kept['train/encoder1_auc']:.3f} in training and "
    return Sighting(
        f"{text}{run.kept['val/encoder1_auc']:.3f} on validation (a gap of {OVERFIT} at most)", gap, OVERFIT
    )


def still_rising(run: Seen) -> Sighting | None:
    """An Encoder 2 that was still getting better when training ended."""
    rise = run.rise("val/encoder2_auc")
    if rise is None or not rise > RISING:
        return None
    return Sighting(f"Encoder 2's validation AUC rose by {rise:.4f} in the last epoch (over {RISING})", rise, RISING)
