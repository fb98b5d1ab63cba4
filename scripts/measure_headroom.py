"""What could Encoder 2 still read of a history? `python scripts/measure_headroom.py <folder of predictions.parquet>`.

The responses of half of the students are regressed on Encoder 2's logit and a few figures that are known before a step,
and those of the other half are predicted, and the other way round: AUC over Encoder 2's own says what these figures
would add, in a logistic regression and in boosted trees, which may combine them. Take the validation part:

    python -m gainkt.evaluate run=<run> split=valid output=<folder>
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy import special
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gainkt.evaluation.evidence import further_attempts

NEVER = 1000
"""Steps since a skill was practised, where it never was."""


def features(steps: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Figures known before each step, by what they tell; `steps` are whole histories in order."""
    named = steps["skills"].map(lambda skills: skills if isinstance(skills, str) else ";".join(map(str, skills)))
    steps = steps.assign(skills=named, surprise=steps["response"] - steps["p2"])
    student, skill = (steps.groupby(by, sort=False, observed=True) for by in ("student", ["student", "skills"]))
    before, right = skill.cumcount(), skill["response"].cumsum() - steps["response"]
    gap = (steps["step"] - skill["step"].shift()).fillna(NEVER)
    told: dict[str, dict[str, Any]] = {
        "difficulty of the item": {"d": steps["item_difficulty"]},
        "practice of the skill": {"n": before, "right": right, "new": before == 0},
        "steps since it": {"gap": np.log1p(gap), "new": before == 0},
        "last three responses": {f"r{lag}": student["response"].shift(lag).fillna(0.5) for lag in (1, 2, 3)},
        "last three on the skill": {f"s{lag}": skill["response"].shift(lag).fillna(0.5) for lag in (1, 2, 3)},
        "surprises so far": {
            "all": student["surprise"].cumsum() - steps["surprise"],
            "skill": skill["surprise"].cumsum() - steps["surprise"],
            "late": student["surprise"].transform(lambda x: x.ewm(alpha=0.2).mean().shift()).fillna(0.0),
        },
    }
    if steps["item"].notna().any():
        item = steps.groupby(["student", "item"], sort=False, observed=True)
        times, right = item.cumcount(), item["response"].cumsum() - steps["response"]
        told["attempts at the item"] = {"n": times, "right": right, "again": further_attempts(steps)}
    told["all of these"] = {f"{name} {key}": x for name, part in told.items() for key, x in part.items()}
    told["Encoder 1's logit"] = {"logit1": logit(steps["p1"])}
    return {name: pd.DataFrame(part).astype(float) for name, part in told.items()}


def logit(p: pd.Series) -> pd.Series:
    """Logit of a probability, finite."""
    return pd.Series(special.logit(p.astype(float).clip(1e-6, 1 - 1e-6)), index=p.index)


def crossed(x: pd.DataFrame, y: np.ndarray, first: np.ndarray, trees: bool) -> float:
    """Mean AUC of two fits, each on one half of the students and judged on the other."""
    found = []
    for train in (first, ~first):
        boosted = HistGradientBoostingClassifier(max_depth=4, max_iter=150, learning_rate=0.06, random_state=0)
        model = boosted if trees else make_pipeline(StandardScaler(), LogisticRegression(C=10, max_iter=500))
        model.fit(x[train], y[train])
        found.append(roc_auc_score(y[~train], model.predict_proba(x[~train])[:, 1]))
    return float(np.mean(found))


def main(folder: Path) -> None:
    """Print the table."""
    steps = pd.read_parquet(folder / "predictions.parquet").sort_values(["student", "step"], kind="stable")
    steps = steps.reset_index(drop=True)
    scored, own = steps["scored"].to_numpy(dtype=bool), logit(steps["p2"]).rename("logit2")
    students = np.random.default_rng(0).permutation(steps["student"].unique())
    first = steps["student"].isin(students[::2]).to_numpy()[scored]
    y = steps["response"].to_numpy()[scored]
    table = Table("beside Encoder 2's logit", "logistic regression", "boosted trees")
    for name, more in {"nothing": pd.DataFrame(index=steps.index), **features(steps)}.items():
        x = pd.concat([own, more], axis=1)[scored]
        table.add_row(name, *(f"{crossed(x, y, first, trees):.4f}" for trees in (False, True)))
    own_auc = roc_auc_score(y, own[scored])
    Console().print(f"Encoder 2's own AUC: {own_auc:.4f}, of {len(y):,} scored steps of {len(students):,} students")
    Console().print(table)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
