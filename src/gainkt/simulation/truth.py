"""The truth about simulated students, and the files that hold it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gainkt.data.log import InteractionLog
from gainkt.errors import DataError
from gainkt.simulation.settings import Settings
from gainkt.simulation.students import Steps, Students
from gainkt.simulation.tables import TABLES, from_tables, interactions, to_tables
from gainkt.simulation.world import Floats, Ints, World, sigmoid

_SETTINGS = "truth_settings.json"


@dataclass(frozen=True, eq=False)
class Truth:
    """All that is true of a simulation: the laws, the students, and what happened at each step.

    Students, skills and items are numbered as in the log; `steps` is aligned with the log's flat arrays.
    """

    settings: Settings
    """What was asked for; holds the spreads of the population, too."""
    world: World
    """Parameters of skills and items, the Q-matrix and the transfer graph."""
    students: Students
    """Ability, velocity, initial logits, policy of each student."""
    steps: Steps
    """Gain and mastery of each slot, oracle probability of each step."""

    @property
    def initial_mastery_NK(self) -> Floats:
        """[N, K] in [0, 1], mastery before the first step."""
        return self.world.saturation_K * sigmoid(self.students.initial_logit_NK)

    def trajectory_of(self, students: Sequence[int] | Ints) -> list[Floats]:
        """Mastery of every skill by the given students, one array [T+1, K] each.

        Row 0 is before the first step, row t+1 after step t; computed from the gains when asked for.
        """
        chosen = np.asarray(students, dtype=np.int64)
        if not len(chosen):
            return []
        steps, world = self.steps, self.world
        lengths = np.diff(steps.offsets)[chosen]
        velocity = self.students.velocity_N[chosen][:, None]
        initial = self.students.initial_logit_NK[chosen]
        skill = np.arange(self.settings.num_skills)[None]
        practice = np.zeros(initial.shape)
        curves = np.full((lengths.max() + 1, *initial.shape), np.nan)
        curves[0] = world.mastery(skill, velocity * practice, initial)
        for t in range(lengths.max()):
            there = np.flatnonzero(t < lengths)
            at = steps.offsets[chosen[there]] + t
            skills_nS = world.skills_IS[steps.items[at]]
            held = skills_nS >= 0
            gains = np.zeros(held.shape)
            first = steps.skill_offsets[at][:, None]
            gains[held] = steps.gain_L[(first + np.arange(held.shape[1]))[held]]
            now = practice[there]
            world.advance(now, skills_nS, gains)
            practice[there] = now
            curves[t + 1, there] = world.mastery(skill, velocity[there] * now, initial[there])
        return [curves[: length + 1, i] for i, length in enumerate(lengths)]

    @classmethod
    def open(cls, directory: str | Path) -> Truth:
        """Read the tables that `Simulation.save` wrote.

        Raises:
            DataError: a table is missing or damaged.
        """
        directory = Path(directory)
        try:
            settings = Settings(**json.loads((directory / _SETTINGS).read_text()))
            tables = {name: pd.read_parquet(directory / f"truth_{name}.parquet") for name in TABLES}
            return cls(settings, *from_tables(settings, tables))
        except FileNotFoundError as error:
            raise DataError(f"{directory}: not a saved simulation ({error}); save one with Simulation.save") from error
        except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
            raise DataError(f"{directory}: damaged ({error}); save the simulation again") from error


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated interactions and the truth behind them."""

    log: InteractionLog
    """What an observer sees."""
    truth: Truth
    """What no observer sees."""

    def true_mastery(self) -> pd.DataFrame:
        """Return the mastery of each practised skill after each step: student, step (from 0), skill, true_mastery."""
        steps = to_tables(self.log, self.truth.world, self.truth.students, self.truth.steps)["steps"]
        named = steps.rename(columns={"order": "step", "mastery_after": "true_mastery"})
        return named[["student", "step", "skill", "true_mastery"]].astype({"student": str, "skill": str})

    def save(self, directory: str | Path) -> Path:
        """Write interactions.csv (student,order,item,skill,correct), five truth tables and the settings.

        The folder appears whole or not at all.

        Raises:
            DataError: the folder exists already, or cannot be written.
        """
        directory = Path(directory)
        if directory.exists():
            raise DataError(f"{directory}: exists already; remove it or choose another folder for the simulation")
        building = None
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            building = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
            tables = to_tables(self.log, self.truth.world, self.truth.students, self.truth.steps)
            interactions(self.log).to_csv(building / "interactions.csv", index=False)
            for name, table in tables.items():
                table.to_parquet(building / f"truth_{name}.parquet", index=False)
            (building / _SETTINGS).write_text(json.dumps(asdict(self.truth.settings), indent=1))
            building.chmod(0o755)
            building.rename(directory)
        except OSError as error:
            raise DataError(f"{directory}: cannot write the simulation there ({error.strerror})") from error
        finally:
            if building is not None:
                shutil.rmtree(building, ignore_errors=True)
        return directory
