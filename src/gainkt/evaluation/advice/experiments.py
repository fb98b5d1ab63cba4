"""The experiments that rules of the decision tree name, each with when it is still open to a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import Any

from gainkt.evaluation.advice.run_state import RunState
from gainkt.evaluation.advice.symptoms import MIN_FALL, only_counting

V4_GAIN_RATE = 5.0
"""V4's factor on the gain head's learning rate."""
V4_ITEM_RATE = 30.0
"""v4_items's factor on that of the items' difficulties."""
MAX_DROPOUT = 0.4
"""Dropout up to which more is worth a try."""
WIDE_TEMPERATURE = 0.3
"""Temperature up to which p2 reaches what students reach (model/readout=wide)."""
MIN_TEMPERATURE = 0.1
"""Under which little mastery would say everything."""
MAX_READINESS_SIZE = 0.1
"""Ten times V4's own penalty."""
MAX_ITEM_SHRINKAGE = 0.1
"""Three times V4's own."""
MIN_EPOCHS = 3
"""Fewer leave a falling learning rate no course."""
EPSILON = 1e-9
"""Under which two settings are the same."""


Condition = Callable[[RunState], bool]


@dataclass(frozen=True)
class Experiment:
    """An experiment that a rule may name.

    Attributes:
        label: a word for the name of the new run; "" where the experiment has a name of its own.
        change: what it does differently, for a person.
        overrides: settings, between spaces; a function where they depend on the run.
        open: whether it applies: the run does not have it already.
        experiment: of conf/experiment; None for the run's own.
        module: the command, train, evaluate or diagnose.
        sweep: with -m.
    """

    label: str
    change: str
    overrides: str | Callable[[RunState], str] = ""
    open: Condition = lambda run: True
    experiment: str | None = None
    module: str = "train"
    sweep: bool = False

    def settings(self, run: RunState) -> tuple[str, ...]:
        """The overrides for a run."""
        return tuple((self.overrides if isinstance(self.overrides, str) else self.overrides(run)).split())


def has(part: str, *classes: str) -> Condition:
    """Ask whether a part of the model is of one of some classes."""
    return lambda run: run.has(part, *classes)


def equals(path: str, value: Any, otherwise: Any = None) -> Condition:
    """Ask whether a setting has a value; `otherwise`: what it is where it is not set."""
    return lambda run: run.setting(path, otherwise) == value


def below(path: str, bound: float, otherwise: float) -> Condition:
    """Ask whether a number of the config is below a bound; `otherwise`: what it is where it is not set."""
    return lambda run: run.number(path, otherwise) < bound


def every(*conditions: Condition) -> Condition:
    """Ask whether all conditions hold."""
    return lambda run: all(condition(run) for condition in conditions)


def no(*conditions: Condition) -> Condition:
    """Ask whether none of some conditions holds."""
    return lambda run: not any(condition(run) for condition in conditions)


is_v4 = has("gain_head", "OwnAndTransferGain", "OwnAndTopicGain", "OwnAndMatrixGain", "OwnTableGain")
is_v1_to_v3 = every(
    lambda run: str(run.setting("model.gain_head._target_")).startswith("gainkt."),
    no(is_v4, has("gain_head", "ScalarGain")),
)
has_own_curves = no(equals("model.curve.offset.per_skill", False))
reads_by_threshold = has("readout", "ThresholdReadout")
is_temperature_fixed = equals("model.readout.temperature.learn", False)
reads_wide = every(
    no(equals("model.readout.threshold.learn", False)),
    is_temperature_fixed,
    below("model.readout.temperature.mean", WIDE_TEMPERATURE + EPSILON, otherwise=inf),
)
knows_items = every(lambda run: run.num_items > 0, has("item_difficulty", "RaschDifficulty"))
is_distance_attention = no(equals("model.encoder1.distance", None))


def lower_temperature(run: RunState) -> float:
    """Two thirds of the temperature."""
    return run.number("model.readout.temperature.mean", 0.0) / 1.5


def slower(run: RunState) -> str:
    """Half the velocity; learnt numbers of the curve would make up for a fixed one, so they stay where they ended."""
    half = f"model.velocity.mean={run.number('model.velocity.mean', 1.0) / 2:.3g}"
    if not run.has("velocity", "FixedVelocity") or run.setting("model.curve.beta.per_skill") is not False:
        return half
    for name in ("beta", "experience"):
        started = run.setting(f"model.curve.{name}.mean")
        if started is not None:
            ended = (run.kept or {}).get(f"parameter/curve.{name}_mean", started)
            half += f" model.curve.{name}.mean={ended:.3g} ++model.curve.{name}.learn=false"
    return half


def readiness_leads(run: RunState) -> bool:
    """Tell whether readiness carries more of the prediction than gains do, by either question about them."""
    falls = [fall for part in ("gains", "gain_sizes") if (fall := run.fall(part)) is not None]
    readiness = run.fall("readiness")
    return readiness is not None and bool(falls) and readiness > min(falls)


