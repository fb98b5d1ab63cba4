"""`python -m gainkt.audit` from outside: a callable in the current folder, a run's predictions, somebody's file."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from gainkt import audit as command
from gainkt.audit import audit_config
from gainkt.config import conf_dir, register_resolvers
from gainkt.errors import ConfigError, DataError

MINE = """
def honest(rows):
    before = rows.groupby("student", sort=False)["response"]
    return (before.cumsum() - rows["response"] + 1) / (before.cumcount() + 2)

def leaking(rows):
    return 0.5 * honest(rows) + 0.5 * rows.groupby("student", sort=False)["response"].transform("mean")

number = 3
"""
SMALL = ("dataset.read.num_students=30", "students=10")


def settings(*overrides: str) -> DictConfig:
    register_resolvers()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("audit", list(overrides))


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_audited.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])


@pytest.mark.usefixtures("mine")
def test_a_callable_of_the_current_folder(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert audit_config(settings("callable=my_audited:honest", *SMALL)).passed
    monkeypatch.setattr(sys, "argv", ["audit", "callable=my_audited:leaking", *SMALL, "output=found.json"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 1
    assert "smallest counterexample" in capsys.readouterr().out
    found = json.loads(Path("found.json").read_text())
    assert not found["passed"]
    assert {g["name"] for g in found["guards"] if g["passed"] is False} == {"later_responses", "later_rows"}


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((), "give callable="),
        (("callable=my_audited:honest", "predictions=x.csv"), "give callable="),
        (("callable=my_audited:no", *SMALL), "callable=my_audited:no: cannot be imported"),
        (("callable=my_audited:number", *SMALL), "is int, which cannot be called"),
    ],
)
def test_what_cannot_be_audited(given: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        audit_config(settings(*given))


def test_files_of_predictions(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "user id": ["001"] * 40 + ["1"] * 40,
            "skill": list("ab") * 40,
            "response": [0, 1, 1, 0] * 20,
            "y_pred": [0.3, 0.4, 0.8, 0.5] * 20,
        }
    )
    file = tmp_path / "told.csv"
    table.to_csv(file, index=False)
    done = audit_config(settings(f"predictions={file}", "columns.student='user id'", "columns.p=y_pred"))
    assert done.passed
    assert {g["name"] for g in done.guards} == {"label_scored_once", "row_expansion", "parts_apart"}
    for asked, message in (("columns.p=none", "columns.p=none: no such column"), ("", "column student is missing")):
        with pytest.raises(DataError, match=message):
            audit_config(settings(f"predictions={file}", *([asked] if asked else [])))
    own = table.rename(columns={"user id": "student", "skill": "skills", "y_pred": "p2"})
    own = own.assign(p1=0.9, item=None, scored=[False, *[True] * 79], step=range(80))
    own.to_parquet(tmp_path / "predictions.parquet")
    assert audit_config(settings(f"predictions={tmp_path / 'predictions.parquet'}")).passed
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"broken\.parquet: cannot be read"):
        audit_config(settings(f"predictions={tmp_path / 'broken.parquet'}"))
