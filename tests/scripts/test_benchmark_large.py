"""The benchmark of large logs runs to its end at tiny size."""

import json
from pathlib import Path

import pytest
from run_script import run_script

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark_large.py"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from Linux's /proc")
def test_a_run_of_a_log_in_the_shape_of_ednet(tmp_path: Path) -> None:
    found = {}
    for part in ("write", "run", "turns"):  # in this process, where the command takes one for each
        done = run_script(
            *(SCRIPT, f"--here={part}", f"--folder={tmp_path}", "--interactions=20000", "--batches=2"),
            *("--set", "model.size.d_model=8", "dataset.tokens_per_batch=512"),
        )
        assert done.returncode == 0, done.stderr
        found |= json.loads(done.stdout.splitlines()[-1])
    assert found.pop("20000") > 0, "interactions a second, in turn"
    assert list(found)[-3:] == ["pictures", "export", "gather batches"]
    assert 512 < found["train"]["interactions"] <= 1024
    assert found["open, split, build"]["interactions"] == pytest.approx(20_000, rel=0.05)
    assert all(x["peak_mib"] >= x["own_mib"] > 0 and x["wall_s"] > 0 for x in found.values())
    assert (tmp_path / "20000" / "model.gainkt").is_file()
