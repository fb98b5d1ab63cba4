"""What is read from disk never decides which path is written: loggers and the profiler of a resumed run."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from gainkt.errors import ConfigError
from gainkt.runs.places import require_here, write_here
from gainkt.runs.received import is_part, named_by_conf

TENSORBOARD, WANDB, PROFILER = (
    {"_target_": f"lightning.pytorch.{name}"}
    for name in ("loggers.TensorBoardLogger", "loggers.WandbLogger", "profilers.SimpleProfiler")
)


def config(node: dict[str, Any], **settings: Any) -> DictConfig:
    node = {**node, **settings}
    profiles = node["_target_"].endswith("Profiler")
    return OmegaConf.create(
        {
            "run": {"dir": "/old/run"},
            "logger": {} if profiles else {"mine": node},
            "trainer": {"profiler": node} if profiles else {},
        }
    )


@pytest.mark.parametrize("was", ["/old/run", "/precious", "/old/run/../../precious", "../precious", "~"])
def test_they_write_into_the_folder_of_the_run(was: str, tmp_path: Path) -> None:
    for node, key in ((TENSORBOARD, "save_dir"), (WANDB, "save_dir"), (PROFILER, "dirpath")):
        cfg = config(node, **{key: was})
        write_here(cfg, tmp_path, "config.yaml")
        assert (cfg.trainer.get("profiler") or cfg.logger.mine)[key] == str(tmp_path)
    cfg = config(TENSORBOARD, save_dir="/old/run/logs", name="", version="tensorboard", flush_secs=3)
    write_here(cfg, tmp_path, "config.yaml")
    assert cfg.logger.mine.save_dir == str(tmp_path / "logs")


@pytest.mark.parametrize(
    ("node", "name", "value"),
    [
        *((TENSORBOARD, name, "../../precious") for name in ("name", "version", "sub_dir")),
        *((TENSORBOARD, "name", value) for value in ("/precious", "~/precious", "$HOME", "a/../../b")),
        (PROFILER, "filename", "/../../precious/x"),
        (TENSORBOARD, "log_dir", "x"),
        (WANDB, "settings", {"base_url": "https://somewhere"}),
        (WANDB, "dir", "/precious"),
        (WANDB, "save_code", True),
    ],
)
def test_what_leads_away_or_is_not_known_is_refused(node: dict[str, Any], name: str, value: Any) -> None:
    for check in (
        lambda trust: write_here(config(node, **{name: value}), Path("/run"), "config.yaml", trust),
        lambda trust: require_here(config(node, **{name: value}), "config.yaml", trust),
    ):
        with pytest.raises(ConfigError, match=rf"^config\.yaml: (logger\.mine|trainer\.profiler)\.{name}="):
            check(())
        check(["lightning"])


def test_a_sweep_from_disk_writes_to_its_jobs_folders() -> None:
    require_here(config(TENSORBOARD, save_dir="${run.dir}", name="", version="tensorboard"), "sweep.json")
    with pytest.raises(ConfigError, match=r"^sweep\.json: logger\.mine\.save_dir=/precious: leads out"):
        require_here(config(TENSORBOARD, save_dir="/precious"), "sweep.json")


def test_of_training_only_what_configs_name_is_a_part() -> None:
    """gainkt's own table of metrics writes to any path that it is given."""
    callbacks = "gainkt.training.callbacks"
    assert not is_part(f"{callbacks}.metrics_table.MetricsTable")
    assert f"{callbacks}.metrics_table.MetricsTable" not in named_by_conf()
    assert {f"{callbacks}.checkpoint.PhaseCheckpoint", f"{callbacks}.report_to_trial.ReportToTrial"} <= named_by_conf()
