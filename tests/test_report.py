"""The door to the page of a run, and the page that training leaves."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
from made_pages import made_run, named_tables
from omegaconf import DictConfig

from gainkt.errors import ConfigError
from gainkt.report import report_config
from gainkt.training.train import train
from test_hostile_names import composed

TRUTH = '["true_mastery","i2",'
"""Of the columns of a page that holds the truth."""


def test_a_run_whose_data_changed_has_its_page_without_transfer(tmp_path: Path) -> None:
    tables = named_tables(num_students=20)
    tables.skills["gain_mean"] *= 2  # as if other skills than the practised ones had gained, too
    folder = made_run(tmp_path / "run", tables)
    path = report_config(composed("report", f"run={folder}", f"output={tmp_path}/page.html"))
    assert path == tmp_path / "page.html"
    page = path.read_text()
    assert "Not measured: simulated: the data has changed since the run started" in page
    assert TRUTH not in page, "the truth would be another data set's"
    assert not (folder / "report.html").exists()


def test_a_report_of_another_form_is_one_line(tmp_path: Path) -> None:
    folder = made_run(tmp_path / "run", named_tables(num_students=20))
    (folder / "scorecard.json").write_text('{"protocol": {}, "checks": 3}')
    with pytest.raises(ConfigError, match=r"is damaged \(.*; have the reports in it made again") as raised:
        report_config(composed("report", f"run={folder}"))
    assert "\n" not in str(raised.value)


def test_what_draws_pages_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bokeh" else found(name))
    folder = made_run(tmp_path / "run", named_tables(num_students=20), card=False)
    with pytest.raises(ConfigError, match=r"bokeh not installed; pip install 'gainkt\[report\]'"):
        report_config(composed("report", f"run={folder}"))


def test_training_leaves_a_page_with_the_truth_of_simulated_students(config) -> None:
    cfg: DictConfig = config("v4_belief", "report=true", "trainer.max_epochs=1")
    done = train(cfg)
    practised = pd.read_parquet(done.run.directory.path / "trajectories.parquet")
    assert done.scorecard["further"]["steadiness"]["calibration"]["answers"] == len(practised) > 100
    page = (done.run.directory.path / "report.html").read_text()
    assert TRUTH in page
    assert "Mean gain of the column" in page
    assert done.report()._repr_html_().startswith("<iframe")
