"""scripts/recovery.py from end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "recovery.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True)


@pytest.mark.slow
def test_it_trains_follows_and_reports(tmp_path: Path) -> None:
    output = tmp_path / "recovery"
    arguments = ["--students", "80", "--epochs", "1", "--output", str(output), "--particles", "50"]
    arguments += ["--simulate", "num_skills=5", "--simulate", "num_items=20", "--simulate", "max_length=60"]
    arguments += ["--experiments", "v4_belief+model/gain_head=own_matrix,v1_per_skill"]
    done = run(*arguments, "trainer.accelerator=cpu", "model.size.d_model=16")
    assert done.returncode == 0, done.stderr
    content = json.loads((output / "recovery.json").read_text())
    belief, v1 = "v4_belief+model/gain_head=own_matrix", "v1_per_skill"
    assert {row["source"] for row in content["mastery_after"]} >= {belief, v1, "BKT"}
    assert {row["source"] for row in content["gains"]} == {"Bayes filter", belief, v1}
    assert {row["source"] for row in content["logits"]} == {"Bayes filter", belief, v1}
    assert {row["score"] for row in content["transfer"] if row["source"] == belief} >= {"learnt matrix"}
    assert {row["control"] for row in content["controls"]} == {"shuffled labels", "shuffled Q-matrix"}
    assert (output / "recovery.md").read_text() in done.stdout
    assert (output / "recovery.png").stat().st_size > 10_000
    again = run(*arguments, "trainer.accelerator=cpu")
    assert again.returncode == 1
    assert "exists already" in again.stderr


@pytest.mark.slow
def test_what_is_misspelt_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    for arguments, message in (
        (["--experiments", "v4_belif"], "v4_belief"),
        (["--simulate", "num_skils=5"], "num_skills"),
        (["trainer.max_epoch=5"], "trainer.max_epoch"),
    ):
        done = run("--students", "20", "--output", str(tmp_path / "out"), *arguments)
        assert done.returncode == 1
        assert message in done.stderr
        assert not (tmp_path / "out").exists()
