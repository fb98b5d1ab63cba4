import json
from pathlib import Path

import numpy as np
import pytest

from gainkt.data.log import InteractionLog, offsets_of
from gainkt.data.readers import read_log
from gainkt.errors import DataError

ARRAYS = (
    "offsets",
    "responses",
    "skill_offsets",
    "skills",
    "items",
    "students",
    "skill_names",
    "item_names",
    "folds",
)


def make_log(lengths=(3, 1, 4), num_skills=5, num_items=6, seed=0, name="made") -> InteractionLog:
    rng = np.random.default_rng(seed)
    steps = sum(lengths)
    counts = rng.integers(1, 4, steps)
    return InteractionLog(
        name=name,
        offsets=offsets_of(np.array(lengths)),
        responses=rng.integers(0, 2, steps).astype(np.uint8),
        skill_offsets=offsets_of(counts),
        skills=rng.integers(0, num_skills, counts.sum()).astype(np.int32),
        items=(rng.integers(0, num_items, steps) if num_items else np.full(steps, -1)).astype(np.int32),
        students=np.array([f"s{i}" for i in range(len(lengths))]),
        skill_names=np.array([f"k{i}" for i in range(num_skills)]),
        item_names=np.array([f"i{i}" for i in range(num_items)], dtype=np.str_),
        folds=np.arange(len(lengths), dtype=np.int16),
    )


@pytest.mark.parametrize("num_items", [6, 0], ids=["items", "no items"])
def test_saved_and_opened_again(tmp_path, num_items):
    log = make_log(num_items=num_items)
    again = read_log(log.save(tmp_path / "deep" / "log"))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(log, name))
        assert getattr(again, name).dtype == getattr(log, name).dtype
        assert isinstance(getattr(again, name), np.memmap)
    assert (again.name, again.digest, again.max_slots) == (log.name, log.digest, log.max_slots)
    assert (again.num_students, again.num_steps, again.num_skills, again.num_items) == (3, 8, 5, num_items)
    assert again.lengths.tolist() == [3, 1, 4]


def test_opening_reads_no_arrays(tmp_path, monkeypatch):
    folder = make_log(lengths=(50,) * 200).save(tmp_path / "log")

    def fail(*_):
        raise AssertionError("an array was read through")

    monkeypatch.setattr("gainkt.data.log._pieces", fail)
    monkeypatch.setattr("gainkt.data.log.np.diff", fail)
    log = InteractionLog.open(folder)
    assert log.max_slots == 3, "kept from the day it was saved"
    assert len(log.digest) == 16
    # Only the maps of files exist so far, and no copies in memory.
    assert all(getattr(log, name).base is not None for name in ARRAYS)
    assert set(vars(log)) == {"name", *ARRAYS, "account", "digest", "max_slots", "checked"}


def test_select_keeps_vocabularies_and_histories():
    log = make_log()
    part = log.select([2, 0])
    assert part.students.tolist() == ["s2", "s0"]
    assert part.folds.tolist() == [2, 0]
    assert part.skill_names is log.skill_names
    assert part.lengths.tolist() == [4, 3]
    for new, old in enumerate((2, 0)):
        mine = slice(part.offsets[new], part.offsets[new + 1])
        theirs = slice(log.offsets[old], log.offsets[old + 1])
        assert part.responses[mine].tolist() == log.responses[theirs].tolist()
        assert part.items[mine].tolist() == log.items[theirs].tolist()
        mine = slice(part.skill_offsets[mine.start], part.skill_offsets[mine.stop])
        theirs = slice(log.skill_offsets[theirs.start], log.skill_offsets[theirs.stop])
        assert part.skills[mine].tolist() == log.skills[theirs].tolist()


def test_select_of_a_mapped_log_is_in_memory(tmp_path):
    log = InteractionLog.open(make_log().save(tmp_path / "log"))
    part = log.select(np.array([1]))
    assert part.num_steps == 1
    assert not isinstance(part.responses, np.memmap)
    assert part.digest == make_log().select([1]).digest


def test_select_of_nobody():
    part = make_log().select([])
    assert (part.num_students, part.num_steps, part.max_slots) == (0, 0, 1)


def test_steps_of():
    log = make_log()
    assert log.steps_of(np.array([2, 0])).tolist() == [4, 5, 6, 7, 0, 1, 2]
    assert log.steps_of(np.array([], dtype=np.int64)).tolist() == []


