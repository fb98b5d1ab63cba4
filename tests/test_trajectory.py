"""The terminal view of one student."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import DictConfig
from rich.console import Console

from gainkt.errors import ConfigError
from gainkt.reporting.student import mastery_plot, student_table
from gainkt.train import train
from gainkt.trajectory import read_student

Config = Callable[..., DictConfig]


def test_view_of_a_student(config: Config) -> None:
    result = train(config("v1_per_skill", "trajectories.students=5"))
    path = result.run.directory.path / "trajectories.parquet"
    table = pd.read_parquet(path)
    assert table.student.nunique() == 5
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
    with pytest.raises(ConfigError, match="not among the 5 students"):
        read_student(path, "nobody")
    with pytest.raises(ConfigError, match=r"gainkt\.evaluate"):
        read_student(Path("nowhere/trajectories.parquet"), None)
