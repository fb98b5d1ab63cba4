"""Measure what mastery is worth, for docs/tutoring.md: train on earlier cohorts, teach new students, print the tables.

    python scripts/measure_teaching.py --root outputs/teaching

What stands is not done again: a run that has results.json, a condition that has teach.json. A condition is a policy of
earlier practice and a rate of forgetting; it has a run of each experiment and seed, each seed with skills, items and
students of its own. On two cores a run takes about a minute, and teaching 500 students some minutes a seed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import product
from pathlib import Path


def main() -> None:
    """Train, teach and print, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("outputs/teaching"), help="folder of runs and results")
    parser.add_argument("--seeds", type=int, default=5, help="simulations of each condition")
    parser.add_argument("--experiments", nargs="+", default=["v4_belief"])
    parser.add_argument("--policies", nargs="+", default=["mixed", "mastery"], help="of the earlier cohorts")
    parser.add_argument("--forgetting", nargs="+", type=float, default=[0.0, 0.02])
    parser.add_argument("--read", nargs="*", default=[], help="more of dataset.read for the earlier, median_length=150")
    parser.add_argument("--students", type=int, default=500, help="new students of each simulation")
    parser.add_argument(
        "--logs", nargs="*", default=[], help="folders of runs on real data, to be told their test part"
    )
    parser.add_argument("more", nargs="*", help="settings of gainkt.teach, as controls=true")
    asked = parser.parse_intermixed_args()
    for policy, forgetting in product(asked.policies, asked.forgetting):
        read = {"policy": policy, "forgetting": forgetting, **dict(pair.split("=", 1) for pair in asked.read)}
        condition = asked.root / "-".join([policy, f"{forgetting:g}", *asked.read]).replace("=", "_")
        runs = [
            trained(condition / "runs" / experiment / str(seed), experiment, seed, read)
            for experiment, seed in product(asked.experiments, range(asked.seeds))
        ]
        given = [f"run=[{','.join(map(str, runs))}]", f"students={asked.students}", *asked.more]
        show(f"earlier practice {read}", taught(condition / "teach", given))
    for run in asked.logs:
        show_logs(run, taught(asked.root / "logs" / Path(run).name, [f"run={run}", *asked.more]))


def trained(folder: Path, experiment: str, seed: int, read: dict[str, object]) -> Path:
    """Return the folder of a run, trained now where it was not before."""
    if not (folder / "results.json").is_file():
        begun = (folder / "provenance.json").is_file()
        new = [f"experiment={experiment}", f"seed={seed}", f"run.dir={folder}", "trajectories.write=false"]
        new += [f"dataset.read.{key}={value}" for key, value in {**read, "seed": seed}.items()]
        command("train", [f"run.resume={folder}"] if begun else new)
    return folder


def taught(folder: Path, given: list[str]) -> dict:
    """Return what teaching found, done now where it was not before."""
    if not (folder / "teach.json").is_file():
        command("teach", [*given, f"output={folder}"])
    return json.loads((folder / "teach.json").read_text())


def command(door: str, arguments: list[str]) -> None:
    """Run a command of gainkt; what it prints goes on."""
    subprocess.run([sys.executable, "-m", f"gainkt.{door}", *arguments], check=True)


def show(title: str, content: dict) -> None:
    """Print a condition's table as Markdown."""
    against = list(content["estimators"][0]["against"])
    print(f"\n### {title}\n")
    print("| estimator | opportunities |" + "".join(f" x {name} |" for name in against) + " over | limit |")
    print("|---|---|" + "---|" * (len(against) + 2))
    for row in content["estimators"]:
        cells = [said(row["opportunities"]), *(said(row["against"][name]) for name in against), said(row["over"])]
        limit = row["limit"]["value"]
        print(f"| {row['name']} | {' | '.join(cells)} | {'-' if limit is None else f'{limit:.0%}'} |")


def show_logs(title: str, content: dict) -> None:
    """Print what a log says as Markdown."""
    print(f"\n### {title}: {content['opportunities']:,} opportunities, {content['right']:.3f} right\n")
    print(
        "| estimator | left out | right when left out | right when kept | wheel-spinning recall | others undeclared |"
    )
    print("|---|---|---|---|---|---|")
    for row in content["estimators"]:
        spinning = row["wheel_spinning"]
        cells = [
            f"{row['left_out']['value']:.3f}",
            said(row["right_when_left_out"], 3),
            f"{row['right_when_kept']:.3f}",
        ]
        cells += ["-" if spinning[key] is None else f"{spinning[key]:.3f}" for key in ("recall", "others")]
        print(f"| {row['name']} | {' | '.join(cells)} |")


def said(found: dict, digits: int = 2) -> str:
    """A figure with its interval."""
    if found["value"] is None:
        return "not reached"
    ends = found["interval"]
    return f"{found['value']:.{digits}f}" + ("" if ends is None else f" [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]")


if __name__ == "__main__":
    main()
