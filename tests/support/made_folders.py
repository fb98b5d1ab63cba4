"""Folders of runs that nobody trained: all that a command reads, with random weights, in a tenth of a second."""

from pathlib import Path

import torch

from conftest import TINY, composed
from gainkt.config import build
from gainkt.runs.folder import Run, RunDirectory, build_datamodule, build_model, load_run


def made_run(folder: Path, *overrides: str, seed: int = 0) -> Run:
    """A run of v4_belief on the tiny simulated students, as far as `load_run` and `Run.model` look."""
    cfg = composed("train", "experiment=v4_belief", *TINY, f"run.dir={folder}", f"seed={seed}", *overrides)
    datamodule = build_datamodule(cfg.dataset)
    datamodule.setup()
    directory = RunDirectory(folder)
    directory.create(cfg, datamodule)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        state = build_model(cfg.model, datamodule.sizes).state_dict()
        state = {f"model.{name}": x + 0.3 * torch.randn_like(x) for name, x in state.items()}
    phase = build(cfg.schedule).phases(cfg.trainer.max_epochs)[-1][0]
    empty = {"loops": {}, "callbacks": {}, "optimizer_states": [], "lr_schedulers": []}
    torch.save({"epoch": seed, "global_step": 0, "state_dict": state, **empty}, directory.best(phase))
    return load_run(folder)
