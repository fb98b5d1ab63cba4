"""A logger that cannot be opened ends in one line; those opened before it are closed."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from omegaconf import DictConfig

from gainkt.errors import ConfigError
from gainkt.training.loggers import build_loggers, close_loggers

Config = Callable[..., DictConfig]
KEY = "0123456789" * 4


@pytest.fixture
def logged_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No key, neither of this machine nor of this session."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.mark.parametrize(
    ("key", "expected"), [(None, "No API key configured"), ("abc", "WANDB_API_KEY invalid: API key must have 40")]
)
def test_wandb_without_a_usable_key_names_the_way_out(
    config: Config, monkeypatch: pytest.MonkeyPatch, logged_out: None, key: str | None, expected: str
) -> None:
    if key is not None:
        monkeypatch.setenv("WANDB_API_KEY", key)
    with pytest.raises(ConfigError, match=rf"^logger\.wandb: W&B cannot be used \({expected}[^\n]*logger\.wandb\.offline=true"):
        build_loggers(config("v1_per_skill", "logger=wandb"))


class Refusing(BaseHTTPRequestHandler):
    """A server that knows no key."""

    def do_POST(self) -> None:
        self.send_error(401)

    def log_message(self, *_: object) -> None:
        pass


def test_wandb_that_refuses_the_key_or_is_not_there_names_the_way_out(
    config: Config, monkeypatch: pytest.MonkeyPatch, logged_out: None
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    cfg = config("v1_per_skill", "logger=wandb")
    try:
        with pytest.raises(ConfigError, match=r"^logger\.wandb: W&B cannot be used [^\n]*logger\.wandb\.offline=true"):
            build_loggers(cfg)
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(ConfigError, match=r"^logger\.wandb: W&B cannot be used [^\n]*logger\.wandb\.offline=true"):
        build_loggers(cfg)  # nobody listens there any more


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
