"""The table of docs/datasets.md is what a user gets."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_table_of_cases() -> None:
    said = (ROOT / "docs" / "datasets.md").read_text().split("<!-- cases -->\n")[1].split("<!-- /cases -->")[0]
    command = [sys.executable, "scripts/tabulate_cases.py", "tests/data/cases"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert found == said, "docs/datasets.md is out of date: python scripts/tabulate_cases.py tests/data/cases"
