"""Columns of a page: small, exact to three decimals, and inert in HTML."""

import base64
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gainkt.reporting.page import pack
from gainkt.reporting.page.pack import MISSING, codes, packed, script_json, starts, thousandths
from test_names import HOSTILE


def unpacked(content: dict) -> dict[str, np.ndarray]:
    raw, at, made = gzip.decompress(base64.b64decode(content["bytes"])), 0, {}
    for name, kind, length in content["columns"]:
        made[name] = np.frombuffer(raw, f"<{kind}", length, at)
        assert at % made[name].itemsize == 0, "a typed array may begin here"
        at += made[name].nbytes
    return made


def test_columns_come_back() -> None:
    columns = {
        "a": np.arange(300),
        "b": np.array([1, 0, 1]),
        "c": thousandths([0.12345, np.nan, -1.5, 100.0]),
        "d": np.array([70000]),
        "e": np.array([], dtype=int),
    }
    content = packed(columns)
    made = unpacked(content)
    assert {name: column.dtype.str for name, column in made.items()} == {
        **{"a": "<u2", "b": "|u1", "c": "<i2", "d": "<u4", "e": "|u1"}
    }
    for name, column in columns.items():
        np.testing.assert_array_equal(made[name], column)
    assert made["c"].tolist() == [123, MISSING, -1500, 32767]
    assert packed(columns) == content, "the same to the byte"


def test_codes_and_starts() -> None:
    code, names = codes(pd.Series(["b", None, "a", "b"]))
    assert code.tolist() == [1, 0, 2, 1]
    assert names == ["", "b", "a"]
    assert starts(np.array([0, 0, 2]), 3).tolist() == [0, 2, 2, 3]


@pytest.mark.parametrize("name", [*HOSTILE, "</script><script>alert(1)</script>", "<!--", "\u2028", "\ud800"])
def test_json_holds_any_name_and_no_markup(name: str) -> None:
    text = script_json({"name": name, "x": np.float32(np.nan)})
    assert json.loads(text) == {"name": name, "x": None}
    assert not set("<>&\u2028") & set(text)


def test_the_pages_own_script_stays_small() -> None:
    lines = (Path(pack.__file__).parent / "templates" / "page.js").read_text().splitlines()
    assert sum(bool(line.strip()) and not line.strip().startswith("//") for line in lines) < 300
    assert max(map(len, lines)) <= 120
