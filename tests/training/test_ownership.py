"""A run's folder has one owner: what is refused, what run.overwrite removes, and what a damaged folder ends in."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from gainkt.errors import ConfigError
from gainkt.files import claimed
from gainkt.runs.folder import OWNER, RunDirectory, load_run
from gainkt.train import train
from gainkt.training.callbacks.metrics_table import MetricsTable

Config = Callable[..., DictConfig]
SMALL = ("v1_per_skill", "trajectories.write=false", "gradient_every=0")


def test_a_folder_that_is_held_or_holds_a_run_is_refused(config: Config, tmp_path: Path) -> None:
    place = f"run.dir={tmp_path / 'run'}"
    (tmp_path / "run" / "mine").mkdir(parents=True)
    (tmp_path / "run" / "mine" / "notes.txt").touch()
    with claimed(tmp_path / "run", OWNER), pytest.raises(ConfigError, match="another process is at work here"):
        train(config(*SMALL, place))
    first = train(config(*SMALL, place))
    results = first.run.directory.results.read_bytes()
    with pytest.raises(ConfigError, match=r"holds a run already.*run\.overwrite=true"):
        train(config(*SMALL, place, "seed=1"))
    assert first.run.directory.results.read_bytes() == results
    for stale in ("scorecard.json", "checkpoints/best-gone.ckpt", "evaluation/valid/diagnosis.json"):
        path = tmp_path / "run" / stale
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(ConfigError, match="a weight is 0 or more"):
        train(config(*SMALL, place, "run.overwrite=true", "loss.bce1=-1"))
    assert first.run.directory.results.read_bytes() == results, "removed for settings that cannot be used"
    again = train(config(*SMALL, place, "run.overwrite=true", "seed=1"))
    assert load_run(tmp_path / "run").config.seed == 1
    assert again.run.directory.results.read_bytes() != results
    assert (tmp_path / "run" / "mine" / "notes.txt").is_file()
    left = {str(p.relative_to(tmp_path / "run")) for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert not left & {"scorecard.json", "checkpoints/best-gone.ckpt", "evaluation/valid/diagnosis.json"}


def test_overwriting_follows_no_link(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "last.ckpt").touch()
    (other / "results.json").touch()
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    run.checkpoints.symlink_to(other)
    run.results.symlink_to(other / "results.json")
    run.clear()
    assert {p.name for p in other.iterdir()} == {"last.ckpt", "results.json"}
    assert not run.results.exists()


@pytest.mark.parametrize("way", ["anew", "resumed"])
def test_a_run_that_was_killed_before_it_had_begun(
    way: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"run.dir={tmp_path / 'run'}"

    def fail(*given: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patched:
        patched.setattr("gainkt.runs.folder.provenance", fail)
        with pytest.raises(OSError, match="killed"):
            train(config(*SMALL, place))
    run = RunDirectory(tmp_path / "run")
    assert run.config.is_file()
    assert not run.is_begun
    again = [*SMALL, place] if way == "anew" else ["v1_per_skill", f"run.resume={run.path}"]
    train(config(*again), ["seed=0"])
    assert run.results.is_file()
    assert OmegaConf.load(run.config).run.resume is None
    assert load_run(run.path).overrides == (["seed=0"] if way == "anew" else None)


def test_what_vanished_is_said(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train(config(*SMALL)).run.directory
    kept = run.best("train").read_bytes()
    run.best("train").unlink()
    resume = f"run.resume={run.path}"
    with pytest.raises(ConfigError, match=r"best-train\.ckpt: is missing"):
        train(config("v1_per_skill", resume))
    run.best("train").write_bytes(kept)
    train(config("v1_per_skill", resume))
    write = MetricsTable.on_train_epoch_end

    def vanish(self: MetricsTable, trainer: object, module: object) -> None:
        if len(self.rows) == 1:
            shutil.rmtree(self.path.parent)
        write(self, trainer, module)

    monkeypatch.setattr(MetricsTable, "on_train_epoch_end", vanish)
    cfg = config(*SMALL, "trainer.max_epochs=9")
    with pytest.raises(ConfigError, match=r"config\.yaml: is missing; the folder was removed"):
        train(cfg)
    rows = (Path(cfg.run.dir) / "metrics.csv").read_text().splitlines()
    assert len(rows) == 3, "noticed at the end of the next epoch, not of the run"


def test_secrets_are_not_kept_and_are_given_again(config: Config) -> None:
    cfg = config(*SMALL, "trainer.max_epochs=1")
    OmegaConf.update(cfg, "sweep.token", "hush", force_add=True)
    OmegaConf.update(cfg, "sweep.place", "postgresql://me:hush@host/db", force_add=True)
    run = train(cfg, ["+sweep.token=hush"]).run.directory
    assert not [path for path in run.path.rglob("*") if path.is_file() and b"hush" in path.read_bytes()]
    resume = ["v1_per_skill", f"run.resume={run.path}"]
    with pytest.raises(
        ConfigError, match=r"config\.yaml: sweep\.token=\*\*\*: a secret.*give it again: \+sweep\.token"
    ):
        train(config(*resume))
    again = ["+sweep.token=hush", "+sweep.place='postgresql://me:hush@host/db'"]
    assert train(config(*resume, *again)).run.config.name


def test_a_moved_run_logs_and_fits_where_it_is(config: Config, tmp_path: Path) -> None:
    run = train(config(*SMALL, "logger=tensorboard", "trainer.max_epochs=1", f"run.dir={tmp_path}/old")).run.directory
    moved = Path(shutil.move(run.path, tmp_path / "elsewhere" / "new"))
    cfg = config("v1_per_skill", f"run.resume={moved}")
    train(cfg)
    assert not run.path.exists()
    assert len(list((moved / "tensorboard").iterdir())) >= 2
    edited = OmegaConf.load(moved / "config.yaml")
    assert edited.logger.tensorboard.save_dir == str(run.path)
