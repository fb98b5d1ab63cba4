"""A reference model of a package of the user's own: the example of the documentation, as it stands there."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import TINY, random_log
from gainkt import reference as command
from gainkt import train as training

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def external(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `mykt/` and `myconf/`, in which commands run."""
    section = (DOCS / "extending_reference.md").read_text()
    code, option = (re.search(rf"```{kind}\n(.*?)```", section, re.S)[1] for kind in ("python", "yaml"))
    (tmp_path / "mykt").mkdir()
    (tmp_path / "mykt" / "moving.py").write_text(code)
    (tmp_path / "myconf" / "reference").mkdir(parents=True)
    (tmp_path / "myconf" / "reference" / "moving.yaml").write_text(option)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def run(module: object, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["gainkt", "--config-dir", "myconf", *arguments])
    module.main()


def test_it_is_scored_and_kept(
    external: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(command, monkeypatch, *TINY[:4], "model=moving", "settings.rate=0.3")
    said = capsys.readouterr()
    assert "MovingAverage: simulated" in said.out, said.err
    folder = Path(said.out.split("results: ")[1].strip())
    assert '"format": "gainkt-movingaverage-1"' in (folder / "model.json").read_text()
    assert [path.name.split("-")[0] for path in Path("outputs/references").iterdir()] == ["movingaverage"]
    for argument, message in (("settings.rat=1", "did you mean 'rate'"), ("settings.rate=2", "rate=2")):
        with pytest.raises(SystemExit):
            run(command, monkeypatch, *TINY[:4], "model=moving", argument)
        assert message in capsys.readouterr().err


def test_it_follows_by_hand(external: Path) -> None:
    model = importlib.import_module("mykt.moving").MovingAverage
    log = random_log(slots=1)
    said = model.fit(log, np.arange(20), rate=0.25).predict(log, np.array([4]))
    level = dict(zip(log.skill_names, model.fit(log, np.arange(20)).parameters["start"], strict=True))
    for step in log.steps_of(np.array([4])):
        skill = log.skill_names[log.skills[step]]
        assert said.probability_M[step] == pytest.approx(level[skill])
        level[skill] += 0.25 * (int(log.responses[step]) - level[skill])


def test_a_run_is_aligned_with_it(
    external: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(training, monkeypatch, *TINY, "experiment=l23_per_step", "reference=moving", "trainer.max_epochs=1")
    said = capsys.readouterr()
    assert "MovingAverage" in said.out, said.err
