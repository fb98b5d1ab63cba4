"""Courses of skills: ten opportunities of those who had as many, further attempts left out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts import tabulate_skills


def test_rises_are_those_of_students_who_practised_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    students, steps = 35, 24
    number = np.tile(np.arange(steps), students)
    rises, long = number % 2 == 0, np.repeat(np.arange(students) < 32, steps)
    taken = long | (number < 8)  # the others stop early
    student = np.array([f"s{i}" for i in np.repeat(np.arange(students), steps)])
    mastery = np.where(rises, (number // 2) / 20, 0.5)
    table = pd.DataFrame({"student": student, "step": number, "skill": np.where(rises, "rises", "stays")})
    table = table.assign(mastery_before=mastery, mastery=mastery + np.where(rises, 0.05, 0.0), gain=0.5)
    table = table.assign(
        response=(number > 10).astype(int), item=np.where(number == 3, "i2", [f"i{n}" for n in number])
    )
    table = table[taken].sample(frac=1, random_state=0)
    table.to_parquet(tmp_path / "trajectories.parquet")
    table[["student", "step", "item"]].to_parquet(tmp_path / "predictions.parquet")
    found = tabulate_skills.courses(tmp_path)
    assert found["students"].tolist() == [32, 32]
    assert found.loc["rises", ["before", "after", "rise"]].tolist() == pytest.approx([0.0, 0.5, 0.5])
    assert found.loc["stays", "rise"] == 0
    # Step 3 is a further attempt at the item of step 2, so that the tenth opportunity is a step later.
    assert found.loc["stays", "right_tenth"] == 1
    tabulate_skills.main([str(tmp_path)])
    said = capsys.readouterr().out
    assert "1 rise by under 0.05" in said
    assert "1 rise by over 0.2" in said
