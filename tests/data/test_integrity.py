"""A saved log that was changed is noticed; values that no log may hold are an error wherever the log comes from."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from conftest import random_log
from gainkt.data import integrity
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import _ARRAYS, InteractionLog
from gainkt.data.readers import read_log
from gainkt.data.splits import AllStudents
from gainkt.errors import DataError


def changed(log: InteractionLog, name: str, place: int, value: float, kind: object = None) -> InteractionLog:
    array = np.array(getattr(log, name), dtype=kind)
    array[place] = value
    return replace(log, **{name: array})


WRONG = [
    ("responses", 3, 2, None, "1 of .* responses are neither 0 nor 1, the first at step 3 \\(2\\)"),
    ("responses", 3, np.nan, np.float32, "responses are of type float32"),
    ("skills", 5, 7, None, r"skills are not in \[0, 7\), the first at slot 5 \(7\)"),
    ("skills", 5, -1, None, r"skills are not in \[0, 7\)"),
    ("items", 2, 11, None, r"items are not in \[0, 11\)"),
    ("offsets", 2, 10_000, None, "offsets decrease, the first at student 2"),
    ("offsets", 2, -4, None, "offsets decrease, the first at student 1"),
    ("skill_offsets", 2, 0, None, "skill_offsets give a step no skill"),
    ("folds", 2, np.inf, np.float64, "folds are of type float64"),
]


@pytest.mark.parametrize(("name", "place", "value", "kind", "expected"), WRONG)
def test_values_out_of_range_are_an_error(
    name: str, place: int, value: float, kind: object, expected: str, tmp_path: Path
) -> None:
    wrong = changed(random_log(), name, place, value, kind)
    with pytest.raises(DataError, match=f"random: .*{expected}.*prepare the log again") as caught:
        wrong.save(tmp_path / "log")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=expected):
        KTDataModule(read=lambda: wrong, split=AllStudents()).setup()


@pytest.mark.parametrize("place", [1, 2, 3, 4])
def test_steps_are_looked_at_across_pieces(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "_pieces", partial(integrity._pieces, size=2))
    log = random_log()
    wrong = changed(log, "skill_offsets", place, log.skill_offsets[place - 1])
    with pytest.raises(DataError, match=rf"1 of {log.num_steps} .*the first at step {place - 1};"):
        wrong.check()
    log.check()


def test_a_log_is_read_through_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = random_log()
    log.check()
    saved = read_log(log.save(tmp_path / "log"))
    monkeypatch.setattr("gainkt.data.log.check_ranges", lambda log: pytest.fail("checked again"))
    log.check()
    saved.check()


@pytest.mark.parametrize("sealed", [True, False])
def test_replaced_responses_are_noticed(sealed: bool, tmp_path: Path) -> None:
    log = random_log()
    folder = log.save(tmp_path / "log")
    other = replace(log, responses=1 - log.responses).save(tmp_path / "other")
    if not sealed:
        strip(folder)
        assert read_log(folder).digest == log.digest, "logs of earlier versions open as they did"
    shutil.copyfile(other / "responses.npy", folder / "responses.npy")
    with pytest.raises(DataError, match="is not what was saved there; put it back, or prepare the log again"):
        read_log(folder)


def strip(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    del meta["seal"]
    (folder / "meta.json").write_text(json.dumps(meta))


def test_a_log_of_an_earlier_version_is_checked(tmp_path: Path) -> None:
    folder = random_log().save(tmp_path / "log")
    wrong = changed(random_log(), "responses", 0, 7)
    np.save(folder / "responses.npy", wrong.responses)
    strip(folder)
    meta = json.loads((folder / "meta.json").read_text()) | {"digest": wrong.digest}
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(DataError, match="responses are neither 0 nor 1"):
        KTDataModule(read=read_log, path=str(folder), split=AllStudents()).setup()


def test_forty_flipped_bits_are_noticed_or_harmless(tmp_path: Path) -> None:
    log, draw = random_log(), np.random.default_rng(0)
    folder = log.save(tmp_path / "log")
    files = sorted(folder.iterdir())
    noticed = 0
    for _ in range(40):
        path = files[draw.integers(len(files))]
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[draw.integers(len(whole))] ^= 1 << int(draw.integers(8))
        path.write_bytes(bytes(flipped))
        try:
            again = read_log(folder)
        except DataError as error:
            assert "\n" not in str(error)  # noqa: PT017
            noticed += 1
        else:
            assert (again.name, again.max_slots, again.digest) == (log.name, log.max_slots, log.digest)
            assert all(np.array_equal(getattr(again, name), getattr(log, name)) for name in _ARRAYS)
        path.write_bytes(whole)
    assert noticed > 20


def test_of_large_arrays_blocks_are_read_and_all_on_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(integrity, "WHOLE", 100)
    monkeypatch.setattr(integrity, "BLOCK", 8)
    monkeypatch.setattr(integrity, "BLOCKS", 4)
    folder = random_log().save(tmp_path / "log")
    path = folder / "responses.npy"
    whole = np.load(path)
    assert len(whole) > 200
    for place, is_read in ((0, True), (len(whole) - 1, True), (20, False)):
        np.save(path, np.where(np.arange(len(whole)) == place, 1 - whole, whole))
        if is_read:
            with pytest.raises(DataError, match="is not what was saved there"):
                read_log(folder)
        else:
            read_log(folder)
        with pytest.raises(DataError, match="is not what was saved there"):
            read_log(folder, verify=True)
    np.save(path, whole)
    read_log(folder, verify=True)
