"""The `gainkt` command: lists the doors, leads to them, and costs no torch where nothing is computed."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import gainkt
from gainkt.__main__ import doors, listing, main
from gainkt.config import conf_dir


def run(*code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *code], capture_output=True, text=True)


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command changes of the process is put back."""
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "argv", ["gainkt"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "gainkt"])


def test_every_door_is_listed_in_a_line_with_an_example() -> None:
    known = doors()
    assert {"train", "evaluate", "diagnose", "advise", "align", "reference", "trajectory", "search"} <= set(known)
    lines = [line.split(maxsplit=1) for line in listing(known).splitlines() if line.startswith("  ")]
    assert [name for name, _ in lines] == sorted(known)
    for door, line in lines:
        assert "`" not in line
        assert "=" in line or "<file" in line, (
            f"{door}: the first line of its docstring holds no `python -m gainkt.{door} key=value`"
        )
        assert len(line) < 110
        assert callable(import_module(f"gainkt.{door}").main)
        has_config = Path(conf_dir(), f"{door}.yaml").is_file()
        assert has_config == ("=" in line), f"the config of {door} must have its name"


def test_no_command_and_help_list_the_doors(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        main(arguments)
        assert capsys.readouterr().out.strip() == listing(doors())
    main(["--version"])
    assert capsys.readouterr().out == f"gainkt {gainkt.__version__}\n"


def test_an_unknown_command_names_the_nearest() -> None:
    with pytest.raises(SystemExit, match=r"^gainkt: error: trian: no such command; did you mean 'train'\?") as end:
        main(["trian"])
    assert isinstance(end.value.code, str), "a message: exit status 1"


def test_a_door_sees_the_command_line_that_it_would_have_by_itself(
    monkeypatch: pytest.MonkeyPatch, command_line: None
) -> None:
    seen = {}
    monkeypatch.setattr("gainkt.trajectory.main", lambda: seen.update(argv=sys.argv, whole=sys.orig_argv))
    main(["trajectory", "run=a b", "student=7"])
    assert seen["argv"] == ["gainkt trajectory", "run=a b", "student=7"]
    assert seen["whole"] == ["python", "-m", "gainkt.trajectory", "run=a b", "student=7"]


def test_settings_are_shown_with_the_words_that_a_door_has_of_its_own(
    command_line: None, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["trajectory", "--cfg", "job", "run=there"])
    assert "run: there" in capsys.readouterr().out
    main(["reference", "model=bkt", "--cfg", "job"])
    assert "bkt" in capsys.readouterr().out.lower()


def test_errors_are_those_of_the_door(command_line: None, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["train", "loss.bce11=1"], ["train", "loss.bce11=1", "--cfg", "job"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 1
        assert capsys.readouterr().err.startswith("gainkt: error: loss.bce11: no such key in the config; did you mean")
    with pytest.raises(SystemExit) as end:
        main(["train", "--no-such-flag"])
    assert end.value.code == 2
    assert "gainkt train: error: unrecognized arguments: --no-such-flag" in capsys.readouterr().err


HEAVY = ["torch", "lightning", "torchmetrics", "matplotlib", "pandas", "scipy", "wandb", "ray", "optuna"]
AT_THE_END = f"""
import atexit, sys, time
atexit.register(lambda: print([name for name in {HEAVY} if name in sys.modules], time.process_time(), sep="\\n"))
"""
"""Prints what is loaded, and the seconds of the processor, so that what else runs on the machine does not count."""


def test_importing_the_package_is_cheap() -> None:
    loaded, seconds = run("-c", f"{AT_THE_END}import gainkt").stdout.splitlines()
    assert loaded == "[]"
    assert float(seconds) < 0.3


@pytest.mark.parametrize(
    "command",
    [
        "gainkt.__main__ import main; main(['train', '--help'])",
        "gainkt.train import main; sys.argv = ['', '--help']; main()",
    ],
)
def test_help_of_a_door_is_cheap(command: str) -> None:
    door = run("-c", f"{AT_THE_END}from {command}")
    assert door.returncode == 0, door.stderr
    assert door.stdout.startswith("train is powered by Hydra.")
    assert re.search(r"^dataset: .*\bassist2009\b", door.stdout, re.M)
    loaded, seconds = door.stdout.splitlines()[-2:]
    assert loaded == "[]"
    assert float(seconds) < 3


def test_it_runs_as_a_module_and_ends_quietly_in_a_pipe() -> None:
    whole = run("-m", "gainkt")
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.strip() == listing(doors())
    cut = subprocess.run(
        f"{sys.executable} -m gainkt train --help | head -1", shell=True, capture_output=True, text=True
    )
    assert (cut.stdout, cut.stderr) == ("train is powered by Hydra.\n", "")


def test_names_of_the_api_are_imported_when_used() -> None:
    used = run("-c", "import gainkt; log = gainkt.simulate(num_students=4, seed=0); print(type(log).__name__)")
    assert used.stdout == "InteractionLog\n", used.stderr
    assert {*gainkt.__all__} == {"__version__", *gainkt._PLACES}
    for name in gainkt.__all__:
        assert name in dir(gainkt)
        assert getattr(gainkt, name) is not None
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = gainkt.nothing
