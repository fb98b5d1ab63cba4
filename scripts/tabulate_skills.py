"""What mastery says of skills: `python scripts/tabulate_skills.py <run> ...` of runs with trajectories.parquet.

For each skill with enough students who had ten opportunities or more (a further attempt at the item of the step before
is none): their mean mastery before the first and after the tenth, as believed at the time, and the share of their
first and last right responses. What the black box says of these students is p alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from gainkt.evaluation.evidence import further_attempts

OPPORTUNITIES = 10
STUDENTS = 30
SMALL, LARGE = 0.05, 0.2
"""Rise of mastery over ten opportunities that is hardly any, and that is large."""


def courses(folder: Path) -> pd.DataFrame:
    """A row a skill: students, first and tenth mastery (before, after), rise, first and tenth response, gain a step."""
    cells = pd.read_parquet(folder / "trajectories.parquet").sort_values(["student", "step"], kind="stable")
    item = pd.read_parquet(folder / "predictions.parquet", columns=["student", "step", "item"])
    item["again"] = further_attempts(item)
    cells = cells.merge(item[["student", "step", "again"]], on=["student", "step"])
    cells = cells[~cells["again"]]
    own = cells.groupby(["student", "skill"], sort=False, observed=True)
    cells = cells.assign(number=own.cumcount() + 1, of=own["step"].transform("size"))
    long = cells[cells["of"] >= OPPORTUNITIES]
    first, tenth = (long[long["number"] == n].groupby("skill", observed=True) for n in (1, OPPORTUNITIES))
    found = pd.DataFrame(
        {
            "students": first.size(),
            "before": first["mastery_before"].mean(),
            "after": tenth["mastery"].mean(),
            "right_first": first["response"].mean(),
            "right_tenth": tenth["response"].mean(),
            "gain": long[long["number"] <= OPPORTUNITIES].groupby("skill", observed=True)["gain"].mean(),
        }
    )
    found["rise"] = found["after"] - found["before"]
    return found[found["students"] >= STUDENTS].sort_values("rise")


def main(folders: list[str]) -> None:
    """Print what stands out, a paragraph a run."""
    for folder in map(Path, folders):
        found = courses(folder)
        print(f"{folder}: {len(found)} skills with {STUDENTS} students of {OPPORTUNITIES} opportunities or more")
        if found.empty:
            continue
        print(
            f"  mastery {found['before'].mean():.2f} before the first, {found['after'].mean():.2f} after the tenth, "
            f"right {found['right_first'].mean():.2f} and {found['right_tenth'].mean():.2f} (means over skills); "
            f"correlation of the rise with that of right responses over skills "
            f"{found['rise'].corr(found['right_tenth'] - found['right_first']):.2f}"
        )
        for what, some in (
            (f"rise by under {SMALL}", found[found["rise"] < SMALL]),
            (f"rise by over {LARGE}", found[found["rise"] > LARGE]),
        ):
            print(f"  {len(some)} {what}")
        shown = pd.concat([found.head(4), found.tail(4)]) if len(found) > 8 else found
        print(shown.round(2).to_string())


if __name__ == "__main__":
    main(sys.argv[1:])
