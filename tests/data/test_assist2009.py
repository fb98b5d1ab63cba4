"""ASSISTments 2009 as a table of a row a skill: with items the histories of AKT's files, without them an error."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gainkt.data.log import InteractionLog
from gainkt.data.readers import read_akt, read_csv
from gainkt.errors import DataError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder() -> Path:
    found = Path(__file__).parents[3] / "shared" / "data" / "assist2009_akt"
    if not found.is_dir():
        pytest.skip(f"no real data at {found}")
    return found


@pytest.fixture(scope="module")
def table(folder: Path) -> pd.DataFrame:
    """The rows of AKT's files, each with the number of its answer, as a user has them who starts from the raw file."""
    parts = []
    for file in sorted(folder.glob("*.csv")):
        lines = [line.strip().rstrip(",") for line in file.read_text().splitlines() if line.strip()]
        for head, *rest in zip(*(lines[number::4] for number in range(4)), strict=True):
            cells = dict(zip(("item", "skill", "correct"), (line.split(",") for line in rest), strict=True))
            parts.append(pd.DataFrame(cells).assign(student=head.split(",")[-1]))
    return pd.concat(parts, ignore_index=True)


def same_histories(log: InteractionLog, other: InteractionLog) -> None:
    assert log.students.tolist() == other.students.tolist()
    for one in ("offsets", "responses", "skill_offsets", "skills"):
        np.testing.assert_array_equal(getattr(log, one), getattr(other, one))
    assert log.skill_names.tolist() == other.skill_names.tolist()


def test_with_and_without_items(folder: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    expected = read_akt(folder)
    path = tmp_path / "a09.csv"
    table.to_csv(path, index=False)
    log = read_csv(path, item="item")
    same_histories(log, expected)
    np.testing.assert_array_equal(log.items, expected.items)
    assert log.item_names.tolist() == expected.item_names.tolist()
    assert log.account["folded"] == expected.account["folded"] > 50_000

    with pytest.raises(DataError, match=r"repeats the answer before it for another skill, with the same item"):
        read_csv(path)
    table.drop(columns="item").to_csv(path, index=False)
    with pytest.raises(DataError, match=r"same response, always, for these pairs of skills"):
        read_csv(path)


def test_a_place_in_the_order_does_what_an_item_does(folder: Path, table: pd.DataFrame, tmp_path: Path) -> None:
    expected = read_akt(folder)
    owner = np.repeat(expected.students, expected.lengths)
    answer = np.repeat(np.arange(expected.num_steps), np.diff(expected.skill_offsets))
    rows = pd.DataFrame(
        {
            "student": owner[answer],
            "skill": expected.skill_names[expected.skills],
            "correct": expected.responses[answer],
            "order_id": answer,
        }
    )
    assert len(rows) == len(table)
    path = tmp_path / "a09.csv"
    rows.to_csv(path, index=False)
    for settings in ({}, {"order": "order_id"}):
        with pytest.raises(DataError, match="repeats the answer before it for another skill"):
            read_csv(path, **settings)
    same_histories(read_csv(path, order="order_id", row_expansion="fold"), expected)
