"""Text as it is packed, encoded, separated and quoted: read as it is, or refused in one line."""

import logging
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import composed
from gainkt.config import build
from gainkt.data.datamodule import told
from gainkt.data.log import InteractionLog
from gainkt.data.readers import read_csv
from gainkt.errors import ConfigError, DataError

ROWS = "student,skill,correct\na,x,1\nb,y,0\n"
TABS = "student\tskill\tcorrect\n"


@pytest.fixture
def put(tmp_path):
    def write(content: str | bytes, name: str = "x.csv") -> Path:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


def refused(path: Path, expected: str, error: type[Exception] = DataError, **settings: object) -> None:
    with pytest.raises(error, match=expected) as caught:
        read_csv(path, **settings)
    assert "\n" not in str(caught.value)


# Encodings

NAMED = {
    "assist2009": "order_id,user_id,problem_id,correct,skill_id\n9,7,51,1,Caf\xe9\n8,7,50,0,x\n",
    "assist2012": "problem_id,user_id,start_time,correct,skill_id\n51,7,2012-09-28 15:11:37.0,1,Caf\xe9\n",
    "assist2017": "studentId,skill,problemId,startTime,correct\n8,Caf\xe9,7,1096470301,0\n",
}


def read(dataset: str, path: Path) -> InteractionLog:
    """Read as `dataset=<name> dataset.path=<path>` does."""
    return build(composed("train", f"dataset={dataset}").dataset.read)(path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("dataset", NAMED)
def test_bytes_of_named_data_sets_decide(put, dataset, encoding, caplog):
    with caplog.at_level(logging.INFO):
        log = read(dataset, put(NAMED[dataset].encode(encoding)))
    assert "Caf\xe9" in log.skill_names
    assert ("read as latin-1: it is no utf-8" in caplog.text) == (encoding == "latin-1")
    assert log.account.get("encoding", "utf-8") == encoding.removesuffix("-sig")
    assert ("text read as latin-1" in told(log.account)) == (encoding == "latin-1")


def test_a_byte_far_from_the_head_decides_too(put):
    rows = "".join(f"{n},7,{n},{n % 2},k{n % 5}\n" for n in range(9000)) + "9001,7,9001,1,Caf\xe9\n"
    text = "order_id,user_id,problem_id,correct,skill_id\n" + rows
    for encoding in ("latin-1", "utf-8"):
        assert "Caf\xe9" in read("assist2009", put(text.encode(encoding))).skill_names


def test_the_mark_of_a_file_counts_more_than_the_setting(put, caplog):
    path = put(ROWS.replace("x", "é").encode("utf-8-sig"))
    assert read_csv(path, encoding="latin-1").skill_names.tolist() == ["y", "é"]
    assert "read as utf-8-sig, as its first bytes say, not as latin-1" in caplog.text
    caplog.clear()
    assert read_csv(path, encoding="utf-8").skill_names.tolist() == ["y", "é"]
    assert not caplog.text
    assert read_csv(put(ROWS.replace("x", "é").encode()), encoding="latin-1").skill_names.tolist() == ["y", "Ã©"]


def test_utf_32_with_a_mark_is_read_and_without_one_refused(put):
    assert read_csv(put(ROWS.encode("utf-32"))).num_steps == 2
    refused(put(ROWS.encode("utf-32-le")), "zero bytes, as UTF-16 and UTF-32 do")
    assert read_csv(put(ROWS.encode("utf-32-le")), encoding="utf-32-le").num_steps == 2


@pytest.mark.parametrize("encoding", ["rot13", "hex", "zip", "no such", "undefined", "a\0b"])
def test_what_is_no_encoding_of_text_is_refused(put, encoding):
    refused(put(ROWS), f"^dataset.read.encoding={encoding}: no such encoding of text", ConfigError, encoding=encoding)
    refused(put(ROWS), "no such encoding", ConfigError, encoding=f"utf-8 or {encoding}")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_utf_8_is_not_read_as_another_unicode(put, encoding):
    refused(
        put(ROWS),
        rf"x\.csv: (dataset.read.encoding={encoding}: the file is not|line 1, .*) {encoding} .*",
        encoding=encoding,
    )


@pytest.mark.parametrize("delimiter", ["§", "", ";;", '"', "\n", "\0"])
def test_what_is_no_delimiter_is_refused(put, delimiter):
    if delimiter:
        refused(put(ROWS), r"^dataset.read.delimiter=.*one character of ASCII", ConfigError, delimiter=delimiter)
    assert read_csv(put(ROWS.replace(",", ";")), delimiter=";").num_steps == 2


# Quotes of tab-separated files


@pytest.mark.parametrize("far", [0, 20_000])
@pytest.mark.parametrize("skill", ['Say "hi"', "a\tb", 'one\n"two"', '"', "over\ntwo"])
def test_cells_that_pandas_quotes_are_those_of_comma_separated_files(tmp_path, skill, far):
    frame = pd.DataFrame({"student": "a", "skill": [*["plain"] * far, skill, "x"], "correct": 1})
    frame["correct"] = np.arange(len(frame)) % 2
    names = []
    for name, sep in (("x.csv", ","), ("x.tsv", "\t")):
        frame.to_csv(tmp_path / name, sep=sep, index=False)
        names.append(read_csv(tmp_path / name).skill_names.tolist())
    assert names[0] == names[1]
    assert skill in names[0]


@pytest.mark.parametrize(
    "cells",
    [
        ['3(x+2) = "15"'],
        ['"15" is it', "x"],
        ['"open', "x", 'closed"'],
        ['"whole"', 'a "stray" one'],
        ['"whole"', '"open'],
        ['"no "doubled" ones"'],
        ['x = "'],
    ],
)
def test_quotes_that_quote_nothing_stay(put, cells):
    path = put(TABS + "".join(f"a\t{cell}\t{n % 2}\n" for n, cell in enumerate(cells)), "x.txt")
    assert sorted(read_csv(path, separator=None).skill_names) == sorted(cells)


# Packed files


def zipped(tmp_path: Path) -> tuple[Path, bytearray]:
    rows = "".join(f"s{n % 7},k{n * n % 31},{n % 2}\n" for n in range(50_000))
    with zipfile.ZipFile(tmp_path / "x.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.csv", "student,skill,correct\n" + rows)
    return tmp_path / "x.csv.zip", bytearray((tmp_path / "x.csv.zip").read_bytes())


@pytest.mark.parametrize(
    ("local", "value", "expected"),
    [
        (6, 1, "is locked by a password; unpack it"),
        (8, 9, "is packed in a way that Python does not read .*, as Windows packs large files; unpack it"),
    ],
)
def test_archives_that_python_does_not_read(tmp_path, local, value, expected):
    path, data = zipped(tmp_path)
    data[local] = data[data.index(b"PK\x01\x02") + local + 2] = value
    path.write_bytes(data)
    refused(path, rf"x\.csv\.zip: {expected}")


@pytest.mark.parametrize("share", [0.001, 0.5, 0.9])
@pytest.mark.parametrize("where", ["damaged", "cut"])
def test_damaged_archives(tmp_path, share, where):
    path, data = zipped(tmp_path)
    start, end = 40, data.index(b"PK\x01\x02")
    at = start + int(share * (end - start))
    data[at : at + 40] = b"\xff" * 40
    path.write_bytes(data if where == "damaged" else data[:at])
    refused(path, r"x\.csv\.zip: cannot be unpacked \(.+\); download or pack it again")


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.bz2", "x.csv.zst"])
def test_what_is_not_packed_as_its_name_says(put, name):
    refused(put(ROWS, name), r"cannot be unpacked \(.+\); download or pack it again")


# Cells over several lines


@pytest.mark.parametrize(
    "skill", ["Add, sub,\nmul", "Add, sub\nmul, div", "a,b,c\nd", "a,\n\n", "a\nb,c,d\ne", "one\ntwo", ",,\n"]
)
def test_quoted_cells_over_several_lines_are_read(tmp_path, skill):
    frame = pd.DataFrame({"student": ["a", "a"], "skill": [skill, "x"], "correct": [0, 1]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert skill.strip() in read_csv(tmp_path / "x.csv", separator=None).skill_names


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize(("first", "last"), [(2, 3), (2, 6), (1, 9)])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_open_quotes_are_refused_in_any_column(put, column, first, last, end):
    lines = [["student", "skill", "correct"], *[[f"s{n % 3}", f"k{n % 4}", str(n % 2)] for n in range(12)]]
    lines[first][column] = '"' + lines[first][column]
    lines[last][column] += '"'
    path = put(end.join(map(",".join, lines)) + end)
    refused(path, f"line {first + 1}: .* goes over {last - first + 1} lines .*a quote is not closed")
