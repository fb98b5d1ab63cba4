"""Summarise a sweep, finished or not: `python scripts/summarize_sweep.py outputs/v1_per_skill/sweep-... --alpha .5`.

Writes runs.csv, runs.json, report.md and figures/ into the sweep's folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gainkt.sweeping.summary.report import summarize


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the sweep, of a search, or any that holds runs")
    parser.add_argument(
        "--alpha", type=float, default=0.5, help="weight of Encoder 2's AUC in the ranking (default .5)"
    )
    options = parser.parse_args()
    try:
        summarize(options.folder, options.alpha)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"report: {options.folder / 'report.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
