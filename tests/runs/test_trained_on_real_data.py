"""Tracer, predict and evaluate say the same of ASSISTments' test students, step by step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from gainkt.data.log import InteractionLog
from gainkt.overrides import compose_train
from gainkt.runs.bundle import Content
from gainkt.runs.folder import build_datamodule, build_model
from gainkt.runs.predict import predict
from gainkt.runs.trained import TrainedModel

TRACED = 12
"""Students, beside the three with the longest histories, who are traced answer by answer."""
FOLDERS = {"assist2015": "assist2015_pykt", "assist2009": "assist2009_akt"}
CLOSE = 1e-6


def steps_of(log: InteractionLog, number: int) -> list[dict]:
    """The arguments of observe of each answer of a student."""
    found = []
    for step in range(log.offsets[number], log.offsets[number + 1]):
        skills = log.skill_names[log.skills[log.skill_offsets[step] : log.skill_offsets[step + 1]]].tolist()
        item = str(log.item_names[log.items[step]]) if log.num_items else None
        found.append({"skill": skills, "item": item, "correct": log.responses[step]})
    return found


@pytest.mark.slow
@pytest.mark.parametrize("dataset", FOLDERS)
@pytest.mark.parametrize(
    "experiment", ["v4_belief", "v4_belief_skill", "v4_monotone", "v4_table", "v4_items_attention"]
)
def test_all_three_agree(shared_data: Path, experiment: str, dataset: str) -> None:
    given = [f"experiment={experiment}", f"dataset={dataset}", f"dataset.path={shared_data / FOLDERS[dataset]}"]
    cfg = compose_train(given)
    datamodule = build_datamodule(cfg.dataset)
    torch.manual_seed(0)
    network, sizes = build_model(cfg.model, datamodule.sizes), datamodule.sizes
    weights = {name: x + 0.1 * torch.randn_like(x) for name, x in network.state_dict().items()}
    node = OmegaConf.to_container(cfg.model, resolve=True)
    model = TrainedModel(Content(experiment, node, weights, sizes.skill_names, sizes.item_names))

    test = datamodule.students("test")
    log = datamodule.log_.select(test)
    found = model.predict(log)
    owner, place = np.repeat(test, log.lengths), np.arange(log.num_steps) - np.repeat(log.offsets[:-1], log.lengths)
    # Windows of a student come in order, so that a stable sort by student leaves steps in order too.
    evaluated = predict(model.network, datamodule.loader("test")).sort_values("student", kind="stable")
    scored = np.flatnonzero(place > 0)
    scored = scored[np.argsort(owner[scored], kind="stable")]
    assert np.array_equal(evaluated["student"], owner[scored])
    assert np.array_equal(evaluated["response"], log.responses[scored])
    far = {name: np.abs(evaluated[name].to_numpy() - found[name].to_numpy()[scored]) for name in ("p1", "p2")}
    if experiment == "v4_items_attention":
        # In a window of evaluation attention, Encoder 1 of v4_items_attention, sees more than the last 256 steps.
        far["p1"] = far["p1"][place[scored] <= 256]
    worst = {f"evaluate {name}": float(x.max()) for name, x in far.items()} | {"tracer p1": 0.0, "tracer p2": 0.0}

    drawn = np.random.default_rng(0).choice(len(test), TRACED, replace=False)
    for number in {*drawn.tolist(), *np.argsort(log.lengths)[-3:].tolist()}:
        trace = model.start()
        for step, answer in enumerate(steps_of(log, number), log.offsets[number]):
            item = answer["item"] or "?"
            now = model.outlook(trace, {item: answer["skill"]})
            for name in ("p1", "p2"):
                worst[f"tracer {name}"] = max(worst[f"tracer {name}"], abs(now[name].iloc[0] - found[name][step]))
            trace = model.observe(trace, **answer)
    said = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    print(
        f"{experiment}, {dataset}: {len(test):,} students, {len(scored):,} steps, histories of up to "
        f"{log.lengths.max():,}: {said}"
    )
    assert max(worst.values()) < CLOSE, said
