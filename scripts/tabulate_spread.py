"""Mean and spread of runs over folds and seeds as Markdown: `python scripts/tabulate_spread.py outputs/v4-2015`.

One row an experiment (or a folder, with `--by folder`): test AUC of both encoders, what carries Encoder 2's prediction,
the values of the checks named by `--values t1_gain_differentiation,...`, and with `--checks` a second table with every
check of the scorecard. Mean, and +- the standard deviation over runs.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from gainkt.digests import read_json
from gainkt.runs.folder import way_out

PARTS = {
    "gains": "gains permuted",
    "gain_sizes": "gains at mean",
    "velocity": "velocity at mean",
    "readiness": "readiness at mean",
}
"""What is put out of action; the columns hold the AUC that is lost."""
MARKS = {"optimal": "optimal", "target": "target", "minimum": "minimum", "none": "fails"}


def spread(values: list[float | None], digits: int = 4) -> str:
    """Write the mean, and the standard deviation where there are several values."""
    known = [float(value) for value in values if value is not None]
    if not known:
        return "-"
    return f"{mean(known):.{digits}f}" + (f" ± {stdev(known):.{digits}f}" if len(known) > 1 else "")


def read(folder: Path) -> dict[str, Any]:
    """Read what one run reached at its selected checkpoint."""
    results = read_json(folder / "results.json", way_out(folder / "results.json"), {"selected": str, "phases": dict})
    entry = results["phases"][results["selected"]]
    card = folder / "scorecard.json"
    test = entry["figures"]["test"]
    return {
        "name": results["name"],
        "folder": folder.name,
        "test": (test["encoder1_auc"], test["encoder2_auc"]),
        "card": read_json(card, way_out(card), {}) if card.is_file() else None,
    }


def figures_table(groups: dict[str, list[dict[str, Any]]], label: str, values: list[str]) -> str:
    """Return AUC, what carries the prediction and the values of some checks, one row a group."""
    titles = (label, "runs", "E1 test AUC", "E2 test AUC", "E1 - E2", *PARTS.values(), *values, "level")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for name, runs in groups.items():
        cards = [run["card"] for run in runs if run["card"]]
        falls = [spread([card["carries"].get(part, {}).get("fall") for card in cards], 3) for part in PARTS]
        levels = ", ".join(f"{level} ({n})" for level, n in Counter(card["level"] for card in cards).most_common())
        auc = [spread([run["test"][i] for run in runs]) for i in (0, 1)]
        lead = spread([run["test"][0] - run["test"][1] for run in runs])
        checks = [{check["name"]: check["value"] for check in card["checks"]} for card in cards]
        asked = [spread([of.get(value) for of in checks], 3) for value in values]
        lines.append("| " + " | ".join([f"`{name}`", str(len(runs)), *auc, lead, *falls, *asked, levels or "-"]) + " |")
    return "\n".join(lines)


def checks_table(groups: dict[str, list[dict[str, Any]]]) -> str:
    """Return the checks in rows, a column a group: mean, spread, and the lowest level over the runs."""
    cards = {name: [run["card"] for run in runs if run["card"]] for name, runs in groups.items()}
    cards = {name: found for name, found in cards.items() if found}
    lines = ["| check | " + " | ".join(f"`{name}`" for name in cards) + " |", "|---" * (len(cards) + 1) + "|"]
    for number, check in enumerate(next(iter(cards.values()))[0]["checks"]):
        cells = []
        for found in cards.values():
            checks = [card["checks"][number] for card in found]
            lowest = max((list(MARKS).index(c["level"]), c["level"]) for c in checks)[1]
            beyond = sorted({level for c in checks for level in c["out_of_reach"]}, key=list(MARKS).index, reverse=True)
            values = [c["value"] for c in checks]
            value = "yes" if all(v is True for v in values) else spread(values, 3)
            reach = f"; {' and '.join(beyond)} out of reach" if beyond else ""
            cells.append(f"{value}: {MARKS[lowest]}{reach}")
        lines.append(f"| {check['title']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or folders that hold some")
    parser.add_argument("--by", choices=("name", "folder"), default="name", help="what makes runs one row")
    parser.add_argument("--values", default="", help="checks whose values are columns of the first table")
    parser.add_argument("--checks", action="store_true", help="also every check of the scorecard")
    options = parser.parse_args()
    folders = sorted({path.parent for run in options.runs for path in run.rglob("results.json")})
    if not folders:
        print(f"error: no finished run (results.json) under {', '.join(map(str, options.runs))}", file=sys.stderr)
        return 1
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for folder in folders:
        run = read(folder)
        groups[run[options.by]].append(run)
    values = [value for value in options.values.split(",") if value]
    print(figures_table(groups, "experiment" if options.by == "name" else "run", values))
    if options.checks and any(run["card"] for runs in groups.values() for run in runs):
        print("\n" + checks_table(groups))
    return 0


if __name__ == "__main__":
    sys.exit(main())
