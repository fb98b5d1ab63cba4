"""A run of V4 with which nothing is wrong, and ways to corrupt it one number or setting at a time."""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import pandas as pd
from made_tables import good_tables
from omegaconf import OmegaConf

from gainkt.evaluation.advice.advise import Report, advise
from gainkt.evaluation.advice.run_state import RunState
from gainkt.evaluation.diagnosis.diagnosis import diagnose
from gainkt.overrides import compose_train

Run = dict[str, Any]
METRICS = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "weight/bce1": [0.5, 0.5, 0.5],
        "train/encoder1_auc": [0.66, 0.70, 0.71],
        "val/encoder1_auc": [0.68, 0.70, 0.70],
        "val/encoder2_auc": [0.68, 0.70, 0.70],
    }
)
RESULTS = {"selected": "train", "phases": {"train": {"epoch": 2}}}


@cache
def good_run() -> Run:
    """A run of V4 with which nothing is wrong."""
    made = good_tables()
    return {
        "card": made.card(),
        "diagnosis": diagnose(made.predictions, made.trajectories, made.skills),
        "config": config_of("v4_belief"),
        "results": RESULTS,
        "metrics": METRICS,
        "num_items": 0,
    }


@cache
def config_of(experiment: str) -> dict[str, Any]:
    cfg = compose_train([f"experiment={experiment}"])
    found = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
    assert isinstance(found, dict)
    return found


def ask(run: Run) -> Report:
    return advise(RunState(**run))


def corrupted(good: Run, experiment: str, *corruptions: Callable[[Run], None]) -> Run:
    run = {**copy.deepcopy(good), "config": copy.deepcopy(config_of(experiment))}
    for change in corruptions:
        change(run)
    return run


def check(name: str, value: float, level: str = "none", verdict: str = "fail", **more: Any) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        found = next(entry for entry in run["card"]["checks"] if entry["name"] == name)
        found.update(value=value, level=level, verdict=verdict, **more)

    return change


def cause(name: str, **measured: Any) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        found = next(entry for entry in run["diagnosis"]["findings"] if entry["name"] == name)
        found["status"] = "cause"
        found["measured"] |= measured
        found["stake"] = found["stake"] or {"auc": 0.05, "nats": 0.01}

    return change


def carries(**falls: float) -> Callable[[Run], None]:
    return lambda run: run["card"]["carries"].update({part: {"fall": fall} for part, fall in falls.items()})


def epochs(**columns: list[float]) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        run["metrics"] = run["metrics"].assign(**{name.replace("__", "/"): x for name, x in columns.items()})

    return change


def lead(auc: float, by: float) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        run["card"]["further"]["encoder1_auc"]["value"] = auc
        run["card"]["further"]["encoder1_lead"]["value"] = by

    return change


def setting(path: str, value: Any) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        *parents, last = path.split(".")
        node = run["config"]
        for key in parents:
            node = node[key]
        node[last] = value

    return change


def items(run: Run) -> None:
    run["num_items"] = 18


CEILING = {"ceiling": 0.35, "out_of_reach": {"target": "too high", "optimal": "too high"}}
LAST = {"epoch": 2, "bce2": 0.1, "gain_variance": 0.9}


def steer(run: Run) -> None:
    found = next(entry for entry in run["diagnosis"]["findings"] if entry["name"] == "gradients")
    found |= {"status": "cause", "measured": {"gain_head": {"last": LAST}}, "override": "loss.gain_variance=0.0"}


WEAK = check("encoder2_auc", 0.57, "minimum", "pass")
OWN_GAIN = "model/gain_head=own_transfer model/receivers=all loss=sparse"
