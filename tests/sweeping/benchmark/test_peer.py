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
    with pytest.raises(ConfigError, match="has 3 rows, with a probability for 2 of the 3 steps"):
        read(tmp_path, [None, 0.5, 0.5])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "0,1,.5\n0,1,.5\n0,2,.5\n",
            "3 rows, with a probability for 2 of the 3 steps asked for, 1 of them a second time",
        ),
        ("0,1,.5\n0,2,abc\n1,1,33%\n", r"predictions.csv: p is 'abc', no number \(2 rows\)"),
        ("a,1,.5\n0,2,.5\n1,1,.5\n", "predictions.csv: student is 'a', no number"),
        ("0,1,.5\n0,2,.5\n1,1,.5\n1,2,.5\n", "has 4 rows, with a probability for 3 of the 3"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    (path := tmp_path / "predictions.csv").write_text(f"student,step,p\n{text}")
    with pytest.raises(ConfigError, match=said):
        _read(path, WANTED)


def test_numbers_may_be_written_as_floats(tmp_path: Path) -> None:
    (path := tmp_path / "predictions.csv").write_text("step,p,more,student\n1.0,.3,x,1.0\n1,.1,y,0\n2,.2,z,0\n")
    assert _read(path, WANTED).tolist() == [0.1, 0.2, 0.3]
