"""What a run has already, and the settings that follow from it: what the ways of the decision tree ask of a run."""

from __future__ import annotations

import re
from math import ceil

from gainkt.evaluation.advice.rule import Seen

OWN = ("OwnAndTransferGain", "OwnAndMatrixGain", "OwnTableGain")
"""V4's gain heads."""
MOST_DROPOUT = 0.4
"""Dropout up to which more is worth a try."""
WIDE_TEMPERATURE = 0.3
"""Temperature up to which p2 reaches what students reach (model/readout=wide)."""
LEAST_TEMPERATURE = 0.1
"""Under which little mastery would say everything."""
V4_GAIN_RATE = 5.0
"""V4's factor on the gain head's learning rate."""
MOST_READINESS_SIZE = 0.1
"""Ten times V4's own price."""
MOST_ITEM_SHRINKAGE = 0.1
"""That of conf/experiment/v4_items.yaml."""
LEAST_EPOCHS = 3
"""Fewer leave a falling learning rate no course."""
EPSILON = 1e-9
"""Under which two settings are the same."""


def is_v4(run: Seen) -> bool:
    """Tell whether the gain head is one of V4's."""
    return run.has("gain_head", *OWN)


def is_v1_to_v3(run: Seen) -> bool:
    """Tell whether gains are of each skill, without the structure of V4."""
    return not is_v4(run) and not run.has("gain_head", "ScalarGain")


def has_own_curves(run: Seen) -> bool:
    """Tell whether skills start at an initial mastery of their own."""
    return run.setting("model.curve.offset.per_skill") is not False


def reads_wide(run: Seen) -> bool:
    """Tell whether the threshold is learnt and the temperature fixed, low enough."""
    return (
        run.setting("model.readout.threshold.learn") is not False
        and run.setting("model.readout.temperature.learn") is False
        and run.setting("model.readout.temperature.mean") <= WIDE_TEMPERATURE + EPSILON
    )


def lower_temperature(run: Seen) -> float:
    """Two thirds of the temperature."""
    return run.setting("model.readout.temperature.mean", 0.0) / 1.5


def slower(run: Seen) -> str:
    """Half the velocity; learnt numbers of the curve would make up for a fixed one, so they stay where they ended."""
    half = f"model.velocity.mean={run.setting('model.velocity.mean') / 2:.3g}"
    if not run.has("velocity", "FixedVelocity") or run.setting("model.curve.beta.per_skill") is not False:
        return half
    for name in ("beta", "experience"):
        started = run.setting(f"model.curve.{name}.mean")
        if started is not None:
            ended = (run.kept or {}).get(f"parameter/curve.{name}_mean", started)
            half += f" model.curve.{name}.mean={ended:.3g} ++model.curve.{name}.learn=false"
    return half


def readiness_leads(run: Seen) -> bool:
    """Tell whether readiness carries more of the prediction than gains do, by either question about them."""
    falls = [fall for part in ("gains", "gain_sizes") if (fall := run.fall(part)) is not None]
    readiness = run.fall("readiness")
    return readiness is not None and bool(falls) and readiness > min(falls)


def knows_items(run: Seen) -> bool:
    """Tell whether the model has difficulties of items, and the data items."""
    return run.num_items > 0 and run.has("item_difficulty", "RaschDifficulty")


def is_distance_attention(run: Seen) -> bool:
    """Tell whether Encoder 1 is attention that fades with distance."""
    return run.setting("model.encoder1.distance") is not None


def blocks(run: Seen) -> str:
    """Two blocks of attention, as in v4_items, where the sizes of an LSTM say one."""
    return "" if run.setting("model.size.num_blocks", 2) > 1 else "model.size.num_blocks=2"


def more_epochs(run: Seen) -> str:
    """Half as many epochs again."""
    return f"trainer.max_epochs={ceil(1.5 * run.setting('trainer.max_epochs', 12))}"


def ended_at_its_best(run: Seen) -> bool:
    """Tell whether the epoch kept is the last one, or it is not known which was."""
    return run.metrics is None or run.kept is None or bool(run.kept["epoch"] == run.metrics["epoch"].iloc[-1])


def epochs_of_encoder1(run: Seen) -> int:
    """Epochs up to Encoder 1's best; 0 where it is not known."""
    best = run.best_of_encoder1
    return 0 if best is None else int(best["epoch"]) + 1


def can_stop_earlier(run: Seen) -> bool:
    """Tell whether fewer epochs would end at Encoder 1's best."""
    # Cutting the epochs of a schedule with phases moves the phases, not their end.
    return run.setting("schedule._target_", "").endswith("Constant") and (
        LEAST_EPOCHS <= epochs_of_encoder1(run) < run.setting("trainer.max_epochs", 0)
    )


def folds(run: Seen) -> str:
    """All folds of the run's data; "" where they are not told."""
    told = re.search(r"(\d+) (?:given )?folds", run.card["protocol"].get("data", ""))
    count = int((told[1] if told else None) or run.setting("dataset.split.num_folds") or 1)
    return f"dataset.fold={','.join(map(str, range(count)))}" if count > 1 else ""
