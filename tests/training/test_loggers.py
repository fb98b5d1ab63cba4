"""A logger that cannot be opened ends in one line; those opened before it are closed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import DictConfig

from gainkt.errors import ConfigError
from gainkt.train import train
from gainkt.training.loggers import build_loggers, close_loggers

Config = Callable[..., DictConfig]


@pytest.fixture
def logged_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No key, neither of this machine nor of this session."""
    import wandb

    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.setenv(name, "")  # so that what a logger sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    wandb.teardown()  # a process keeps the settings of its first run
    yield
    wandb.teardown()


@pytest.mark.parametrize(
    ("key", "expected"), [(None, "No API key configured"), ("abc", "WANDB_API_KEY invalid: API key must have 40")]
)
def test_wandb_without_a_usable_key_names_the_way_out(
    config: Config, monkeypatch: pytest.MonkeyPatch, logged_out: None, key: str | None, expected: str
) -> None:
    if key is not None:
        monkeypatch.setenv("WANDB_API_KEY", key)
    with pytest.raises(
        ConfigError, match=rf"^logger\.wandb: W&B cannot be used \({expected}[^\n]*logger\.wandb\.offline=true"
    ):
        build_loggers(config("v1_per_skill", "logger=wandb"))


@pytest.mark.parametrize("error", ["CommError", "AuthenticationError", "UsageError"])
def test_wandb_that_cannot_be_reached_names_the_way_out(
    config: Config, monkeypatch: pytest.MonkeyPatch, logged_out: None, error: str
) -> None:
    import wandb

    def init(**_: object) -> None:
        raise getattr(wandb.errors, error)("Run initialization has timed out.\nConsider increasing the timeout")

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(
        ConfigError, match=r"used \(Run initialization has timed out\); with logger\.wandb\.offline=true [^\n]*$"
    ):
        build_loggers(config("v1_per_skill", "logger=wandb"))


def test_a_folder_that_cannot_be_written_closes_what_was_opened(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged_out: None
) -> None:
    (tmp_path / "file").write_text("no folder")
    place = f"logger.tensorboard.save_dir={tmp_path}/file"
    cfg = config("v1_per_skill", "logger=[wandb,tensorboard]", "logger.wandb.offline=true", place)
    with pytest.raises(
        ConfigError, match=r"^logger\.tensorboard\.save_dir=\S+/file: cannot be written .*another folder"
    ):
        build_loggers(cfg)
    import wandb

    assert wandb.run is None, "W&B's run was left open"


def test_other_errors_come_through(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        @property
        def experiment(self) -> object:
            raise AssertionError("a bug")

    monkeypatch.setattr("gainkt.training.loggers.build", lambda entry: Broken())
    with pytest.raises(AssertionError, match="a bug"):
        build_loggers(config("v1_per_skill", "logger=tensorboard"))
    close_loggers([], "success")


def test_a_resumed_wandb_run_goes_on_in_its_own(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """The id is chosen before the config is saved, so that a resumed run has the same."""
    asked: list[tuple[str, str]] = []

    class Run:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *given, **more: None

        config = SimpleNamespace(update=lambda *given, **more: None)

    def init(**settings: object) -> Run:
        asked.append((str(settings["id"]), str(settings["resume"])))
        assert os.environ["WANDB_MODE"] == "dryrun", "W&B's word for offline"
        return Run()

    import wandb

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb, "run", None)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    small = ("trajectories.write=false", "gradient_every=0", "trainer.max_epochs=1")
    run = train(config("v1_per_skill", "logger=wandb", "logger.wandb.offline=true", *small)).run
    assert run.config.logger.wandb.id
    monkeypatch.delenv("WANDB_MODE")
    train(config("v1_per_skill", f"run.resume={run.directory.path}"))
    train(config("v1_per_skill", "logger=wandb", "logger.wandb.offline=true", *small))
    assert asked[0] == asked[1] == (run.config.logger.wandb.id, "allow")
    assert asked[2] != asked[0]
