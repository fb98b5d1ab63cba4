"""Fit a reference model and score it: `python -m gainkt.reference model=bkt`; or `score_reference(cfg)` from Python."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from gainkt.config import check_keys, conf_dir, one_line_errors, register_resolvers, run_main
from gainkt.console import make_console
from gainkt.errors import ConfigError
from gainkt.references.scoring import Scored, score
from gainkt.reporting.figures import save_figure
from gainkt.reporting.reference_view import reference_figure, reference_view
from gainkt.runs.folder import build_datamodule


def score_reference(cfg: DictConfig) -> Scored:
    """Score the reference model of a config composed from conf/reference.yaml, as `score` does; draw reference.png."""
    check_keys(cfg)
    if cfg.skills < 0:
        raise ConfigError(f"skills={cfg.skills}: give 0 or more skills to show")
    done = score(cfg, build_datamodule(cfg.dataset))
    save_figure(reference_figure(done.content, done.parameters), done.folder / "reference.png")
    return done


def as_reference(arguments: Sequence[str]) -> list[str]:
    """Reword `model=bkt settings.strength=10` as Hydra knows it: `reference=bkt ++reference.strength=10`."""
    # ++ lets a setting that the model does not know get as far as the check that names the nearest one.
    return [re.sub(r"^settings\.", "++reference.", re.sub(r"^model=", "reference=", given)) for given in arguments]


@hydra.main(config_path=conf_dir(), config_name="reference", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> float:
    """Fit and score as the command line says, print the tables, and hand the validation AUC to a sweeper."""
    OmegaConf.update(cfg, "run.dir", str(Path(HydraConfig.get().runtime.output_dir).resolve()))
    console = make_console()
    with console.status(f"fitting {HydraConfig.get().runtime.choices['reference']}"):
        done = score_reference(cfg)
    console.print(reference_view(done.content, done.parameters, cfg.skills))
    console.print(f"results: {done.folder}", soft_wrap=True)
    return float(done.content["figures"]["val"]["auc"])


def main() -> None:
    """Entry point of the command."""
    run_main(_main, as_reference)


register_resolvers()

if __name__ == "__main__":
    main()
