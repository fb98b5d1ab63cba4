r"""Train on simulated students and say how far each model recovers the truth: `python scripts/recovery.py`.

Writes recovery.json, recovery.md and recovery.png into the output folder, beside the simulation, the corrupted logs of
the negative controls and the runs. An experiment may carry overrides of its own behind `+`, all others stand last:

    python scripts/recovery.py --students 2000 --output outputs/recovery \
        --experiments v4_belief,v4_belief+model/gain_head=own_matrix,v4_monotone trainer.accelerator=cpu
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from gainkt.config import conf_dir, one_line, register_resolvers, user_errors
from gainkt.console import make_console
from gainkt.errors import ConfigError
from gainkt.files import write_json, write_whole
from gainkt.recovery.agreement import (
    Compared,
    Rows,
    Source,
    compare,
    label_control_rows,
    q_matrix_control_rows,
    transfer_rows,
)
from gainkt.recovery.estimates import (
    follow_bayes,
    follow_bkt,
    follow_model,
    follow_nobody,
    mastery_of_named_skills,
    truth_of,
)
from gainkt.recovery.report import recovery_figure, recovery_markdown
from gainkt.reporting.figures import save_figure
from gainkt.runs.folder import build_datamodule
from gainkt.simulation.simulate import shuffle_labels, shuffle_q_matrix, simulate_with_truth
from gainkt.train import train

DEFAULT = "v4_belief,v4_belief_skill,v4_monotone,v1_per_skill"
CONTROLS = {"shuffled labels": shuffle_labels, "shuffled Q-matrix": shuffle_q_matrix}


def config_of(spec: str, log: Path, seed: int, epochs: int | None, root: Path, overrides: list[str]) -> DictConfig:
    """Compose the config of an experiment on a saved log."""
    name, *own = spec.split("+")
    chosen = [f"experiment={name}", "dataset=log", f"dataset.path={log.resolve()}"]
    chosen += [f"seed={seed}", f"run.root={root.resolve()}"]
    chosen += [] if epochs is None else [f"trainer.max_epochs={epochs}"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("train", [*chosen, *own, *overrides, "trajectories.write=true", "trajectories.students=null"])


class Study:
    """One simulation, what is true of it, and what each source says about its test students."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Simulate, save what the runs read, and follow the test students by the yardsticks."""
        self.options, self.console = options, make_console()
        self.output: Path = options.output
        extra = {key: yaml.safe_load(value) for key, _, value in (x.partition("=") for x in options.simulate)}
        self.simulation = simulate_with_truth(num_students=options.students, seed=options.seed, **extra)
        self.specs = list(dict.fromkeys(spec.strip() for spec in options.experiments.split(",") if spec.strip()))
        if not self.specs:
            raise ConfigError("--experiments: none given; name at least one, as in --experiments v4_belief")
        # All configs are composed before the first run, so that a misspelt one does not cost the others' time.
        datamodules = [build_datamodule(self.config(spec, "log").dataset) for spec in self.specs]
        self.simulation.save(self.output / "data" / "simulation")
        self.simulation.log.save(self.output / "data" / "log")
        datamodules[0].setup()
        self.cells = Compared.of(self.simulation.log, datamodules[0].split)
        with self.console.status("Bayes filter and BKT"):
            self.truth = truth_of(self.simulation, self.cells)
            self.best = follow_bayes(self.simulation, self.cells, options.particles)
            self.forgets = self.simulation.truth.settings.forgetting > 0
            self.peers = [follow_bkt(self.cells, forgets=self.forgets), follow_nobody(self.cells)]

    def config(self, spec: str, log: str) -> DictConfig:
        """Config of an experiment on one of the saved logs."""
        o = self.options
        return config_of(spec, self.output / "data" / log, o.seed, o.epochs, self.output / "runs" / log, o.overrides)

    def train(self, spec: str, cells: Compared, log: str, progress: str) -> Source:
        """Train an experiment on a saved log and follow the test students."""
        begun = perf_counter()
        self.console.print(f"[bold]{progress}[/bold] training {spec} on {cells.log.name}")
        result = train(self.config(spec, log))
        assert np.array_equal(result.datamodule.split.test, cells.split.test), "split differently"
        followed = follow_model(spec, result, cells)
        self.console.print(f"  {perf_counter() - begun:.0f} s, {result.run.directory.path}", soft_wrap=True)
        return followed

    def run(self) -> dict[str, Any]:
        """Train everything and return the content of recovery.json."""
        controls = {} if self.options.no_controls else CONTROLS
        total = len(self.specs) + len(controls)
        models = [
            self.train(spec, self.cells, "log", f"{number}/{total}") for number, spec in enumerate(self.specs, start=1)
        ]
        content = {"about": self.about(), **compare(self.cells, self.truth, self.best, models, self.peers)}
        content["transfer"] = transfer_rows(models, self.simulation.truth.world)
        content["controls"] = [
            row
            for number, name in enumerate(controls, start=len(models) + 1)
            for row in self.control(name, models[0], f"{number}/{total}")
        ]
        figure = recovery_figure(
            [self.best, *models, self.peers[0]],
            self.truth,
            self.cells.step_L - self.cells.log.offsets[self.cells.student_L],
            self.cells.courses(),
        )
        save_figure(figure, self.output / "recovery.png")
        return content

    def about(self) -> dict[str, Any]:
        """What was done."""
        o, settings = self.options, self.simulation.truth.settings
        return {
            "command": " ".join(["python", *sys.argv]),
            "students": settings.num_students,
            "skills": settings.num_skills,
            "seed": settings.seed,
            "test_students": len(self.cells.split.test),
            "steps": int(self.cells.scored_M.sum()),
            "cells": int(self.cells.scored_L.sum()),
            "particles": o.particles,
            "epochs": o.epochs,
            "overrides": o.overrides,
            "simulator": asdict(settings),
        }

    def control(self, name: str, model: Source, progress: str) -> Rows:
        """Train the first experiment, and fit BKT, on a corrupted log; set its metrics beside those of the true one."""
        corrupted = CONTROLS[name](self.simulation.log, self.options.seed)
        folder = name.replace(" ", "-")
        corrupted.save(self.output / "data" / folder)
        cells = Compared.of(corrupted, self.cells.split)
        pairs = [
            (model, self.train(self.specs[0], cells, folder, progress)),
            (self.peers[0], follow_bkt(cells, forgets=self.forgets)),
        ]
        if name == "shuffled labels":
            return label_control_rows(pairs, self.cells, cells)
        true = self.truth.mastery_before_L
        assert true is not None
        named = mastery_of_named_skills(self.simulation.truth, cells)
        return q_matrix_control_rows(pairs, self.cells, true, cells, named)


def plain(value: Any) -> Any:
    """Return the value as JSON can hold it: no NaN."""
    if isinstance(value, Mapping):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=2000, help="simulated students")
    parser.add_argument("--seed", type=int, default=0, help="of the simulation and of training")
    parser.add_argument("--experiments", default=DEFAULT, help="names, comma-separated; the first one is controlled")
    parser.add_argument("--epochs", type=int, help="of training; each experiment's own where left out")
    parser.add_argument("--output", type=Path, default=Path("outputs/recovery"), help="folder, which must be new")
    parser.add_argument("--particles", type=int, default=2000, help="of the Bayes filter")
    parser.add_argument("--simulate", action="append", default=[], metavar="KEY=VALUE", help="a simulator setting")
    parser.add_argument("--no-controls", action="store_true", help="leave the negative controls out")
    parser.add_argument("overrides", nargs="*", help="Hydra overrides for every experiment")
    options = parser.parse_args()
    register_resolvers()
    try:
        study = Study(options)
        content = plain(study.run())
        write_json(options.output / "recovery.json", content)
        report = recovery_markdown(content)
        write_whole(options.output / "recovery.md", lambda building: building.write_text(report))
    except user_errors() as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
