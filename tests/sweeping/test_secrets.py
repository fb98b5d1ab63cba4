"""The plan of a sweep keeps no secrets; a sweep that is resumed is given them again."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from gainkt.errors import ConfigError
from gainkt.sweeping.command import resumed_arguments
from gainkt.sweeping.jobs import PLAN, Job, SweepFolder

SETTINGS = ["seed=0,1", "+sweep.token=hush", "dataset.path='s3://me:hush@host/x'"]


def test_a_plan_keeps_no_secrets_and_asks_for_them(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    jobs = [[f"seed={seed}", *SETTINGS[1:]] for seed in (0, 1)]
    folder.write_plan("mine", SETTINGS, ["hydra.launcher.password=hush"], jobs)
    Job(0, tuple(jobs[0]), tmp_path / "0").write(state="done")
    assert "hush" not in (tmp_path / PLAN).read_text() + (tmp_path / "0" / "job.json").read_text()
    assert "hush" not in folder.label(Job(0, tuple(jobs[0]), tmp_path / "0"))
    asked = ["-m", f"sweep.resume={tmp_path}"]
    with pytest.raises(ConfigError, match=r"sweep\.json: \+sweep\.token=\*\*\*: a secret, which is not kept on disk"):
        resumed_arguments(asked)
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.password=\*\*\*: a secret"):
        resumed_arguments([*asked, *SETTINGS[1:]])
    again = resumed_arguments([*asked, *SETTINGS[1:], "hydra.launcher.password=hush"])
    assert again[:4] == ["-m", *SETTINGS]
    assert not any("***" in argument for argument in again)


@pytest.mark.parametrize("name", ["a\\b", "it's", "x\\'y", "end\\"])
def test_a_sweep_is_resumed_in_a_folder_of_any_name(name: str, tmp_path: Path) -> None:
    (place := tmp_path / name).mkdir()
    SweepFolder(place).write_plan("mine", ["seed=0"], [], [["seed=0"]])
    told = [a for a in resumed_arguments(["-m", f"sweep.resume={place}"]) if a.startswith("hydra.sweep.dir=")]
    assert OverridesParser.create().parse_override(told[0]).value() == str(place)


@pytest.mark.parametrize("number", [1, -1, 7])
def test_jobs_are_numbered_in_their_order(number: int, tmp_path: Path) -> None:
    SweepFolder(tmp_path).write_plan("mine", [], [], [["seed=0"]])
    text = (tmp_path / PLAN).read_text()
    (tmp_path / PLAN).write_text(text.replace('"number": 0', f'"number": {number}').replace('"0"', f'"{number}"'))
    with pytest.raises(ConfigError, match="the folder of job"):
        SweepFolder(tmp_path).jobs  # noqa: B018


@pytest.mark.parametrize("text", ["", "[]", '{"number": 0}', '{"number": 0, "overrides": [], "state": 7}'])
def test_a_damaged_record_is_said(text: str, tmp_path: Path) -> None:
    SweepFolder(tmp_path).write_plan("mine", [], [], [["seed=0"]])
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "job.json").write_text(text)
    with pytest.raises(ConfigError, match=r"job\.json: is damaged .*remove the job's folder and resume"):
        SweepFolder(tmp_path).jobs[0].state  # noqa: B018
