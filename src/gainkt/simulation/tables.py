"""A simulation as tables: what is written to disk for people and programs to read, and read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gainkt.data.log import InteractionLog, offsets_of
from gainkt.simulation.settings import POLICIES, Settings
from gainkt.simulation.students import Steps, Students
from gainkt.simulation.world import World, sigmoid

TABLES = ("skills", "items", "students", "steps", "transfer")
OF_SKILLS = {"saturation": "saturation_K", "steepness": "steepness_K", "offset": "offset_K", "ease": "ease_K"}
OF_ITEMS = {"difficulty": "difficulty_I", "slip": "slip_I", "guess": "guess_I"}
OF_STUDENTS = {"ability": "ability_N", "velocity": "velocity_N"}
OF_SLOTS = {"gain": "gain_L", "mastery_before": "mastery_before_L", "mastery_after": "mastery_after_L"}
"""Columns that hold a field as it is, and the fields."""


def interactions(log: InteractionLog) -> pd.DataFrame:
    """One interaction a row: student, order (from 0), item, skill (several are joined by `;`), correct."""
    student = np.repeat(np.arange(log.num_students), log.lengths)
    return pd.DataFrame(
        {
            "student": log.students[student],
            "order": np.arange(log.num_steps) - log.offsets[student],
            "item": log.item_names[log.items],
            "skill": _joined(log.skill_names[log.skills], log.skill_offsets),
            "correct": log.responses,
        }
    )


def to_tables(log: InteractionLog, world: World, students: Students, steps: Steps) -> dict[str, pd.DataFrame]:
    """Return the tables of TABLES; students, skills and items appear by the names that the log gives them.

    `steps` has one row a skill slot; order counts the steps of a student from 0.
    """
    skill, dependent = np.nonzero(world.transfer_KK)
    step = np.repeat(np.arange(log.num_steps), np.diff(steps.skill_offsets))
    student = np.repeat(np.arange(log.num_students), log.lengths)[step]
    initial = students.initial_logit_NK
    by_skill = {
        **{f"initial_logit_{name}": initial[:, k] for k, name in enumerate(log.skill_names)},
        **{
            f"initial_mastery_{name}": world.saturation_K[k] * sigmoid(initial[:, k])
            for k, name in enumerate(log.skill_names)
        },
    }
    needed = np.nonzero(world.q_matrix_IK)[1]
    return {
        "skills": pd.DataFrame(
            {
                "skill": log.skill_names,
                **_columns(OF_SKILLS, world),
                "gain_correct": world.gain_RK[1],
                "gain_incorrect": world.gain_RK[0],
                "curriculum_position": np.argsort(world.order_K),
            }
        ),
        "items": pd.DataFrame(
            {
                "item": log.item_names,
                "skill": _joined(log.skill_names[needed], offsets_of(world.q_matrix_IK.sum(axis=1))),
                **_columns(OF_ITEMS, world),
            }
        ),
        "students": pd.DataFrame(
            {
                "student": log.students,
                **_columns(OF_STUDENTS, students),
                "policy": np.array(POLICIES)[students.policy_N],
                "steps": students.lengths_N,
                **by_skill,
            }
        ),
        "steps": pd.DataFrame(
            {
                "student": pd.Categorical.from_codes(student, pd.Index(log.students)),
                "order": step - log.offsets[student],
                "item": pd.Categorical.from_codes(steps.items[step], pd.Index(log.item_names)),
                "skill": pd.Categorical.from_codes(steps.skills, pd.Index(log.skill_names)),
                "correct": steps.responses[step],
                "oracle": steps.oracle_M[step],
                **_columns(OF_SLOTS, steps),
            }
        ),
        "transfer": pd.DataFrame(
            {
                "skill": log.skill_names[skill],
                "dependent": log.skill_names[dependent],
                "strength": world.transfer_KK[skill, dependent],
            }
        ),
    }


def from_tables(settings: Settings, tables: dict[str, pd.DataFrame]) -> tuple[World, Students, Steps]:
    """Return what `to_tables` was given, but for the log."""
    skills, items, students, rows, edges = (tables[name] for name in TABLES)
    skill_index = pd.Index(skills["skill"])
    transfer = np.zeros((len(skills), len(skills)))
    transfer[skill_index.get_indexer(edges["skill"]), skill_index.get_indexer(edges["dependent"])] = edges["strength"]
    needed = items["skill"].str.split(";").explode()
    q_matrix = np.zeros((len(items), len(skills)), dtype=bool)
    q_matrix[needed.index, skill_index.get_indexer(pd.Index(needed))] = True
    world = World(
        **_fields(OF_SKILLS, skills),
        gain_RK=skills[["gain_incorrect", "gain_correct"]].to_numpy().T,
        order_K=np.argsort(skills["curriculum_position"].to_numpy()),
        transfer_KK=transfer,
        **_fields(OF_ITEMS, items),
        q_matrix_IK=q_matrix,
        temperature=settings.temperature,
        forgetting=settings.forgetting,
    )
    who = Students(
        **_fields(OF_STUDENTS, students),
        initial_logit_NK=students[[f"initial_logit_{name}" for name in skill_index]].to_numpy(),
        policy_N=pd.Index(POLICIES).get_indexer(pd.Index(students["policy"])),
        lengths_N=students["steps"].to_numpy(),
    )
    offsets = offsets_of(who.lengths_N)
    student = pd.Index(students["student"]).get_indexer(rows["student"])
    step = offsets[student] + rows["order"].to_numpy()
    first = np.searchsorted(step, np.arange(offsets[-1]))
    steps = Steps(
        offsets=offsets,
        items=pd.Index(items["item"]).get_indexer(rows["item"])[first].astype(np.int32),
        responses=rows["correct"].to_numpy()[first],
        oracle_M=rows["oracle"].to_numpy()[first],
        skill_offsets=np.append(first, len(rows)).astype(np.int64),
        skills=skill_index.get_indexer(rows["skill"]).astype(np.int32),
        **_fields(OF_SLOTS, rows),
    )
    return world, who, steps


def _columns(fields: dict[str, str], of: World | Students | Steps) -> dict[str, np.ndarray]:
    return {column: getattr(of, field) for column, field in fields.items()}


def _fields(fields: dict[str, str], table: pd.DataFrame) -> dict[str, Any]:
    return {field: table[column].to_numpy() for column, field in fields.items()}


def _joined(names: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Join names[offsets[i] : offsets[i+1]] by semicolons, for every i."""
    counts = np.diff(offsets)
    text = names[offsets[:-1]].astype(object)
    for slot in range(1, int(counts.max())):
        more = np.flatnonzero(counts > slot)
        text[more] = text[more] + ";" + names[offsets[:-1][more] + slot].astype(object)
    return text
