"""Digests of a watched folder: what was changed is noticed, what was interrupted is whole, what is damaged says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from gainkt.digests import DIGESTS, exists, held_to, opened, read_json, read_table, watch
from gainkt.errors import ConfigError
from gainkt.files import write_json, write_whole

WAY = "make it again"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    watch(tmp_path)
    write_json(tmp_path / "a.json", {"x": 1})
    write_json(tmp_path / "in" / "deep" / "b.json", {"x": 2})
    return tmp_path


def test_what_was_written_is_read(folder: Path) -> None:
    assert read_json(folder / "a.json", WAY, {"x": int}) == {"x": 1}
    assert set(json.loads((folder / DIGESTS).read_text())) == {"a.json", "in/deep/b.json"}
    write_json(folder / "a.json", {"x": 3})
    assert read_json(folder / "a.json", WAY, {"x": int}) == {"x": 3}
    (folder / "other.json").write_text("{}")
    assert read_json(folder / "other.json", WAY, {}) == {}, "what no digest is noted for is held to its form alone"
    watch(folder)
    assert read_json(folder / "a.json", WAY, {"x": int}) == {"x": 3}, "watched already"


@pytest.mark.parametrize("name", ["a.json", "in/deep/b.json"])
def test_what_was_changed_is_noticed(name: str, folder: Path) -> None:
    path = folder / name
    path.write_text(path.read_text().replace('"x": ', '"x":  '))
    with pytest.raises(ConfigError, match=rf"{path}: was changed since it was written .*{WAY}.*take its line out of"):
        read_json(path, WAY, {"x": int})
    path.unlink()
    with pytest.raises(ConfigError, match=f"is missing; {WAY}"):
        exists(path, WAY)
    noted = json.loads((folder / DIGESTS).read_text())
    (folder / DIGESTS).write_text(json.dumps({key: x for key, x in noted.items() if key != name}))
    assert not exists(path, WAY)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_beside_the_renaming_the_file_is_whole(moment: str, folder: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; import gainkt.digests as d; from gainkt.files import write_json\n"
        "kill = lambda *_: os.kill(os.getpid(), 9)\n"
        "if sys.argv[2] == 'before': Path.replace, replace = (\n"
        "    lambda a, b: kill() if Path(b).name == 'a.json' else replace(a, b)), Path.replace\n"
        "else: d._write = lambda f, c, w=d._write, **k: w(f, c, **k) if len(c['a.json']) > 1 else kill()\n"
        "write_json(Path(sys.argv[1]) / 'a.json', {'x': 5})"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder), moment]).returncode == -9
    assert len(json.loads((folder / DIGESTS).read_text())["a.json"]) == 2
    assert read_json(folder / "a.json", WAY, {"x": int}) == {"x": 1 if moment == "before" else 5}
    write_json(folder / "a.json", {"x": 6})
    assert len(json.loads((folder / DIGESTS).read_text())["a.json"]) == 1


def test_a_file_that_is_replaced_meanwhile_is_read_whole(folder: Path) -> None:
    with opened(folder / "a.json", WAY) as file:
        write_json(folder / "a.json", {"x": 9})
        assert json.loads(file.read()) == {"x": 1}


@pytest.mark.parametrize("text", ["", "[]", '{"a.json": 7}', "{", '{"a.json": [7]}'])
def test_damaged_digests_end_in_one_line(text: str, folder: Path) -> None:
    (folder / DIGESTS).write_text(text)
    with pytest.raises(ConfigError, match=rf"{DIGESTS}: is damaged; put it back"):
        read_json(folder / "a.json", WAY, {})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "JSONDecodeError"),
        (b"\xff\x00", "UnicodeDecodeError"),
        (b"[1]", "holds a list"),
        (b"{}", "x is missing"),
        (b'{"x": "1"}', "x is a str"),
        (b'{"x": true}', "x is a bool"),
        (b"[" * 100_000, "RecursionError|JSONDecodeError"),
    ],
)
def test_json_that_is_damaged(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"a\.json: is damaged \(.*({expected}).*\); {WAY}$"):
        read_json(tmp_path / "a.json", WAY, {"x": int})


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_tables_that_are_damaged(name: str, tmp_path: Path) -> None:
    path, table = tmp_path / name, pd.DataFrame({"x": [1, 2], "y": ["a", "b"]})

    def write(table: pd.DataFrame) -> None:
        write_whole(path, lambda b: table.to_csv(b, index=False) if name == "a.csv" else table.to_parquet(b))

    write(table)
    pd.testing.assert_frame_equal(read_table(path, WAY, ["x", "y"]), table)
    with pytest.raises(ConfigError, match=rf"is damaged \(.*z.*{WAY}"):
        read_table(path, WAY, ["x", "z"])
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2] if name != "a.csv" else b'x,y\n1,"a', b"\x00\x01" * 50):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=f"is damaged .*{WAY}"):
            read_table(path, WAY, ["x", "y"])
    write(table.iloc[:0])
    with pytest.raises(ConfigError, match="it has no rows"):
        read_table(path, WAY)


def test_errors_of_use_name_the_file() -> None:
    with pytest.raises(ConfigError, match=rf"^b: is damaged \(KeyError: 'x'\); {WAY}$"), held_to(Path("b"), WAY):
        {}["x"]
    with pytest.raises(ConfigError, match=r"^mine$"), held_to(Path("b"), WAY):
        raise ConfigError("mine")


def test_digests_cost_little(tmp_path: Path) -> None:
    watch(tmp_path)
    left = tmp_path / f".{DIGESTS}.{os.uname().nodename}-999999999"
    left.touch()
    write_json(tmp_path / "a.json", {})
    assert sorted(p.name for p in tmp_path.iterdir() if p != left) == ["a.json", DIGESTS]
