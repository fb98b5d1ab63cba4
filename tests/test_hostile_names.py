"""A run whose students, skills, items and own name are hostile goes through every command."""

import itertools
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig

from conftest import TINY, composed, drawing, random_log
from gainkt.advise import advise_config
from gainkt.align import align_config
from gainkt.console import make_console
from gainkt.diagnose import diagnose_config
from gainkt.evaluate import evaluate
from gainkt.files import write_json
from gainkt.names import unjoined
from gainkt.reference import score_reference
from gainkt.reporting.advice_view import advice_view
from gainkt.reporting.alignment_report import alignment_view
from gainkt.reporting.diagnosis_table import diagnosis_view
from gainkt.reporting.reference_view import reference_view
from gainkt.reporting.run_view import show_run
from gainkt.reporting.scorecard_table import scorecard_view
from gainkt.reporting.student import mastery_plot, student_table
from gainkt.reporting.tables import results_table
from gainkt.sweeping.summary.report import summarize
from gainkt.training.train import RunResult, train
from gainkt.trajectory import read_student
from test_names import HOSTILE

NAME = "$x$ [/x] [red]|\U0001f600<b>a_$"
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log whose names are hostile, its own among them."""
    log = random_log(num_students=60, num_skills=len(HOSTILE))
    names = np.array(HOSTILE)
    named = replace(
        log,
        name=f"../../{NAME}",
        students=np.array([f"{HOSTILE[i % len(HOSTILE)]}{i if i >= len(HOSTILE) else ''}" for i in range(60)]),
        skill_names=names,
        item_names=names[: log.num_items],
    )
    return named.save(tmp_path_factory.mktemp("data") / "log")


@pytest.fixture(scope="module")
def trained(log_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    own = [o for o in TINY if not o.startswith("dataset.read")]
    root = tmp_path_factory.mktemp("runs")
    cfg = composed("train", "experiment=v4_belief", "dataset=log", f"dataset.path={log_folder}", *own, "diagnose=true")
    cfg.name, cfg.run.root = NAME, str(root)
    with drawing():
        return train(cfg, [f"name={NAME}"])


def printed(capsys: pytest.CaptureFixture[str], *views: Any) -> str:
    for view in views:
        make_console().print(view)
    said = capsys.readouterr().out
    assert not ACTS.search(said)
    return said


def door(name: str, run: Path, *overrides: str) -> DictConfig:
    cfg = composed(name, "run=x", *overrides)
    cfg.run = str(run)
    return cfg


def test_train_prints_and_records_names_as_they_are(trained: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained.run.directory.path
    show_run(trained.results, trained.scorecard, trained.diagnosis, trained.alignment, folder)
    said = printed(capsys)
    assert NAME in said
    assert "[/x] [red]" in said
    for picture in ("training.png", "students.png"):
        assert (folder / picture).stat().st_size > 0
    assert set(pd.read_parquet(folder / "skills.parquet").skill) == set(HOSTILE)
    sets = pd.read_parquet(folder / "predictions.parquet").skills
    assert {name for names in sets for name in unjoined(names)} <= set(HOSTILE)


def test_evaluate(trained: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained.run.directory.path
    done = evaluate(door("evaluate", folder, "split=valid"))
    assert done.folder is not None
    assert done.folder.resolve().is_relative_to(folder / "evaluation")
    assert (done.folder / "scorecard.json").is_file()
    assert NAME in printed(capsys, results_table(done.results), scorecard_view(done.scorecard or {}))


def test_diagnose_and_advise(trained: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained.run.directory.path
    assert printed(capsys, diagnosis_view(diagnose_config(door("diagnose", folder, "split=valid")).content))
    advised = advise_config(door("advise", folder))
    assert NAME in printed(capsys, advice_view(advised.content, 100))


def test_align_and_reference(
    trained: RunResult, log_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained.run.directory.path
    assert NAME in printed(capsys, alignment_view(align_config(door("align", folder, "reference=rasch")).content))
    cfg = composed("reference", "dataset=log", f"dataset.path={log_folder}")
    cfg.run.root = str(tmp_path)
    done = score_reference(cfg)
    assert "[/x]" in printed(capsys, reference_view(done.content, done.parameters, len(HOSTILE)))


def test_every_student_can_be_looked_at(trained: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    path = trained.run.directory.path / "trajectories.parquet"
    for student in sorted(set(pd.read_parquet(path).student)):
        name, rows = read_student(path, student)
        assert name == student
        printed(capsys, student_table(name, rows, 40), mastery_plot(rows, 3, 100))


def test_report_of_a_sweep(trained: RunResult, tmp_path: Path) -> None:
    for number, (seed, size) in enumerate([(0, "a|b\nc"), (1, "a|b\nc"), (0, "$x$"), (1, "$x$")]):
        folder = tmp_path / str(number)
        shutil.copytree(
            trained.run.directory.path, folder, ignore=shutil.ignore_patterns("checkpoints", "figures", "digests.json")
        )
        overrides = [f"seed={seed}", f"model.kind={size}", "name=x"]
        write_json(folder / "provenance.json", {"overrides": overrides})
    summarize(tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert "<b>" not in report
    assert "$x$" not in report
    lines = report.split("\n")
    for line, after in itertools.pairwise(lines):
        if line.startswith("|") and after.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", after)), (line, after)
    assert "a\\|b c" in report
