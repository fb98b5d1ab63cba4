"""A scorecard check, on a quantity of the model that no table of gainkt holds."""

from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.evaluation.check import Measured, Rule, above
from gainkt.evaluation.evidence import Evidence
from gainkt.evaluation.statistics.measurable import Unmeasurable, column_of
from gainkt.model import Output


def velocity_spread(*, minimum: float, target: float) -> Rule:
    """Standard deviation over steps of the log of the velocity believed before them."""
    levels = above(minimum, target)
    return Rule("", "Spread of velocity", levels, spread, group="trajectory", columns={"log_velocity": log_velocity})


def log_velocity(output: Output, batch: Batch) -> Tensor:
    """A number for each step, [B, T]."""
    return output.belief.velocity.log().mean(-1).expand(batch.valid_BT.shape)


def spread(evidence: Evidence) -> Measured:
    values = column_of(evidence.scored, "log_velocity")
    if len(values) < 2:
        raise Unmeasurable("fewer than two scored steps")
    found = evidence.bootstrap.std(evidence.scored_student, values)
    return Measured.of(found, f"The log of velocity varies by {found.value:.2f} (std).")
