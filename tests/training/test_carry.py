"""Training on cut histories: state arrives, detached, in order; a run goes on where it was ended."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import DictConfig

from gainkt.model import GainKT, Output, State
from gainkt.train import train
from gainkt.training.callbacks.metrics_table import MetricsTable

Config = Callable[..., DictConfig]
CUT = ("dataset.window_length=12", "dataset.window_context=4", "trajectories.write=false")


class Watched:
    """What the model was given and gave, batch by batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, State | None, Output]] = []
        forward = GainKT.forward

        def watched(model: GainKT, batch: Any, state: State | None = None, *, every_skill: bool = False) -> Output:
            output = forward(model, batch, state, every_skill=every_skill)
            if model.training:
                self.calls.append((batch, state, output))
            return output

        monkeypatch.setattr(GainKT, "forward", watched)


def test_the_state_after_a_window_arrives_at_the_next(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    train(config("v4_belief", *CUT, "trainer.max_epochs=1"))
    ended: dict[int, tuple[torch.Tensor, int]] = {}
    went_on = 0
    for batch, state, output in watched.calls:
        for row, student in enumerate(batch.student_B.tolist()):
            start, count = int(batch.start_B[row]), int(batch.valid_BT[row].sum())
            if start:
                value, stop = ended[student]
                assert stop == start, "the next window of the same history"
                assert state is not None
                kept = state.student["last.encoder2.value"][row]
                assert torch.equal(kept, value)
                assert not kept.requires_grad
                assert int(state.steps_B[row]) == start
                went_on += 1
            elif state is not None:
                assert all((x[row] == 0).all() for x in (*state.student.values(), *state.skill.values()))
            ended[student] = output.value_BTD[row, count - 1].detach(), start + count
    assert went_on > 20
    assert all(state is None for batch, state, _ in watched.calls if not batch.start_B.any())


def test_without_carry_state_windows_start_anew(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    anew = train(config("v4_belief", *CUT, "dataset.carry_state=false", "run.dir=${run.root}/anew"))
    assert any(batch.start_B.any() for batch, _, _ in watched.calls)
    assert all(state is None and output.state is None for _, state, output in watched.calls)
    carried = train(config("v4_belief", *CUT, "run.dir=${run.root}/carried"))
    assert carried.metrics["val/encoder2_auc"] != anew.metrics["val/encoder2_auc"]
    assert "4 of context" in anew.datamodule.protocol
    assert "state carried" in carried.datamodule.protocol


def test_histories_that_are_not_cut_are_trained_the_same(config: Config) -> None:
    runs = [
        train(
            config(
                "v4_belief",
                "trajectories.write=false",
                f"dataset.carry_state={carry}",
                f"run.dir=${{run.root}}/{carry}",
            )
        )
        for carry in ("true", "false")
    ]
    for one, other in zip(*(run.module.model.parameters() for run in runs), strict=True):
        assert torch.equal(one, other)
    assert runs[0].metrics == runs[1].metrics


@pytest.mark.parametrize("experiment", ["v4_monotone", "v1_per_skill"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    config: Config, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(config(experiment, *CUT, "run.dir=${run.root}/whole", "trainer.max_epochs=3"))
    cfg = config(experiment, *CUT, "run.dir=${run.root}/ended", "trainer.max_epochs=3")

    class Ended(Exception):
        pass

    after = MetricsTable.on_train_epoch_end

    def end(table: MetricsTable, trainer: Any, module: Any) -> None:
        after(table, trainer, module)
        if trainer.current_epoch == 1:
            raise Ended

    with monkeypatch.context() as patched:
        patched.setattr(MetricsTable, "on_train_epoch_end", end)
        with pytest.raises(Ended):
            train(cfg)
    resumed = train(config(experiment, f"run.resume={cfg.run.dir}"))
    assert resumed.trainer.current_epoch == whole.trainer.current_epoch
    for one, other in zip(whole.module.model.parameters(), resumed.module.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert resumed.metrics == whole.metrics
