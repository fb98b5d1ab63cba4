"""Tables of a made-up model that traces its students well, for tests to spoil one column at a time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from gainkt.evaluation import schema
from gainkt.evaluation.evidence import Evidence
from gainkt.evaluation.scorecard.scorecard import BUILT_IN, scorecard
from gainkt.files import plain

TRAINED = {"finite": True, "gradient_norm_max": 3.5, "epochs": 12}
AFTER_WRONG = 0.55  # of the gain after a right response


@dataclass
class Tables:
    predictions: pd.DataFrame
    trajectories: pd.DataFrame
    skills: pd.DataFrame
    num_skills: int

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {"training": TRAINED, "validation": None, "num_skills": self.num_skills, "resamples": 40, **changes}

    def card(self, **changes: Any) -> dict[str, Any]:
        return scorecard(self.predictions, self.trajectories, self.skills, **self.settings(**changes))

    def check(self, name: str, **changes: Any) -> dict[str, Any]:
        """One check of the card, without the time that the others take."""
        rule = next(rule for rule in BUILT_IN if rule.name == name)
        evidence = Evidence(self.predictions, self.trajectories, self.skills, **{"seed": 0, **self.settings(**changes)})
        return plain(asdict(rule.judge(evidence)))


def good_tables(num_students: int = 120, num_skills: int = 8, met: int = 3, steps: int = 36, seed: int = 0) -> Tables:
    """Students who practise `met` skills in mixed order; mastery is a sigmoid of practice; easy skills gain more."""
    draw = np.random.default_rng(seed)
    ease = np.linspace(1, 0, num_skills)
    gain_right = 0.3 + 0.65 * ease
    beta = 9 / (0.8 * gain_right * steps / met)
    offset = 5 - 2.5 * ease

    own = draw.random((num_students, num_skills)).argsort(1)[:, :met]  # skills of a student
    order = np.tile(np.arange(met), steps // met + 1)[:steps]
    slot = draw.permuted(np.tile(order, (num_students, 1)), axis=1)
    practice = np.zeros((num_students, met))
    student, kept = np.arange(num_students), []
    for step in range(steps):
        now = slot[:, step]
        before = _sigmoid(beta[own] * practice - offset[own])
        p2 = _sigmoid((before[student, now] - 0.5) / 0.1)
        response = draw.random(num_students) < p2
        gain = np.zeros_like(practice)
        gain[student, now] = gain_right[own[student, now]] * np.where(response, 1, AFTER_WRONG)
        practice = practice + gain
        kept.append((response, p2, before[student, now], gain, practice, _sigmoid(beta[own] * practice - offset[own])))
    response, p2, before, gain, running, mastery = (np.stack(values, 1) for values in zip(*kept, strict=True))
    p1 = np.clip(p2 + draw.normal(0, 0.02, p2.shape), 0.001, 0.999)

    rows, skill = num_students * steps, own[student[:, None], slot]
    practised = gain.sum(-1)
    names = np.array([f"s{i}" for i in student])
    skill_names = np.array([f"k{k}" for k in range(num_skills)])
    predictions = pd.DataFrame(
        {
            "student": np.repeat(names, steps),
            "step": np.tile(np.arange(steps), num_students),
            "skills": skill_names[skill].ravel(),
            "item": None,
            "response": response.ravel().astype(int),
            "scored": np.tile(np.arange(steps) > 0, num_students),
            "p1": p1.ravel(),
            "p2": p2.ravel(),
            "mastery": before.ravel(),
            "mastery_mean": before.ravel(),
            "item_difficulty": 0.0,
            "readiness": 0.0,
            "velocity": 1.0,
            "gain_practised": practised.ravel(),
            "gain_mean": practised.ravel() / num_skills,
            "gain_std": practised.ravel() * np.sqrt(1 / num_skills * (1 - 1 / num_skills)),
            "active_skills": 1,
            "mastery_falls": 0,
            "belief_falls": 0,
            "saturated_practised": 0.0,
            "saturated_other": 0.0,
            "left_over": 0.6,
            "p2_gains_permuted": np.clip(p2.ravel() + draw.normal(0, 0.3, rows), 0.001, 0.999),
            "p2_gains_mean": np.clip(p2.ravel() + np.random.default_rng(9).normal(0, 0.1, rows), 0.001, 0.999),
            "p2_velocity_mean": np.clip(p2.ravel() + draw.normal(0, 0.1, rows), 0.001, 0.999),
            "p2_readiness_mean": np.nan,
            "p2_wrong_skill": draw.permutation(p2.ravel()),
        }
    )
    cells = slot[..., None] == np.arange(met)
    at_start = _sigmoid(-offset[own])[:, None]
    trajectories = pd.DataFrame(
        {
            "student": np.repeat(names, steps * met),
            "step": np.tile(np.repeat(np.arange(steps), met), num_students),
            "window": 0,
            "skill": skill_names[np.broadcast_to(own[:, None], gain.shape)].ravel(),
            "relevant": cells.ravel(),
            "response": np.repeat(response.ravel().astype(int), met),
            "p1": np.repeat(p1.ravel(), met),
            "p2": np.repeat(p2.ravel(), met),
            "gain": gain.ravel(),
            "practice": running.ravel(),
            "mastery_before": np.concatenate([at_start, mastery[:, :-1]], 1).ravel(),
            "mastery": mastery.ravel(),
            "mastery_final": mastery.ravel(),
        }
    )
    trajectories = trajectories[trajectories["relevant"]].reset_index(drop=True)
    met_steps = np.bincount(skill.ravel(), minlength=num_skills)
    gains_of = np.bincount(skill.ravel(), practised.ravel(), num_skills)
    skills = pd.DataFrame(
        {
            "skill": skill_names,
            "steps": rows,
            "practised_steps": met_steps,
            "responses_right": np.bincount(skill.ravel(), response.ravel(), num_skills) / np.maximum(met_steps, 1),
            "gain_mean": gains_of / rows,
            "gain_practised_mean": gains_of / np.maximum(met_steps, 1),
            "beta": beta,
            "saturation": 1.0,
            "offset": offset,
            "experience": np.nan,
            "threshold": 0.5,
            "temperature": 0.1,
            "guess": np.nan,
            "slip": np.nan,
            "velocity": 1.0,
        }
    )
    made = [
        _as(table, fields)
        for table, fields in (
            (predictions, schema.PREDICTIONS),
            (trajectories, schema.TRAJECTORIES),
            (skills, schema.SKILLS),
        )
    ]
    return Tables(*made, num_skills)


def _as(table: pd.DataFrame, fields: Any) -> pd.DataFrame:
    """Give the columns the types that a reader of the parquet file gets."""
    assert list(table.columns) == fields.names
    types = {field.name: field.type.to_pandas_dtype() for field in fields if str(field.type) != "string"}
    return table.astype(types)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
