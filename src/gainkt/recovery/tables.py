"""Recovery, laid out: which cells of a log are compared, what a source says about them, and the tables of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gainkt.data.log import InteractionLog
from gainkt.data.splits import Split
from gainkt.evaluation.statistics.bootstrap import Array, StudentBootstrap
from gainkt.evaluation.statistics.correlation import ranks
from gainkt.recovery import agreement as recovery
from gainkt.recovery.agreement import Estimates
from gainkt.simulation.world import World

Rows = list[dict[str, Any]]

RESAMPLES = 500
"""Resamples of students for an interval."""
COMPARED = {
    "mastery_before": "mastery_before_L",
    "mastery_after": "mastery_after_L",
    "gains": "gain_L",
    "logits": "logits_L",
}
"""Sections of the report and the estimates they compare."""


@dataclass(frozen=True, eq=False)
class Compared:
    """A log, and which of its steps and slots are compared: the scored ones of test students."""

    log: InteractionLog
    split: Split
    step_L: Array
    """Flat step of each slot."""
    scored_M: Array
    scored_L: Array

    @classmethod
    def of(cls, log: InteractionLog, split: Split) -> Compared:
        """Compare every step of the test students but the first of each."""
        step = np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))
        scored = np.zeros(log.num_steps, dtype=bool)
        scored[log.steps_of(split.test)] = True
        scored[log.offsets[split.test]] = False
        return cls(log, split, step, scored, scored[step])

    @cached_property
    def student_L(self) -> Array:
        """Student of each slot."""
        return np.repeat(np.arange(self.log.num_students), self.log.lengths)[self.step_L]

    @cached_property
    def bootstrap(self) -> StudentBootstrap:
        """Resamples of the test students."""
        return StudentBootstrap(len(self.split.test), RESAMPLES)

    def auc(self, probability_M: Array) -> dict[str, Any]:
        """AUC over the scored steps, with its 95 % interval over students."""
        student = np.repeat(np.arange(self.log.num_students), self.log.lengths)[self.scored_M]
        found = self.bootstrap.auc(
            np.searchsorted(self.split.test, student), probability_M[self.scored_M], self.log.responses[self.scored_M]
        )
        return {"auc": found.value, "auc_interval": found.interval}

    def agreement(self, estimate_L: Array, truth_L: Array) -> dict[str, Any]:
        """Agreement over the scored slots, with the 95 % interval over students of its rank correlation."""
        at = self.scored_L
        student = np.searchsorted(self.split.test, self.student_L[at])
        figures = recovery.agreement(estimate_L[at], truth_L[at], np.asarray(self.log.skills)[at])
        # Ranks are those among all students: cheaper than to rank each resample anew, and as good.
        found = self.bootstrap.correlation(student, ranks(estimate_L[at]), ranks(truth_L[at]))
        return {**figures, "spearman_interval": found.interval}

    def at_first_opportunity(self, mastery_L: Array) -> Array:
        """Mean over the test students of a skill's mastery before they first practise it, [K]."""
        first = recovery.first_opportunities(self.student_L, self.log.skills) & np.isfinite(mastery_L)
        first &= np.isin(self.student_L, self.split.test)
        return recovery.mean_by(mastery_L[first], self.log.skills[first], self.log.num_skills)

    def courses(self, count: int = 4, longest: int = 25) -> list[tuple[str, Array]]:
        """Slots of the skills practised most often (up to `longest` times) by different test students, with titles."""
        log, student = self.log, self.student_L
        chosen: dict[int, tuple[str, Array]] = {}
        at = np.flatnonzero(np.isin(student, self.split.test))
        pair, place, times = np.unique(
            student[at] * log.num_skills + log.skills[at], return_inverse=True, return_counts=True
        )
        for number in np.argsort(-np.where(times > longest, 0, times), kind="stable"):
            who, skill = divmod(int(pair[number]), log.num_skills)
            if who not in chosen:
                chosen[who] = (f"{log.students[who]}, {log.skill_names[skill]}", at[place == number])
            if len(chosen) == count:
                break
        return list(chosen.values())


