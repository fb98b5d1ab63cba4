"""Teachers are asked once, about the training steps of their own split, and what they said lies in the run's folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_folders import made_run
from omegaconf import DictConfig

from conftest import TINY, composed, random_log, untrained
from gainkt.config import build
from gainkt.data.datamodule import KTDataModule
from gainkt.data.splits import SeededFolds
from gainkt.errors import ConfigError, DataError
from gainkt.losses import Loss
from gainkt.runs.folder import Run, build_datamodule, load_run, read_checkpoint
from gainkt.runs.members import logits_of
from gainkt.runs.pass_ import one_pass
from gainkt.runs.walk import taken
from gainkt.train import train
from gainkt.training.callbacks.metrics_table import MetricsTable
from gainkt.training.teachers import _training_steps, teachers_of

Config = Callable[..., DictConfig]
UNJUDGED = "trajectories.write=false"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    root = tmp_path_factory.mktemp("teachers")
    return [made_run(root / str(seed), seed=seed) for seed in (3, 4)]


def asked(runs: list[Run], *overrides: str) -> tuple[DictConfig, Loss, KTDataModule]:
    cfg = composed("train", "experiment=v4_distilled", *TINY, named(runs), *overrides)
    return cfg, build(cfg.loss), build_datamodule(cfg.dataset)


def named(runs: list[Run]) -> str:
    return f"distillation.teachers=[{','.join(str(run.directory.path) for run in runs)}]"


@pytest.mark.parametrize("cut", [[], ["dataset.window_length=7", "dataset.tokens_per_batch=50"]])
def test_what_they_say_is_the_mean_logit_of_each_training_step(runs: list[Run], cut: list[str]) -> None:
    cfg, loss, datamodule = asked(runs, *cut)
    teachers = teachers_of(cfg, loss, datamodule)
    assert teachers is not None
    log, train_steps = datamodule.log_, datamodule.log_.steps_of(datamodule.split.train)
    known = np.isfinite(teachers.logit1_M.numpy())
    assert np.array_equal(np.flatnonzero(known), np.sort(train_steps)), "nothing of validation and test students"
    whole = composed("train", "experiment=v4_distilled", *TINY, named(runs))
    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    class Taker:
        def add(self, piece) -> None:
            batch = piece.batch
            at = torch.from_numpy(log.offsets)[batch.student_B][:, None] + piece.number_BT
            seen.append(
                (at[batch.valid_BT], *(x[batch.valid_BT] for x in (piece.output.logit1_BT, piece.output.logit2_BT)))
            )

    own = build_datamodule(whole.dataset)
    for run in runs:
        one_pass(run.model(), own.loader("train"), [Taker()])
    for place, name in ((1, "logit1_M"), (2, "logit2_M")):
        sums = np.zeros(log.num_steps)
        for piece in seen:
            np.add.at(sums, piece[0].numpy(), piece[place].numpy() / len(runs))
        assert np.abs(getattr(teachers, name).numpy()[train_steps] - sums[train_steps]).max() < 1e-5


@pytest.mark.parametrize("carry", [True, False])
def test_every_step_that_training_sees_is_asked_once(carry: bool) -> None:
    log = random_log(num_students=40, longest=12)
    log = taken(
        log,
        np.flatnonzero(
            (np.arange(log.num_steps) == np.repeat(log.offsets[:-1], log.lengths))
            | (np.repeat(np.arange(log.num_students), log.lengths) % 4 > 0)
        ),
    )
    assert (log.lengths == 1).sum() == 10, "students of a single answer, who stand in no batch"
    cut = {"window_length": 5, "window_context": 2, "carry_state": carry}
    datamodule = KTDataModule(read=lambda: log, split=SeededFolds(), **cut)
    table = logits_of(untrained(datamodule.sizes, "experiment=v4_belief"), datamodule, "train")
    where, steps = _training_steps(datamodule)
    both = steps.merge(table, on=["student", "step"], validate="1:1")
    assert len(both) == len(steps) == len(table) == len(np.unique(where))
    assert np.array_equal(both["response"], log.responses[where])


def test_who_may_not_teach(runs: list[Run], tmp_path: Path) -> None:
    fold = made_run(tmp_path / "fold", "dataset.fold=1", seed=7)
    with pytest.raises(
        ConfigError, match=r"fold: its train part has other students .*give runs of the same split and f"
    ):
        teachers_of(*asked([runs[0], fold]))
    with pytest.raises(ConfigError, match="its train part has other students"):
        teachers_of(*asked(runs, "dataset.split.seed=1"))
    with pytest.raises(DataError, match=r"trained on other data \(digest"):
        teachers_of(*asked(runs, "dataset.read.seed=9"))
    with pytest.raises(ConfigError, match="no term learns from them"):
        teachers_of(*asked(runs, "loss.distillation2=0"))
    with pytest.raises(ConfigError, match="not the folder of a run"):
        teachers_of(
            composed("train", "experiment=v4_distilled", *TINY, f"distillation.teachers={tmp_path}"), *asked(runs)[1:]
        )
    stranger = made_run(tmp_path / "stranger", seed=8).directory.config
    stranger.write_text(stranger.read_text().replace("gainkt.model.curve", "stranger.curve"))
    (stranger.parent / "digests.json").unlink()
    with pytest.raises(ConfigError, match=r"add trust=\[stranger\] to the command"):
        teachers_of(
            composed("train", "experiment=v4_distilled", *TINY, f"distillation.teachers={stranger.parent}"),
            *asked(runs)[1:],
        )


def test_a_run_without_teachers_says_how_to_give_them(config: Config) -> None:
    with pytest.raises(ConfigError, match=r"distillation\.teachers=\[<run>,<run>\]"):
        train(config("v4_distilled"))


def test_both_terms_count_and_a_resumed_run_equals_an_uninterrupted_one(
    config: Config, runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = [shutil.copytree(run.directory.path, tmp_path / run.directory.path.name) for run in runs]
    settings = (UNJUDGED, "loss.distillation1=0.5", "loss.bce_loss_weight=0.3", "trainer.max_epochs=3")
    given = f"distillation.teachers=[{','.join(map(str, moved))}]"
    whole = train(config("v4_distilled", *settings, given, f"run.dir={tmp_path}/whole"))
    assert whole.module.weights["distillation1"] == 0.5
    table = pd.read_csv(whole.run.directory.metrics)
    assert (table[["loss/distillation1", "loss/distillation2", "gradient/distillation2_at_gain_head"]] > 0).all(
        axis=None
    )
    assert not [name for name in read_checkpoint(whole.run.directory.best("train"))["state_dict"] if "teach" in name]

    ended = MetricsTable.on_train_epoch_end

    def interrupted(self, trainer, module) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt
        ended(self, trainer, module)

    with monkeypatch.context() as patched:
        patched.setattr(MetricsTable, "on_train_epoch_end", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(config("v4_distilled", *settings, given, f"run.dir={tmp_path}/cut"))
    for folder in moved:
        shutil.rmtree(folder)
    cut = train(config("v4_distilled", f"run.resume={tmp_path}/cut"))
    ends = [read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")["state_dict"] for name in ("whole", "cut")]
    assert all(torch.equal(x, ends[1][name]) for name, x in ends[0].items())
    assert cut.results == whole.results
    assert whole.results["teachers"] == 2
    assert load_run(tmp_path / "cut").config.distillation.teachers == [str(folder) for folder in moved]
    said = pd.read_parquet(tmp_path / "cut" / "teachers.parquet")
    said.assign(step=said["step"][::-1].to_numpy()).to_parquet(tmp_path / "cut" / "teachers.parquet")
    with pytest.raises(ConfigError, match=r"teachers\.parquet: was changed since it was written"):
        train(config("v4_distilled", f"run.resume={tmp_path}/cut"))
    (tmp_path / "cut" / "digests.json").unlink()
    with pytest.raises(ConfigError, match=r"teachers\.parquet: is damaged .*other steps"):
        train(config("v4_distilled", f"run.resume={tmp_path}/cut"))


def test_an_encoder_comes_to_say_what_its_teachers_say(config: Config, runs: list[Run]) -> None:
    """Responses left out, Encoder 2 comes nearer to teachers who know nothing of these students."""
    only = ("loss.bce1=0", "loss.bce2=0", "loss.distillation1=1", "trainer.max_epochs=6", "gradient_every=0")
    done = train(config("v4_distilled", UNJUDGED, named(runs[:1]), *only, "optimizer.lr=0.01"))
    table = pd.read_csv(done.run.directory.metrics)
    for term in ("loss/distillation1", "loss/distillation2"):
        assert table[term].iloc[-1] < 0.8 * table[term].iloc[0]
