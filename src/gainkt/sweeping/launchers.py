"""Run jobs on slots: Ray's (GPUs, shares of a GPU, CPU cores; one machine or a cluster), Slurm's, or processes here."""

from __future__ import annotations

import importlib
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from gainkt.errors import ConfigError

SHARED = "timeout_min cpus_per_task gpus_per_node tasks_per_node mem_gb nodes name stderr_to_stdout"
"""Settings that submitit knows for every kind of executor; the others get the executor's name in front."""

EVERY = 0.2
"""Seconds between looks at submitit's jobs."""


@dataclass(frozen=True)
class Work:
    """What a job's process needs to run any job of the sweep."""

    hydra_context: HydraContext
    config: DictConfig
    task_function: TaskFunction
    singletons: Any
    cwd: str

    def run(self, overrides: Sequence[str], slots: int | None) -> None:
        """Run a job in this process.

        Args:
            overrides: settings of the job.
            slots: jobs that run on this machine at a time; None where each has processor cores of its own.
        """
        from gainkt.config import register_resolvers

        if Path(self.cwd).is_dir():
            os.chdir(self.cwd)  # paths in the config may be relative to where the sweep was started
        Singleton.set_state(self.singletons)
        setup_globals()
        register_resolvers()
        set_threads(num_cores() // (slots or 1))
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.num = int(config.hydra.sweep.subdir)
        run_job(
            hydra_context=self.hydra_context,
            task_function=self.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def num_cores() -> int:
    """Processor cores that this process may use."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(here, int(os.environ.get("SLURM_CPUS_PER_TASK", here)))


def set_threads(threads: int) -> None:
    """Use so many threads in this process, at least one."""
    import torch

    os.environ["OMP_NUM_THREADS"] = str(max(threads, 1))
    torch.set_num_threads(max(threads, 1))


class SlotLauncher(Launcher):
    """A launcher whose jobs run in processes of their own, so that one may die without the others."""

    lost: Callable[[int, BaseException], None]
    """Called with a job's place in the batch when its process ended without a result; set by the sweeper."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what jobs need."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def work(self) -> Work:
        """Return what jobs need, ready to be sent to other processes."""
        return Work(self.hydra_context, self.config, self.task_function, Singleton.get_state(), os.getcwd())


class Ray(SlotLauncher):
    """Jobs as Ray tasks."""

    def __init__(self, ray: DictConfig) -> None:
        """Take the settings: `init`, what ray.init is given, and `remote`, what a job asks for."""
        self.settings: Any = OmegaConf.to_container(ray, resolve=True)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs, as many at a time as fit.

        Raises:
            ConfigError: Ray is not installed or cannot be reached, or no machine has what a job asks for.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray = _need("ray", "ray")
        started = not ray.is_initialized()
        if started:
            self._start(ray)
        pending: dict[Any, int] = {}
        try:
            asks = _asks(self.settings["remote"], [node["Resources"] for node in ray.nodes() if node["Alive"]])
            task, work = ray.remote(**asks)(_run_on_ray), ray.put(self.work())
            for index, overrides in enumerate(job_overrides):
                ref = task.remote(work, overrides, asks["num_cpus"], asks["num_gpus"], len(job_overrides))
                pending[ref] = index
            while pending:
                for ref in ray.wait(list(pending))[0]:
                    try:
                        ray.get(ref)
                    except ray.exceptions.RayError as error:
                        self.lost(pending[ref], _brief(error))
                    del pending[ref]
        finally:
            for ref in pending:
                ray.cancel(ref, force=True)
            if started:
                ray.shutdown()
        return []

    def _start(self, ray: Any) -> None:
        """Start Ray here, or connect to a cluster."""
        on_sigterm = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(**{key: value for key, value in self.settings["init"].items() if value is not None})
        except (ConnectionError, ValueError, TypeError, RuntimeError) as error:
            raise ConfigError(f"hydra.launcher.ray.init={self.settings['init']}: {_joined(error)}") from error
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray's own would abort this process


def _asks(remote: dict[str, Any], nodes: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Fill in what a job asks for where it is left open, and check that a machine has it."""
    asks = {key: value for key, value in remote.items() if value is not None}
    asks.setdefault("num_gpus", 1 if any(node.get("GPU", 0) >= 1 for node in nodes) else 0)
    # Beside a GPU the cores are shared out over the jobs; asking for some would keep shares of a GPU empty.
    asks.setdefault("num_cpus", 0 if asks["num_gpus"] else 1)
    asks.setdefault("max_calls", 1 if asks["num_gpus"] else 0)
    asks.setdefault("max_retries", 0)
    if not any(node_slots(node, asks["num_cpus"], asks["num_gpus"]) for node in nodes):
        has = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise ConfigError(
            f"hydra.launcher.ray.remote: num_cpus={asks['num_cpus']} num_gpus={asks['num_gpus']} fit on no machine "
            f"(they have {has}); ask for less"
        )
    return asks


def node_slots(node: dict[str, float], num_cpus: float, num_gpus: float) -> int:
    """Return how many jobs run on a Ray machine at a time; a share of a GPU lies on one GPU."""
    by_cpu = int(node.get("CPU", 0) / num_cpus + 1e-6) if num_cpus else 10**6
    gpus = node.get("GPU", 0)
    if not num_gpus:
        return by_cpu
    by_gpu = int(gpus) * int(1 / num_gpus + 1e-6) if num_gpus < 1 else int(gpus / num_gpus)
    return min(by_cpu, by_gpu)


def _run_on_ray(work: Work, overrides: Sequence[str], num_cpus: float, num_gpus: float, num_jobs: int) -> None:
    """Run a job in a Ray worker with its share of the machine."""
    import ray
    import torch

    here = ray.get_runtime_context().get_node_id()
    node = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == here)
    if 0 < num_gpus < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(num_gpus)
    work.run(overrides, min(node_slots(node, num_cpus, num_gpus), num_jobs))


class Submitit(SlotLauncher):
    """Jobs as submitit sends them to Slurm, or starts them as processes on this machine."""

    cluster: str
    """`slurm` or `local`."""

    def __init__(self, **settings: Any) -> None:
        """Take submitit's settings; those that are null are left to it."""
        self.settings: Any = OmegaConf.to_container(OmegaConf.create(settings), resolve=True)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs: all are handed to Slurm at once; here, as many at a time as there are cores for.

        Raises:
            ConfigError: submitit is not installed, or Slurm is not at hand.
        """
        submitit = _need("submitit", "slurm")
        settings = {key: value for key, value in self.settings.items() if value is not None}
        folder, timeouts = settings.pop("submitit_folder"), settings.pop("max_num_timeout", None)
        retries = {} if timeouts is None else {f"{self.cluster}_max_num_timeout": timeouts}
        try:
            executor = submitit.AutoExecutor(cluster=self.cluster, folder=folder, **retries)
        except RuntimeError as error:
            raise ConfigError(f"hydra/launcher=submitit_{self.cluster}: {_joined(error)}") from error
        own = {key if key in SHARED.split() else f"{self.cluster}_{key}": value for key, value in settings.items()}
        executor.update_parameters(**own)
        work, waiting = self.work(), list(enumerate(job_overrides))
        running: dict[int, Any] = {}
        slots, shared_by = len(waiting), None
        if self.cluster == "local":
            slots = max(num_cores() // settings.get("cpus_per_task", 1), 1)
            shared_by = min(slots, len(waiting))
        try:
            while waiting or running:
                chosen, waiting = waiting[: slots - len(running)], waiting[slots - len(running) :]
                if chosen:
                    with executor.batch():
                        jobs = {index: executor.submit(work.run, overrides, shared_by) for index, overrides in chosen}
                    running |= jobs
                for index in [index for index, job in running.items() if job.done()]:
                    fault = running.pop(index).exception()
                    if fault is not None:
                        self.lost(index, _brief(fault))
                time.sleep(EVERY)
        finally:
            for job in running.values():
                job.cancel()
        return []


def _need(module: str, extra: str) -> Any:
    """Import a package that only its launcher needs."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"this launcher needs {module}: pip install 'gainkt[{extra}]'") from error


def _joined(error: BaseException) -> str:
    return " ".join(str(error).split())


def _brief(error: BaseException) -> ConfigError:
    """The last line of what Ray or submitit says, which is what happened in the job's process."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ConfigError(f"{type(error).__name__}: {lines[-1] if lines else ''}")
