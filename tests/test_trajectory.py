"""The terminal view of one student."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from rich.console import Console

from gainkt.config import conf_dir
from gainkt.errors import ConfigError
from gainkt.reporting.student import mastery_plot, student_table
from gainkt.train import train
from gainkt.trajectory import course_of, read_student

Config = Callable[..., DictConfig]


def test_view_of_a_student(config: Config) -> None:
    result = train(config("v1_per_skill", "trajectories.students=5"))
    path = result.run.directory.path / "trajectories.parquet"
    table = pd.read_parquet(path)
    assert table.student.nunique() == 5
    assert table.relevant.all()
    name, rows = read_student(path, None)
    assert (rows.student == name).all()
    console = Console(record=True, width=110, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(student_table(name, rows, 5))
    console.print(mastery_plot(rows, 2, 100))
    text = console.export_text()
    first = rows[rows.relevant].sort_values("step").iloc[0]
    assert f"student {name}" in text
    assert f"{first.mastery:.2f}" in text
    assert "mastery after each step" in text
    asked = [f"run={path.parent}", f"student={name}", "device=cpu"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        same, whole = course_of(compose("trajectory", asked))
        middle, _ = course_of(compose("trajectory", [f"run={path.parent}", "device=cpu"]))
        with pytest.raises(ConfigError, match="student=nobody: not among the"):
            course_of(compose("trajectory", [*asked, "student=nobody"]))
    assert same == name
    assert middle in result.datamodule.log_.students[result.datamodule.students("test")]
    assert len(whole) == rows.step.nunique() * result.datamodule.log_.num_skills
    np.testing.assert_allclose(whole[whole.relevant].mastery, rows.mastery, atol=1e-6)
    with pytest.raises(ConfigError, match="not among the 5 students"):
        read_student(path, "nobody")
    with pytest.raises(ConfigError, match=r"gainkt\.evaluate"):
        read_student(Path("nowhere/trajectories.parquet"), None)
