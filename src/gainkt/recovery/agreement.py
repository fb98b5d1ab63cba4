"""Recovery: how far estimates of simulated students agree with the truth, beside the best that can be attained.

M steps, L slots (a slot is one skill of one step), K skills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from gainkt.data.log import InteractionLog
from gainkt.data.splits import Split
from gainkt.evaluation.statistics.bootstrap import Array, StudentBootstrap
from gainkt.evaluation.statistics.breakdowns import concordance
from gainkt.evaluation.statistics.correlation import ranks, spearman
from gainkt.evaluation.statistics.practice import worth
from gainkt.simulation.world import World

Rows = list[dict[str, Any]]

MIN_CELLS = 30
"""Slots that a skill needs for a correlation of its own."""
RESAMPLES = 500
"""Resamples of students for an interval."""
_LEVEL_EDGE = 1e-3
"""Distance from 0 and 1 at which a level's logit is still to be trusted in float32."""

PARAMETERS: dict[str, tuple[bool, str]] = {
    "mastery at first opportunity": (True, "mean over students before they first practise the skill"),
    "initial mastery": (True, "M_sat sigmoid(-offset), for the mean student, as far as one readout serves all skills"),
    "steepness x gain": (True, "logits that a practised step adds, in mean: this is what responses show"),
    "steepness": (False, "half the steepness with twice the gains (and experience) is the same curve"),
    "gain": (False, "twice the gains (and experience) with half the steepness is the same curve"),
    "saturation": (False, "trades off with threshold and temperature of the readout; few students come near it"),
    "velocity": (True, "of students, up to a common factor; weak evidence, see what the Bayes filter attains"),
    "ability": (True, "of students, up to a shift"),
}
"""What is compared, whether responses identify its order over skills or students, and why."""
COMPARED = {
    "mastery_before": "mastery_before_L",
    "mastery_after": "mastery_after_L",
    "gains": "gain_L",
    "logits": "logits_L",
}
"""Sections of the report and the estimates they compare."""


@dataclass(frozen=True, eq=False)
class Source:
    """What one source says about the test students, aligned with the log's flat arrays; NaN where it says nothing."""

    name: str
    """The source, as it appears in tables."""
    probability_M: Array
    """Chance of a right response, before it is seen; of a trained model, by Encoder 2."""
    mastery_before_L: Array | None = None
    """Mastery of the slot's skill before the step, in [0, 1]."""
    mastery_after_L: Array | None = None
    """The same after the step."""
    gain_L: Array | None = None
    """What the step added to the slot's skill, in the source's own unit of practice."""
    logits_L: Array | None = None
    """What the step moved the average student's curve by, in logits: steepness x gain, where practice does not wear
    off. Responses tell this; how it is shared between gain and steepness they do not."""
    encoder1_M: Array | None = None
    """Chance of a right response by Encoder 1."""
    parameters: dict[str, Array] = field(default_factory=dict)
    """Over skills [K] or students [N], by names of PARAMETERS."""
    transfer: dict[str, Array] = field(default_factory=dict)
    """[K, K] scores of edges, by what they are."""

    @property
    def predictions(self) -> dict[str, Array]:
        """What it predicts, by the name that stands in tables."""
        first = {} if self.encoder1_M is None else {f"{self.name}, Encoder 1": self.encoder1_M}
        return {**first, self.name: self.probability_M}


