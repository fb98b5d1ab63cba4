"""A package that gainkt does not know extends it: a part of each kind, in training, in a sweep, and used wrongly."""

import json
import random
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

HERE = Path(__file__).parent
CONF = HERE / "conf"
DOCS = HERE.parents[1] / "docs" / "extending.md"
SMALL = ("dataset.tokens_per_batch=400", "model.size.d_model=16", "model.size.d_ff=16", "trainer.accelerator=cpu")
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def gainkt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command with the package's config folder, in a folder with its data; exit status and what it said."""
    draw = random.Random(0)
    step = lambda: f"k{draw.randrange(9)}{'+' if draw.random() < 0.6 else '-'}"  # noqa: E731
    lines = (" ".join([f"s{i}", *(step() for _ in range(draw.randint(6, 25)))]) for i in range(50))
    (tmp_path / "students.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAINKT_DEBUG", raising=False)
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", f"{HERE}:{HERE.parents[1] / 'src'}")

    def run(command: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["gainkt", *arguments])
        status = 0
        try:
            import_module(f"gainkt.{command}").main()
        except SystemExit as end:
            status = int(end.code or 0)
        return status, "".join(capsys.readouterr())

    return run


def mine(*overrides: str) -> list[str]:
    return ["--config-dir", str(CONF), "experiment=mine", "dataset.path=students.txt", *SMALL, *overrides]


def test_the_docs_show_the_package() -> None:
    shown = dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)```$", DOCS.read_text(), re.M | re.S))
    parts = {p.relative_to(HERE).as_posix() for p in [*HERE.glob("mykt/*.py"), *CONF.rglob("*.yaml")]}
    assert shown.keys() == parts - {"mykt/__init__.py"}
    for name, text in shown.items():
        assert text == (HERE / name).read_text(), name


def test_a_part_of_each_kind_in_one_run(gainkt: Command, tmp_path: Path) -> None:
    status, said = gainkt(
        "train", *mine("trainer.max_epochs=2", "hydra.run.dir=run", "diagnose=true", "gradient_every=1")
    )
    assert status == 0, said
    run = tmp_path / "run"
    table = pd.read_csv(run / "metrics.csv")
    assert table["weight/loud_gains"].tolist() == pytest.approx([0.1, 0.1])
    assert table["weight/bce2"].tolist() == pytest.approx([0.3, 0.6]), "the schedule"
    assert (table["loss/loud_gains"] > 0).all()
    assert (table["weighted_loss/loud_gains"] < table["loss/loud_gains"]).all()
    assert (table["gradient/loud_gains_at_gain_head"] > 0).all()
    assert (table["mine/range"] > 0).all(), "the callback"
    assert json.loads((run / "alignment.json").read_text())["auc"]["reference"]
    assert list((tmp_path / "outputs/references").glob("skillrates-*.json"))
    assert "loud_gains" in (run / "diagnosis.json").read_text()
    card = json.loads((run / "scorecard.json").read_text())
    found = next(check for check in card["checks"] if check["name"] == "velocity_spread")
    assert (found["group"], found["verdict"]) == ("trajectory", "fail"), "every velocity starts at the same value"
    assert "log_velocity" in pd.read_parquet(run / "predictions.parquet")
    assert "Spread of velocity" in said
    status, said = gainkt("evaluate", "run=run", "trust=[mykt]", "split=valid", "device=cpu")
    assert status == 0, said
    status, said = gainkt("advise", "run=run", "trust=[mykt]", "device=cpu")
    assert status == 0, said
    assert "--config-dir" in said or "hydra.searchpath" in said or "gainkt.train" not in said


def test_a_sweep_over_its_weight(gainkt: Command, tmp_path: Path) -> None:
    quick = ("trainer.max_epochs=1", "trajectories.write=false", "gradient_every=0", "reference=none")
    status, said = gainkt("train", "-m", *mine(*quick, "loss.loud_gains=0,0.5", "hydra.sweep.dir=sweep"))
    assert status == 0, said
    weights = [pd.read_csv(tmp_path / f"sweep/{job}/metrics.csv")["weight/loud_gains"].item() for job in (0, 1)]
    assert weights == [0, 0.5]


WRONG = {
    "experiment": (["experiment=mien"], "experiment=mien: no such option; did you mean 'mine'?"),
    "option": (
        ["model/gain_head=by_responce"],
        "model/gain_head=by_responce: no such option; did you mean 'by_response'?",
    ),
    "setting": (["+model.gain_head.strt=1"], "model.gain_head.strt: mykt.gain_head.ResponseGain takes no such setting"),
    "gain head": (["model.gain_head.start=99.0"], "model.gain_head.start=99.0: a logit"),
    "class": (["model.gain_head._target_=mykt.gain_head.Gain"], "model.gain_head._target_=mykt.gain_head.Gain: cannot"),
    "constructor": (["~model.gain_head.start"], "model.gain_head: cannot be built (TypeError"),
    "loss": (["loss.loud_gains=-1"], "loss.loud_gains=-1: a weight is 0 or more"),
    "term": (["+loss.loud=1"], "loss.loud: no such loss term; did you mean 'loud_gains'?"),
    "weight": (["~loss.loud_gains"], "loss.terms.loud_gains: the term has no weight"),
    "returned": (
        ["loss.terms.loud_gains._target_=operator.is_", "~loss.terms.loud_gains.ceiling"],
        "loss.terms.loud_gains",
    ),
    "reader": (["dataset.path=short.txt"], "short.txt, line 2: student 'bob' has 1 steps"),
    "reference": (["reference.prior=0.0"], "reference.prior=0.0: steps, over 0"),
    "schedule": (["schedule.factor=-2.0"], "schedule.factor=-2.0: 0 or more"),
    "scheduled": (["schedule.term=bce3"], "schedule, epoch 0: bce3: no such loss term; did you mean 'bce"),
    "check": (
        ["scorecard.checks.velocity_spread.minimum=wide"],
        "scorecard.checks.velocity_spread.minimum=wide: must be",
    ),
    "callback": (["callbacks.table_range.part=gain_head.tabel"], "table_range"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line(gainkt: Command, tmp_path: Path, case: str) -> None:
    overrides, expected = WRONG[case]
    (tmp_path / "short.txt").write_text("ann a+ b-\nbob a+\n")
    given = {o.partition("=")[0] for o in overrides}
    arguments = [a for a in mine("trainer.max_epochs=1") if a.partition("=")[0] not in given]
    status, said = gainkt("train", *arguments, *overrides)
    errors = [line for line in said.splitlines() if line.startswith("gainkt: error:")]
    assert (status, len(errors), "Traceback" in said) == (1, 1, False), said
    assert expected in errors[0], errors[0]