def distance_attention(run: RunState) -> str:
    """Attention that fades with distance; of two blocks, as v4_items_attention has, where an LSTM has one."""
    blocks = "" if run.number("model.size.num_blocks", 2) > 1 else " model.size.num_blocks=2"
    return f"model/encoder1=distance_attention{blocks}"


def ended_at_its_best(run: RunState) -> bool:
    """Tell whether the epoch kept is the last one, or it is not known which was."""
    return run.kept is None or bool(run.kept["epoch"] == run.last_epoch)


def epochs_of_encoder1(run: RunState) -> int:
    """Epochs up to Encoder 1's best; 0 where it is not known."""
    best = run.best_of_encoder1
    return 0 if best is None else int(best["epoch"]) + 1


def can_stop_earlier(run: RunState) -> bool:
    """Tell whether fewer epochs would end at Encoder 1's best."""
    # Cutting the epochs of a schedule with phases moves the phases, not their end.
    constant = str(run.setting("schedule._target_", "")).endswith("Constant")
    return constant and MIN_EPOCHS <= epochs_of_encoder1(run) < run.number("trainer.max_epochs", 0)


def folds_and_seeds(run: RunState) -> str:
    """All folds of the run's data, as far as they are told, and three seeds."""
    told = re.search(r"(\d+) (?:given )?folds", run.card["protocol"].get("data", ""))
    count = int((told[1] if told else None) or run.setting("dataset.split.num_folds") or 1)
    return (f"dataset.fold={','.join(map(str, range(count)))} " if count > 1 else "") + "seed=0,1,2"


def steering_term(run: RunState) -> str:
    """The diagnosis's own setting against the term that steers the gains; "" where it knows none."""
    return str((run.cause("gradients") or {}).get("override") or "")


# A row: its name, what changes, the settings, and when it is open to a run.
# fmt: off
OWN_GAIN = Experiment(
    "own-gain", "a gain head that gives the practised skills a gain of their own and others little, with a penalty",
    "model/gain_head=own_transfer model/receivers=all loss=sparse", no(is_v4))
SPARSER = Experiment(
    "sparser", "three times the penalty on gains of skills that a step does not practise",
    lambda run: f"loss.gain_sparsity={3 * run.number('loss.gain_sparsity', 0.0) or 0.003:.2g}")
OWN_CURVE = Experiment(
    "own-curve", "an initial mastery, steepness and level of its own for every skill",
    "model/curve=per_skill", no(has_own_curves))
ONE_UNIT = Experiment(
    "one-unit", "a unit of practice that is the same for all skills, so that gains alone say which are learnt slowly",
    "++model.curve.beta.per_skill=false",
    every(is_v4, has_own_curves, no(equals("model.curve.beta.per_skill", False))))
POWER_CURVE = Experiment(
    "power-curve", "practice that is worth less the more came before it, as the power law of practice has it",
    # Strictly monotone curves bend less often along it (docs/results.md).
    "model/curve=power", every(is_v4, has("curve", "SigmoidCurve"), no(has("readiness", "FirstContactReadiness"))))
LEARNT_READOUT = Experiment(
    "learnt-readout", "threshold and temperature learnt, from values between which p2 reaches what students reach",
    "model/readout=learnt", every(is_temperature_fixed, no(reads_wide)))
WIDE_READOUT = Experiment(
    "wide-readout", "a temperature so high that mastery must use its whole range, and fixed", "model/readout=wide",
    every(is_v4, reads_by_threshold, no(is_temperature_fixed)))
LOWER_TEMPERATURE = Experiment(
    "lower-temperature", "two thirds of the temperature, so that mastery says more",
    lambda run: f"model.readout.temperature.mean={lower_temperature(run):.2g}",
    every(reads_by_threshold, reads_wide, lambda run: lower_temperature(run) >= MIN_TEMPERATURE))
INFERRED_VELOCITY = Experiment(
    "inferred-velocity", "learning velocity inferred from the history, and revised with it",
    "model/velocity=inferred", no(has("velocity", "InferredVelocity")))
FIXED_VELOCITY = Experiment(
    "fixed-velocity", "one velocity for everybody, so that only gains and readiness can carry the history",
    "model/velocity=fixed", has("velocity", "InferredVelocity"))
SLOWER = Experiment(
    "slower", "half the velocity, so that gains must be larger to move mastery as far",
    slower, no(equals("model.velocity.mean", None)))
MORE_DROPOUT = Experiment(
    "more-dropout", "more dropout", lambda run: f"model.size.dropout={run.number('model.size.dropout', 0.0) + 0.1:.2g}",
    below("model.size.dropout", MAX_DROPOUT - 0.1 + EPSILON, otherwise=1.0))
