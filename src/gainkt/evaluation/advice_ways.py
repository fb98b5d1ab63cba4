"""The experiments that rules of the decision tree name, each with when it is still open to a run."""

from __future__ import annotations

import re
from math import ceil

from gainkt.evaluation.sightings import Seen, Way
from gainkt.evaluation.symptoms import LEAST_CARRIED

OWN = ("OwnAndTransferGain", "OwnAndMatrixGain")
MOST_DROPOUT = 0.4


def _is_v4(run: Seen) -> bool:
    return run.has("gain_head", *OWN)


def _more_epochs(run: Seen) -> str:
    return f"trainer.max_epochs={ceil(1.5 * run.setting('trainer.max_epochs', 12))}"


def _epochs_of_encoder1(run: Seen) -> int:
    best = run.best_of_encoder1
    return 0 if best is None else int(best["epoch"]) + 1


def _can_stop_earlier(run: Seen) -> bool:
    # Cutting the epochs of a schedule with phases moves the phases, not their end.
    return run.setting("schedule._target_", "").endswith("Constant") and (
        0 < _epochs_of_encoder1(run) < run.setting("trainer.max_epochs", 0)
    )


def _folds(run: Seen) -> str:
    """All folds of the run's data; "" where they are not told."""
    told = re.search(r"(\d+) (?:given )?folds", run.card["protocol"].get("data", ""))
    count = int(run.setting("dataset.split.num_folds", told[1] if told else 1))
    return f"dataset.fold={','.join(map(str, range(count)))}" if count > 1 else ""


OWN_GAIN = Way(
    "a gain head that gives the practised skills a gain of their own and others little, at a price",
    "own-gain",
    overrides=("model/gain_head=own_transfer", "model/receivers=all", "loss=sparse"),
    open=lambda run: not _is_v4(run),
)
SPARSER = Way(
    "three times the price on gains of skills that a step does not practise",
    "sparser",
    overrides=(lambda run: f"loss.gain_sparsity={max(3 * run.setting('loss.gain_sparsity', 0.0), 0.003):.2g}",),
)
OWN_CURVE = Way(
    "an initial mastery, steepness and level of its own for every skill",
    "own-curve",
    overrides=("model/curve=per_skill",),
    open=lambda run: run.setting("model.curve.offset.per_skill") is False,
)
LEARNT_READOUT = Way(
    "threshold and temperature learnt, from values between which p2 reaches what students reach",
    "learnt-readout",
    overrides=("model/readout=learnt",),
    open=lambda run: run.setting("model.readout.temperature.learn") is False,
)
INFERRED_VELOCITY = Way(
    "learning velocity inferred from the history",
    "inferred-velocity",
    overrides=("model/velocity=inferred",),
    open=lambda run: not run.has("velocity", "InferredVelocity"),
)
FIXED_VELOCITY = Way(
    "one velocity for everybody, so that only gains and readiness can carry the history",
    "fixed-velocity",
    overrides=("model/velocity=fixed",),
    open=lambda run: run.has("velocity", "InferredVelocity"),
)
SLOWER = Way(
    "half the velocity, so that gains must be larger to move mastery as far",
    "slower",
    overrides=(lambda run: f"model.velocity.mean={run.setting('model.velocity.mean') / 2:.3g}",),
    open=lambda run: run.setting("model.velocity.mean") is not None,
)
MORE_DROPOUT = Way(
    "more dropout",
    "more-dropout",
    overrides=(lambda run: f"model.size.dropout={run.setting('model.size.dropout') + 0.1:.2g}",),
    open=lambda run: run.setting("model.size.dropout", 1.0) + 0.1 <= MOST_DROPOUT + 1e-9,
)
FEWER_EPOCHS = Way(
    "epochs up to Encoder 1's best, over which the learning rate falls",
    "fewer-epochs",
    overrides=(lambda run: f"trainer.max_epochs={_epochs_of_encoder1(run)}",),
    open=_can_stop_earlier,
)
MORE_EPOCHS = Way("half as many epochs again", "more-epochs", overrides=(_more_epochs,))

V4_BELIEF = "v4_belief"
BELIEF = Way(
    "V4: own gains, a curve a skill, learnt readout, and a belief (velocity, readiness) that may be revised",
    experiment=V4_BELIEF,
    open=lambda run: run.has("readiness", "NoReadiness"),
)
ALL_AT_ONCE = Way(BELIEF.change, experiment=V4_BELIEF, open=lambda run: not _is_v4(run))
SKILL_BELIEF = Way(
    "a readiness for every skill",
    experiment="v4_belief_skill",
    # Where gains carry too little already, a richer belief would take the rest from them.
    open=lambda run: run.has("readiness", "StudentReadiness") and (run.fall("gains") or 0) >= LEAST_CARRIED,
)
LESS_BELIEF = Way(
    "one readiness a student instead of one a skill",
    experiment=V4_BELIEF,
    open=lambda run: run.has("readiness", "SkillReadiness"),
)
NO_BELIEF = Way(
    "no belief beside the gains: strictly monotone mastery",
    experiment="v4_monotone",
    open=lambda run: run.has("readiness", "StudentReadiness"),
)
LOWER_RATE = Way(
    "a third of the learning rate",
    "lower-lr",
    overrides=(lambda run: f"optimizer.lr={run.setting('optimizer.lr') / 3:.2g}",),
)
GUARDS = Way(
    "the diagnosis again, with the leakage guards; report what it says",
    module="diagnose",
    overrides=("leakage=true",),
)
NO_DECAY = Way("the same without weight decay", "no-decay", overrides=("optimizer.weight_decay=0",))
BCE2_LEADS = Way(
    "without the pull of the other terms",
    "bce2-leads",
    overrides=(lambda run: str((run.cause("gradients") or {})["override"]),),
)
BOTH_SELECT = Way(
    "the epoch chosen by both encoders",
    "both-select",
    overrides=("callbacks.select.monitor=val/combined_score",),
    open=lambda run: run.setting("callbacks.select.monitor") == "val/encoder2_auc",
)
LSTM = Way(
    "an LSTM as Encoder 1",
    "lstm",
    overrides=("model/encoder1=lstm", "model/size=lstm"),
    open=lambda run: not run.has("encoder1", "LSTMStream"),
)
OVER_FOLDS_AND_SEEDS = Way(
    "the same over folds and seeds",
    overrides=(_folds, "seed=0,1,2"),
    sweep=True,
)
