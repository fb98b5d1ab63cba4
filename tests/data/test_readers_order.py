"""Places in the order are compared as the numbers and times that they are, however large, or refused."""

import contextlib
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import gainkt
from gainkt.data.log import InteractionLog
from gainkt.data.readers import read_csv
from gainkt.data.readers.order import Order
from gainkt.errors import DataError
from gainkt.inspect import inspect

BIG = 10**18
SMALL_BLOCKS: list[list[list[str]]] = [
    [[str(10**19 + k) for k in (3, 1, 2)]],
    [[str(BIG + k) for k in (3, 1, 2)], ["5.5", str(BIG + 2), "-7"]],
    [["5.5", "-2.25"], ["20240103101500123457", "20240103101500123456", "3"]],
    [["18446744073709551615", "18446744073709551614"], ["-18446744073709551615", "0"]],
    [["0.1000000000000000055", "0.1", "0.10000000000000000", "-0.0", "0"]],
    [["1e19", "10000000000000000000", "10000000000000000001", "1e-3"]],
    [["9223372036854775807", "9223372036854775808", "9223372036854775806"]],
]


def sorted_skills(log: InteractionLog) -> list[str]:
    return log.skill_names[log.skills].tolist()


def table(cells: Sequence[object], kind: pa.DataType | None = None) -> pa.Table:
    """Rows of one student; each skill is the row's rank among the cells, which are sorted as Python does."""
    ranks = {cell: f"k{rank}" for rank, cell in enumerate(sorted(c for c in cells if c is not None))}
    return pa.table(
        {
            "student": ["a"] * len(cells),
            "skill": [ranks.get(cell, "nothing") for cell in cells],
            "correct": [n % 2 for n in range(len(cells))],
            "when": pa.array(cells, kind),
        }
    )


def as_csv(rows: pa.Table, path: Path, when: Sequence[object] | None = None) -> Path:
    cells = [*map(str, rows["when"].to_pylist())] if when is None else when
    columns = zip(
        rows["student"].to_pylist(), rows["skill"].to_pylist(), rows["correct"].to_pylist(), cells, strict=True
    )
    path.write_text("student,skill,correct,when\n" + "".join(",".join(map(str, row)) + "\n" for row in columns))
    return path


def places(blocks: Sequence[Sequence[str]]) -> list[float]:
    """The places of all cells, read block by block."""
    order = Order(None, None)
    read = [order.add(pa.array(block, pa.large_string()), np.arange(len(block)))[0] for block in blocks]
    order.refuse(lambda row, role: f"row {row}")
    return [place for n, numbers in enumerate(read) for place in order.settle(numbers.view(np.int64), n).tolist()]


@pytest.mark.parametrize("date_format", [None, "%Y-%m-%d"])
@pytest.mark.parametrize("times", [("2012-01-01", "9999-12-31", "0001-01-01", "2012-01-02", "1677-01-01")])
def test_years_beyond_nanoseconds_stand_where_they_belong(tmp_path, times, date_format):
    path = as_csv(table(times), tmp_path / "x.csv")
    assert sorted_skills(read_csv(path, order="when", date_format=date_format)) == [f"k{n}" for n in range(5)]


def test_years_beyond_nanoseconds_beside_nanoseconds(tmp_path):
    times = ("9999-12-31T23:00", "2012-01-01T10:00:00.123456789", "2012-01-01T10:00:00.123456788", "0001-01-01T00:00")
    path = as_csv(table(times), tmp_path / "x.csv")
    assert sorted_skills(read_csv(path, order="when")) == [f"k{n}" for n in range(4)]


@pytest.mark.parametrize("kind", ["timestamp[s]", "timestamp[ms]", "timestamp[us]", "date32[day]", "date64[ms]"])
def test_typed_times_of_any_year(tmp_path, kind):
    days = np.array(["2012-01-01", "9999-12-31", "0001-01-01", "2012-01-02"], dtype="datetime64[D]").tolist()
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(table(days).set_column(3, "when", pa.array(days).cast(kind)), path)
    assert sorted_skills(read_csv(path, order="when")) == ["k0", "k1", "k2", "k3"]
    assert inspect(path).path == path