SHRUNKEN_ITEMS = Experiment(
    "shrunken-items", "difficulties of items that are shrunk harder, so that rare items fall back to their skill",
    f"loss.item_shrinkage={MAX_ITEM_SHRINKAGE:g}",
    every(knows_items, below("loss.item_shrinkage", MAX_ITEM_SHRINKAGE, otherwise=0.0),
          below("loss.item_prior", EPSILON, otherwise=0.0)))
FEWER_EPOCHS = Experiment(
    "fewer-epochs", "epochs up to Encoder 1's best, over which the learning rate falls",
    lambda run: f"trainer.max_epochs={epochs_of_encoder1(run)}", can_stop_earlier)
MORE_EPOCHS = Experiment(
    "more-epochs", "half as many epochs again",
    lambda run: f"trainer.max_epochs={ceil(1.5 * run.number('trainer.max_epochs', 12))}", ended_at_its_best)
BELIEF = Experiment(
    "", "V4: own gains, curves of their own along which practice wears off, and a belief that may be revised",
    # A readiness fixed at first contact is no belief that a failure can revise.
    open=has("readiness", "NoReadiness", "FirstContactReadiness"), experiment="v4_belief")
ALL_AT_ONCE = replace(BELIEF, open=no(is_v4))
SKILL_BELIEF = Experiment(
    "", "a readiness for every skill", experiment="v4_belief_skill",
    # Where gains carry too little already, a richer belief would take the rest from them.
    open=every(has("readiness", "StudentReadiness"),
               lambda run: (run.fall("gains") or 0) >= MIN_FALL and only_counting(run) is None))
LESS_BELIEF = Experiment(
    "", "one readiness a student instead of one a skill",
    open=has("readiness", "SkillReadiness"), experiment="v4_belief")
NO_BELIEF = Experiment(
    "", "no belief that is revised, only what was there at first contact: strictly monotone mastery",
    open=has("readiness", "StudentReadiness"), experiment="v4_monotone")
SMALLER_READINESS = Experiment(
    "smaller-readiness", "a stronger penalty on readiness, so that what practice can explain is left to practice",
    f"loss.readiness_size={MAX_READINESS_SIZE:g}",
    every(readiness_leads, below("loss.readiness_size", MAX_READINESS_SIZE, otherwise=0.0)))
FASTER_GAINS = Experiment(
    "faster-gains", "the gain head at five times the learning rate, as in V4",
    f"++optimizer.lr_scale.gain_head={V4_GAIN_RATE:g}",
    every(is_v4, below("optimizer.lr_scale.gain_head", V4_GAIN_RATE, otherwise=1.0)))
FASTER_ITEMS = Experiment(
    "faster-items", "difficulties of items at thirty times the learning rate, as in v4_items: each is met seldom",
    " ".join(f"++optimizer.lr_scale.{part}={V4_ITEM_RATE:g}" for part in ("items1", "items2")),
    every(is_v4, knows_items, below("optimizer.lr_scale.items2", V4_ITEM_RATE, otherwise=1.0)))
LOWER_RATE = Experiment(
    "lower-lr", "a third of the learning rate", lambda run: f"optimizer.lr={run.number('optimizer.lr', 0.0) / 3:.2g}",
    no(below("optimizer.lr", EPSILON, otherwise=0.0)))
GUARDS = Experiment(
    "", "the diagnosis again, with the leakage guards; report what it says", "leakage=true", module="diagnose")
NO_DECAY = Experiment("no-decay", "the same without weight decay", "optimizer.weight_decay=0")
BCE2_LEADS = Experiment(
    "bce2-leads", "without the pull of the other terms", steering_term, lambda run: steering_term(run) != "")
BOTH_SELECT = Experiment(
    "both-select", "the epoch chosen by both encoders", "callbacks.select.monitor=val/combined_score",
    equals("callbacks.select.monitor", "val/encoder2_auc"))
LSTM = Experiment(
    "lstm", "an LSTM as Encoder 1, and V4's sizes for both", "model/encoder1=lstm model/size=lstm",
    no(has("encoder1", "LSTMStream"), is_distance_attention))
DISTANCE_ATTENTION = Experiment(
    "distance-attention", "attention that fades with distance as Encoder 1, for data with items", distance_attention,
    every(knows_items, no(is_distance_attention)))
OVER_FOLDS_AND_SEEDS = Experiment("", "the same over folds and seeds", folds_and_seeds, sweep=True)
TRY_GAIN_FLOOR = Experiment(
    "", "V1 with gains that cannot be uniform", open=every(is_v1_to_v3, no(has("gain_head", "FlooredGain"))),
    experiment="try_gain_floor")
TRY_Q_MATRIX = Experiment(
    "", "V1 started on the Q-matrix", open=every(is_v1_to_v3, no(has("gain_head", "QMatrixGain"))),
    experiment="try_q_matrix")
TRY_GAIN_RESPONSE = Experiment(
    "", "V1 with a loss term for gains that go with the response", experiment="try_gain_response",
    open=every(is_v1_to_v3, equals("loss.gain_response_correlation", 0.0, otherwise=0.0)))
# fmt: on
