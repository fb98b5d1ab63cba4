"""dataset.tokens_per_batch=auto."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from gainkt.config import build
from gainkt.data.datamodule import KTDataModule
from gainkt.errors import ConfigError
from gainkt.runs.folder import build_datamodule, build_model
from gainkt.training.budget import budget, bytes_a_cell
from gainkt.training.train import train


def test_a_batch_fits_the_memory_and_leaves_an_epoch_its_updates() -> None:
    assert budget(100_000_000, 80e9, 25_000) == 2**19, "1 % of the epoch, 1,000,000 cells, is less than memory holds"
    assert budget(100_000_000, 8e9, 25_000) == 2**17, "half of 8 GB holds 160,000 cells"
    assert budget(1_000, 80e9, 25_000) == budget(100_000_000, 0, 25_000) == 4096


def test_wider_models_take_more_and_nothing_is_changed_by_asking(config: Callable[..., DictConfig]) -> None:
    taken = []
    for width in (16, 64):
        cfg = config("v4_belief", f"model.size.d_model={width}", "dataset.tokens_per_batch=auto")
        data = build_datamodule(cfg.dataset)
        data.setup()
        model, loss = build_model(cfg.model, data.sizes), build(cfg.loss)
        loss.start(model, data.skill_rates, None)
        weights, drawn = [p.clone() for p in model.parameters()], torch.get_rng_state()
        taken.append(bytes_a_cell(model, loss, data))
        assert all(torch.equal(p, was) for p, was in zip(model.parameters(), weights, strict=True))
        assert all(p.grad is None for p in model.parameters())
        assert torch.equal(torch.get_rng_state(), drawn)
    assert 16 * 4 < taken[0] < taken[1]


def test_on_a_cpu_a_run_takes_4096_and_says_so(config: Callable[..., DictConfig], tmp_path: Path) -> None:
    cfg = config("v1_per_skill", "dataset.tokens_per_batch=auto", "trainer.max_epochs=1", "trajectories.write=false")
    cfg.run.dir = str(tmp_path / "run")
    assert train(cfg).datamodule.tokens_per_batch == 4096
    assert OmegaConf.load(tmp_path / "run" / "config.yaml").dataset.tokens_per_batch == 4096


def test_a_word_that_is_not_auto_is_refused(config: Callable[..., DictConfig]) -> None:
    with pytest.raises(ConfigError, match=r"dataset\.tokens_per_batch=many"):
        train(config("v1_per_skill", "dataset.tokens_per_batch=many"))
    with pytest.raises(ConfigError, match="tokens_per_batch=many: give a whole number of steps, or auto"):
        KTDataModule(read=lambda: None, split=None, tokens_per_batch="many")  # type: ignore[arg-type, return-value]
