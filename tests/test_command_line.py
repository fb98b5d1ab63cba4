"""What a user can get wrong ends in one line that says what, where and what to do; exit status 1."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import TINY

ENV = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}


def gainkt(command: str, *overrides: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"gainkt.{command}", *overrides],
        cwd=folder,
        env=ENV,
        capture_output=True,
        text=True,
    )


BAD_TRAINING = {
    "unknown key": (["loss.bce11=0.3"], ["loss.bce11", "did you mean 'loss.bce1'"]),
    "unknown option": (
        ["experiment=v3_inverse_warmpu"],
        ["experiment=v3_inverse_warmpu", "did you mean 'v3_inverse_warmup'"],
    ),
    "unknown group": (["datset=csv"], ["datset", "did you mean 'dataset'"]),
    "setting nobody takes": (["+model.curve.slope=3"], ["model.curve.slope", "takes no such setting"]),
    "scalar gain for all": (["experiment=v0_scalar", "model/receivers=all"], ["receivers=practised"]),
    "heads": (["model.size.num_heads=3"], ["num_heads=3", "must divide"]),
    "window": (["dataset.window_length=1"], ["window_length=1"]),
    "phases": (["schedule=inverse_warmup", "schedule.split=1.0"], ["schedule.split=1.0", "between 0 and 1"]),
    "too few epochs": (["schedule=inverse_warmup", "trainer.max_epochs=1"], ["no epoch"]),
    "no data": (["dataset=csv", "dataset.path=missing.csv"], ["missing.csv", "no such"]),
    "path forgotten": (["dataset=assist2015"], ["dataset.path"]),
    "fold": (["dataset.fold=9"], ["fold", "9"]),
    "run to resume": (["run.resume=nowhere"], ["nowhere", "not the folder of a run"]),
    "negative weight": (["loss.bce1=-1"], ["loss.bce1=-1"]),
    "type": (["trainer.max_epochs=0"], ["max_epochs=0"]),
}


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_training_command(tmp_path: Path, case: str) -> None:
    overrides, expected = BAD_TRAINING[case]
    small = [] if any(o.startswith(("dataset=", "run.resume")) for o in overrides) else TINY
    done = gainkt(
        "train",
        *[o for o in small if o.split("=")[0] not in {x.split("=")[0] for x in overrides}],
        *overrides,
        folder=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    message = [line for line in done.stderr.splitlines() if line.startswith("gainkt: error:")]
    assert len(message) == 1, done.stderr
    for part in expected:
        assert part in message[0]


def test_ddp_in_a_sweep_is_refused(tmp_path: Path) -> None:
    done = gainkt("train", "-m", "seed=0,1", "trainer.devices=2", "trainer.strategy=ddp", *TINY, folder=tmp_path)
    assert done.returncode == 1
    assert "torchrun" in done.stderr


def test_a_run_from_any_folder_then_bad_evaluations(tmp_path: Path) -> None:
    done = gainkt("train", "experiment=v1_per_skill", *TINY, "hydra.run.dir=here/mine", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here/mine/results.json").is_file()
    assert "E2 AUC" in done.stdout
    assert not (tmp_path / "outputs").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here"], "something was left in the working folder"
    scored = gainkt("evaluate", "run=here/mine", "split=valid", folder=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert "valid" in scored.stdout

    other = tmp_path / "other.csv"
    other.write_text("student,skill,correct\n" + "".join(f"s{i // 4},new,{i % 2}\n" for i in range(40)))
    cases = [
        (["run=here/mine", "split=tset"], "did you mean 'test'"),
        (["run=here/mine", "phase=jont"], "no best checkpoint"),
        (["run=here"], "not the folder of a run"),
        (["run=here/mine", "dataset=csv", "dataset.path=other.csv"], "skill 'new' is unknown to the model"),
    ]
    for overrides, expected in cases:
        bad = gainkt("evaluate", *overrides, folder=tmp_path)
        assert bad.returncode == 1
        assert expected in bad.stderr
        assert "Traceback" not in bad.stderr
    best = tmp_path / "here/mine/checkpoints/best-train.ckpt"
    best.write_bytes(best.read_bytes()[:1000])
    truncated = gainkt("evaluate", "run=here/mine", folder=tmp_path)
    assert truncated.returncode == 1
    assert "truncated" in truncated.stderr
    config = tmp_path / "here/mine/config.yaml"
    best.write_bytes((tmp_path / "here/mine/checkpoints/last.ckpt").read_bytes())
    config.write_text(config.read_text().replace("d_model: 16", "d_model: 32"))
    sizes = gainkt("evaluate", "run=here/mine", folder=tmp_path)
    assert sizes.returncode == 1
    assert "in the checkpoint and" in sizes.stderr


def test_an_unwritable_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = gainkt("train", *TINY, "hydra.run.dir=file/run", folder=tmp_path)
    assert done.returncode == 1
    assert "gainkt: error:" in done.stderr
    assert "Traceback" not in done.stderr
