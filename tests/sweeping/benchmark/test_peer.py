"""What a driver leaves is read as it is, but for the rounding of its sums."""

from pathlib import Path

import pandas as pd
import pytest

from gainkt.errors import ConfigError
from gainkt.sweeping.benchmark.peer import _read

WANTED = pd.DataFrame({"student": [0, 0, 1], "step": [1, 2, 1]})


def read(folder: Path, p: list[float | None]) -> list[float]:
    path = folder / "predictions.csv"
    WANTED.assign(p=p).to_csv(path, index=False)
    return _read(path, WANTED).tolist()


def test_a_sum_that_is_rounded_past_one_is_one(tmp_path: Path) -> None:
    assert read(tmp_path, [1 + 2.3e-16, -1e-17, 0.25]) == [1.0, 0.0, 0.25]


def test_what_is_further_out_stays_to_be_refused(tmp_path: Path) -> None:
    assert read(tmp_path, [1.001, -0.5, 0.25]) == [1.001, -0.5, 0.25]
    with pytest.raises(ConfigError, match="with 2 of the 3 asked for"):
        read(tmp_path, [None, 0.5, 0.5])
