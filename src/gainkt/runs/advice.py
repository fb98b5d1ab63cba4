"""Advice on a run: its reports read or made, the decision tree asked, and a command for each experiment."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.errors import HydraException
from omegaconf import OmegaConf

from gainkt.digests import held_to, read_json
from gainkt.errors import ConfigError, DataError
from gainkt.evaluation.advice.advise import Advice, advise
from gainkt.evaluation.advice.run_state import RunState
from gainkt.files import write_json
from gainkt.overrides import another, changed, command_line, recompose, settings
from gainkt.runs.folder import Run, build_datamodule, way_out
from gainkt.runs.predict import predict
from gainkt.runs.received import check_targets
from gainkt.runs.reports import diagnose_run
from gainkt.runs.scoring import judge, tabulate


@dataclass(frozen=True)
class Advised:
    """What asking for advice leaves."""

    content: dict[str, Any]
    """As in advice.json."""
    path: Path
    """advice.json."""


def advise_run(
    run: Run, *, make: bool = True, device: torch.device | str = "cpu", trust: Sequence[str] = ()
) -> Advised:
    """Name the experiments to run after a finished run, with their commands, and write advice.json into its folder.

    Args:
        run: a run read back.
        make: make scorecard.json and diagnosis.json where they are missing; this reads the run's data.
        device: where to compute them.
        trust: packages, besides gainkt, whose parts the run and the commands may name.

    Raises:
        ConfigError: the run did not finish, there is no scorecard and none can be made, or its overrides name code that
            they may not.
    """
    home = run.directory.path
    if not run.results:
        way = command_line("train", [f"run.resume={shlex.quote(str(home))}"])
        raise ConfigError(f"{home}: training did not finish; `{way}` goes on with it")
    card = _scorecard(run, make, device, trust)
    diagnosis, silent = _diagnosis(run, make, device, trust)
    config: Any = OmegaConf.to_container(run.config)
    state, path = (
        RunState(card, diagnosis, config, run.results, run.metrics, run.sizes.num_items),
        home / "scorecard.json",
    )
    with held_to(path, f"{way_out(path)}; or it is diagnosis.json beside it: {way_out(home / 'diagnosis.json')}"):
        report = advise(state)
    base, is_known = _base(run, trust)
    content = report.plain()
    for entry, advice in zip(content["advice"], report.advice, strict=True):
        entry["command"] = _command(advice, base, run, trust)
    content["changed_settings"] = settings(base)
    content["overrides_known"] = is_known
    content["without_diagnosis"] = silent
    content["protocol"] = {key: card["protocol"].get(key) for key in ("name", "data", "split")}
    path = home / "advice.json"
    write_json(path, content)
    return Advised(json.loads(path.read_text()), path)


def _base(run: Run, trust: Sequence[str]) -> tuple[list[str], bool]:
    """The overrides that make the run's config again, and whether those that it was started with are among them."""
    if run.overrides is not None:
        with suppress(HydraException):  # a folder that is gone, an option of another name by now
            return recompose(run.config, run.overrides, _check(run, trust)), True
    return recompose(run.config), False


def _check(run: Run, trust: Sequence[str]) -> Callable[[Any], None]:
    """What a person is told to run must name no other code than what is read from the run's folder may."""
    return lambda content: check_targets(content, str(run.directory.provenance), trust)


def _command(advice: Advice, base: list[str], run: Run, trust: Sequence[str]) -> str:
    """The command of a piece of advice, on the data, with the seed and on the machine of the run."""
    if advice.module != "train":
        return _on_run(advice.module, run, trust, *advice.overrides)
    if advice.experiment is not None:
        overrides = changed(another(advice.experiment, base, run.config, _check(run, trust)), advice.overrides)
    else:
        name = [f"name={run.config.name}-{advice.label}"] if advice.label else []
        overrides = changed(base, [*advice.overrides, *name])
    return command_line("train", overrides, sweep=advice.sweep)


def _on_run(module: str, run: Run, trust: Sequence[str], *overrides: str) -> str:
    """A command that reads the run."""
    trusted = [f"trust=[{','.join(trust)}]"] if trust else []
    return command_line(module, [f"run={shlex.quote(str(run.directory.path))}", *overrides, *trusted])


def _scorecard(run: Run, make: bool, device: torch.device | str, trust: Sequence[str]) -> dict[str, Any]:
    """Read the scorecard of the last phase on test, or make it as training does."""
    folder = run.directory.path
    path = folder / "scorecard.json"
    if path.is_file():
        kinds = {"checks": list, "carries": dict, "further": dict, "protocol": dict}
        return read_json(path, way_out(path), kinds)
    way = f"`{_on_run('evaluate', run, trust, f'output={shlex.quote(str(folder))}')}` makes it"
    if not make:
        raise ConfigError(f"{path}: no scorecard; {way}")
    try:
        data = build_datamodule(run.config.dataset)
        run.require_same_data(data)
        model = run.model()
        validation = predict(model, data.loader("valid"), device)
        tabulate(run, model, data, "test", folder, trajectories=run.config.trajectories, device=device)
        return judge(run, data, "test", folder, validation=validation)
    except (ConfigError, DataError) as error:
        problem = f"{path}: no scorecard, and it cannot be made ({error}); {way} once this is mended"
        raise ConfigError(problem) from error


def _diagnosis(
    run: Run, make: bool, device: torch.device | str, trust: Sequence[str]
) -> tuple[dict[str, Any] | None, str | None]:
    """Read the diagnosis, or make it; without one, say why and what makes it."""
    path = run.directory.path / "diagnosis.json"
    if path.is_file():
        return read_json(path, way_out(path), {"findings": list, "changes": list}), None
    way = _on_run("diagnose", run, trust)
    if not make:
        return None, f"there is none; `{way}` makes it"
    try:
        return diagnose_run(run, build_datamodule(run.config.dataset), device=device).content, None
    except (ConfigError, DataError) as error:
        return None, f"it cannot be made ({error}); `{way}` makes it once this is mended"
