"""Tutors with several estimators teach the same new students of a simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig

from gainkt.config import build
from gainkt.console import in_turn
from gainkt.data.datamodule import KTDataModule
from gainkt.errors import ConfigError
from gainkt.evaluation.statistics.bootstrap import Estimate
from gainkt.evaluation.statistics.steadiness import separation
from gainkt.runs.trained import TrainedModel
from gainkt.simulation.simulate import simulate, simulate_with_truth
from gainkt.simulation.truth import Simulation
from gainkt.tutoring.classroom import LIMIT, REASONS, Cohort, Courses, teach
from gainkt.tutoring.curves import SUMS, Comparison, Curve, level_at, levels_for, ratio, summed
from gainkt.tutoring.estimator.base import Earlier, Estimator
from gainkt.tutoring.estimator.encoder2 import FILTERED, Encoder2, ShuffledQ
from gainkt.tutoring.estimator.filtered import FilteredEncoder2
from gainkt.tutoring.replay import recorded, replay
from gainkt.tutoring.sequencing import PrerequisitesFirst, Sequencing
from gainkt.tutoring.steadiness import steadiness
from gainkt.tutoring.stopping import Chance, Stopping

PILOT, PILOT_LIMIT = 200, 25
"""Students and opportunities a course, without stopping, by which the levels to be tried are found."""
ENOUGH = 0.3
"""Share of courses at their limit from which on higher levels tell nothing new."""
AGAINST = ("true_state", "bayes_filter", "moving_average")
"""Estimators that the others are held against, where they are there."""


@dataclass(frozen=True)
class School:
    """One simulation: its earlier students, and the models that were trained on them."""

    name: str
    earlier: Earlier
    valid: np.ndarray
    """Earlier students whom no estimator was fitted on: thresholds are tuned on them."""
    simulation: Simulation
    models: Mapping[str, TrainedModel] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """How a tutor works, and for how long."""

    stopping: Stopping
    sequencing: Sequencing
    students: int
    limit: int
    mastered: float
    target: float
    seed: int
    resamples: int


def is_simulated(datamodule: KTDataModule) -> bool:
    """Tell whether data are simulated students, so that their truth is known."""
    return getattr(datamodule.read, "func", None) is simulate


def school_of(datamodule: KTDataModule, models: Mapping[str, TrainedModel]) -> School:
    """Return the simulation of a data set of simulated students, whose split says who was trained on."""
    simulation = simulate_with_truth(**datamodule.read.keywords)  # type: ignore[attr-defined]
    earlier = Earlier(simulation.log, datamodule.students("train"), simulation.truth)
    settings = simulation.truth.settings
    name = f"seed {settings.seed}, earlier practice {settings.policy}, forgetting {settings.forgetting:g}"
    return School(name, earlier, datamodule.students("valid"), simulation, models)


def estimators_of(
    cfg: DictConfig, models: Mapping[str, TrainedModel], reads: Sequence[str], controls: bool
) -> dict[str, Estimator]:
    """Build the estimators of a config by name, then those of models: a reading each, and negative controls of them.

    Raises:
        ConfigError: a part is no estimator.
    """
    found: dict[str, Estimator] = {}
    for name in map(str, cfg or ()):
        if cfg[name] is None:
            continue
        found[name] = build(cfg[name])
        if not isinstance(found[name], Estimator):
            raise ConfigError(f"estimators.{name}: not an estimator; extend gainkt.tutoring.estimator.base.Estimator")
    for name, model in models.items():
        for reading in reads:
            label = f"{name} {reading}"
            found[label] = _reading(model, reading)
            if controls:
                if reading != FILTERED:  # which knows mean gains alone
                    found[f"{label}, gains permuted"] = Encoder2(model, reads=reading, permuted=True)
                found[f"{label}, Q-matrix shuffled"] = ShuffledQ(_reading(model, reading))
    return found


def _reading(model: TrainedModel, reading: str) -> Estimator:
    return FilteredEncoder2(model) if reading == FILTERED else Encoder2(model, reads=reading)


@dataclass
class _Found:
    """What one estimator did in one school."""

    curve: Curve
    tuned: float | None
    steady: dict[str, Any] | None
    at: Courses
    level: float


def teach_schools(
    schools: Sequence[School], estimators: DictConfig, plan: Plan, reads: Sequence[str] = (), controls: bool = False
) -> dict[str, Any]:
    """Have every estimator teach the new students of every school, and compare them.

    Returns:
        What was found; under `courses_table` a row a course, at the lowest level within the target that was tried.

    Raises:
        ConfigError: the schools have no estimator in common.
    """
    found: dict[str, list[_Found]] = {}
    tables, notes = [], []
    work = [
        (school, *named)
        for school in schools
        for named in estimators_of(estimators, school.models, reads, controls).items()
    ]
    for school, name, estimator in in_turn(work, lambda one: f"{one[1]}, {one[0].name}"):
        estimator.fit(school.earlier)
        if isinstance(plan.sequencing, PrerequisitesFirst) and estimator.transfer() is None:
            notes.append(f"{name} knows no transfer between skills: its courses follow the curriculum")
        one = _taught(school, estimator, plan)
        found.setdefault(name, []).append(one)
        tables.append(_table(school, name, one))
    lacking = {name: len(each) for name, each in found.items() if len(each) < len(schools)}
    notes += [f"{name} left out: it taught in {n} of {len(schools)} simulations" for name, n in lacking.items()]
    found = {name: each for name, each in found.items() if name not in lacking}
    if not found:
        raise ConfigError("teach: no estimator taught in every simulation; give each simulation's run one name")
    comparison = Comparison({n: [one.curve for one in each] for n, each in found.items()}, plan.target, plan.resamples)
    return {
        "mode": "simulated",
        "schools": [school.name for school in schools],
        "students": plan.students,
        "skills": schools[0].earlier.log.num_skills,
        "policy": {"stopping": type(plan.stopping).__name__, "sequencing": type(plan.sequencing).__name__},
        **{name: getattr(plan, name) for name in ("target", "mastered", "limit")},
        "estimators": _rows(found, comparison.matched()),
        "curves": [
            {"name": name, "school": school.name, **_curve(one.curve)}
            for name, each in found.items()
            for school, one in zip(schools, each, strict=True)
        ],
        "notes": list(dict.fromkeys(notes)),
        "courses_table": pd.concat(tables, ignore_index=True),
    }


def _taught(school: School, estimator: Estimator, plan: Plan) -> _Found:
    truth, stopping, sequencing = school.simulation.truth, plan.stopping, plan.sequencing
    seed = (plan.seed << 20) + truth.settings.seed
    # Levels are tried at which a pilot says something happens; it is not compared.
    pilot = Cohort(truth, min(PILOT, plan.students), seed + (1 << 40))
    limits: dict[str, Any] = {"limit": min(PILOT_LIMIT, plan.limit), "mastered": plan.mastered}
    _, record = teach(pilot, estimator, stopping, sequencing, np.inf, **limits)
    levels = levels_for(record) if stopping.level is None else np.array([float(stopping.level)])
    tuned, steady = (None, None) if estimator.needs_state else _on_earlier(school, estimator, plan)
    if steady is not None:
        skill = record.course % truth.settings.num_skills
        steady["separation"]["new"] = separation(record.score, record.mastered)
        steady["separation"]["within"] = separation(record.score, record.mastered, skill)
    cohort, sums, kept = Cohort(truth, plan.students, seed), [], []

    def within(sums_NF: np.ndarray) -> bool:
        total = dict(zip(SUMS, sums_NF.sum(0), strict=True))
        return bool(total["false"] <= plan.target * total["declared"])

    for level in levels:
        courses, _ = teach(cohort, estimator, stopping, sequencing, level, limit=plan.limit, mastered=plan.mastered)
        sums.append(summed(courses))
        kept.append(courses)
        if (courses.reason == LIMIT).mean() > ENOUGH and len(sums) > 1 and within(sums[-2]) and within(sums[-1]):
            break  # higher levels go on until the opportunities are used up
    levels = levels[: len(sums)]
    if len(levels) == 1:
        tuned = None  # what it would do is not known from another level
    curve = Curve(levels, np.stack(sums))
    falling = np.maximum.accumulate(curve.rates(np.ones((1, plan.students)))["false"][0][::-1])[::-1]
    shown = int((falling <= plan.target).argmax()) if (falling <= plan.target).any() else len(levels) - 1
    return _Found(curve, tuned, steady, kept[shown], float(levels[shown]))


def _on_earlier(school: School, estimator: Estimator, plan: Plan) -> tuple[float | None, dict[str, Any]]:
    """What an estimator says of earlier students who were not fitted on, and practised under another policy.

    Returns:
        The level at which their courses have the target's rate of false mastery, and how steady the estimates are.
    """
    steps, log, some = school.simulation.truth.steps, school.simulation.log, school.valid
    told = replay(log, some, estimator, chance=isinstance(plan.stopping, Chance))
    record = recorded(log, some, told.after_L, steps.mastery_after_L >= plan.mastered)
    steady = steadiness(log, some, estimator, told, steps.mastery_after_L)
    steady["separation"] = {"earlier": separation(record.score, record.mastered)}
    return level_at(record, plan.target), steady


def _rows(found: Mapping[str, list[_Found]], matched: Mapping[str, dict[str, Estimate]]) -> list[dict[str, Any]]:
    def said(x: Estimate) -> dict[str, Any]:
        return {"value": x.value, "interval": x.interval}

    rows = []
    for name, each in found.items():
        here = matched[name]
        row: dict[str, Any] = {"name": name, **{key: said(x) for key, x in here.items() if key != "level"}}
        row["level"] = here["level"].value
        row["against"] = {
            other: said(ratio(here["opportunities"], matched[other]["opportunities"]))
            for other in AGAINST
            if other in matched
        }
        row["steadiness"] = [one.steady for one in each]
        row["tuned"] = [None if one.tuned is None else {"level": one.tuned, **one.curve.at(one.tuned)} for one in each]
        rows.append(row)
    return rows


def _curve(curve: Curve) -> dict[str, list[float]]:
    rates = curve.rates(np.ones((1, curve.sums_LNF.shape[1])))
    return {"level": curve.levels_L.tolist(), **{name: x[0].tolist() for name, x in rates.items()}}


def _table(school: School, name: str, one: _Found) -> pd.DataFrame:
    """A row a course, at the lowest level that was tried and whose false mastery is within the target."""
    courses, skills = one.at, school.earlier.log.skill_names
    n, k = courses.reason.shape
    return pd.DataFrame(
        {
            "simulation": school.name,
            "estimator": name,
            "level": one.level,
            "student": np.repeat(np.arange(n), k),
            "skill": np.tile(skills.astype(object), n),
            "opportunities": courses.opportunities.ravel(),
            "over_practice": courses.over.ravel(),
            "true_mastery": courses.mastery.ravel(),
            "reason": np.array(REASONS, dtype=object)[courses.reason.ravel()],
            "false_mastery": courses.false.ravel(),
        }
    ).astype({"simulation": "category", "estimator": "category", "skill": "category", "reason": "category"})
