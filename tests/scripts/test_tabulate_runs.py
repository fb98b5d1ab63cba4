"""The table of finished runs."""

from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev

from omegaconf import DictConfig
from run_script import run_script

from gainkt.train import train

SCRIPT = Path(__file__).parents[2] / "scripts" / "tabulate_runs.py"


def test_table_holds_the_runs_and_the_published_figures(config: Callable[..., DictConfig], tmp_path: Path) -> None:
    result = train(config("v1_per_skill"))
    (tmp_path / "published.csv").write_text("experiment,E1 val,E2 val,E1 test,E2 test\nv1_per_skill,.6897,.5868,,\n")
    done = run_script(SCRIPT, tmp_path / "outputs", "--published", tmp_path / "published.csv")
    assert done.returncode == 0, done.stderr
    row = done.stdout.splitlines()[-1]
    assert f"{result.metrics['val/encoder1_auc']:.4f} (.6897)" in row
    assert f"{result.metrics['test/encoder2_auc']:.4f} |" in row
    nothing = run_script(SCRIPT, tmp_path / "x")
    assert nothing.returncode == 1
    assert "no finished run" in nothing.stderr


def test_spread_over_seeds(config: Callable[..., DictConfig], tmp_path: Path) -> None:
    results = [train(config("v4_belief", f"seed={seed}")) for seed in (0, 1)]
    done = run_script(SCRIPT.with_name("tabulate_spread.py"), tmp_path / "outputs", "--checks")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    aucs = [result.metrics["test/encoder2_auc"] for result in results]
    assert "| `v4_belief` | 2 | " in lines[2]
    assert f"{mean(aucs):.4f} ± {stdev(aucs):.4f}" in lines[2]
    assert len(lines) == 3 + 1 + 2 + 11  # the second table has a row a check
    assert "T3 monotonicity violations | 0.000 ± 0.000: optimal" in done.stdout


def test_agreement_over_seeds(config: Callable[..., DictConfig], tmp_path: Path) -> None:
    runs = [
        train(config("l23_per_step", f"seed={seed}", f"run.dir={tmp_path}/runs/per_step-{seed}")) for seed in (0, 1)
    ]
    script, picture = SCRIPT.with_name("tabulate_alignment.py"), tmp_path / "curve.png"
    command = [script, tmp_path / "runs", "--columns", "E1 test AUC,r ability"]
    done = run_script(*command, "--curve", picture)
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1]
    aucs = [run.metrics["test/encoder1_auc"] for run in runs]
    assert line.startswith("| `per_step` | 2 | ")
    assert f"{mean(aucs):.4f} ± {stdev(aucs):.4f}" in line
    assert picture.stat().st_size > 10_000
    wrong = run_script(*command[:-1], "E1")
    assert wrong.returncode == 1
    assert "no column 'E1'" in wrong.stderr
    nothing = run_script(*command, "--only", "none")
    assert nothing.returncode == 1
    assert "no run with an alignment.json" in nothing.stderr
