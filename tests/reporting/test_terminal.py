"""What is printed: numbers, verdicts and tables, readable without colour."""

import io

import pytest
from rich.console import Console

from gainkt.evaluation.check import FAIL, NOT_MEASURABLE, OUT_OF_REACH, PASS
from gainkt.reporting.terminal import VERDICTS, interval, number, right, share, signed, spaced, table, verdict


def printed(what: object) -> list[str]:
    console = Console(record=True, width=60, file=io.StringIO())
    console.print(what)
    return [line.rstrip() for line in console.export_text().splitlines()]


@pytest.mark.parametrize(
    ("value", "whole", "expected"),
    [
        (None, False, "-"),
        (float("nan"), True, "-"),
        (True, False, "yes"),
        (False, True, "no"),
        (0.12345, False, "0.123"),
        (-0.0001, False, "0.000"),
        (2.0, False, "2.000"),
        (2.0, True, "2"),
        (2.5, True, "2.500"),
    ],
)
def test_numbers(value: float | bool | None, whole: bool, expected: str) -> None:
    assert number(value, whole=whole) == expected


def test_differences_shares_and_intervals() -> None:
    assert [signed(x) for x in (0.01, -0.01, -0.0001, None)] == ["+0.010", "-0.010", "+0.000", "-"]
    assert [share(x) for x in (0.125, None)] == ["12%", "-"]
    assert [interval(x) for x in ((0.5, 1.0), None)] == ["[0.500, 1]", ""]


def test_every_verdict_has_a_word_of_its_own() -> None:
    words = [verdict(name).plain for name in (PASS, FAIL, OUT_OF_REACH, NOT_MEASURABLE)]
    assert words == ["pass", "FAIL", "out of reach", "not measurable"]
    assert all(verdict(name).plain for name in VERDICTS)


def test_a_table_has_sections() -> None:
    lines = printed(table("Title", ["name", right("value")], [["a", "1"], None, ["long name", "20"]], "said"))
    assert lines[0] == "Title"
    rules = [i for i, line in enumerate(lines) if set(line.strip()) == {"─"}]
    rows = [next(i for i, line in enumerate(lines) if text in line) for text in (" a ", "long name")]
    assert [sum(rows[0] < rule < rows[1] for rule in rules), len(rules)] == [1, 4]
    assert lines[rows[0]].endswith("1")
    assert lines[-1] == "said"


def test_what_is_left_out_takes_no_line() -> None:
    assert printed(spaced("one", None, "two")) == ["one", "", "two"]
