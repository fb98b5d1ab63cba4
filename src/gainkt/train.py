"""Train a variant: `python -m gainkt.train experiment=v3_inverse_warmup`, or `train(cfg)` from Python."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gainkt.config import conf_dir, one_line_errors, register_resolvers, run_main
from gainkt.overrides import given
from gainkt.sweeping.command import refuse_conflicts, resumed_arguments
from gainkt.sweeping.jobs import sweep_job
from gainkt.training.processes import own_folder

if TYPE_CHECKING:
    from gainkt.training.train import RunResult, train

__all__ = ["RunResult", "train"]


def __getattr__(name: str) -> Any:
    """Import train() when it is first asked for: help, and an error in the command line, need not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gainkt.training import train as module

    return getattr(module, name)


@hydra.main(config_path=conf_dir(), config_name="train", version_base="1.3")
@one_line_errors
@sweep_job
def _main(cfg: DictConfig) -> float:
    """Train as the command line says, print the summary, and hand the monitored metric to a sweeper."""
    refuse_conflicts(cfg)
    from gainkt.reporting.run_view import show_run
    from gainkt.training.train import train

    if not cfg.run.resume:
        OmegaConf.update(cfg, "run.dir", str(Path(HydraConfig.get().runtime.output_dir).resolve()))
    # Whatever command started this process, Lightning starts those beside it as this module.
    sys.modules["__main__"].__spec__ = find_spec("gainkt.train")
    done = train(cfg, given())
    show_run(done.results, done.scorecard, done.diagnosis, done.alignment, done.run.directory.path)
    return done.metrics["val/combined_score"]


def main() -> None:
    """Entry point of the command."""
    run_main(_main, lambda arguments: own_folder(resumed_arguments(arguments)))


register_resolvers()

if __name__ == "__main__":
    main()
