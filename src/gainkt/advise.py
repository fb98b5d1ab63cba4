"""Ask which experiment comes next: `python -m gainkt.advise run=<dir>`; or `advise_run(...)` from Python."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from gainkt.config import conf_dir, one_line_errors, run_main
from gainkt.console import make_console
from gainkt.diagnose import diagnose_run
from gainkt.errors import ConfigError, DataError
from gainkt.evaluation.advice.advise import Advice, advise
from gainkt.files import write_json
from gainkt.overrides import carried, changed, command_line, recompose, settings
from gainkt.reporting.advice_view import advice_view
from gainkt.runs.folder import Run, build_datamodule, load_run
from gainkt.runs.predict import pick_device, predict
from gainkt.runs.scoring import judge


@dataclass(frozen=True)
class Advised:
    """What asking for advice leaves."""

    content: dict[str, Any]
    """As in advice.json."""
    path: Path
    """advice.json."""


def advise_run(run: Run, *, make: bool = True, device: torch.device | str = "cpu") -> Advised:
    """Name the experiments to run after a finished run, with their commands, and write advice.json into its folder.

    Args:
        run: a run read back.
        make: make scorecard.json and diagnosis.json where they are missing; this reads the run's data.
        device: where to compute them.

    Raises:
        ConfigError: the run did not finish, or there is no scorecard and none can be made.
    """
    home = run.directory.path
    if not run.results:
        raise ConfigError(f"{home}: training did not finish; `{_resume(home)}` goes on with it")
    card = _scorecard(run, make, device)
    diagnosis, silent = _diagnosis(run, make, device)
    metrics = pd.read_csv(run.directory.metrics) if run.directory.metrics.is_file() else None
    config: Any = OmegaConf.to_container(run.config)
    items = run.sizes.num_items
    report = advise(card, diagnosis, config, results=run.results, metrics=metrics, num_items=items)
    base = recompose(run.config)
    content = report.plain()
    for entry, advice in zip(content["advice"], report.advice, strict=True):
        entry["command"] = command_of(advice, base, run)
    content["changed_settings"] = settings(base)
    content["without_diagnosis"] = silent
    content["protocol"] = {key: card["protocol"].get(key) for key in ("name", "data", "split")}
    path = home / "advice.json"
    write_json(path, content)
    return Advised(json.loads(path.read_text()), path)


def command_of(advice: Advice, base: list[str], run: Run) -> str:
    """Return the command of a piece of advice, on the data, with the seed and on the machine of the run.

    Args:
        advice: what to change.
        base: the overrides that make the run's config again (gainkt.overrides.recompose).
        run: the run.
    """
    if advice.module != "train":
        return command_line(advice.module, [f"run={_quoted(run.directory.path)}", *advice.overrides])
    if advice.experiment is not None:
        overrides = changed([f"experiment={advice.experiment}", *carried(base)], advice.overrides)
    else:
        name = [f"name={run.config.name}-{advice.label}"] if advice.label else []
        overrides = changed(base, [*advice.overrides, *name])
    return command_line("train", overrides, sweep=advice.sweep)


def _scorecard(run: Run, make: bool, device: torch.device | str) -> dict[str, Any]:
    """Read the scorecard of the last phase on test, or make it as training does."""
    path = run.directory.path / "scorecard.json"
    if path.is_file():
        return json.loads(path.read_text())
    home = _quoted(run.directory.path)
    way = f"`python -m gainkt.evaluate run={home} output={home}` makes it"
    if not make:
        raise ConfigError(f"{path}: no scorecard; {way}")
    try:
        datamodule = build_datamodule(run.config.dataset)
        run.require_same_data(datamodule)
        model = run.model()
        validation = predict(model, datamodule.loader("valid"), device)
        settings = run.config.trajectories
        folder = run.directory.path
        return judge(
            run, model, datamodule, "test", folder, trajectories=settings, validation=validation, device=device
        )
    except (ConfigError, DataError) as error:
        raise ConfigError(
            f"{path}: no scorecard, and it cannot be made ({error}); {way} once this is mended"
        ) from error


def _diagnosis(run: Run, make: bool, device: torch.device | str) -> tuple[dict[str, Any] | None, str | None]:
    """Read the diagnosis, or make it; without one, say why and what makes it."""
    path = run.directory.path / "diagnosis.json"
    if path.is_file():
        return json.loads(path.read_text()), None
    way = f"python -m gainkt.diagnose run={_quoted(run.directory.path)}"
    if not make:
        return None, f"there is none; `{way}` makes it"
    try:
        return diagnose_run(run, build_datamodule(run.config.dataset), device=device).content, None
    except (ConfigError, DataError) as error:
        return None, f"it cannot be made ({error}); `{way}` makes it once this is mended"


def _resume(home: Path) -> str:
    return f"python -m gainkt.train run.resume={_quoted(home)}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def advise_config(cfg: DictConfig) -> Advised:
    """Advise as a config composed from conf/advise.yaml says.

    Raises:
        ConfigError: the folder is not that of a finished run, or there is no scorecard and none can be made.
    """
    run = load_run(Path(hydra.utils.to_absolute_path(cfg.run)))
    path = run.config.dataset.get("path") if cfg.path is None else cfg.path
    if path is not None and (found := Path(hydra.utils.to_absolute_path(path)).resolve()).exists():
        run.config.dataset.path = str(found)  # so that the commands work from any folder
    return advise_run(run, make=cfg.make, device=pick_device(cfg.device))


@hydra.main(config_path=conf_dir(), config_name="advise", version_base="1.3")
@one_line_errors
def _main(cfg: DictConfig) -> None:
    """Advise as the command line says, and print it."""
    console, done = make_console(), advise_config(cfg)
    console.print(advice_view(done.content, console.width))
    console.print(f"advice: {done.path}", soft_wrap=True)


def main() -> None:
    """Entry point of the command."""
    run_main(_main)


if __name__ == "__main__":
    main()
