"""Search for settings: `python -m gainkt.search experiment=v4_belief search=v4_belief study.trials=40`.

Start the command as often as there are processors, on one machine or several that see the same storage: all share the
study. The same command again goes on where it was stopped.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.errors import ConfigError
from gainkt.sweeping.command import no_multirun

if TYPE_CHECKING:
    from gainkt.sweeping.search.trials import SearchResult


def search(cfg: DictConfig, overrides: Sequence[str] = ()) -> SearchResult:
    """Run trials until the study has as many as asked for, and write what was found.

    A trial is a training run in a folder of its own, judged on validation; one that fails is recorded and counts.

    Args:
        cfg: composed from conf/search.yaml.
        overrides: the command line's, in Hydra's form; those of `study`, `search` and `hydra` are left out of trials.

    Raises:
        ConfigError: the study or the space cannot be used, Optuna is missing, or every trial failed.
        OSError: the study's folder cannot be written.
    """
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError("search: Optuna is not installed; pip install 'gainkt[search]'")
    from gainkt.sweeping.search.trials import Search

    return Search(cfg, overrides).run()


@hydra.main(config_path=conf_dir(), config_name="search", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Search as the command line says; print the best trials, the front and the command of the best."""
    search(cfg, list(HydraConfig.get().overrides.task)).show()


def main() -> None:
    """Entry point of the command."""
    run_main(_main, no_multirun)


if __name__ == "__main__":
    main()