@dataclass(frozen=True, eq=False)
class Compared:
    """A log, and which of its steps and slots are compared: the scored ones of test students."""

    log: InteractionLog
    split: Split
    step_L: Array
    """Flat step of each slot."""
    student_L: Array
    """Student of each slot."""
    scored_M: Array
    scored_L: Array

    @classmethod
    def of(cls, log: InteractionLog, split: Split) -> Compared:
        """Compare every step of the test students but the first of each."""
        step = np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))
        student = np.repeat(np.arange(log.num_students), log.lengths)
        scored = np.isin(student, split.test)
        scored[log.offsets[split.test]] = False
        return cls(log, split, step, student[step], scored, scored[step])

    @cached_property
    def bootstrap(self) -> StudentBootstrap:
        """Resamples of the test students."""
        return StudentBootstrap(len(self.split.test), RESAMPLES)

    def auc(self, probability_M: Array) -> dict[str, Any]:
        """AUC over the scored steps, with its 95 % interval over students."""
        at, student = self.scored_M, np.repeat(np.arange(self.log.num_students), self.log.lengths)
        place = np.searchsorted(self.split.test, student[at])
        found = self.bootstrap.auc(place, probability_M[at], self.log.responses[at])
        return {"auc": found.value, "auc_interval": found.interval}

    def agreement(self, estimate_L: Array, truth_L: Array) -> dict[str, Any]:
        """Agreement over the scored slots, with the 95 % interval over students of its rank correlation."""
        at = self.scored_L
        place = np.searchsorted(self.split.test, self.student_L[at])
        found = agreement(estimate_L[at], truth_L[at], np.asarray(self.log.skills)[at])
        # Ranks are those among all students: cheaper than to rank each resample anew, and as good.
        interval = self.bootstrap.correlation(place, ranks(estimate_L[at]), ranks(truth_L[at])).interval
        return {**found, "spearman_interval": interval}

    def at_first_opportunity(self, mastery_L: Array) -> Array:
        """Mean over the test students of a skill's mastery before they first practise it, [K]."""
        first = first_opportunities(self.student_L, self.log.skills) & np.isfinite(mastery_L)
        first &= np.isin(self.student_L, self.split.test)
        return mean_by(mastery_L[first], self.log.skills[first], self.log.num_skills)

    def courses(self, count: int = 4, longest: int = 25) -> list[tuple[str, Array]]:
        """Slots of the skills practised most often (up to `longest` times) by different test students, with titles."""
        slots = pd.DataFrame({"student": self.student_L, "skill": self.log.skills})
        pairs = slots[np.isin(self.student_L, self.split.test)].groupby(["student", "skill"]).groups
        times = {pair: len(at) if len(at) <= longest else 0 for pair, at in pairs.items()}
        best = sorted(pairs, key=lambda pair: -times[pair])  # a stable sort: by student and skill where equal
        chosen = pd.DataFrame(best, columns=["student", "skill"]).drop_duplicates("student").head(count)
        names = (self.log.students, self.log.skill_names)
        return [
            (f"{names[0][who]}, {names[1][skill]}", pairs[who, skill].to_numpy())
            for who, skill in chosen.itertuples(index=False)
        ]


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
    found = [(name, cells.auc(p_M)) for source in (truth, *sources) for name, p_M in source.predictions.items()]
    limit = cells.auc(best.probability_M)
    sections = {"predictions": [{"source": name, **with_shares(auc, limit)} for name, auc in found]}
    for section, name in COMPARED.items():
        true, said = getattr(truth, name), [(source.name, getattr(source, name)) for source in sources]
        found = [(s, cells.agreement(said_L, true)) for s, said_L in said if said_L is not None and true is not None]
        attained = dict(found).get(best.name)
        sections[section] = [{"source": source, **with_shares(x, attained)} for source, x in found]
    sections["parameters"] = [row for source in sources for row in parameter_rows(source, truth)]
    return sections


def parameter_rows(source: Source, truth: Source) -> Rows:
    """Compare parameters over skills or students, in the order of PARAMETERS; those not estimated are left out."""
    return [
        {
            "source": source.name,
            "parameter": name,
            "spearman": spearman(source.parameters[name], truth.parameters[name]),
            "over": int((np.isfinite(source.parameters[name]) & np.isfinite(truth.parameters[name])).sum()),
            "identified": identified,
            "note": note,
        }
        for name, (identified, note) in PARAMETERS.items()
        if name in source.parameters
    ]


def transfer_rows(models: Sequence[Source], world: World) -> Rows:
    """How well each model's scores find the edges of the transfer graph."""
    return [
        {"source": model.name, "score": score, **edge_recovery(values, world.transfer_KK, world.order_K)}
        for model in models
        for score, values in model.transfer.items()
    ]


def label_control_rows(pairs: Sequence[tuple[Source, Source]], cells: Compared, corrupted: Compared) -> Rows:
    """AUC of sources trained on shuffled labels, beside what the same sources reach on the true ones.

    Args:
        pairs: each source on the true data, and on the corrupted.
        cells: of the true data.
        corrupted: of the corrupted.
    """
    return [
        _control("shuffled labels", name, "AUC", corrupted.auc(now_M)["auc"], cells.auc(was_M)["auc"], "about .5")
        for was, now in pairs
        for (name, was_M), now_M in zip(was.predictions.items(), now.predictions.values(), strict=True)
    ]


