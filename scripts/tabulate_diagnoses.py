"""Put the six causes of a weak Encoder 2 side by side for several runs: `python scripts/tabulate_diagnoses.py RUN...`.

Reads diagnosis.json and scorecard.json, which `python -m gainkt.diagnose run=...` and training leave in a run's folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gainkt.digests import read_json
from gainkt.runs.folder import way_out

Measured = Mapping[str, Any]


def saturated(found: Measured, skills: str) -> str:
    """Return the saturated share of cells at steps 2, 4 and from 10 on."""
    by_step = {entry["steps"]: entry for entry in found["by_step"]}
    late = [by_step[steps] for steps in ("10-19", "20+") if steps in by_step]
    share = sum(e[skills] * e["count"] for e in late) / max(sum(e["count"] for e in late), 1)
    early = [f"{by_step[step][skills]:.0%}" for step in ("2", "4")]
    return " / ".join([*early, f"{share:.0%}"])


ROWS: tuple[tuple[str, str, Callable[[Measured], str]], ...] = (
    (
        "1. gain at the practised skill: mean (std)",
        "gains",
        lambda m: f"{m['practised']['mean']:.3f} ({m['practised']['std']:.3f})",
    ),
    ("1. gains across skills within a step: std", "gains", lambda m: f"{m['across_skills_std']:.3f}"),
    (
        "1. the left-over, which was reported: mean (std)",
        "left_over",
        lambda m: f"{m['left_over']['mean']:.3f} ({m['left_over']['std']:.4f})",
    ),
    ("2. saturated cells, practised skills: step 2 / 4 / 10+", "saturation", lambda m: saturated(m, "practised")),
    ("2. saturated cells, other skills: step 2 / 4 / 10+", "saturation", lambda m: saturated(m, "other")),
    ("3. reachable range of p2", "reachable_range", lambda m: "{:.2f}-{:.2f}".format(*m["pooled"])),
    ("3. range that p2 takes", "reachable_range", lambda m: "{:.2f}-{:.2f}".format(*m["predicted"])),
    ("3. skills whose base rate lies outside", "reachable_range", lambda m: f"{m['skills_out_of_reach']}"),
    ("4. AUC read from the step's own skill", "wrong_skill", lambda m: f"{m['auc']:.3f}"),
    (
        "4. AUC read from the skill practised last",
        "wrong_skill",
        lambda m: f"{m['auc_of_the_skill_practised_last']:.3f}",
    ),
    ("4. steps read against a wrong skill here", "wrong_skill", lambda m: f"{m['mastery_mismatches']}"),
    (
        "gain after right / after wrong",
        "gains",
        lambda m: f"{m['after_right']:.3f} / {m['after_wrong']:.3f}",
    ),
    ("AUC lost when a student's gains are permuted", "gains", lambda m: f"{m['auc_lost_when_permuted']:.3f}"),
)


def table_of(folders: list[Path]) -> str:
    """Return the Markdown table, a column a run."""
    read = [read_json(folder / "diagnosis.json", way_out(folder / "diagnosis.json"), {}) for folder in folders]
    cards = [read_json(folder / "scorecard.json", way_out(folder / "scorecard.json"), {}) for folder in folders]
    names = [f"`{diagnosis['protocol']['name']}`" for diagnosis in read]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for title, finding, text in ROWS:
        cells = []
        for diagnosis in read:
            found = next(entry for entry in diagnosis["findings"] if entry["name"] == finding)
            cells.append(text(found["measured"]) if found["status"] != "unmeasured" else "-")
        lines.append("| " + " | ".join([title, *cells]) + " |")
    for check, title in (
        ("mastery_response_correlation", "6. mastery-response r, of what is attainable"),
        ("t1_gain_differentiation", "6. std across skills (T1), of what is attainable"),
    ):
        found = [next(entry for entry in card["checks"] if entry["name"] == check) for card in cards]
        cells = [f"{entry['value']:.3f} of {entry['ceiling']:.3f}" if entry["ceiling"] else "-" for entry in found]
        lines.append("| " + " | ".join([title, *cells]) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    folders = parser.parse_args().runs
    lacking = [str(f) for f in folders if not all((f / x).is_file() for x in ("diagnosis.json", "scorecard.json"))]
    if lacking:
        print(
            f"error: no diagnosis.json or scorecard.json in {', '.join(lacking)}; run gainkt.diagnose", file=sys.stderr
        )
        return 1
    print(table_of(folders))
    return 0


if __name__ == "__main__":
    sys.exit(main())
