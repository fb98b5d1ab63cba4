"""metrics.csv: what each epoch logged, and nothing that it did not."""

from collections.abc import Callable

import pandas as pd
import pytest
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from gainkt.runs.folder import load_run
from gainkt.runs.reports import diagnose_run
from gainkt.runs.scoring import watched_training
from gainkt.train import train
from gainkt.training.callbacks.metrics_table import MetricsTable

Config = Callable[..., DictConfig]


class Recorder(Logger):
    """Keeps what it is told."""

    name, version = "recorder", "0"

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.told.append(dict(metrics))

    def log_hyperparams(self, *given: object, **more: object) -> None:
        pass


def test_a_term_that_is_left_out_has_no_value(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr("gainkt.training.train.build_loggers", lambda cfg: [recorder])
    result = train(config("try_synthetic_gains", "trainer.max_epochs=4", "diagnose=true"))
    table = pd.read_csv(result.run.directory.metrics)
    first = table.phase == "synthetic_gains"
    assert 0 < first.sum() < 4
    for left_out, rows in (("gain_target", ~first), ("bce1", first), ("bce2", first)):
        columns = table.filter(regex=rf"^(loss|weighted_loss|gradient)/{left_out}(_at_|$)")
        assert columns.shape[1] == 5
        assert columns[rows].isna().all(axis=None), f"{left_out} has a value in a phase that does not compute it"
        assert columns[~rows].notna().all(axis=None)
    assert table.filter(regex="^(train|val|weight|parameter)/|^gradient/norm").notna().all(axis=None)
    for told in recorder.told:
        if "loss/bce2" in told:
            assert "loss/gain_target" not in told
    run = load_run(result.run.directory.path)
    watched = watched_training(run)
    assert watched is not None
    assert watched["finite"], "an empty cell of a term that is left out is no fault of training"
    found = {entry["name"]: entry for entry in diagnose_run(run, result.datamodule).content["findings"]}
    last = found["gradients"]["measured"]["gain_head"]["last"]
    assert last["gain_target"] == 0
    assert "gain_target" not in found["gradients"]["verdict"]
    assert "gain_target" not in (found["gradients"]["override"] or "")


def test_a_resumed_table_is_that_of_an_uninterrupted_run(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("try_synthetic_gains", "trainer.max_epochs=6", "trajectories.write=false", "gradient_every=1")
    whole, cut = config(*settings), config(*settings)
    train(whole)
    write = MetricsTable.on_train_epoch_end

    def stop(self: MetricsTable, trainer: object, module: object) -> None:
        if len(self.rows) == 3:
            raise OSError("cut short")
        write(self, trainer, module)

    monkeypatch.setattr(MetricsTable, "on_train_epoch_end", stop)
    with pytest.raises(OSError, match="cut short"):
        train(cut)
    monkeypatch.setattr(MetricsTable, "on_train_epoch_end", write)
    train(config("v1_per_skill", f"run.resume={cut.run.dir}"))
    tables = [(load_run(cfg.run.dir).directory.metrics).read_text() for cfg in (whole, cut)]
    assert tables[0] == tables[1]
