"""What Hydra may use of gainkt as sweeper and launchers: it takes these from the package hydra_plugins alone."""

from gainkt.sweeping.grids import Grid
from gainkt.sweeping.launchers import Ray, Submitit


class GridSweeper(Grid):
    """The sweeper of `--multirun`."""


class RayLauncher(Ray):
    """hydra/launcher=ray."""


class SlurmLauncher(Submitit):
    """hydra/launcher=submitit_slurm: jobs of a Slurm array."""

    cluster = "slurm"


class LocalLauncher(Submitit):
    """hydra/launcher=submitit_local: processes on this machine."""

    cluster = "local"
