"""Train a variant: `python -m gainkt.train experiment=v3_inverse_warmup`, or `train(cfg)` from Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gainkt.config import conf_dir, one_line_errors, register_resolvers, run_main
from gainkt.errors import ConfigError
from gainkt.sweeping.command import refuse_a_grid_alone, resumed_arguments
from gainkt.sweeping.devices import require_one_device
from gainkt.sweeping.job import sweep_job

if TYPE_CHECKING:
    from gainkt.training.train import RunResult, train

__all__ = ["RunResult", "train"]


def __getattr__(name: str) -> Any:
    """Import train() when it is first asked for: help, and an error in the command line, need not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gainkt.training import train as module

    return getattr(module, name)


def _refuse_what_hydra_cannot_do(cfg: DictConfig) -> None:
    """Stop before work that would go wrong: several devices, a grid alone, and overrides beside a resumed run."""
    hydra_cfg = HydraConfig.get()
    sweep = hydra_cfg.mode == RunMode.MULTIRUN
    require_one_device(cfg.trainer, sweep=sweep)
    if not sweep:
        refuse_a_grid_alone(cfg, hydra_cfg)
    extra = [o for o in hydra_cfg.overrides.task if not o.lstrip("+").startswith(("run.resume=", "trust="))]
    if cfg.run.resume and extra:
        raise ConfigError(
            f"run.resume={cfg.run.resume}: a resumed run keeps the settings it was started with; leave out "
            f"{' '.join(extra)}, or start a new run"
        )


@hydra.main(config_path=conf_dir(), config_name="train", version_base="1.3")
@one_line_errors
@sweep_job
def _main(cfg: DictConfig) -> float:
    """Train as the command line says, print the summary, and hand the monitored figure to a sweeper."""
    _refuse_what_hydra_cannot_do(cfg)
    from gainkt.console import make_console
    from gainkt.reporting.alignment_report import alignment_view
    from gainkt.reporting.diagnosis_table import diagnosis_view
    from gainkt.reporting.scorecard_table import scorecard_view
    from gainkt.reporting.tables import results_table
    from gainkt.training.train import train

    if not cfg.run.resume:
        OmegaConf.update(cfg, "run.dir", str(Path(HydraConfig.get().runtime.output_dir).resolve()))
    result = train(cfg)
    console = make_console()
    console.print(results_table(result.results))
    if result.scorecard is not None:
        console.print(scorecard_view(result.scorecard))
    if result.diagnosis is not None:
        console.print(diagnosis_view(result.diagnosis))
    if result.alignment is not None:
        console.print(alignment_view(result.alignment))
    console.print(f"run: {result.run.directory.path}", soft_wrap=True)
    return result.metrics["val/combined_score"]


def main() -> None:
    """Entry point of the command."""
    run_main(_main, resumed_arguments)


register_resolvers()

if __name__ == "__main__":
    main()
