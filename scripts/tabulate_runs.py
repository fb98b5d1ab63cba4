"""Put finished runs into one Markdown table: `python scripts/tabulate_runs.py outputs/sweep/*`.

Give `--published FILE` (columns experiment, E1 val, E2 val, E1 test, E2 test) to set published figures beside them.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

from gainkt.digests import read_json
from gainkt.runs.folder import way_out

COLUMNS = ("E1 val", "E2 val", "E1 test", "E2 test")


def row_of(folder: Path) -> dict[str, Any]:
    """Read one run's figures at its selected checkpoint."""
    results = read_json(folder / "results.json", way_out(folder / "results.json"), {"selected": str, "phases": dict})
    entry = results["phases"][results["selected"]]
    row: dict[str, Any] = {"experiment": results["name"], "epoch": entry["epoch"]}
    for encoder, number in (("E1", 1), ("E2", 2)):
        for split in ("val", "test"):
            row[f"{encoder} {split}"] = entry["figures"][split][f"encoder{number}_auc"]
    card = folder / "scorecard.json"
    if card.is_file():
        read = read_json(card, way_out(card), {})
        row["level"] = read["level"]
        row["failed"] = sum(check["verdict"] == "fail" for check in read["checks"])
    return row


def markdown(rows: list[dict[str, Any]], published: dict[str, dict[str, str]]) -> str:
    """Return the table; a published figure stands in brackets behind the measured one."""
    lines = ["| experiment | epoch | " + " | ".join(COLUMNS) + " | scorecard level | checks failed |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in rows:
        known = published.get(row["experiment"], {})
        cells = [f"{row[c]:.4f}" + (f" ({known[c]})" if known.get(c) else "") for c in COLUMNS]
        judged = [str(row.get("level", "-")), f"{row['failed']} of 11" if "failed" in row else "-"]
        lines.append("| " + " | ".join([f"`{row['experiment']}`", str(row["epoch"]), *cells, *judged]) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or folders that hold some")
    parser.add_argument("--published", type=Path, help="CSV with published figures")
    options = parser.parse_args()
    folders = sorted({path.parent for run in options.runs for path in run.rglob("results.json")})
    if not folders:
        print(f"error: no finished run (results.json) under {', '.join(map(str, options.runs))}", file=sys.stderr)
        return 1
    published = {}
    if options.published:
        with options.published.open() as file:
            published = {line["experiment"]: line for line in csv.DictReader(file)}
    print(markdown(sorted((row_of(folder) for folder in folders), key=lambda row: row["experiment"]), published))
    return 0


if __name__ == "__main__":
    sys.exit(main())
