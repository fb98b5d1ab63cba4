"""Agreement with a reference over runs: `python scripts/tabulate_alignment.py outputs/alignment --curve curve.png`.

One row a group of runs, those whose folders differ in the last `-<seed>` only: AUC of both heads, the losses, scales
and correlations of alignment.json, mean and +- standard deviation over the group. With `--curve` also a picture of both
AUCs against the agreement of abilities (`--against "mastery"` for another quantity).
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from gainkt.digests import read_json
from gainkt.reporting.figures import MARKERS, save_figure
from gainkt.runs.folder import way_out
from tabulate_spread import spread

Content = dict[str, Any]
COLUMNS: dict[str, tuple[Callable[[Content], float | None], int]] = {
    "E1 test AUC": (lambda c: c["auc"]["encoder1"], 4),
    "E2 test AUC": (lambda c: c["auc"]["encoder2"], 4),
    "l_21 (KL)": (lambda c: c["losses"]["l_21"]["kl"], 4),
    "l_22": (lambda c: c["losses"]["l_22"], 4),
    "l_23 per step": (lambda c: c["losses"]["l_23"]["dynamic"]["per_step"], 3),
    "l_23 averaged": (lambda c: c["losses"]["l_23"]["dynamic"]["averaged"], 3),
    "theta std": (lambda c: c["scales"]["theta"]["std"], 2),
    "beta std": (lambda c: c["scales"]["beta"]["std"], 2),
    "r ability": (lambda c: c["agreement"]["ability, dynamic"]["pearson"], 3),
    "r ability static": (lambda c: c["agreement"]["ability, static"]["pearson"], 3),
    "r ability a student": (lambda c: c["agreement"]["ability, dynamic"]["pearson_per_student"], 3),
    "r difficulty": (lambda c: c["agreement"]["difficulty"]["pearson"], 3),
    "r mastery": (lambda c: c["agreement"]["mastery"]["pearson"], 3),
    "r gain": (lambda c: c["agreement"].get("gain, mean a skill", {}).get("pearson"), 3),
    "r p2": (lambda c: c["agreement"]["prediction"]["pearson"], 3),
}
"""What is tabulated, and its digits; l_23 is against the ability before each step, whatever was trained on."""


def read(root: Path) -> dict[str, list[Content]]:
    """Read every alignment.json under a folder, by group."""
    groups: dict[str, list[Content]] = defaultdict(list)
    for path in sorted(root.rglob("alignment.json")):
        groups[re.sub(r"-\d+$", "", path.parent.name)].append(read_json(path, way_out(path), {}))
    return groups


def table(groups: dict[str, list[Content]], names: Sequence[str]) -> str:
    """Return the figures as Markdown, one row a group."""
    lines = ["| " + " | ".join(("runs of", "n", *names)) + " |", "|---" * (len(names) + 2) + "|"]
    for group, runs in groups.items():
        cells = [spread([COLUMNS[name][0](run) for run in runs], COLUMNS[name][1]) for name in names]
        lines.append("| " + " | ".join([f"`{group}`", str(len(runs)), *cells]) + " |")
    return "\n".join(lines)


def curve(groups: dict[str, list[Content]], against: str) -> Figure:
    """Both heads' AUC against the agreement with the reference, a mark a run; groups of one prefix share a line."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots(1, 2)
    families: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for group, runs in groups.items():
        for run in runs:
            x = run["agreement"][against]["pearson"]
            if x is None:
                continue
            families[re.sub(r"-[\d.e-]+$", "", group)].append((x, run["auc"]["encoder1"], run["auc"]["encoder2"]))
    for place, (family, points) in enumerate(sorted(families.items())):
        points.sort()
        for which, panel in enumerate(axes, start=1):
            at = ([p[0] for p in points], [p[which] for p in points])
            panel.plot(*at, "-", marker=MARKERS[place % len(MARKERS)], markersize=5, label=family)
    reference = next(iter(groups.values()))[0]
    axes[1].axhline(reference["auc"]["reference"], color="black", linestyle=":", linewidth=1)
    axes[1].annotate(reference["protocol"]["reference"], (0.01, reference["auc"]["reference"]), fontsize=8,
                     xycoords=("axes fraction", "data"), va="bottom")  # fmt: skip
    for panel, title in zip(axes, ("Encoder 1 (black box)", "Encoder 2 (aligned)"), strict=True):
        panel.set(xlabel=f"correlation with the reference: {against}", ylabel="test AUC", title=title)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    return figure


def main() -> None:
    """Print the table, and draw the curve if asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="folder with runs that have an alignment.json")
    parser.add_argument("--columns", default=",".join(COLUMNS), help="columns, separated by commas")
    parser.add_argument("--only", default="", help="only groups whose name matches this regular expression")
    parser.add_argument("--curve", type=Path, help="where to draw AUC against agreement, a PNG")
    parser.add_argument("--against", default="ability, dynamic", help="quantity of the curve's x axis")
    arguments = parser.parse_args()
    names = arguments.columns.split(",")
    unknown = [name for name in names if name not in COLUMNS]
    groups = {name: runs for name, runs in read(arguments.root).items() if re.search(arguments.only, name)}
    if unknown:
        sys.exit(f"--columns: no column {unknown[0]!r}; choose among {', '.join(COLUMNS)}")
    if not groups:
        sys.exit(f"{arguments.root}: no run with an alignment.json in it; train with a reference, or run gainkt.align")
    print(table(groups, names))
    if arguments.curve:
        save_figure(curve(groups, arguments.against), arguments.curve)


if __name__ == "__main__":
    main()
