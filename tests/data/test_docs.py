"""The table of docs/datasets.md is what a user gets."""

import logging
from pathlib import Path

from run_script import run_script

ROOT = Path(__file__).parents[2]


def test_table_of_cases() -> None:
    said = (ROOT / "docs" / "datasets.md").read_text().split("<!-- cases -->\n")[1].split("<!-- /cases -->")[0]
    try:
        done = run_script(ROOT / "scripts" / "tabulate_cases.py", "tests/data/cases", cwd=ROOT)
    finally:
        logging.disable(logging.NOTSET)  # the script disables warnings for its process
    assert done.returncode == 0, done.stderr
    assert done.stdout == said, "docs/datasets.md is out of date: python scripts/tabulate_cases.py tests/data/cases"