@dataclass(frozen=True, eq=False)
class Source:
    """What one source says about the test students."""

    estimates: Estimates
    """Of a trained model, by Encoder 2."""
    parameters: dict[str, Array] = field(default_factory=dict)
    """Over skills [K] or students [N], by names of recovery.PARAMETERS."""
    transfer: dict[str, Array] = field(default_factory=dict)
    """[K, K] scores of edges, by what they are."""
    encoder1: Estimates | None = None


def compare(
    cells: Compared, truth: Source, best: Source, models: Sequence[Source], peers: Sequence[Source]
) -> dict[str, Rows]:
    """Return predictions, mastery before and after, gains and parameters of every source, beside the best attainable.

    Args:
        cells: what is compared.
        truth: the truth in the form of a source.
        best: the yardstick of which shares are taken.
        models: trained models, whose Encoder 1 is compared in its predictions.
        peers: other sources.
    """
    sources = [best, *models, *peers]
    predicting = [truth.estimates, best.estimates]
    predicting += [e for model in models for e in (model.encoder1, model.estimates) if e is not None]
    predicting += [peer.estimates for peer in peers]
    limit = cells.auc(best.estimates.probability_M)
    sections: dict[str, Rows] = {
        "predictions": [
            {"source": e.name, **recovery.with_shares(cells.auc(e.probability_M), limit)} for e in predicting
        ]
    }
    for section, name in COMPARED.items():
        true, attained = getattr(truth.estimates, name), getattr(best.estimates, name)
        most = None if attained is None or true is None else cells.agreement(attained, true)
        said = [(source.estimates.name, getattr(source.estimates, name)) for source in sources]
        sections[section] = [
            {"source": source, **recovery.with_shares(cells.agreement(values, true), most)}
            for source, values in said
            if values is not None and true is not None
        ]
    sections["parameters"] = [
        row
        for source in sources
        for row in recovery.parameter_rows(source.estimates.name, source.parameters, truth.parameters)
    ]
    return sections


def transfer_rows(models: Sequence[Source], world: World) -> Rows:
    """How well each model's scores find the edges of the transfer graph."""
    return [
        {
            "source": model.estimates.name,
            "score": score,
            **recovery.edge_recovery(values, world.transfer_KK, world.order_K),
        }
        for model in models
        for score, values in model.transfer.items()
    ]


def label_control_rows(pairs: Sequence[tuple[Source, Source]], cells: Compared, spoilt: Compared) -> Rows:
    """AUC of sources trained on shuffled labels, beside what the same sources reach on the true ones.

    Args:
        pairs: each source on the true data, and on the spoilt.
        cells: of the true data.
        spoilt: of the spoilt.
    """
    predicting = [pair for was, now in pairs for pair in ((was.encoder1, now.encoder1), (was.estimates, now.estimates))]
    return [
        {
            "control": "shuffled labels",
            "source": was.name,
            "figure": "AUC",
            "value": spoilt.auc(now.probability_M)["auc"],
            "true_data": cells.auc(was.probability_M)["auc"],
            "expected": "about .5",
        }
        for was, now in predicting
        if was is not None and now is not None
    ]


def q_matrix_control_rows(
    pairs: Sequence[tuple[Source, Source]], cells: Compared, true_L: Array, spoilt: Compared, named_L: Array
) -> Rows:
    """Agreement with true mastery before each step by sources trained on a shuffled Q-matrix.

    Args:
        pairs: each source on the true data, and on the spoilt.
        cells: of the true data.
        true_L: true mastery of each of its slots.
        spoilt: cells of the spoilt data.
        named_L: true mastery of the skill that each of its slots names.
    """
    rows: Rows = []
    for was, now in pairs:
        assert was.estimates.mastery_before_L is not None
        assert now.estimates.mastery_before_L is not None
        figures = spoilt.agreement(now.estimates.mastery_before_L, named_L)
        before = cells.agreement(was.estimates.mastery_before_L, true_L)
        rows += [
            {
                "control": "shuffled Q-matrix",
                "source": was.estimates.name,
                "figure": f"mastery before, {label}",
                "value": figures[key],
                "true_data": before[key],
                "expected": "lower",
            }
            for key, label in (("spearman", "Spearman"), ("spearman_within_skill", "within skill"))
        ]
    return rows
