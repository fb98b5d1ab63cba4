"""What README's section on trained models and the notebook say is run as it stands."""

import ast
import json
import shlex
import sys
from importlib import import_module
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest

from gainkt.simulation.simulate import simulate
from gainkt.simulation.tables import interactions

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")


def test_readme(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    section = (ROOT / "README.md").read_text().partition("## Use a trained model\n")[2].partition("\n## ")[0]
    code = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    commands = [line for line in code if line.startswith("gainkt ")]
    assert len(commands) == 2
    table = interactions(simulate(num_students=40, num_skills=4, num_items=9, max_length=25, seed=2))
    table = table.rename(columns={"student": "user_id", "skill": "kc", "correct": "score"})
    table["kc"] = table["kc"].str.replace("skill_0", "fractions")
    table[["user_id", "kc", "score"]].to_csv("answers.csv", index=False)

    names: dict = {}
    for line in code:
        if line not in commands:
            exec(line, names)
    said = capsys.readouterr().out
    assert "initial mastery" in said
    for command in commands:
        _, door, *arguments = shlex.split(command)
        monkeypatch.setattr(sys, "argv", [f"gainkt {door}", *arguments])
        import_module(f"gainkt.{door}").main()
    written = pd.read_csv("predictions.csv")
    assert np.abs(written["p2"] - names["model"].predict(names["df"])["p2"]).max() < 1e-5
    assert pd.read_parquet("dashboard.parquet")["mastery"].between(0, 1).all()
    assert Path("fractions.gainkt").is_file()


def test_the_notebook() -> None:
    notebook = json.loads((ROOT / "docs" / "first_model.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    names: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] or cell["source"] == [], "it is shown with what comes out"
            exec(compile(ast.parse("".join(cell["source"])), cell["id"], "exec"), names)
    assert Path("first.gainkt").is_file()
    assert 'id="report"' in Path("report.html").read_text()
    assert str(ROOT) not in json.dumps(notebook)


def test_importing_gainkt_is_light() -> None:
    import subprocess

    code = "import sys, gainkt; print(sorted({'torch', 'pandas', 'numpy', 'hydra', 'lightning'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
