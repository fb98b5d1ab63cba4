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
    assert done("alone").results["untrained"] == [2]
    assert "E2 was not trained" in str(results_table(done("alone").results).caption)
    assert "untrained" not in done("both", *both("v4_belief")).results
    assert "not trained" not in str(results_table(done("both").results).caption)
    assert done("second", *both("try_without_encoder1")).results["untrained"] == [1]


def test_a_loaded_model_says_so(
    done: Callable[..., RunResult], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    model = gainkt.load(done("alone").run.directory.path)
    assert "encoder1_alone: Encoder 2 was not trained: p2, with mastery and gains, says nothing" in caplog.text
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
    assert gainkt.load([alone, other]).members[1].untrained == (2,)


def test_it_teaches_nobody(done: Callable[..., RunResult], tmp_path: Path) -> None:
    alone, two = (done(name, *words).run.directory.path for name, words in (("alone", ()), ("both", both("v4_belief"))))

    def learner(*overrides: str) -> DictConfig:
        teachers = f"distillation.teachers=[{alone},{two}]"
        return composed("train", *both("v4_distilled"), *TINY, f"run.dir={tmp_path / 'learner'}", teachers, *overrides)

    with pytest.raises(ConfigError, match=f"{alone}: its Encoder 2 was not trained, and is to teach"):
        train(learner("loss.terms.distillation2.teacher_encoder=2"))
    assert not (tmp_path / "learner" / "config.yaml").exists()
    assert "untrained" not in train(learner()).results, "Encoder 1 of both may teach"


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
