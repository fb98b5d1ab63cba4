from pathlib import Path

from run_script import run_script

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark_tracer.py"


def test_it_prints_a_row_an_experiment() -> None:
    done = run_script(SCRIPT, "v4_belief", "--skills", 5, "--students", 20, "--answers", 200)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| v4_")]
    assert len(rows) == 1
    assert len(rows[0].split("|")) == 13
