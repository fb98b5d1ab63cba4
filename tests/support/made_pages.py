"""What a page of a run shows, made from constructed tables; and a folder that looks like a run's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from made_runs import config_of
from made_tables import Tables, good_tables
from omegaconf import OmegaConf

from gainkt.evaluation.diagnosis.diagnosis import diagnose
from gainkt.files import plain, write_json
from gainkt.names import joined
from gainkt.runs.folder import load_run
from gainkt.runs.page import gather

EPOCHS = 4


def named_tables(students: list[str] | None = None, skills: list[str] | None = None, **sizes: int) -> Tables:
    """The good tables with names of one's own, and items; what is not named keeps its name."""
    made = good_tables(**sizes)
    who = dict(zip(made.predictions["student"].unique(), students or [], strict=False))
    what = dict(zip(made.skills["skill"], skills or [], strict=False))
    predictions = made.predictions.assign(
        student=made.predictions["student"].replace(who),
        skills=[joined([what.get(name, name)]) for name in made.predictions["skills"]],
        item=[f"item {step % 7}" for step in made.predictions["step"]],
        item_difficulty=np.float32(0.25),
    )
    trajectories = made.trajectories.assign(
        student=made.trajectories["student"].replace(who), skill=made.trajectories["skill"].replace(what)
    )
    skill_table = made.skills.assign(skill=made.skills["skill"].replace(what))
    return replace(made, predictions=predictions, trajectories=trajectories, skills=skill_table)


def with_edges(tables: Tables) -> Tables:
    """The tables with a student of one step, and a skill that nobody practised."""
    first = tables.predictions["student"].iloc[-1]

    def short(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[(rows["student"] != first) | (rows["step"] == 0)]

    unmet = tables.skills.tail(1).assign(
        skill="never practised", practised_steps=0, responses_right=np.nan, gain_practised_mean=np.nan
    )
    skills = pd.concat([tables.skills, unmet], ignore_index=True)
    return Tables(short(tables.predictions), short(tables.trajectories), skills, tables.num_skills + 1)


def metrics_table() -> pd.DataFrame:
    """A metrics.csv of two phases."""
    epoch = np.arange(EPOCHS)
    columns: dict[str, Any] = {"epoch": epoch, "phase": np.where(epoch < 2, "warm", "all")}
    for number in (1, 2):
        for part in ("val", "train"):
            columns[f"{part}/encoder{number}_auc"] = 0.6 + 0.03 * epoch + 0.01 * number
    return pd.DataFrame(
        {
            **columns,
            "loss/bce1": 0.6 - 0.02 * epoch,
            "loss/gain_sparsity": 0.01 * (1 + epoch),
            "weight/bce1": np.where(epoch < 2, 0.0, 1.0),
            "weight/gain_sparsity": 0.001,
            "gradient/bce1_at_gain_head": [np.nan, 0.2, 0.3, 0.4],
            "gradient/gain_sparsity_at_gain_head": [np.nan, 0.1, 0.1, 0.1],
            "parameter/curve.beta_mean": 2 + 0.1 * epoch,
            "parameter/curve.beta_std": 0.1,
        }
    )


def made_run(folder: Path, tables: Tables | None = None, *, name: str = "v4_belief", card: bool = True) -> Path:
    """Fill a folder as a finished run does, but for the checkpoints."""
    tables = tables or named_tables()
    folder.mkdir(parents=True, exist_ok=True)
    config = OmegaConf.create({**config_of("v4_belief"), "name": name})
    config.dataset.path, config.dataset.read.num_students = None, 20
    OmegaConf.save(config, folder / "config.yaml")
    skills = [str(skill) for skill in tables.skills["skill"]]
    sizes = {
        "num_skills": len(skills),
        "num_students": 1280,
        "num_items": 7,
        "skill_names": skills,
        "item_names": [f"i{i}" for i in range(7)],
    }
    write_json(folder / "sizes.json", sizes)
    figures = {f"encoder{n}_{metric}": 0.7 for n in (1, 2) for metric in ("auc", "accuracy", "log_loss", "rmse")}
    write_json(
        folder / "results.json",
        {
            "name": name,
            "protocol": f"{name}, 5 folds",
            "account": {"rows": 5000, "left_out": {"blank skill": 12}, "histories_cut": 0},
            "selected": "all",
            "phases": {"all": {"epoch": 3, "figures": {"val": figures, "test": figures}}},
        },
    )
    overrides = ["experiment=v4_belief", f"name={name}"]
    write_json(
        folder / "provenance.json",
        {
            "overrides": overrides,
            "command": f"python -m gainkt.train {' '.join(overrides)}",
            "seed": 0,
            "data": {"name": "made", "digest": "abc", "protocol": f"{name}, 5 folds"},
            "packages": {"torch": "2.13.0"},
        },
    )
    metrics_table().to_csv(folder / "metrics.csv", index=False)
    for table in ("predictions", "trajectories", "skills"):
        getattr(tables, table).to_parquet(folder / f"{table}.parquet", index=False)
    if card:
        protocol = {"name": name, "data": f"{name}, 5 folds", "split": "test"}
        found = tables.card()
        write_json(folder / "scorecard.json", {**found, "protocol": found["protocol"] | protocol})
        report = diagnose(tables.predictions, tables.trajectories, tables.skills)
        write_json(folder / "diagnosis.json", {**report, "protocol": report["protocol"] | protocol})
    return folder


def made_content(folder: Path, **settings: Any) -> dict[str, Any]:
    """What the page of a folder's run shows, with transfer between its skills."""
    run = load_run(folder)
    size = run.sizes.num_skills
    gains = np.full((size, size), 0.05) + np.eye(size) * 0.5
    gains[-1] = np.nan
    return gather(run, **{"transfer": {"gains": gains, "steps": 900, "students": 30}, **settings})


def as_json(content: Any) -> Any:
    """Content as JSON would give it back."""
    return json.loads(json.dumps(plain(content)))