def q_matrix_control_rows(
    pairs: Sequence[tuple[Source, Source]], cells: Compared, true_L: Array, corrupted: Compared, named_L: Array
) -> Rows:
    """Agreement with true mastery before each step by sources trained on a shuffled Q-matrix.

    Args:
        pairs: each source on the true data, and on the corrupted.
        cells: of the true data.
        true_L: true mastery of each of its slots.
        corrupted: cells of the corrupted data.
        named_L: true mastery of the skill that each of its slots names.
    """
    rows = []
    for was, now in pairs:
        assert was.mastery_before_L is not None
        assert now.mastery_before_L is not None
        then, found = cells.agreement(was.mastery_before_L, true_L), corrupted.agreement(now.mastery_before_L, named_L)
        for key, label in (("spearman", "Spearman"), ("spearman_within_skill", "within skill")):
            what = f"mastery before, {label}"
            rows.append(_control("shuffled Q-matrix", was.name, what, found[key], then[key], "lower"))
    return rows


def _control(control: str, source: str, metric: str, value: float, true: float, expected: str) -> dict[str, Any]:
    row = {"control": control, "source": source, "figure": metric, "value": value}
    return {**row, "true_data": true, "expected": expected}


def agreement(estimate_N: Array, truth_N: Array, skill_N: Array, min_cells: int = MIN_CELLS) -> dict[str, float]:
    """Agreement of estimates with the truth, pooled and within skills.

    Args:
        estimate_N: finite.
        truth_N: finite.
        skill_N: skill of each cell.
        min_cells: cells that a skill needs to count in the mean within skills.

    Returns:
        spearman, rmse, spearman_within_skill (plain mean over skills), skills (in that mean), cells.

    Raises:
        ValueError: there are no cells, or an estimate is not finite.
    """
    if not len(estimate_N):
        raise ValueError("no cells to compare: no test student practises anything; simulate more students")
    bad = int((~np.isfinite(estimate_N)).sum())
    if bad:
        raise ValueError(f"{bad} of {len(estimate_N)} estimates are missing or not finite")
    often = np.flatnonzero(np.bincount(skill_N) >= min_cells)
    within = np.array([spearman(estimate_N[cells], truth_N[cells]) for cells in (skill_N == k for k in often)])
    known = within[np.isfinite(within)]
    return {
        "spearman": spearman(estimate_N, truth_N),
        "rmse": float(np.sqrt(np.mean((estimate_N - truth_N) ** 2))),
        "spearman_within_skill": float(known.mean()) if len(known) else float("nan"),
        "skills": len(known),
        "cells": len(estimate_N),
    }


def with_shares(found: Mapping[str, Any], best: Mapping[str, Any] | None) -> dict[str, Any]:
    """Add what each metric is of the best attainable one, 1 for as good; nothing where that is unknown.

    Correlations: metric / best. AUC: (AUC - .5) / (best - .5). RMSE: best / metric.
    """
    shares = {}
    for name in (name for name in found if name in (best or {})):
        assert best is not None
        if name == "auc":
            shares["auc_share"] = _ratio(found[name] - 0.5, best[name] - 0.5)
        elif name == "rmse":
            shares["rmse_share"] = _ratio(best[name], found[name])
        elif name in ("spearman", "spearman_within_skill"):
            shares[f"{name}_share"] = _ratio(found[name], best[name])
    return {**found, **shares}


def _ratio(x: float, y: float) -> float:
    return x / y if y else float("nan")


def auc_of(probability_N: Array, response_N: Array) -> float:
    """AUC, ties as half; nan where only one class occurs."""
    concordant, pairs = concordance(np.zeros(len(response_N), dtype=np.int64), probability_N, response_N, 1)
    return float(concordant[0] / pairs[0]) if pairs[0] else float("nan")


def first_opportunities(student_L: Array, skill_L: Array) -> Array:
    """Tell for every slot whether the student meets the skill for the first time; slots stand in order of steps."""
    return ~pd.DataFrame({"student": student_L, "skill": skill_L}).duplicated().to_numpy()


