"""The driver of pyKT gives each test step one prediction, from the right row, whatever the pieces are."""

import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import gainkt.peers

LENGTHS = (1, 2, 3, 7, 8, 9, 12, 21, 40)


def rows(students: tuple[int, ...] = LENGTHS) -> pd.DataFrame:
    """A part: the skill of a row tells which row it is."""
    table = pd.DataFrame({"student": np.repeat(range(len(students)), students)})
    table["step"] = table.groupby("student").cumcount()
    table = table.assign(skill=range(len(table)), item=0, response=table.index % 2, scored=(table["step"] > 0) * 1)
    return table.assign(skills=table["skill"].astype(str))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The script's names, with a pyKT whose model says of a step which skill it has, and how many stand before it."""
    told: dict[str, Any] = {"best": 2, "seconds": 0.01, "before": {}}

    def train_model(model: Any, train: Any, valid: Any, epochs: int, opt: Any, folder: str, **_: Any) -> tuple:
        for epoch in range(1, epochs + 1):
            told["epochs"], told["trained"] = epoch, [batch["smasks"].sum().item() for batch in train]
            assert len(list(valid))
            time.sleep(told["seconds"])
            if epoch == told["best"]:
                torch.save({}, f"{folder}/qid_model.ckpt")

    def evaluate(model: Any, batches: Any, name: str, path: str) -> None:
        with open(path, "w") as file:
            for batch in batches:
                for skill, mask in zip(batch["shft_cseqs"], batch["smasks"], strict=True):
                    at = mask.nonzero().squeeze(1).tolist()
                    told["before"] |= {int(skill[t]): t + 1 for t in at}
                    p = [int(skill[t]) / 1000 for t in at]
                    print(str([[], [], [], [], p, [], float("nan"), 0.5]), file=file)

    parameter = torch.nn.Parameter(torch.zeros(1))
    model = SimpleNamespace(parameters=lambda: [parameter], load_state_dict=lambda state: None)
    package, models = ModuleType("pykt"), ModuleType("pykt.models")
    vars(models).update(train_model=train_model, evaluate=evaluate, init_model=lambda *_: model)
    monkeypatch.setitem(sys.modules, "pykt", package)
    monkeypatch.setitem(sys.modules, "pykt.models", models)
    names: dict[str, Any] = {"__name__": "driver"}
    exec((Path(gainkt.peers.__file__).parent / "run_pykt.py").read_text(), names)
    return names | {"told": told}


def train(driver: dict[str, Any], folder: Path, **settings: Any) -> None:
    """Let the driver train and predict in a folder."""
    for part in ("train", "valid", "test"):
        rows().to_csv(folder / f"{part}.csv", index=False)
    usual = {"model": "dkt", "model_config": {}, "learning_rate": 0.1, "batch_size": 2, "length": 8, "epochs": 5}
    given = {"settings": usual | settings, "seed": 0, "num_skills": len(rows()), "num_items": 0}
    (folder / "settings.json").write_text(json.dumps(given))
    driver["main"](folder)


@pytest.mark.parametrize("length", [8, 9, 200])
def test_each_scored_step_is_predicted_once(driver: dict[str, Any], length: int, tmp_path: Path) -> None:
    train(driver, tmp_path, length=length)
    told, found = driver["told"], pd.read_csv(tmp_path / "predictions.csv")
    wanted = rows()[rows()["scored"] == 1]
    found = found.sort_values(["student", "step"]).reset_index(drop=True)
    assert found[["student", "step"]].to_numpy().tolist() == wanted[["student", "step"]].to_numpy().tolist()
    assert found["p"].to_numpy() == pytest.approx(wanted["skill"].to_numpy() / 1000)
    # Each has the whole history before it, or at least half a piece of it.
    for skill, step in zip(wanted["skill"], wanted["step"], strict=True):
        assert told["before"][skill] >= min(step, length // 2)
    assert told["epochs"] == 5
    pieces = [min(length, n - start) for n in LENGTHS for start in range(0, n, length)]
    assert sum(told["trained"]) == sum(n - 1 for n in pieces)
    epochs = pd.read_csv(tmp_path / "epochs.csv")
    assert epochs["best"].tolist() == [False, True, False, False, False]
    assert (epochs["train_seconds"] > 0).all()
    assert epochs["seconds"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("best", "settings", "epochs", "note"),
    [
        (3, {"epochs": 4}, 4, "stopped by epochs=4 after 4 epochs (best: epoch 3)"),
        (1, {"epochs": 30, "minutes": 0.001}, 1, "stopped by minutes=0.001 after 1 epochs (best: epoch 1)"),
        (2, {"epochs": 12, "minutes": 60}, 12, None),  # as far as pyKT would have gone by itself
    ],
)
def test_training_that_was_cut_short_says_so(
    driver: dict[str, Any], best: int, settings: dict[str, Any], epochs: int, note: str | None, tmp_path: Path
) -> None:
    driver["told"].update(best=best, seconds=0.08 if note and "minutes" in note else 0.01)
    train(driver, tmp_path, **settings)
    table = pd.read_csv(tmp_path / "epochs.csv")
    assert len(table) == epochs
    assert table.index[table["best"]].tolist() == [best - 1]
    written = tmp_path / "notes.txt"
    assert written.read_text().startswith(note) if note else not written.exists()
