"""Measure ensembles and distillation, for docs/results.md: single runs, their ensemble, students that learn from it.

    python scripts/measure_ensemble.py --root outputs/ensemble
    python scripts/measure_ensemble.py dataset=assist2015 dataset.path=../shared/data/assist2015_pykt \
        --root outputs/ensemble-assist2015 --folds 0 1 2

A fold has a run of each seed, the ensemble of these runs, and of each recipe a student a seed, who learns from all of
them and starts as the run of the same seed did. What stands is not done again: a run that has results.json, an ensemble
that has ensemble.json. Select on validation; test is printed beside it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

RECIPES = {
    "encoder2": ["loss.distillation2=1"],
    "encoder2-alone": ["loss.distillation2=1", "loss.bce2=0.1"],
    "encoder2-from-encoder2": ["loss.distillation2=1", "loss.terms.distillation2.teacher_encoder=2"],
    "both": ["loss.distillation1=1", "loss.distillation2=1"],
}
"""Settings of a distilled student, by name; the responses count 1 beside them unless said otherwise."""
FIGURES = [(part, f"encoder{n}_auc") for part in ("val", "test") for n in (1, 2)]


def main() -> None:
    """Train, score and print, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("outputs/ensemble"), help="folder of runs and results")
    parser.add_argument("--seeds", type=int, default=3, help="members of an ensemble, 2 or more")
    parser.add_argument("--folds", nargs="+", type=int, default=[0])
    parser.add_argument("--experiment", default="v4_belief", help="of the members")
    parser.add_argument("--student", default="v4_distilled", help="experiment of the students")
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--with-seeds", type=int, help="students of each recipe; as many as members unless given")
    parser.add_argument("more", nargs="*", help="settings of gainkt.train, before the options")
    asked = parser.parse_intermixed_args()
    rows: dict[str, list[dict[str, Any]]] = {}
    for fold in asked.folds:
        home, own = asked.root / f"fold-{fold}", [f"dataset.fold={fold}", *asked.more]
        runs = [trained(home / "single" / str(s), asked.experiment, s, own) for s in range(asked.seeds)]
        rows.setdefault("single run", []).extend(map(of_run, runs))
        rows.setdefault(f"ensemble of {asked.seeds}", []).append(of_ensemble(runs, home / "ensemble"))
        teachers = f"distillation.teachers=[{','.join(str(run.resolve()) for run in runs)}]"
        for recipe in asked.recipes:
            for seed in range(asked.with_seeds or asked.seeds):
                folder, settings = home / recipe / str(seed), [*own, teachers, *RECIPES[recipe]]
                rows.setdefault(f"distilled, {recipe}", []).append(
                    of_run(trained(folder, asked.student, seed, settings))
                )
    show(rows)


def trained(folder: Path, experiment: str, seed: int, settings: list[str]) -> Path:
    """Return the folder of a run, trained now where it was not before."""
    if not (folder / "results.json").is_file():
        begun = (folder / "provenance.json").is_file()
        new = [f"experiment={experiment}", f"seed={seed}", f"run.dir={folder}", *settings]
        command("train", [f"run.resume={folder}"] if begun else new)
    return folder


def of_run(folder: Path) -> dict[str, Any]:
    """What a run came to."""
    results = json.loads((folder / "results.json").read_text())
    found = {"figures": results["phases"][results["selected"]]["figures"], "level": "-", "gains": None}
    if (folder / "scorecard.json").is_file():  # there is none with trajectories.write=false
        card = json.loads((folder / "scorecard.json").read_text())
        found |= {"level": card["level"], "gains": card["carries"]["gains"]["fall"]}
    return found


def of_ensemble(runs: list[Path], folder: Path) -> dict[str, Any]:
    """What the ensemble of some runs came to, scored now where it was not before."""
    figures = {}
    for name, part in {"val": "valid", "test": "test"}.items():
        if not (folder / part / "ensemble.json").is_file():
            command("evaluate", [f"run=[{','.join(map(str, runs))}]", f"split={part}", f"output={folder / part}"])
        first = next(iter(json.loads((folder / part / "ensemble.json").read_text())["members"].values()))
        figures[name] = first["figures"][part]
    return {"figures": figures, "level": "-", "gains": None}


def command(door: str, arguments: list[str]) -> None:
    """Run a command of gainkt; what it prints goes on."""
    subprocess.run([sys.executable, "-m", f"gainkt.{door}", *arguments], check=True)


def show(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Print means and standard deviations over runs as Markdown, AUC; and by how much AUC falls with gains permuted."""
    print("\n| model | runs | E1 val | E2 val | E1 test | E2 test | gains carry | scorecard levels |")
    print("|---|---|---|---|---|---|---|---|")
    for name, runs in rows.items():
        cells = [said([run["figures"][part][key] for run in runs]) for part, key in FIGURES]
        gains = [run["gains"] for run in runs if run["gains"] is not None]
        levels = ", ".join(sorted({str(run["level"]) for run in runs}))
        print(f"| {name} | {len(runs)} | {' | '.join(cells)} | {said(gains) if gains else '-'} | {levels} |")


def said(values: list[float]) -> str:
    """A mean with its standard deviation, where there are several."""
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