def mean_by(values_L: Array, group_L: Array, size: int) -> Array:
    """Mean of each group, [size]; nan where it is empty."""
    count = np.bincount(group_L, minlength=size)
    total = np.bincount(group_L, values_L, minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def students_from_curves(trajectories: pd.DataFrame, last: pd.DataFrame, skills: pd.DataFrame) -> pd.DataFrame:
    """Velocity and readiness of each student as believed at the end, read off the curves of a run's tables.

    At the final belief logit(m / M_sat[k]) = beta[k] gamma W(P) - offset[k] + o[k], W what practice is worth. So,
    within a student, beta[k] W(P) against that logit has slope gamma over the steps of a skill (least squares, all
    skills together), and what remains is o, whose mean over the student's skills stands for ability.

    Args:
        trajectories: columns student, skill, practice, mastery_final; one window a student.
        last: columns student, skill, practice, mastery, at the end: practice also grows at steps on other skills.
        skills: columns skill, beta, saturation, offset, experience (nan where practice does not wear off).

    Returns:
        Index student; columns velocity, ability. nan where no skill of a student gained practice.
    """
    columns = ["student", "skill", "practice", "mastery_final"]
    rows = pd.concat([trajectories[columns], last.rename(columns={"mastery": "mastery_final"})[columns]])
    rows = rows.merge(skills[["skill", "beta", "saturation", "offset", "experience"]], on="skill")
    worth_N = worth(rows["practice"].to_numpy(np.float64), rows["experience"].to_numpy(np.float64))
    rows = rows.assign(level=rows["mastery_final"] / rows["saturation"], x=rows["beta"] * worth_N)
    rows = rows[rows["level"].between(_LEVEL_EDGE, 1 - _LEVEL_EDGE)]
    rows = rows.assign(logit=np.log(rows["level"] / (1 - rows["level"])) + rows["offset"])
    curve = rows.groupby(["student", "skill"])
    x, y = (rows[name] - curve[name].transform("mean") for name in ("x", "logit"))
    student = rows["student"]
    total, cross = (x * x).groupby(student).sum(), (x * y).groupby(student).sum()
    velocity = (cross / total).where(total > 1e-6)
    rest = (rows["logit"] - student.map(velocity).fillna(0.0) * rows["x"]).groupby([student, rows["skill"]]).mean()
    ability = rest.groupby("student").mean()
    # Mastery is kept in float32: what varies less than this is the same for all.
    return pd.DataFrame({"velocity": velocity, "ability": ability}).round(3)


def edge_recovery(score_KK: Array, transfer_KK: Array, order_K: Array) -> dict[str, float]:
    """How well scores find the edges of the transfer graph.

    Args:
        score_KK: [from, to], higher where an edge is likelier; the diagonal is not read.
        transfer_KK: true strengths, 0 where there is no edge.
        order_K: the skills in the order of the curriculum: edges go forwards only.

    Returns:
        edges, their number E; precision, the share of edges among the E highest scores; chance, the same for random
        scores, and chance_in_order for random ones of who knows the order; auc over pairs; auc_in_order over the
        forward pairs alone, where knowing the order helps nobody. Ties count by their expectation.
    """
    size = len(score_KK)
    place = np.argsort(order_K)
    apart, forward = ~np.eye(size, dtype=bool), place[:, None] < place[None, :]
    edge = transfer_KK > 0
    num_edges = int(edge.sum())
    score, is_edge = score_KK[apart], edge[apart]
    precision = float("nan")
    if num_edges:
        limit = np.sort(score)[-num_edges]
        above, tied = score > limit, score == limit
        places = num_edges - above.sum()
        precision = float((is_edge[above].sum() + places * is_edge[tied].mean()) / num_edges)
    return {
        "edges": num_edges,
        "precision": precision,
        "chance": num_edges / max(size * (size - 1), 1),
        "chance_in_order": num_edges / max(size * (size - 1) // 2, 1),
        "auc": auc_of(score, is_edge.astype(np.float64)),
        "auc_in_order": auc_of(score_KK[forward], edge[forward].astype(np.float64)),
    }


def less_receivers_mean(gain_KK: Array) -> Array:
    """Subtract from [from, to] each receiver's mean over givers: a skill that gains from all says nothing."""
    apart = np.where(np.eye(len(gain_KK), dtype=bool), np.nan, gain_KK)
    known = np.isfinite(apart)
    mean = np.where(known, apart, 0.0).sum(0) / np.maximum(known.sum(0), 1)
    return np.where(known, apart - mean, 0.0)
