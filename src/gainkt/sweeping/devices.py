"""A run takes one device; a sweep gives each device a job of its own."""

from __future__ import annotations

from omegaconf import DictConfig

from gainkt.errors import ConfigError


def num_devices(trainer: DictConfig) -> int:
    """Processes that Lightning would start for a trainer config."""
    import torch

    if trainer.strategy not in ("auto", "single_device"):
        return 2
    if trainer.devices == "auto":
        return max(torch.cuda.device_count(), 1) if trainer.accelerator in ("auto", "gpu", "cuda") else 1
    if isinstance(trainer.devices, int):
        return trainer.devices
    return len([part for part in str(trainer.devices).strip("[]").split(",") if part.strip()])


def require_one_device(trainer: DictConfig, *, sweep: bool) -> None:
    """Check that a run would take one device.

    Raises:
        ConfigError: it would take several, or start processes of its own.
    """
    if num_devices(trainer) > 1:
        where = " under --multirun (every process would start the sweep again)" if sweep else ""
        raise ConfigError(
            f"trainer.devices={trainer.devices} trainer.strategy={trainer.strategy}{where}: a run takes one "
            "device; set trainer.devices=1 and give each GPU a job of its own (-m hydra/launcher=ray)"
        )
