"""The exported model says what the model says, without torch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from made_trained import ITEMS, SKILLS, V4, history, steps_of, trained

from gainkt.errors import ConfigError
from gainkt.runs.export import Histories

onnxruntime = pytest.importorskip("onnxruntime")
EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_tracer.py"


def sessions(folder: Path):
    onnxruntime.set_default_logger_severity(3)
    return [onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("histories", "step")]


def compare_histories(model, session, students: int, steps: int, slots: int) -> float:
    draw = np.random.default_rng(0)
    skills = draw.permuted(np.tile(np.arange(7), (students, steps, 1)), axis=2)[..., :slots].astype(np.int64)
    skills[..., 1:][draw.random((students, steps, slots - 1)) < 0.5] = -1
    item, right = draw.integers(-1, len(ITEMS), (students, steps)), draw.integers(0, 2, (students, steps))
    given = {"skills": skills, "item": item, "right": right.astype(np.float32)}
    with torch.inference_mode():
        expected = [x.numpy() for x in Histories(model.network)(*map(torch.from_numpy, given.values()))]
    found = session.run(None, given)
    return max(float(np.abs(a - b).max()) for a, b in zip(expected, found, strict=True))


def test_without_torch(tmp_path: Path) -> None:
    model, table = trained(), history(12)
    folder = model.export(tmp_path / "onnx")
    run = f"runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')"
    code = f"import runpy, sys; sys.modules['torch'] = None; sys.argv = ['x', {str(folder)!r}]; {run}"
    lines = "".join(f"{row.skill}\t{row.item}\t{row.correct}\n" for row in table.itertuples())
    done = subprocess.run([sys.executable, "-c", code], input=lines, capture_output=True, text=True, check=True)
    said, trace = done.stdout.splitlines(), model.start()
    for line, answer in zip(said, steps_of(table), strict=True):
        trace = model.observe(trace, **answer)
        for skill, mastery in json.loads(line).items():
            assert abs(mastery - model.outlook(trace)["mastery"][skill]) < 1e-4
    assert compare_histories(model, sessions(folder)[0], 20, 9, 3) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("experiment", V4)
def test_a_thousand_histories(tmp_path: Path, experiment: str) -> None:
    model = trained(experiment)
    folder = model.export(tmp_path / "onnx")
    whole, step = sessions(folder)
    worst = [compare_histories(model, whole, 1000, 40, 2)]
    kinds = {x.name: (x.shape, np.int64 if "int64" in x.type else np.float32) for x in step.get_inputs()[3:]}
    state, trace = {name: np.zeros(*kind) for name, kind in kinds.items()}, model.start()
    for answer in steps_of(history(60)):
        numbers = [SKILLS.index(name) for name in answer["skill"]]
        given = {
            "skills": np.array([numbers + [-1] * (4 - len(numbers))]),
            "item": np.array([ITEMS.index(answer["item"])]),
            "right": np.array([answer["correct"]], np.float32),
        }
        said = step.run(None, given | state)
        state, trace = dict(zip(kinds, said[3:], strict=True)), model.observe(trace, **answer)
        now = model.outlook(trace)
        for name, found in zip(("p1", "p2", "mastery"), said, strict=False):
            worst.append(float(np.abs(now[name].to_numpy() - found[0]).max()))
    print(f"{experiment}: histories {worst[0]:.1e}, one answer at a time {max(worst[1:]):.1e}")
    assert max(worst) < 1e-5


def test_what_has_no_counterpart_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*given, **settings):
        raise torch.onnx.errors.OnnxExporterError("Unsupported: aten::x\nmore")

    monkeypatch.setattr(torch.onnx, "export", write)
    with pytest.raises(ConfigError, match="export: Unsupported: aten::x; a part"):
        trained().export(tmp_path / "onnx")
