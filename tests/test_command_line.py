"""What a user can get wrong ends in one line that says what, where and what to do; exit status 1."""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from conftest import TINY

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gainkt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in an empty folder: gainkt("train", "seed=1") gives exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)

    def run(command: str, *overrides: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gainkt", *overrides])
        status = 0
        try:
            import_module(f"gainkt.{command}").main()
        except SystemExit as end:
            status = int(end.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def assert_one_line(outcome: tuple[int, str, str], *expected: str) -> None:
    status, _, errors = outcome
    assert status == 1, errors
    assert "Traceback" not in errors
    message = [line for line in errors.splitlines() if line.startswith("gainkt: error:")]
    assert len(message) == 1, errors
    for part in expected:
        assert part in message[0]


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
    "wrong type": (["optimizer.lr=abc"], ["optimizer.lr=abc", "float"]),
    "wrong type for the trainer": (["trainer.max_epochs=abc"], ["trainer.max_epochs=abc", "int"]),
    "no heads": (["model.size.num_heads=0"], ["num_heads=0"]),
    "no such machine": (["trainer.accelerator=tpu"], ["trainer", "torch_xla"]),
    "negative seed": (["seed=-1"], ["seed=-1"]),
    "two words": (["loss.bce_loss_weight=0.3", "loss.bce1=0.6"], ["loss.bce1=0.6: loss.bce_loss_weight=0.3 says"]),
    "negative weight": (["loss.bce1=-1"], ["loss.bce1=-1"]),
    "type": (["trainer.max_epochs=0"], ["max_epochs=0"]),
}


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_training_command(gainkt: Command, case: str) -> None:
    overrides, expected = BAD_TRAINING[case]
    named = {o.split("=")[0] for o in overrides}
    small = [] if named & {"dataset", "run.resume"} else [o for o in TINY if o.split("=")[0] not in named]
    assert_one_line(gainkt("train", *small, *overrides), *expected)


def test_ddp_in_a_sweep_is_refused(gainkt: Command) -> None:
    assert_one_line(
        gainkt("train", "-m", "seed=0,1", "trainer.devices=2", "trainer.strategy=ddp", *TINY), "--multirun", "devices=1"
    )


def test_an_unwritable_folder_is_one_error(gainkt: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert_one_line(gainkt("train", *TINY, "hydra.run.dir=file/run"), "file/run")


def test_a_run_then_bad_evaluations(gainkt: Command, tmp_path: Path) -> None:
    status, printed, errors = gainkt("train", "experiment=v1_per_skill", *TINY, "hydra.run.dir=here/mine")
    assert status == 0, errors
    assert "E2 AUC" in printed
    assert (tmp_path / "here/mine/results.json").is_file()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here"], "something was left in the working folder"
    status, printed, errors = gainkt("evaluate", "run=here/mine", "split=valid")
    assert status == 0, errors
    assert "valid" in printed

    (tmp_path / "other.csv").write_text(
        "student,skill,correct\n" + "".join(f"s{i // 4},new,{i % 2}\n" for i in range(40))
    )
    assert_one_line(gainkt("evaluate", "run=here/mine", "split=tset"), "did you mean 'test'")
    assert_one_line(gainkt("evaluate", "run=here/mine", "phase=jont"), "no best checkpoint")
    assert_one_line(gainkt("evaluate", "run=here"), "not the folder of a run")
    assert_one_line(
        gainkt("evaluate", "run=here/mine", "dataset=csv", "dataset.path=other.csv"),
        "skill 'new' is unknown to the model",
    )
    best = tmp_path / "here/mine/checkpoints/best-train.ckpt"
    whole = best.read_bytes()
    best.write_bytes(whole[:1000])
    assert_one_line(gainkt("evaluate", "run=here/mine"), "was changed since it was written")
    (tmp_path / "here/mine/digests.json").unlink()
    assert_one_line(gainkt("evaluate", "run=here/mine"), "the file is damaged or not a gainkt checkpoint")
    best.write_bytes(whole)
    config = tmp_path / "here/mine/config.yaml"
    config.write_text(config.read_text().replace("d_model: 16", "d_model: 32"))
    assert_one_line(gainkt("evaluate", "run=here/mine"), "in the checkpoint and")


def test_evaluate_on_other_data_with_the_same_skills(gainkt: Command, tmp_path: Path) -> None:
    rows = "".join(f"s{i // 6},{'ab'[i % 2]},{(i * 7 % 5) % 2}\n" for i in range(240))
    for name in ("mine.csv", "theirs.csv"):
        (tmp_path / name).write_text("student,skill,correct\n" + rows)
    sizes = [o for o in TINY if not o.startswith("dataset.read")]
    data = ["dataset=csv", "dataset.path=mine.csv"]
    status, _, errors = gainkt("train", *data, *sizes, "hydra.run.dir=run")
    assert status == 0, errors
    other = ("evaluate", "run=run", "dataset=csv", "dataset.path=theirs.csv")
    status, printed, errors = gainkt(*other)
    assert status == 0, errors
    assert "all students" in printed, "other data is scored whole"
    status, _, errors = gainkt(*other, "split=train")
    assert (status, "the train part is empty" in errors) == (1, True)
    status, _, errors = gainkt("evaluate", "run=run", "path=theirs.csv")
    assert status == 0, errors
    (tmp_path / "mine.csv").rename(tmp_path / "moved.csv")
    for command in ("evaluate", "diagnose", "trajectory", "align", "teach"):
        assert_one_line(gainkt(command, "run=run"), "mine.csv: the data is not there; path= says where it lies")
    for command, place in (("evaluate", "dataset.path=moved.csv"), ("trajectory", "path=moved.csv")):
        status, _, errors = gainkt(command, "run=run", place)
        assert status == 0, errors


@pytest.mark.parametrize("value", ["[runs é/a,b(]", 'say "hi"(', "it's (", "a(b"])
def test_the_quotation_that_is_proposed_can_be_typed(gainkt: Command, value: str) -> None:
    status, _, errors = gainkt("train", f"logger={value}")
    assert status == 1
    proposed = errors.rpartition("for the shell as well: ")[2]
    (typed,) = shlex.split(proposed)
    override = OverridesParser.create().parse_overrides([typed])[0]
    assert override.key_or_group == "logger"
    parsed = override.value()
    assert (",".join(map(str, parsed)) if isinstance(parsed, list) else str(parsed)) == value.strip("[]")


def test_the_module_runs_from_a_shell(tmp_path: Path) -> None:
    """One real process, from a folder that is not the checkout's; the config it would use is printed, not run."""
    command = [sys.executable, "-m", "gainkt.train", "experiment=v0_scalar", "--cfg", "job", "--resolve"]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "gainkt.model.gain_head.scalar.ScalarGain" in done.stdout
