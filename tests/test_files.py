"""Files that appear whole or not at all, and folders that one process holds at a time."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from gainkt.errors import ConfigError
from gainkt.files import claimed, is_claimed, write_whole


def test_what_a_killed_process_left_is_removed_by_the_next_owner(tmp_path: Path) -> None:
    code = (
        "import os, sys; from gainkt.files import write_whole\n"
        "write_whole(sys.argv[1], lambda b: (b.write_text('half'), os.kill(os.getpid(), 9)))"
    )
    path = tmp_path / "[a].json"
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -9
    assert [p.read_text() for p in tmp_path.iterdir()] == ["half"]
    others = [tmp_path / f".[a].json.{name}" for name in ("elsewhere-999999", f"{platform.node()}-{os.getppid()}", "x")]
    for other in others:
        other.touch()
    write_whole(path, lambda building: building.write_text("whole"))
    assert path.read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == sorted([path, *others]), "another's that may still be written to is left alone"


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("before")

    def fail(building: Path) -> None:
        building.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_whole(path, fail)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


def test_a_folder_that_was_made_for_nothing_is_taken_back(tmp_path: Path) -> None:
    for name, kept in (("new", False), ("old", True), ("used", True)):
        if name == "old":
            (tmp_path / name).mkdir()
        with pytest.raises(OSError), claimed(tmp_path / name):  # noqa: PT012
            (tmp_path / name / ("train.log" if name == "used" else "no/train.log")).touch()
            raise OSError("log")
        assert (tmp_path / name).exists() == kept
    with claimed(tmp_path / "new"):
        pass
    assert (tmp_path / "new").exists()


def test_the_next_owner_removes_what_killed_processes_left(tmp_path: Path) -> None:
    dead, other = f"{platform.node()}-999999999", "elsewhere-999999999"
    (tmp_path / "checkpoints").mkdir()
    left = [tmp_path / f".results.json.{dead}", tmp_path / "checkpoints" / f".last.ckpt.{dead}"]
    mine = [tmp_path / f".a.{platform.node()}-{os.getpid()}", tmp_path / f".a.{other}", tmp_path / "notes.txt"]
    for path in (*left, *mine):
        path.touch()
    with claimed(tmp_path):
        assert not any(path.exists() for path in left)
        assert all(path.exists() for path in mine)


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    with claimed(tmp_path, ".mine"), claimed(tmp_path):
        assert is_claimed(tmp_path)
        with pytest.raises(ConfigError, match="another process is at work here"), claimed(tmp_path, ".mine"):
            pass
    assert not is_claimed(tmp_path)
    with claimed(tmp_path, ".mine"):
        pass
