"""No password and no token stands in what a run leaves or a command prints."""

import sys
from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from gainkt.config import one_line
from gainkt.data.datamodule import KTDataModule
from gainkt.errors import ConfigError
from gainkt.masking import masked, masked_content
from gainkt.runs.folder import build_datamodule, provenance
from gainkt.sweeping.summary.runs import parse_overrides

URL = "postgresql://user:hunter2@host/db"
SECRETS = (
    f"study.storage={URL}",
    f"study.storage='{URL}'",
    "+logger.wandb.api_key=hunter2",
    "+logger.x.settings={token:hunter2,b:1}",
    "x.auth_token='hunter2'",
    '{"password": "hunter2"}',
    "mysql://host/db?password=hunter2&user=x",
)


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_are_masked(text: str) -> None:
    assert "hunter2" not in masked(text)
    assert "***" in masked(text)
    assert masked(masked(text)) == masked(text)
    assert "hunter2" not in one_line(ConfigError(f"{text}: cannot be opened"))
    assert "hunter2" not in str(parse_overrides([text]))


def test_the_rest_stays() -> None:
    assert masked(SECRETS[0]) == "study.storage=postgresql://user:***@host/db"
    for text in ("dataset.tokens_per_batch=400", "file:///a/b", "unexpected token: foo", "https://host:80/x", "a=b@c"):
        assert masked(text) == text
    content = {"api_key": "x", "url": URL, "tokens_per_batch": 4, "deep": [{"secret": 5, "token": None}]}
    found = masked_content(content)
    assert found["api_key"] == "***"
    assert found["url"] == "postgresql://user:***@host/db"
    assert found["tokens_per_batch"] == 4
    assert found["deep"] == [{"secret": "***", "token": None}]


def test_provenance_keeps_none(config: Callable[..., DictConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "gainkt.search", *SECRETS])
    cfg = config("v1_per_skill")
    datamodule: KTDataModule = build_datamodule(cfg.dataset)
    found = provenance(cfg, datamodule, SECRETS)
    assert "hunter2" not in str(found)
    assert len(found["overrides"]) == len(SECRETS)