def test_some_students_at_a_time_have_about_a_piece_of_steps(monkeypatch):
    log, students = make_log(), np.array([2, 0, 1])
    monkeypatch.setattr("gainkt.data.log.PIECE", 4)
    groups = log.some_at_a_time(students)
    assert np.concatenate(groups).tolist() == students.tolist()
    assert len(groups) > 1
    assert max(int(log.lengths[some].sum()) for some in groups) <= 4 + log.lengths.max()
    assert log.some_at_a_time(students[:0]) == []


def test_max_slots_counts_skills_of_the_largest_step():
    log = make_log()
    assert log.max_slots == np.diff(log.skill_offsets).max()


def test_digest_depends_on_content_only(tmp_path):
    log = make_log()
    assert log.digest == make_log(name="other name").digest
    first = InteractionLog.open(log.save(tmp_path / "a"))
    second = InteractionLog.open(log.save(tmp_path / "b"))
    assert first.digest == second.digest == log.digest
    digests = {log.digest, make_log(seed=1).digest, make_log((4, 1, 3)).digest, log.select([1, 0, 2]).digest}
    assert len(digests) == 4


def test_digest_sees_every_array():
    for name in ARRAYS:
        log = make_log()
        before = log.digest
        array = getattr(log, name)
        other = array != array[0]
        assert other.any(), "the array must hold two values for this test to mean anything"
        array[0] = array[other][0]
        log.__dict__.pop("digest")
        assert log.digest != before, name


def test_save_refuses_a_folder_that_exists(tmp_path):
    (tmp_path / "log").mkdir()
    with pytest.raises(DataError, match="exists already; remove it"):
        make_log().save(tmp_path / "log")


def test_save_leaves_nothing_half_written(tmp_path, monkeypatch):
    written = []
    save = np.save

    def full_disk(file, array):
        if len(written) == 4:
            raise OSError(28, "No space left on device")
        written.append(file)
        save(file, array)

    monkeypatch.setattr("gainkt.data.log.np.save", full_disk)
    with pytest.raises(DataError, match=r"cannot write the log there \(No space left"):
        make_log().save(tmp_path / "log")
    assert len(written) == 4
    assert list(tmp_path.iterdir()) == []


def test_save_where_a_file_is_in_the_way(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot write the log there"):
        make_log().save(tmp_path / "file" / "log")


def test_saved_folder_can_be_read_by_others(tmp_path):
    (tmp_path / "plain").mkdir()
    folder = make_log().save(tmp_path / "log")
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode


def truncate(folder: Path) -> None:
    with (folder / "skills.npy").open("r+b") as file:
        file.truncate(140)


def empty(folder: Path) -> None:
    (folder / "items.npy").write_bytes(b"")


def shorten(folder: Path) -> None:
    np.save(folder / "responses.npy", np.zeros(2, dtype=np.uint8))


def cut_meta(folder: Path) -> None:
    (folder / "meta.json").write_text('{"format": "gain')


def other_format(folder: Path) -> None:
    (folder / "meta.json").write_text(json.dumps({"format": "gainkt-log-0", "name": "old"}))


def incomplete_meta(folder: Path) -> None:
    (folder / "meta.json").write_text(json.dumps({"format": "gainkt-log-1"}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "damaged"),
        (empty, "damaged"),
        (shorten, "damaged .offsets must end at the number of steps"),
        (cut_meta, "damaged"),
        (incomplete_meta, "damaged"),
        (other_format, "format 'gainkt-log-0', this version reads 'gainkt-log-1'"),
        (lambda folder: (folder / "folds.npy").unlink(), r"not a saved log \(folds\.npy is missing\)"),
        (lambda folder: (folder / "meta.json").unlink(), r"not a saved log \(meta\.json is missing\)"),
    ],
)
def test_open_refuses_what_is_not_whole(tmp_path, damage, message):
    folder = make_log().save(tmp_path / "log")
    damage(folder)
    with pytest.raises(DataError, match=message) as error:
        InteractionLog.open(folder)
    assert "\n" not in str(error.value)


def test_open_refuses_files_and_missing_folders(tmp_path):
    with pytest.raises(DataError, match=r"not a saved log \(meta\.json is missing\)"):
        InteractionLog.open(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be read"):
        InteractionLog.open(tmp_path / "file")
