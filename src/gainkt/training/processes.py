"""Several processes train one run, each on a share of every batch; the first of them writes and scores.

Lightning starts the processes of a machine itself; torchrun and srun start them on several machines.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Sequence

from omegaconf import DictConfig

from gainkt.errors import ConfigError

SETTINGS = ("trainer.devices", "trainer.num_nodes", "trainer.strategy", "trainer.accelerator")
"""What a resumed run may be given anew: where it trains."""
STRATEGIES = ("auto", "ddp")
ALONE = "single_device"
RANKS = ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
"""Variables that number a process; RANK decides alone."""


def num_processes(trainer: DictConfig) -> int:
    """Processes that a `trainer` config asks for: machines x devices, a number, a list as `[0,1]` or `0,1`, or auto."""
    import torch

    devices = trainer.devices
    if devices == "auto":
        devices = torch.cuda.device_count() if trainer.accelerator in ("auto", "gpu", "cuda") else 1
    elif not isinstance(devices, int):
        devices = len(re.findall(r"[^\s,\[\]]+", str(devices)))
    return max(devices, 1) * (trainer.get("num_nodes") or 1)


def require_strategy(trainer: DictConfig) -> None:
    """Check that the strategy is one by which gainkt trains.

    Raises:
        ConfigError: it is another.
    """
    known = STRATEGIES if num_processes(trainer) > 1 else (*STRATEGIES, ALONE)
    if trainer.strategy not in known:
        raise ConfigError(
            f"trainer.strategy={trainer.strategy}: {num_processes(trainer)} processes train by {' or '.join(known)}"
        )


def strategy_of(trainer: DictConfig) -> str:
    """Lightning's strategy: parts that a phase freezes, or that no term asks, have no gradient."""
    return "ddp_find_unused_parameters_true" if num_processes(trainer) > 1 else trainer.strategy


def follows() -> bool:
    """Tell whether this is another process than the first, where several train."""
    if "RANK" in os.environ:
        return int(os.environ["RANK"]) > 0
    return any(int(os.environ.get(name) or 0) > 0 for name in RANKS)


def own_folder(arguments: Sequence[str]) -> list[str]:
    """Arguments of a command; another process than the first logs to a folder that is removed when it ends."""
    several = any(a.lstrip("+").startswith(SETTINGS[:3]) for a in arguments)
    if not several or not follows():
        return list(arguments)
    folder = tempfile.mkdtemp(prefix="gainkt-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    kept = [a for a in arguments if not a.startswith(("hydra.run.dir=", "hydra.job.name=", "hydra.output_subdir="))]
    return [*kept, f"hydra.run.dir={folder}"]


def part_ways() -> None:
    """End what processes share: what follows training is the first one's alone."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
