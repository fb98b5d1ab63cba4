"""The benchmark of a GPU runs to its end without one, at small sizes, and says what it did not measure."""

import json
from pathlib import Path

import pytest
import torch
from run_script import run_script

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark_gpu.py"


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_it_runs_to_its_end_on_a_cpu(tmp_path: Path) -> None:
    refused = run_script(SCRIPT, "--json", tmp_path / "gpu.json")
    assert (refused.returncode, "torch finds no GPU" in refused.stderr) == (1, True)
    done = run_script(SCRIPT, "--tiny", "--json", tmp_path / "gpu.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert [record["precision"] for record in found["speed"]] == ["fp32", "fp32", "fp32", "bf16", "fp32", "bf16"]
    assert found["waits"] == {"not measured": "no GPU"}
    assert all("not measured" in record or record["interactions_a_second"] > 0 for record in found["speed"])
    assert found["best_epoch"]["seconds"] > 0
    assert found["large"]["epoch_seconds"] >= 0
