"""Tracer, predict and evaluate say the same of ASSISTments' test students."""

from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from gainkt.overrides import compose_train
from gainkt.runs.bundle import Content
from gainkt.runs.folder import build_datamodule, build_model
from gainkt.runs.predict import predict
from gainkt.runs.trained import TrainedModel

STUDENTS = 40


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "dataset", "folder"),
    [("v4_belief", "assist2015", "assist2015_pykt"), ("v4_items", "assist2009", "assist2009_akt")],
)
def test_all_three_agree(shared_data: Path, experiment: str, dataset: str, folder: str) -> None:
    path = f"dataset.path={shared_data / folder}"
    cfg = compose_train([f"experiment={experiment}", f"dataset={dataset}", path])
    datamodule = build_datamodule(cfg.dataset)
    torch.manual_seed(0)
    network, sizes = build_model(cfg.model, datamodule.sizes), datamodule.sizes
    weights = {name: x + 0.1 * torch.randn_like(x) for name, x in network.state_dict().items()}
    node = OmegaConf.to_container(cfg.model, resolve=True)
    model = TrainedModel(Content(experiment, node, weights, sizes.skill_names, sizes.item_names))

    test = datamodule.students("test")
    log = datamodule.log_.select(test)
    found = model.predict(log)
    evaluated = predict(model.network, datamodule.loader("test"))
    owner, place = np.repeat(test, log.lengths), np.arange(log.num_steps) - np.repeat(log.offsets[:-1], log.lengths)
    for name in ("p1", "p2"):
        # In a window of evaluation attention, Encoder 1 of v4_items, sees more than the last 256 steps.
        longest = 257 if name == "p1" and experiment == "v4_items" else log.lengths.max()
        for student in test[log.lengths <= longest][:STUDENTS]:
            said = np.sort(evaluated[name][evaluated["student"] == student])
            own = np.sort(found[name][(owner == student) & (place > 0)])
            assert np.abs(own - said).max(initial=0) < 1e-5, (name, student)

    for number in np.argsort(log.lengths)[-3:]:
        trace = model.start()
        for step in range(log.offsets[number], log.offsets[number + 1]):
            skills = log.skill_names[log.skills[log.skill_offsets[step] : log.skill_offsets[step + 1]]].tolist()
            item = str(log.item_names[log.items[step]]) if log.num_items else "?"
            if place[step] % 25 == 0:
                now = model.outlook(trace, {item: skills}).iloc[0]
                assert abs(now["p1"] - found["p1"][step]) < 1e-5
                assert abs(now["p2"] - found["p2"][step]) < 1e-5
            trace = model.observe(trace, skill=skills, item=item, correct=log.responses[step])
