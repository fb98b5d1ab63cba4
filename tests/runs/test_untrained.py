"""An encoder that nothing was learnt for: told wherever it speaks, and kept out of means and lessons."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

import gainkt
from conftest import TINY, composed
from gainkt.errors import ConfigError
from gainkt.losses import Loss, bce1
from gainkt.reporting.tables import results_table
from gainkt.runs.evaluation import evaluate, evaluate_ensemble
from gainkt.training.train import RunResult, train

ALONE = ("experiment=encoder1_alone", "trajectories.write=false")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunResult]:
    root, made = tmp_path_factory.mktemp("untrained"), {}

    def run(name: str, *overrides: str) -> RunResult:
        if name not in made:
            cfg = composed("train", *(overrides or ALONE), *TINY, f"run.dir={root / name}")
            made[name] = train(cfg)
        return made[name]

    return run


def both(name: str) -> tuple[str, ...]:
    return (f"experiment={name}", "trajectories.write=false")


def test_results_and_table_say_so(done: Callable[..., RunResult]) -> None:
    assert done("alone").results["phases"]["train"]["untrained"] == [2]
    assert "E2 of train was not trained." in str(results_table(done("alone").results).caption)
    assert "untrained" not in done("both", *both("v4_belief")).results["phases"]["train"]
    assert "not trained" not in str(results_table(done("both").results).caption)
    assert untrained(done("second", *both("try_without_encoder1"))) == {"train": [1]}
    assert untrained(done("penalised", *both("v4_belief"), "loss.bce2=0")) == {"train": [2]}
    assert untrained(done("phases", *both("try_frozen_encoder1"))) == {"encoder1": [2]}
    path = done("phases").run.directory.path
    assert gainkt.load(path, phase="encoder1").untrained == (2,)
    assert gainkt.load(path).untrained == ()


def untrained(done: RunResult) -> dict[str, list[int]]:
    return {name: phase["untrained"] for name, phase in done.results["phases"].items() if "untrained" in phase}


def test_an_evaluation_says_so(done: Callable[..., RunResult]) -> None:
    place = done("alone").run.directory.path
    cfg = composed("evaluate", f"run={place}", "trajectories.write=false")
    assert "E2 of train was not trained." in str(results_table(evaluate(cfg).results).caption)
    cfg.run = [str(place), str(done("other", *ALONE, "seed=5").run.directory.path)]
    members = list(evaluate_ensemble(cfg).results["members"].values())
    assert [one.get("untrained") for one in members[1:]] == [[2], [2]]


def test_no_check_of_its_scorecard_is_measurable(done: Callable[..., RunResult]) -> None:
    judged = done("judged", "experiment=encoder1_alone")
    assert judged.scorecard is not None
    for card in (judged.scorecard, evaluate(composed("evaluate", f"run={judged.run.directory.path}")).scorecard):
        assert card is not None
        assert {check["reading"] for check in card["checks"]} == {"Not measurable: Encoder 2 was not trained."}
        assert {part["reason"] for part in card["carries"].values()} == {"Encoder 2 was not trained"}
        assert card["level"] == "none"
    trained = done("trained", "experiment=v4_belief").scorecard
    assert trained is not None
    assert any(check["verdict"] == "pass" for check in trained["checks"])
    assert "was not trained" not in str(trained)


def test_the_page_says_so(done: Callable[..., RunResult]) -> None:
    said = done("alone").report().text
    assert "Encoder 2: what stands here of it means nothing" in said
    assert "means nothing" not in done("both", *both("v4_belief")).report().text


def test_a_loaded_model_says_so(
    done: Callable[..., RunResult], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    model = gainkt.load(done("alone").run.directory.path)
    assert "/alone: Encoder 2 was not trained: p2, with mastery and gains, says nothing" in caplog.text
    caplog.clear()
    again = gainkt.load(model.save(tmp_path / "alone.gainkt"))
    assert again.untrained == (2,)
    assert "Encoder 2 was not trained" in caplog.text
    caplog.clear()
    assert gainkt.load(done("both", *both("v4_belief")).run.directory.path).untrained == ()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_no_mean_is_taken_with_one_that_was(done: Callable[..., RunResult]) -> None:
    alone, two = (done(name, *words).run.directory.path for name, words in (("alone", ()), ("both", both("v4_belief"))))
    for pair in ([alone, two], [two, alone]):
        with pytest.raises(ConfigError, match=f"{alone}: its Encoder 2 was not trained"):
            gainkt.load(pair)
    other = done("other", *ALONE, "seed=5").run.directory.path
    assert gainkt.load([alone, other]).untrained == (2,)


def test_it_teaches_nobody(done: Callable[..., RunResult], tmp_path: Path) -> None:
    alone, two = (done(name, *words).run.directory.path for name, words in (("alone", ()), ("both", both("v4_belief"))))

    def learner(*overrides: str) -> DictConfig:
        teachers = f"distillation.teachers=[{alone},{two}]"
        return composed("train", *both("v4_distilled"), *TINY, f"run.dir={tmp_path / 'learner'}", teachers, *overrides)

    with pytest.raises(ConfigError, match=f"{alone}: its Encoder 2 was not trained, and is to teach"):
        train(learner("loss.terms.distillation2.teacher_encoder=2"))
    assert not (tmp_path / "learner" / "config.yaml").exists()
    assert not untrained(train(learner())), "Encoder 1 of both may teach"


def test_a_run_does_not_replace_its_teacher(done: Callable[..., RunResult]) -> None:
    place = done("both", *both("v4_belief")).run.directory.path
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    overrides = (f"distillation.teachers=[{place}]", f"run.dir={place}", "run.overwrite=true")
    with pytest.raises(ConfigError, match="is the folder of a teacher, which this run would replace"):
        train(composed("train", *both("v4_distilled"), *TINY, *overrides))
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def test_a_term_of_no_one_encoder_counts_for_both() -> None:
    loss = Loss({"bce1": bce1, "own": lambda output, batch: output.logit1_BT.mean()}, bce1=1.0, own=1.0)
    assert loss.untrained(["bce1"]) == [2]
    assert loss.untrained(["bce1", "own"]) == []
