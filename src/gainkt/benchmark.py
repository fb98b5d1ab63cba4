"""Hold models and peers against each other: `python -m gainkt.benchmark only.models=[v4_belief,rasch] folds=[0,1]`.

The same command goes on where it was stopped; what is done is not done again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import hydra
from omegaconf import DictConfig

from gainkt.arguments import ADDED
from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.errors import ConfigError

if TYPE_CHECKING:
    from gainkt.sweeping.benchmark.run import benchmark

__all__ = ["benchmark", "main"]


def __getattr__(name: str) -> Any:
    """Import benchmark() when it is first asked for: help and errors need not wait for torch."""
    if name != "benchmark":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gainkt.sweeping.benchmark.run import benchmark

    return benchmark


@hydra.main(config_path=conf_dir(), config_name="benchmark", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Run what is missing as the command line says, and print the table."""
    from gainkt.reporting.leaderboard_view import leaderboard_view
    from gainkt.sweeping.benchmark.run import benchmark

    content = benchmark(cfg, sys.argv[1:])
    if content is not None:
        make_console().print(leaderboard_view(content))
        make_console().print(f"benchmark: {cfg.run.dir}", soft_wrap=True)


def with_new_names(arguments: Sequence[str]) -> list[str]:
    """Let `datasets.mine.path=...` and `experiments.mine.overrides=[...]` add what the config has not.

    Raises:
        ConfigError: a sweep of benchmarks is asked for.
    """
    if {"-m", "--multirun"} & set(arguments):
        raise ConfigError("benchmark: leave out -m, and give lists: folds=[0,1,2], seeds=[0,1]")
    return [re.sub(rf"^(?={ADDED})", "++", given) for given in arguments]


def main() -> None:
    """Entry point of the command."""
    run_main(_main, with_new_names)


if __name__ == "__main__":
    main()
