"""What a user gets for each file of a folder: `python scripts/tabulate_cases.py tests/data/cases`.

docs/datasets.md holds the table: for each file what `gainkt inspect` proposes and what comes out; what is refused
without that stands there as asked.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from gainkt.arguments import hydra_text
from gainkt.data.datamodule import told
from gainkt.data.inspection import Finding, inspect
from gainkt.data.log import NO_FOLD
from gainkt.errors import ConfigError, DataError

HEADER = "| file | read as | what is asked or doubted | what comes out |\n|---|---|---|---|"


def row(path: Path) -> str:
    """Return the line of a file."""
    try:
        finding = inspect(path)
    except (DataError, ConfigError) as error:
        return f"| {path.name} | - | {_said(str(error), path)} | an error |"
    read = [f"{key}={hydra_text(value)}" for key, value in finding.settings.items()]
    settings = ", ".join([f"`dataset={finding.dataset}`", *(f"`{one}`" for one in read)])
    asked = "; ".join(_said(text, path) for text in finding.doubts + finding.problems)
    return f"| {path.name} | {_cell(settings)} | {asked} | {_outcome(finding)} |"


def _outcome(finding: Finding) -> str:
    if finding.log is None:
        return "not read before that is settled"
    log = finding.log
    counts = {"students": log.num_students, "steps": log.num_steps, "skills": log.num_skills, "items": log.num_items}
    said = [f"{count:,} {what}" for what, count in counts.items() if count]
    said += ["folds as given"] if (log.folds != NO_FOLD).any() else []
    return _cell(", ".join([*said, *(one for one in told(log.account) if "published" not in one)]))


def _said(text: str, path: Path) -> str:
    """The start of a message, without the path."""
    text = text.replace(f"{path}: ", "").split("; ")[0]
    return _cell(text if len(text) < 160 else text[:157] + "...")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Run the command."""
    logging.disable(logging.WARNING)
    files = sorted(path for path in Path(sys.argv[1]).iterdir() if path.name != "README.md")
    print("\n".join([HEADER, *map(row, files)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
