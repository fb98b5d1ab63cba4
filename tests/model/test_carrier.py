"""State goes from window to window: predictions do not depend on where a history is cut."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import DictConfig

from conftest import random_log
from gainkt.data.datamodule import KTDataModule
from gainkt.data.log import InteractionLog
from gainkt.data.splits import AllStudents
from gainkt.model import Carrier, GainKT
from gainkt.model.axis import met_skills
from gainkt.runs.folder import build_model
from gainkt.runs.predict import predict
from gainkt.runs.recorder import record

Config = Callable[..., DictConfig]
LOG = random_log(num_students=12, longest=90, num_skills=9, seed=4)
CLOSE = {"rtol": 0, "atol": 1e-6}


def data(length: int, log: InteractionLog = LOG, **settings: object) -> KTDataModule:
    module = KTDataModule(
        read=lambda: log,
        split=AllStudents(),
        window_length=length,
        window_context=0,
        **{"tokens_per_batch": 200, **settings},
    )
    module.setup()
    return module


def made(config: Config, *settings: str, module: KTDataModule) -> GainKT:
    torch.manual_seed(0)
    model = build_model(config(*settings, "dataset.window_context=200").model, module.sizes).eval()
    for part in (model.velocity, model.readiness):
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def by_step(model: GainKT, module: KTDataModule) -> pd.DataFrame:
    """Both predictions of every scored step, by student and step."""
    found, carrier = [], Carrier()
    with torch.no_grad():
        for batch in module.loader("test"):
            output = model(batch, carrier.before(batch))
            carrier.after(batch, output)
            row, step = batch.scored_BT.nonzero(as_tuple=True)
            values = {"p1": output.logit1_BT.sigmoid()[row, step], "p2": output.logit2_BT.sigmoid()[row, step]}
            where = {"student": batch.student_B[row], "step": batch.start_B[row] + step}
            found.append(pd.DataFrame({name: x.numpy() for name, x in (where | values).items()}))
    assert len(carrier) == 0, "nobody is kept whose history is over"
    return pd.concat(found).sort_values(["student", "step"], ignore_index=True)


@pytest.mark.parametrize("experiment", ["v4_belief", "v4_steady", "v4_monotone", "v4_items_attention", "v1_per_skill"])
def test_windows_of_any_length_predict_the_same(config: Config, experiment: str) -> None:
    model = made(config, experiment, module=data(1000))
    whole, anew = by_step(model, data(1000)), by_step(model, data(8, carry_state=False))
    for length in (5, 8, 40):
        found = by_step(model, data(length))
        assert found[["student", "step"]].equals(whole[["student", "step"]]), "the same steps are scored"
        np.testing.assert_allclose(found[["p1", "p2"]], whole[["p1", "p2"]], **CLOSE)
    merged = anew.merge(whole, on=["student", "step"])
    assert (merged.p2_x - merged.p2_y).abs().max() > 1e-3, "without state they differ"


WINDOW_BY_WINDOW = ("window", "mastery_final", "mastery_falls", "p2_gains_permuted", "p2_gains_mean")
"""Columns that look back on a window: at its end, or with other gains in it."""


@pytest.mark.parametrize(
    ("experiment", "piece"),
    [
        ("v4_monotone", 1 << 18),
        ("v4_steady", 100),
        ("v4_monotone", 100),
        ("v1_per_skill", 100),
        ("v3_skill_attention", 1 << 18),
    ],
)
def test_scoring_and_tables_do_not_depend_on_the_cut(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, experiment: str, piece: int
) -> None:
    monkeypatch.setattr("gainkt.runs.pass_.PIECE", piece)
    monkeypatch.setattr("gainkt.model.gainkt.cheaper_axis", lambda batch, k: met_skills(batch))
    log = random_log(num_students=12, longest=60, num_skills=15, seed=4)
    model = made(config, experiment, module=data(1000, log))
    scored = [predict(model, data(length, log).loader("test")).sort_values(["p1", "p2"]) for length in (1000, 8)]
    np.testing.assert_allclose(scored[0][["p1", "p2"]], scored[1][["p1", "p2"]], **CLOSE)
    whole, cut, anew = (
        recorded(model, data(length, log, carry_state=carried), tmp_path)
        for length, carried in ((1000, True), (8, True), (8, False))
    )
    for name, table in cut.items():
        assert len(table) == len(whole[name])
        for column in table.columns.difference(WINDOW_BY_WINDOW):
            # The skills of the step before a window are not at hand.
            known = (table.step % 8 > 0).to_numpy() if column == "p2_wrong_skill" else slice(None)
            is_number = table[column].dtype.kind == "f"
            same = np.testing.assert_allclose if is_number else np.testing.assert_array_equal
            tolerance = {"rtol": 1e-6, "atol": 1e-6, "err_msg": f"{name}.{column}"} if is_number else {}
            same(table[column].to_numpy()[known], whole[name][column].to_numpy()[known], **tolerance)
    assert (cut["mastery"].since == 0).all()
    assert (anew["mastery"].since > 0).any()
    assert anew["mastery"].practice.sum() < cut["mastery"].practice.sum(), "without state they differ"


def recorded(model: GainKT, module: KTDataModule, folder: Path) -> dict[str, pd.DataFrame]:
    """The tables, each in order of its rows' keys."""
    tables = {name: pd.read_parquet(path) for name, path in record(model, module, "test", folder).items()}
    keys = ["student", "step", "skill"]
    return {name: t.sort_values([k for k in keys if k in t], ignore_index=True) for name, t in tables.items()}


def test_few_students_are_kept_at_a_time(config: Config) -> None:
    log = random_log(num_students=80, longest=60)
    module, most = data(8, log, tokens_per_batch=24), 0
    model, carrier = made(config, "v4_belief", module=module), Carrier()
    with torch.no_grad():
        for batch in module.loader("test"):
            carrier.after(batch, model(batch, carrier.before(batch)))
            most = max(most, len(carrier))
    assert 0 < most < (log.lengths > 8).sum() / 2
    assert len(carrier) == 0


def test_a_carrier_keeps_the_latest_and_forgets_the_rest(config: Config) -> None:
    module = data(8)
    model, carrier = made(config, "v4_belief", module=module), Carrier()
    first = next(iter(module.loader("test")))
    output = model(first, carrier.before(first))
    carrier.after(first, output)
    carrier.after(first, output)  # a batch dealt twice
    going = int((first.ahead_BL >= 0).any(1).sum())
    assert len(carrier) == going > 0
    state = carrier.before(first)
    assert state is not None
    assert not any(x.requires_grad for x in state.tensors().values())
    assert output.logit1_BT.requires_grad
    assert len(carrier) == 0
    assert carrier.before(first) is None


@pytest.mark.parametrize("experiment", ["v4_belief", "v4_steady", "v4_monotone"])
def test_long_histories_in_windows_of_128_and_1024_and_whole(config: Config, experiment: str) -> None:
    log = random_log(num_students=3, longest=2500, num_skills=9, seed=1)
    assert (log.lengths > 1024).all()
    model = made(config, experiment, module=data(3000, log))
    whole = by_step(model, data(3000, log))
    for length in (128, 1024):
        found = by_step(model, data(length, log, tokens_per_batch=4096))
        np.testing.assert_allclose(found[["p1", "p2"]], whole[["p1", "p2"]], **CLOSE)
