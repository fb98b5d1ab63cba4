"""Tables of any size: read in small blocks, through temporary files, they give the same log and the same errors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gainkt.data.log import InteractionLog
from gainkt.data.readers import frame, read_csv, spill, table, text
from gainkt.errors import DataError

CASES = Path(__file__).parent / "cases"
Read = Callable[..., InteractionLog | str]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make blocks, parts and memory small."""

    def shrink(rows: int) -> None:
        monkeypatch.setattr(text, "_BLOCK_BYTES", 40 * rows)
        monkeypatch.setattr(table, "_ROWS", rows)
        monkeypatch.setattr(frame, "PART_ROWS", 3 * rows)
        monkeypatch.setattr(spill, "MEMORY", 100 * rows)

    return shrink


def outcome(path: Path, settings: dict[str, object]) -> tuple[object, ...]:
    try:
        log = read_csv(path, **settings)
    except DataError as error:
        return (str(error),)
    return log.digest, log.account


def tables() -> dict[str, tuple[pd.DataFrame, dict[str, object]]]:
    """Frames and settings, some of which are refused at their default."""
    plain = pd.read_csv(CASES / "plain.csv", dtype=str)
    raw = pd.read_csv(CASES / "a09_filled.csv", dtype=str)
    draw = np.random.default_rng(0)
    mixed = plain.sample(frac=1, random_state=0).reset_index(drop=True)
    gaps = mixed.copy()
    gaps.loc[draw.choice(len(gaps), 60, replace=False), "skill"] = ""
    gaps.loc[draw.choice(len(gaps), 40, replace=False), "order_id"] = ""
    gaps.loc[draw.choice(len(gaps), 9, replace=False), "student"] = ""
    words = mixed.assign(correct=mixed.correct.map({"1": "Correct", "0": "hint"}))
    words.loc[draw.choice(len(words), 30), "correct"] = "skipped"
    credit = mixed.copy()
    credit.loc[draw.choice(len(credit), 30), "correct"] = "0.5"
    spelled = mixed.copy()
    spelled.loc[::3, "student"] += ".0"
    times = mixed.assign(order_id=pd.to_datetime(pd.to_numeric(mixed.order_id), unit="s").astype(str))
    american = mixed.assign(
        order_id=pd.to_datetime(pd.to_numeric(mixed.order_id), unit="s").dt.strftime("%m/%d/%Y %H:%M")
    )
    joined = mixed.assign(skill=np.where(np.arange(len(mixed)) % 50 == 7, "Mean~~Mode", mixed.skill))
    number = mixed.student.astype(int) // 7 % 5
    a09 = {"student": "user_id", "skill": "skill_id"}
    place = {"order": "order_id"}
    twice = pd.concat([mixed, mixed.iloc[::40]])
    return {
        "plain": (plain, place),
        "mixed": (mixed, place),
        "in order": (plain, {"order": False}),
        "not in order": (mixed, {}),
        "gaps": (gaps, place),
        "gaps dropped": (gaps, place | {"missing": "drop"}),
        "words": (words, place),
        "words read": (words, place | {"responses": {"correct": 1, "hint": 0, "skipped": None}}),
        "credit": (credit, place),
        "credit dropped": (credit, place | {"partial": "drop"}),
        "spellings": (spelled, place),
        "times": (times, place),
        "american": (american, place),
        "joined": (joined, place),
        "joined split": (joined, place | {"separator": "~~"}),
        "folds": (mixed.assign(fold=number - 1), place | {"fold": "fold"}),
        "two folds": (mixed.assign(fold=np.arange(len(mixed)) % 2), place | {"fold": "fold"}),
        "twice": (twice, place),
        "twice dropped": (twice, place | {"duplicates": "drop"}),
        "expanded": (raw, a09 | place),
        "expanded, by item": (raw, a09 | place | {"item": "problem_id"}),
        "expanded, by place": (raw.sample(frac=1, random_state=0), a09 | place | {"row_expansion": "fold"}),
        "expanded, clock": (
            raw.drop(columns="problem_id").sort_values("order_id", key=lambda s: s.astype(int), kind="stable"),
            a09,
        ),
        "only": (mixed.assign(n=np.arange(len(mixed)) % 3), place | {"only": {"n": 1}, "item": ["skill_", "n"]}),
        "two columns": (
            mixed.assign(skill_=mixed.skill, n=np.arange(len(mixed)) % 3),
            place | {"only": {"n": [0, 1]}, "item": ["skill_", "n"]},
        ),
    }


@pytest.mark.parametrize("name", sorted(tables()))
def test_blocks_change_nothing(tmp_path: Path, small: Callable[[int], None], name: str) -> None:
    content, settings = tables()[name]
    path = tmp_path / "x.csv"
    content.to_csv(path, index=False)
    content.to_parquet(tmp_path / "x.parquet")
    whole = outcome(path, settings), outcome(tmp_path / "x.parquet", settings)
    small(20)
    assert outcome(path, settings) == whole[0]
    assert outcome(tmp_path / "x.parquet", settings) == whole[1]
    if len(whole[0]) == 2 and len(whole[1]) == 2:
        assert whole[0][0] == whole[1][0]


def test_expansion_is_seen_over_all_parts(tmp_path: Path, small: Callable[[int], None]) -> None:
    draw = np.random.default_rng(0)
    answers = [(f"s{n // 10}", a, b, int(draw.random() < 0.6)) for n in range(300) for a, b in (("k", "l"), ("m", "n"))]
    rows = [(student, skill, right) for student, *skills, right in answers for skill in skills]
    path = tmp_path / "x.csv"
    pd.DataFrame(rows, columns=["student", "skill", "correct"]).to_csv(path, index=False)
    whole = outcome(path, {})
    assert "so do 600 of 1200 rows" in str(whole[0])
    small(20)
    assert outcome(path, {}) == whole


def test_temporary_files_go(tmp_path: Path, small: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    folder = spill.tempfile.TemporaryDirectory

    def watched(**settings: str) -> object:
        made.append(folder(dir=tmp_path, **settings))
        return made[-1]

    monkeypatch.setattr(spill.tempfile, "TemporaryDirectory", watched)
    small(50)
    read_csv(CASES / "plain.csv", order="order_id")
    assert made
    made.clear()
    assert not list(tmp_path.iterdir())


def test_a_column_of_two_kinds_of_names(small: Callable[[int], None]) -> None:
    """Blocks of a table in memory need not have the same dictionaries."""
    parts = [pa.array(["a", "b"]).dictionary_encode(), pa.array(["b", None, "c"]).dictionary_encode()]
    content = pa.table(
        {
            "student": pa.chunked_array(parts),
            "skill": ["x"] * 5,
            "correct": [1, 0, 1, 1, 0],
        }
    )
    with pytest.raises(DataError, match="row 4: student"):
        table.TableReader()(content)
    assert table.TableReader(missing="drop")(content).students.tolist() == ["a", "b", "c"]
