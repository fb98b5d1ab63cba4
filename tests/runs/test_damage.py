"""Damaged run folders: every command that opens one says in one line which file it is and what makes it again."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from conftest import TINY
from gainkt.advise import advise_config
from gainkt.align import align_config
from gainkt.config import conf_dir, register_resolvers
from gainkt.diagnose import diagnose_config
from gainkt.digests import DIGESTS
from gainkt.errors import ConfigError, DataError
from gainkt.evaluate import evaluate
from gainkt.files import claimed
from gainkt.runs.folder import OWNER, RunDirectory, build_datamodule, load_run, read_checkpoint
from gainkt.runs.scoring import tables_of
from gainkt.sweeping.summary.runs import read_runs
from gainkt.train import train
from gainkt.trajectory import read_student

FIXTURE = Path(__file__).parents[1] / "fixtures" / "run_247a8fe"
TRAJECTORIES = "trajectories.parquet"


@cache
def composed(door: str, *overrides: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose(door, list(overrides))


def asked(call: Callable[[DictConfig], Any], door: str, *more: str) -> Callable[..., Any]:
    def ask(run: Path, **settings: Any) -> Any:
        cfg = composed(door, "run=x", "device=cpu", *more).copy()
        for key, value in {"run": str(run), **settings}.items():
            OmegaConf.update(cfg, key, value)
        return call(cfg)

    return ask


def resume(run: Path) -> None:
    cfg = composed("train").copy()
    cfg.run.resume = str(run)
    train(cfg)


DOORS: dict[str, Callable[..., Any]] = {
    "evaluate": asked(evaluate, "evaluate"),
    "diagnose": asked(diagnose_config, "diagnose", "figures=false"),
    "align": asked(align_config, "align", "reference=rasch"),
    "advise": asked(advise_config, "advise"),
    "resume": resume,
    "trajectory": lambda run: read_student(run / TRAJECTORIES, None),
    "summarise": lambda run: read_runs(run.parent),
}
ALL = ("evaluate", "diagnose", "align", "advise", "resume")
READ_BY = {
    "config.yaml": (*ALL, "summarise"),
    "sizes.json": ALL,
    "provenance.json": ("diagnose", "align", "advise", "resume", "summarise"),
    "results.json": ("advise", "summarise"),
    "metrics.csv": ("diagnose", "align", "advise", "summarise"),
    "scorecard.json": ("advise", "summarise"),
    "diagnosis.json": ("advise",),
    "checkpoints/last.ckpt": ("resume",),
    "checkpoints/best-train.ckpt": ("evaluate",),
    "predictions.parquet": ("diagnose", "align"),
    "trajectories.parquet": ("diagnose", "trajectory"),
    "skills.parquet": ("diagnose", "align"),
}
"""Commands that read each file of a run."""
MADE_BY = {
    "results.json": "gainkt.train run.resume=",
    "metrics.csv": "gainkt.train run.resume=",
    "scorecard.json": "gainkt.evaluate run=",
    "diagnosis.json": "gainkt.diagnose run=",
    **dict.fromkeys(("predictions.parquet", "trajectories.parquet", "skills.parquet"), "gainkt.evaluate run="),
}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path: Path) -> None:
    """Make another file of it that is as well formed."""
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
        table.iloc[: max(len(table) // 2, 1)].to_parquet(path)
    elif path.suffix == ".ckpt":
        content = torch.load(path, weights_only=True)
        torch.save({**content, "epoch": content["epoch"] + 1}, path)
    else:
        digit = next(i for i, c in enumerate(path.read_text()) if c.isdigit() and i > path.stat().st_size // 2)
        text = path.read_text()
        path.write_text(text[:digit] + str((int(text[digit]) + 1) % 10) + text[digit + 1 :])


def no_rows(path: Path) -> None:
    if path.suffix == ".parquet":
        pd.read_parquet(path).iloc[:0].to_parquet(path)
    elif path.suffix == ".csv":
        path.write_text(path.read_text().splitlines()[0] + "\n")
    else:
        path.write_text("{}\n")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "root" / "run"
    settings = ("experiment=v1_per_skill", *TINY, f"run.dir={place}", "diagnose=true", "gradient_every=0")
    train(composed("train", *settings))
    return place


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "root" / "run"))


@contextmanager
def one_line(path: Path, *, or_fine: bool = False) -> Iterator[None]:
    """Expect an error that names the file in one line."""
    try:
        yield
    except (ConfigError, DataError) as error:
        said = str(error)
        assert "\n" not in said
        assert str(path) in said
        assert MADE_BY.get(path.name, "") in said
    else:
        assert or_fine, f"{path} was taken as it is"


@pytest.mark.parametrize("name", READ_BY)
def test_what_is_damaged_is_said_by_every_command_that_reads_it(name: str, run: Path) -> None:
    edit(run / name)
    for door in READ_BY[name]:
        with one_line(run / name):
            DOORS[door](run)


@pytest.mark.parametrize("damage", [truncate, no_rows])
@pytest.mark.parametrize("name", READ_BY)
def test_so_it_is_where_no_digest_was_noted(name: str, damage: Callable[[Path], None], run: Path) -> None:
    """Runs of earlier versions: what can be seen without a digest is said, and nothing ends in a traceback."""
    (run / DIGESTS).unlink()
    damage(run / name)
    for door in READ_BY[name]:
        # Half a CSV is a CSV of fewer rows, half a YAML may be the YAML of another run.
        cut = damage is truncate and name in ("metrics.csv", "config.yaml")
        with one_line(run / name, or_fine=cut or (name == "provenance.json" and door in ("advise", "summarise"))):
            DOORS[door](run)


@pytest.mark.parametrize(
    "name", ["config.yaml", "sizes.json", "provenance.json", "metrics.csv", "checkpoints/last.ckpt"]
)
def test_what_is_missing(name: str, run: Path) -> None:
    (run / name).unlink()
    for door in READ_BY[name]:
        if (name, door) not in {("config.yaml", "summarise"), ("provenance.json", "summarise")}:
            with one_line(run if name in ("config.yaml", "sizes.json") else run / name):
                DOORS[door](run)


def test_what_the_errors_name_makes_it_whole_again(run: Path) -> None:
    before = {name: (run / name).read_bytes() for name in READ_BY}
    for name in ("results.json", "metrics.csv", "predictions.parquet", "scorecard.json", "diagnosis.json"):
        truncate(run / name)
    DOORS["resume"](run)
    for name in ("results.json", "metrics.csv", "predictions.parquet", "scorecard.json", "diagnosis.json"):
        assert (run / name).read_bytes() == before[name], name
    edit(run / "skills.parquet")
    DOORS["evaluate"](run, output=str(run))
    assert (run / "skills.parquet").read_bytes() == before["skills.parquet"]
    DOORS["diagnose"](run)


@pytest.mark.parametrize("noted", [True, False])
def test_forty_flipped_bits_of_a_checkpoint_are_noticed_or_harmless(noted: bool, run: Path) -> None:
    """With the digest, and with the checksums of the archive alone."""
    path, draw = run / "checkpoints" / "best-train.ckpt", np.random.default_rng(1)
    if not noted:
        (run / DIGESTS).unlink()
    whole = path.read_bytes()
    before, found = read_checkpoint(path), 0
    for _ in range(40):
        flipped = bytearray(whole)
        flipped[draw.integers(len(whole))] ^= 1 << int(draw.integers(8))
        path.write_bytes(bytes(flipped))
        try:
            after = read_checkpoint(path)
        except ConfigError as error:
            assert "\n" not in str(error)  # noqa: PT017
            found += 1
        else:
            assert not noted
            assert all(torch.equal(x, after["state_dict"][name]) for name, x in before["state_dict"].items())
            assert str(before["optimizer_states"]) == str(after["optimizer_states"])
    assert found == 40 if noted else found > 20


def test_tables_with_another_number_of_rows_are_made_again(run: Path) -> None:
    (run / DIGESTS).unlink()
    edit(run / "predictions.parquet")
    read = load_run(run)
    datamodule = build_datamodule(read.config.dataset)
    steps = datamodule.log_.lengths[datamodule.students("test")].sum()
    assert len(tables_of(read, datamodule, "test", "train", ("predictions",))["predictions"]) == steps


def test_reports_hold_the_folder_that_they_write_to(run: Path, tmp_path: Path) -> None:
    with claimed(run, OWNER):
        for door in ("evaluate", "diagnose", "align", "advise"):
            with pytest.raises(ConfigError, match=r"another process is at work here; .* output=<folder>"):
                DOORS[door](run)
        DOORS["diagnose"](run, output=str(tmp_path / "mine"))
    assert (tmp_path / "mine" / "diagnosis.json").is_file()
    DOORS["diagnose"](run)


def test_a_run_of_an_earlier_version_needs_no_digests(tmp_path: Path) -> None:
    run = Path(shutil.copytree(FIXTURE, tmp_path / "run"))
    assert not (run / DIGESTS).exists()
    load_run(run).model()


def test_what_is_removed_with_a_run(run: Path) -> None:
    RunDirectory(run).clear()
    left = {path.name for path in run.rglob("*") if path.is_file()}
    assert left <= {OWNER, ".lock"}, "digests go with the files"


def test_reference_models_are_kept_beside_a_moved_run(run: Path) -> None:
    """What is read from disk does not decide which folder is written."""
    assert Path(load_run(run).config.run.root) == run.parent
    assert json.loads((run / DIGESTS).read_text())["config.yaml"]
