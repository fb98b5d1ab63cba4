"""Paired differences: their sign, their interval, and what a difference of nothing comes to."""

import numpy as np
import pandas as pd
import pytest
from made_tables import good_tables
from sklearn.metrics import log_loss, roc_auc_score

from gainkt.errors import DataError
from gainkt.evaluation import paired
from gainkt.evaluation.paired import holm, paired_differences
from gainkt.evaluation.statistics.bootstrap import Estimate


@pytest.fixture(scope="module")
def good() -> pd.DataFrame:
    return good_tables(num_students=60).predictions


def noisy(table: pd.DataFrame, size: float) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    return table.assign(p2=np.clip(table.p2 + draw.normal(0, size, len(table)), 0.01, 0.99).astype(np.float32))


def test_a_worse_run_is_worse_and_a_copy_is_not(good: pd.DataFrame) -> None:
    found = paired_differences({"a": good, "worse": noisy(good, 0.4), "copy": good}, resamples=200)
    rows = {row["name"]: row for row in found["metrics"]}
    assert found["students"] == 60
    assert found["steps"] == int(good.scored.sum())
    scored = good[good.scored]
    assert rows["encoder2_auc"]["values"][0]["value"] == pytest.approx(roc_auc_score(scored.response, scored.p2))
    loss = log_loss(scored.response, scored.p2.astype(float))
    assert rows["encoder2_log_loss"]["values"][0]["value"] == pytest.approx(loss, abs=1e-6)
    _, worse, copy = rows["encoder2_auc"]["differences"]
    assert worse["interval"][1] < 0
    assert worse["p"] < worse["holm"] < 0.001
    assert copy["value"] == 0
    assert copy["p"] == copy["holm"] == 1
    _, students, alike = rows["encoder2_log_loss"]["students"]
    assert students["worse"] > students["better"]
    assert students["p"] < 0.001
    assert alike == {"better": 0, "worse": 0, "p": 1.0}
    assert rows["encoder1_auc"]["differences"][1]["value"] == 0, "p1 is the same"


def test_the_interval_holds_nothing_where_nothing_differs(good: pd.DataFrame) -> None:
    draw, within = np.random.default_rng(5), 0
    for _ in range(20):
        pair = [good.assign(p2=np.clip(good.p2 + draw.normal(0, 0.1, len(good)), 0.01, 0.99)) for _ in "ab"]
        found = paired_differences(dict(zip("ab", pair, strict=True)), resamples=100)
        low, high = found["metrics"][1]["differences"][1]["interval"]
        within += low <= 0 <= high
    assert within >= 16


def test_where_nothing_varies_there_is_no_p(good: pd.DataFrame) -> None:
    one = good[good.student == good.student.iloc[0]]
    found = paired_differences({"a": one, "b": one.assign(p2=1 - one.p2)}, resamples=50)["metrics"]
    loss = next(row for row in found if row["name"] == "encoder2_log_loss")["differences"][1]
    assert loss["value"] != 0
    assert loss["p"] is loss["holm"] is loss["interval"] is None
    assert next(row for row in found if row["name"] == "encoder1_log_loss")["differences"][1]["p"] == 1
    names = [f"s{n}" for n in range(3)]
    alike = pd.concat([one.assign(student=name) for name in names], ignore_index=True)
    found = paired_differences({"a": alike, "b": alike.assign(p2=alike.p2 * 0.9)}, resamples=50)["metrics"]
    assert all(row["differences"][1]["p"] is None for row in found if row["name"] == "encoder2_log_loss")
    assert paired.tested(Estimate(float("nan"), np.array([0.1, 0.2])))["p"] is None
    assert holm([0.04, None, 0.01]) == [0.04, None, 0.02]
    assert paired.tested(Estimate(0.1, np.array([np.nan])))["p"] is None


def test_the_order_of_rows_does_not_matter_but_the_rows_do(good: pd.DataFrame) -> None:
    shuffled = good.sample(frac=1, random_state=0)
    assert paired_differences({"a": good, "b": shuffled}, resamples=20)["metrics"][0]["differences"][1]["value"] == 0
    for other in (good.iloc[:-1], good.assign(response=1 - good.response)):
        with pytest.raises(DataError, match="b and a were not scored on the same steps"):
            paired_differences({"a": good, "b": other}, resamples=20)