@pytest.mark.parametrize(
    "cells", [[10**19 + k for k in (5, 3, 4)], [BIG + k for k in (5, 3, 4)], [10**25 + 1, 10**25, 5]]
)
def test_whole_numbers_keep_all_their_digits(tmp_path, cells):
    path = as_csv(table([*map(Decimal, cells)]), tmp_path / "x.csv")
    assert sorted_skills(read_csv(path, order="when")) == ["k0", "k1", "k2"]


def test_typed_whole_numbers_beside_an_empty_cell(tmp_path):
    path = tmp_path / "x.parquet"
    pa.parquet.write_table(table([BIG + 3, None, BIG + 1, BIG + 2]), path)
    with pytest.raises(DataError, match=r"row 2: .*missing=drop"):
        read_csv(path, order="when")
    log = read_csv(path, order="when", missing="drop")
    assert sorted_skills(log) == ["k0", "k1", "k2"]
    assert log.account["left_out"] == {"no order": 1}


@pytest.mark.parametrize("empty", [[], [None]])
@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        (pa.uint64(), [2**63 + 5, 2**63 + 3, 7]),
        (pa.decimal128(38, 6), [Decimal(f"{BIG}.00000{k}") for k in (5, 3, 4)]),
        (pa.dictionary(pa.int32(), pa.int64()), [BIG + k for k in (5, 3, 4)]),
    ],
    ids=["uint64", "decimal128", "dictionary"],
)
def test_typed_numbers_keep_all_their_digits(kind, cells, empty):
    log = gainkt.read(table([*cells, *empty], kind), order="when", missing="drop")
    assert sorted_skills(log) == ["k0", "k1", "k2"]


def test_one_decimal_costs_whole_numbers_no_digit(tmp_path):
    cells = [str(BIG + 3), str(BIG + 1), "5.5", str(BIG + 2)]
    path = as_csv(table(list(map(Decimal, cells))), tmp_path / "x.csv", cells)
    assert sorted_skills(read_csv(path, order="when")) == ["k0", "k1", "k2", "k3"]


@pytest.mark.parametrize("blocks", SMALL_BLOCKS)
def test_places_sort_as_exact_numbers_do(blocks):
    numbers, found = [Decimal(cell) for block in blocks for cell in block], places(blocks)
    for one, place in zip(numbers, found, strict=True):
        for other, second in zip(numbers, found, strict=True):
            assert ((one > other), (one < other)) == ((place > second), (place < second)), (one, other)


def test_places_of_random_blocks_sort_as_exact_numbers_do():
    draw = random.Random(0)
    near = [0, 2**53, BIG, 2**63, 10**19, 10**20, -(2**62), -(10**19)]
    read = 0
    for _ in range(300):
        blocks = [
            [
                draw.choice([str(draw.choice(near) + draw.randint(-3, 3)), f"{draw.randint(-9, 9) / 4}", "1e20"])
                for _ in range(draw.randint(1, 5))
            ]
            for _ in range(draw.randint(1, 3))
        ]
        with contextlib.suppress(DataError):  # of what no type holds together
            test_places_sort_as_exact_numbers_do(blocks)
            read += 1
    assert read > 150


def test_numbers_that_no_type_holds_together_are_refused():
    with pytest.raises(DataError, match=r"row 1: order is '1000000000000000001': 1 whole numbers above 2\^53"):
        places([["3", str(BIG + 1)], ["0.5", "2"]])
    with pytest.raises(DataError, match="cannot be ordered exactly"):
        places([[str(-(2**63)), str(2**63 - 1)], [str(2**64)]])


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (("2024-01-03T10:00:00+02", "2024-01-03T11:00:00"), "line 3: .* 1 times name a time zone and 1 do not"),
        (("2024-01-03 10:00-0530", "2024-01-03"), "line 3: .* 1 times name a time zone and 1 do not"),
        (("2024-01-03T10:00:00+02", "2024-01-03T07:00:00Z"), None),
        (("2024-01-03T10+02", "2024-01-03T07:00+00:00"), None),
        (("2024-01-04", "2024-01-03T07:00"), None),
    ],
)
def test_a_zone_of_hours_only_is_a_zone(tmp_path, times, expected):
    path = tmp_path / "x.csv"
    path.write_text("student,skill,correct,when\n" + "".join(f"a,{n},1,{time}\n" for n, time in enumerate(times)))
    if expected:
        with pytest.raises(DataError, match=expected):
            read_csv(path, order="when")
    else:
        assert sorted_skills(read_csv(path, order="when")) == ["1", "0"]
