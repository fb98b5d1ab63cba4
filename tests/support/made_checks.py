"""Checks that a config adds, good and bad."""

from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.evaluation.check import Measured, Rule, above
from gainkt.evaluation.evidence import Evidence
from gainkt.evaluation.statistics.measurable import column_of
from gainkt.model import Output


def confidence_of(output: Output, batch: Batch) -> Tensor:
    """How far Encoder 2's logit lies from undecided, before each step."""
    return output.logit2_BT.abs()


def measure(evidence: Evidence) -> Measured:
    confidence = column_of(evidence.scored, "confidence")
    found = evidence.bootstrap.mean(evidence.scored_student, confidence)
    return Measured.of(found, f"Encoder 2's logit lies {found.value:.2f} from 0 on average.")


def confidence(minimum: float = 0.1, target: float = 0.5) -> Rule:
    return Rule("", "Confidence of Encoder 2", above(minimum, target), measure, columns={"confidence": confidence_of})


def calm(maximum: float) -> Rule:
    """Another check on the same column."""
    levels = above(maximum, maximum, relation="<")
    return Rule("", "Calm", levels, measure, group="trajectory", columns={"confidence": confidence_of})


def by_skill() -> Rule:
    return Rule("", "", above(0, 1), measure, columns={"gains": lambda output, batch: output.gains_BTC})


def no_tensor() -> Rule:
    return Rule("", "", above(0, 1), measure, columns={"gains": lambda output, batch: 3.0})


def undefined() -> Rule:
    return Rule("", "", above(0, 1), measure, columns={"log": lambda output, batch: (output.logit2_BT * 0).log()})


def taken() -> Rule:
    return Rule("", "", above(0, 1), measure, columns={"p2": confidence_of})


def same_name() -> Rule:
    return Rule("", "", above(0, 1), measure, columns={"confidence": lambda output, batch: output.logit1_BT})


def no_such_group() -> Rule:
    return Rule("", "", above(0, 1), measure, group="immediat")


def no_rule() -> float:
    return 0.5
