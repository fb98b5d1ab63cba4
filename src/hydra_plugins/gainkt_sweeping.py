"""What Hydra may use of gainkt as sweeper and launchers: it takes these from the package hydra_plugins alone."""

from gainkt.sweeping.grids import Grid
from gainkt.sweeping.launchers import Local, Ray, Slurm


class GridSweeper(Grid):
    """The sweeper of `--multirun`."""


class RayLauncher(Ray):
    """hydra/launcher=ray."""


class SlurmLauncher(Slurm):
    """hydra/launcher=submitit_slurm."""


class LocalLauncher(Local):
    """hydra/launcher=submitit_local."""
