from pathlib import Path

import pytest
from run_script import run_script

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark_serve.py"


@pytest.mark.slow
def test_it_prints_a_row_a_number_of_clients() -> None:
    pytest.importorskip("fastapi")
    done = run_script(SCRIPT, "v4_belief", "--skills", 5, "--clients", 2, "--seconds", 2)
    assert done.returncode == 0, done.stderr
    (row,) = (line.split("|") for line in done.stdout.splitlines() if line.startswith("| v4_"))
    assert int(row[6].replace(",", "")) > 0
    assert row[7].strip() == "0"
