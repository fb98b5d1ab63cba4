"""Measure whether models of several seeds train faster stacked in one process: `python scripts/benchmark_stacked.py`.

A stack computes all models' steps on the same batch at once (torch.func.vmap over their weights, dropout drawn for
each). Compared with the same steps one model after the other, in turn, in one run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmark_end import made_log
from gainkt.config import build, conf_dir
from gainkt.data.batch import Batch
from gainkt.data.datamodule import KTDataModule
from gainkt.data.splits import AllStudents
from gainkt.model import GainKT
from gainkt.runs.folder import build_model


def main() -> None:
    """Measure, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", nargs="+", default=["v1_per_skill", "v4_belief"])
    parser.add_argument("--models", type=int, default=5, help="in a stack")
    parser.add_argument("--batches", type=int, default=8, help="steps of each way, in turn")
    parser.add_argument("--tokens", type=int, default=2000, help="cells a batch")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked = parser.parse_args()
    for experiment in asked.experiments:
        try:
            apart, stacked = measure(experiment, asked)
        except RuntimeError as error:
            print(f"{experiment}: cannot be stacked: {str(error).splitlines()[0][:150]}", flush=True)
            continue
        each = f"{asked.models} models one by one {apart:.3f} s a step, stacked {stacked:.3f} s"
        print(f"{experiment} on {asked.device}: {each}: {apart / stacked:.2f} x", flush=True)


def measure(experiment: str, asked: argparse.Namespace) -> tuple[float, float]:
    """Best seconds of a step of all models, one after the other and stacked."""
    steps = asked.tokens * asked.batches // 100 * 100
    module = KTDataModule(read=lambda: made_log(steps, 100), split=AllStudents(), tokens_per_batch=asked.tokens)
    module.setup()
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        cfg = compose("train", [f"experiment={experiment}"])
    loss = build(cfg.loss).to(asked.device)
    models: list[GainKT] = []
    for seed in range(asked.models):
        torch.manual_seed(seed)
        models.append(build_model(cfg.model, module.sizes).to(asked.device).train())
    weights, buffers = stack_module_state(models)
    base = models[0]
    best = [float("inf")] * 2
    for batch in [b.to(asked.device) for b in module.loader("test")][: asked.batches]:

        def cost(weight: dict[str, Tensor], buffer: dict[str, Tensor], batch: Batch = batch) -> Tensor:
            output = functional_call(base, (weight, buffer), (batch,))
            return sum(loss.weights[name] * x for name, x in loss(output, batch, loss.weights).items())

        def one_by_one(cost: Callable = cost) -> None:
            for model in models:
                grad(cost)(dict(model.named_parameters()), dict(model.named_buffers()))

        def stacked(cost: Callable = cost) -> None:
            vmap(grad(cost), randomness="different")(weights, buffers)

        for place, way in enumerate((one_by_one, stacked)):
            begun = time.perf_counter()
            way()
            if asked.device == "cuda":
                torch.cuda.synchronize()
            best[place] = min(best[place], time.perf_counter() - begun)
    return best[0], best[1]


if __name__ == "__main__":
    main()
