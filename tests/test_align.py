"""`python -m gainkt.align`, and what training with a reference leaves, on tiny runs."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig

from conftest import composed, drawing
from gainkt.align import align_config
from gainkt.console import make_console
from gainkt.errors import ConfigError
from gainkt.evaluation.alignment import training_course
from gainkt.references import BKT
from gainkt.references.tables import reference_tables
from gainkt.reporting.alignment_report import alignment_view
from gainkt.runs.folder import load_run
from gainkt.train import RunResult, train

Config = Callable[..., DictConfig]


def settings(*overrides: str) -> DictConfig:
    return composed("align", "device=cpu", *overrides)


@pytest.fixture
def result(config: Config) -> RunResult:
    with drawing("save_alignment_figure"):
        return train(config("l23_per_step", "schedule.warmup=1", "trainer.max_epochs=3", "gradient_every=1"))


def test_training_leaves_the_agreement(result: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    folder = result.run.directory.path
    content = json.loads((folder / "alignment.json").read_text())
    assert result.alignment is not None
    assert content["agreement"]["difficulty"] == result.alignment["agreement"]["difficulty"]
    assert (folder / "alignment.png").stat().st_size > 10_000
    assert len(list((folder.parents[1] / "references").glob("rasch-*.json"))) == 1
    course = content["training"]
    assert [entry["weight"].get("l_23", 0.0) for entry in course] == [0.0, 0.5, 0.5]
    for place in ("gain_head", "curve"):
        assert sum(course[-1][f"gradient_share_at_{place}"].values()) == pytest.approx(1)
    assert course[-1]["gradient_share_at_gain_head"]["l_22"] == 0, "difficulties are no matter of the state"
    assert course[-1]["gradient_share_at_curve"]["l_22"] > 0
    make_console().print(alignment_view(content))
    shown = capsys.readouterr().out
    assert "out of reach" in shown
    assert "epoch 2" in shown
    assert f"0.500 / {course[-1]['gradient_share_at_gain_head']['l_23']:.3f}" in shown
    assert "ability, dynamic" in shown


def test_alignment_brings_the_head_to_the_reference(config: Config) -> None:
    few = ["dataset.read.num_students=100", "trainer.max_epochs=15", "schedule.warmup=1", "optimizer.lr=0.03"]
    near = train(config("l23_per_step", *few, "loss.alignment.l_22=1")).alignment
    left_alone = train(config("l23_per_step", *few, "schedule.level=0", "loss.alignment.l_22=0")).alignment
    assert near is not None
    assert left_alone is not None
    assert near["agreement"]["difficulty"]["pearson"] > 0.9
    assert near["agreement"]["ability, dynamic"]["pearson"] > 0.5
    assert near["losses"]["l_21"]["kl"] < 0.5 * left_alone["losses"]["l_21"]["kl"]
    assert near["losses"]["l_22"] < 0.5 * left_alone["losses"]["l_22"]


def test_a_received_run_says_no_folder_for_fits(config: Config, tmp_path: Path) -> None:
    run = train(config("v4_belief", "trainer.max_epochs=1", f"run.dir={tmp_path}/a/b/received")).run
    file = run.directory.config
    named = file.read_text().replace(f"root: {tmp_path}/outputs", f"root: {tmp_path}/elsewhere")
    assert named != file.read_text()
    file.write_text(named)
    (run.directory.path / "digests.json").unlink()
    align_config(settings(f"run={run.directory.path}", "reference=rasch"))
    assert not (tmp_path / "elsewhere").exists()
    assert len(list((run.directory.path / "references").glob("rasch-*.json"))) == 1
    (tmp_path / "a" / "references").mkdir()
    align_config(settings(f"run={run.directory.path}", "reference=rasch"))
    assert len(list((tmp_path / "a" / "references").glob("rasch-*.json"))) == 1, "those beside it are shared"


def test_any_run_can_be_held_against_any_reference(config: Config) -> None:
    run = train(config("v4_belief")).run
    with pytest.raises(ConfigError, match="reference=bkt"):
        align_config(settings(f"run={run.directory.path}"))
    done = align_config(settings(f"run={run.directory.path}", "reference=bkt", "split=valid"))
    assert done.folder.parent.name == "evaluation"
    assert done.content["protocol"]["reference"] == "BKT"
    assert done.content["students"] == len(pd.unique(_valid_students(run.directory.path)))
    again = align_config(settings(f"run={run.directory.path}", "reference=bkt", "split=valid"))
    assert again.content["agreement"] == done.content["agreement"]


@pytest.mark.parametrize("reference", ["bkt", "bkt_forgetting", "pfa"])
def test_any_reference_serves_as_target(config: Config, reference: str) -> None:
    result = train(config("l23_per_step", f"reference={reference}", "loss.alignment.l_23_ability=static"))
    assert result.alignment is not None
    assert np.isfinite(result.alignment["losses"]["l_23"]["static"]["per_step"])
    assert result.module.loss.alignment is not None
    targets = result.module.loss.alignment.targets
    assert targets is not None
    assert targets.spreads["static"][1] > 0.05, "every student alike: nothing to align with"


def _valid_students(folder: Path) -> np.ndarray:
    from gainkt.runs.folder import build_datamodule

    datamodule = build_datamodule(load_run(folder).config.dataset)
    datamodule.setup()
    return datamodule.students("valid")


def test_rows_of_a_reference_are_those_of_its_students(config: Config) -> None:
    from gainkt.runs.folder import build_datamodule

    datamodule = build_datamodule(config("v4_belief").dataset)
    datamodule.setup()
    log, students = datamodule.log_, datamodule.split.test[::-1]
    bkt = BKT.fit(log, datamodule.split.train)
    rows = reference_tables(bkt, log, students).rows
    assert not rows.isna().any(axis=None)
    one = students[3]
    own = rows[rows["student"] == str(log.students[one])]
    assert own["step"].tolist() == list(range(int(log.lengths[one])))
    said = bkt.predict(log)
    np.testing.assert_array_equal(own["probability"], said.probability_M[log.steps_of(np.array([one]))])


def test_alignment_without_a_reference_is_an_error(config: Config) -> None:
    with pytest.raises(ConfigError, match="reference=rasch"):
        train(config("v4_belief", "loss=aligned"))
    with pytest.raises(ConfigError, match="reference=bkt or pfa"):
        train(config("v4_aligned", "reference=rasch"))


def test_a_run_without_metrics_has_no_course(tmp_path: Path) -> None:
    assert training_course(tmp_path / "metrics.csv") == []
