"""The benchmark of a GPU runs to its end without one, at small sizes, and says what it did not measure."""

import json
from pathlib import Path

import pytest

import benchmark_gpu


def test_it_runs_to_its_end_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_gpu, "CUDA", False)
    assert benchmark_gpu.main(["--tiny", "--json", str(tmp_path / "gpu.json")]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert len(found["speed"]) == 4
    assert sum("interactions_a_second" in record for record in found["speed"]) >= 3
    assert all("not measured" in r or r["interactions_a_second"] > 0 for r in found["speed"])
    assert found["best_epoch"]["seconds"] > 0
    assert found["large"]["epoch_seconds"] >= 0


def test_without_a_gpu_only_small_sizes(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_gpu, "CUDA", False)
    assert benchmark_gpu.main(["--json", "nowhere.json"]) == 1
    assert "torch finds no GPU" in capsys.readouterr().err
