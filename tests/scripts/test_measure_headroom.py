"""What is known before a step, and adds what Encoder 2 did not read."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from scripts import measure_headroom


@pytest.fixture
def steps() -> pd.DataFrame:
    """Students whose responses follow an item difficulty, of which p2 knows a third."""
    draw = np.random.default_rng(0)
    students, length = 80, 30
    difficulty = draw.normal(size=students * length)
    response = (draw.random(len(difficulty)) < 1 / (1 + np.exp(2 * difficulty))).astype(int)
    return pd.DataFrame(
        {
            "student": np.repeat([f"s{i}" for i in range(students)], length),
            "step": np.tile(range(length), students),
            "skills": draw.choice(["a", "b"], len(difficulty)),
            "item": draw.choice(["x", "y", "z"], len(difficulty)),
            "response": response,
            "scored": np.tile(np.arange(length) > 0, students),
            "p1": 1 / (1 + np.exp(2 * difficulty)),
            "p2": 1 / (1 + np.exp(draw.normal(size=len(difficulty)))),
            "item_difficulty": difficulty,
        }
    )


def test_nothing_of_a_step_or_after_it_is_in_its_figures(steps: pd.DataFrame) -> None:
    told = measure_headroom.features(steps)
    at = 40
    changed = steps.copy()
    changed.loc[at:, "response"] = 1 - changed.loc[at:, "response"]
    for name, table in measure_headroom.features(changed).items():
        pd.testing.assert_frame_equal(table[: at + 1], told[name][: at + 1])
    assert not told["all of these"].equals(measure_headroom.features(changed)["all of these"])


def test_what_was_not_read_is_found(steps: pd.DataFrame, tmp_path, capsys) -> None:
    steps.sample(frac=1, random_state=0).to_parquet(tmp_path / "predictions.parquet")
    measure_headroom.main(tmp_path)
    lines = {
        line.split("│")[1].strip(): line.split("│")[2:4] for line in capsys.readouterr().out.splitlines() if "│" in line
    }
    scored = steps[steps["scored"]]
    best = roc_auc_score(scored["response"], scored["p1"])
    found = {name: float(cells[0]) for name, cells in lines.items()}
    assert abs(found["nothing"] - 0.5) < 0.05
    assert found["difficulty of the item"] == pytest.approx(best, abs=0.02)
    assert found["Encoder 1's logit"] == pytest.approx(best, abs=0.02)
    assert found["last three responses"] < 0.55
