"""A training step waits for no number of the device, and a broken loss ends the run."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import DictConfig
from torch.utils._python_dispatch import TorchDispatchMode

from gainkt.config import build
from gainkt.errors import ConfigError
from gainkt.runs.folder import build_datamodule, build_model
from gainkt.training.module import NEVER, GainKTModule

ASKING = ("_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "unique", "_unique2")
"""Operations whose result, or its shape, the host has to wait for where a GPU computes."""

VARIANTS = ("v1_per_skill", "v3_inverse_warmup", "v4_belief", "v4_items_attention", "v4_monotone", "v4_table")


class Asked(TorchDispatchMode):
    """Counts these operations."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masks = name.startswith("index") and any(
            isinstance(x, torch.Tensor) and x.dtype == torch.bool
            for x in (args[1] if isinstance(args[1], list) else ())
        )
        self.seen[name] += name in ASKING or masks
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("experiment", VARIANTS)
def test_no_step_asks_a_number_of_the_device(experiment: str, config: Callable[..., DictConfig]) -> None:
    cfg = config(experiment)
    data = build_datamodule(cfg.dataset)
    data.setup()
    model, loss = build_model(cfg.model, data.sizes), build(cfg.loss)
    loss.start(model, data.skill_rates, None)
    batch = next(iter(data.loader("train", shuffle=True)))
    every = loss.needs_every_skill(loss.weights, model.knows_others) or None
    with Asked() as asked:
        raw = loss(model(batch, every_skill=every), batch, loss.weights)
        torch.stack([loss.weights[name] * value for name, value in raw.items()]).sum().backward()
    # The columns of the busiest window, where columns are those of the skills met; V4 computes without.
    most = Counter() if experiment.startswith("v4") else Counter(_local_scalar_dense=1)
    assert asked.seen <= most


def test_what_the_host_would_wait_for_is_found() -> None:
    x = torch.tensor([1.0, -1.0])
    for ask in (lambda: float(x[0]), lambda: x[x > 0], lambda: x.nonzero(), lambda: bool((x > 0).any())):
        with Asked() as asked:
            ask()
        assert asked.seen.total() > 0


def broken_on(device: str) -> GainKTModule:
    module = GainKTModule.__new__(GainKTModule)
    torch.nn.Module.__init__(module)
    module._device, module.broken, module.terms = torch.device(device), None, ()
    module._fabric = module._trainer = None
    return module


def test_a_loss_that_is_not_finite_ends_the_run_at_once_on_a_cpu() -> None:
    fine, bad = torch.tensor(1.0), torch.tensor(float("nan"))
    module = broken_on("cpu")
    module._look_for_broken({"bce1": fine, "bce2": fine, "sum": fine}, 3)
    with pytest.raises(ConfigError, match="batch 4: loss term bce2 is not finite"):
        module._look_for_broken({"bce1": fine, "bce2": bad, "sum": bad}, 4)
    with pytest.raises(ConfigError, match="batch 4: loss term sum is not finite"):
        broken_on("cpu")._look_for_broken({"bce1": fine, "sum": bad}, 4)


def test_elsewhere_it_is_looked_at_now_and_then_and_the_first_batch_is_named() -> None:
    fine, bad = torch.tensor(1.0), torch.tensor(float("inf"))
    module = broken_on("meta")  # the terms stay on the host, the module only thinks that it does not
    for at in range(1, 100):
        module._look_for_broken({"bce1": bad if at >= 7 else fine, "sum": bad if at >= 7 else fine}, at)
    with pytest.raises(ConfigError, match="batch 7: loss term bce1 is not finite"):
        module._require_finite()
    with pytest.raises(ConfigError, match="batch 7: loss term bce1"):
        module._look_for_broken({"bce1": fine, "sum": fine}, 100)
    module.broken = torch.full((2,), NEVER)
    module._require_finite()
