"""Look before you read: `python -m gainkt.inspect <file or folder>` says what data it is and how it is read.

What cannot be told is given as in training: `gainkt inspect answers.csv dataset.read.student=pupil`.
"""

from __future__ import annotations

import sys

from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console
from rich.table import Table

from gainkt.arguments import quote_text
from gainkt.config import one_line, user_errors
from gainkt.console import make_console
from gainkt.data.inspection import Finding, inspect
from gainkt.data.log import NO_FOLD
from gainkt.data.readers.options import KEY
from gainkt.interruption import ended_in_one_line

__all__ = ["Finding", "inspect", "main", "report"]


def report(finding: Finding, console: Console) -> None:
    """Print a finding."""
    said = f"read as dataset={finding.dataset}" if finding.dataset else "not known"
    console.print(f"{finding.path}: {said}", soft_wrap=True, markup=False)
    for reason in finding.reasons:
        console.print(f"  {reason}", soft_wrap=True, markup=False)
    for problem in finding.doubts + finding.problems:
        console.print(f"  ! {problem}", soft_wrap=True, markup=False)
    if finding.log is None:
        console.print("Not read: settle what stands above first.")
        return
    log, table = finding.log, Table(show_header=False)
    left = {f"left out: {reason}": count for reason, count in log.account.get("left_out", {}).items()}
    converted = log.account.get("converted", {})
    counts = {"students": log.num_students, "steps": log.num_steps, "skills": log.num_skills, "items": log.num_items}
    folds = "none" if (log.folds == NO_FOLD).all() else "given by the source"
    same = log.num_students - len(set(log.histories[log.lengths >= 10].tolist())) - int((log.lengths < 10).sum())
    for what, count in {**counts, **left, **converted, "rows folded": log.account.get("folded", 0)}.items():
        table.add_row(what, f"{count:,}")
    table.add_row("folds", folds)
    table.add_row("students with the history of another (10 steps or more)", f"{same:,}")
    console.print(table)
    if finding.doubts + finding.problems:
        console.print("The settings of this command answer what stands above; look whether they say what you mean:")
    console.print(finding.command, soft_wrap=True, markup=False)


def main() -> None:
    """Entry point of the command."""
    asks = sys.argv[1:2] in (["-h"], ["--help"])
    if asks or len(sys.argv) < 2 or not all(word.startswith(f"{KEY}.") and "=" in word for word in sys.argv[2:]):
        print(f"usage: python -m gainkt.inspect <file or folder> [{KEY}.<setting>=<value> ...]", file=sys.stderr)
        sys.exit(0 if asks else 2)
    with ended_in_one_line():
        try:
            given = OverridesParser.create().parse_overrides(quote_text(sys.argv[2:]))
            finding = inspect(sys.argv[1], **{one.key_or_group.removeprefix(f"{KEY}."): one.value() for one in given})
        except user_errors() as error:
            said = one_line(error)
            place = "" if sys.argv[1] in said else f"{sys.argv[1]}: "
            print(f"gainkt: error: {place}{said}", file=sys.stderr)
            sys.exit(1)
        report(finding, make_console())


if __name__ == "__main__":
    main()
