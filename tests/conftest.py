"""Fixtures for all tests."""

import copy
import gc
import logging
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from quick_hydra import speed_up

import gainkt.training.train
from gainkt.config import build, conf_dir, register_resolvers
from gainkt.data.batch import Batch
from gainkt.data.datamodule import Sizes
from gainkt.data.log import InteractionLog, offsets_of
from gainkt.losses import Alignment, Loss
from gainkt.model import Belief, GainKT, Output
from gainkt.model.axis import all_skills
from gainkt.runs.folder import build_model

EXPERIMENTS = sorted(path.stem for path in Path(conf_dir(), "experiment").glob("*.yaml"))

TINY = (
    "dataset.read.num_students=60",
    "dataset.read.num_skills=6",
    "dataset.read.num_items=18",
    "dataset.read.max_length=40",
    "dataset.tokens_per_batch=400",
    "model.size.d_model=16",
    "model.size.num_heads=2",
    "model.size.num_blocks=1",
    "model.size.d_ff=16",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
)
"""A run of a second on simulated students."""


def pytest_collection_finish() -> None:
    """Keep what importing left (millions of objects) out of every later look for garbage, a fourteenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout, which the project does not ship."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


torch.set_num_threads(1)  # workers beside each other, each with threads for every core, wait for one another
PICTURES = {name: getattr(gainkt.training.train, name) for name in ("_draw", "save_figures", "save_alignment_figure")}
"""What draws the pictures of a run: training.png and students.png, figures/, alignment.png."""


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """Leave out the pictures that train() makes, which take longer to draw than a tiny run to train, Hydra's
    repetitions, and the wait until a file is on the disk, which only a machine that loses power needs.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in PICTURES:
            patch.setattr(gainkt.training.train, name, lambda *_, **__: None)
        patch.setattr(os, "fsync", lambda _: None)
        speed_up(patch)
        yield


@pytest.fixture(autouse=True)
def same_log_level() -> Iterator[None]:
    """Put the level of the log back, which each command sets for its process."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


@pytest.fixture(autouse=True)
def same_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget the modules of a package outside gainkt that a test imported: another test's has the same name."""
    outside = (str(tmp_path_factory.getbasetemp()), str(Path(__file__).parent / "external"))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        spec = vars(sys.modules[name]).get("__spec__")  # a lazy module answers to any name
        places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or ())]
        if any(str(place).startswith(outside) for place in places):
            del sys.modules[name]


@contextmanager
def drawing(*names: str) -> Iterator[None]:
    """Draw pictures, all or some, inside a test or fixture that looks at them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in names or PICTURES:
            patch.setattr(gainkt.training.train, name, PICTURES[name])
        yield


@pytest.fixture
def pictures() -> Iterator[None]:
    """Draw pictures, for a whole test."""
    with drawing():
        yield


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., DictConfig]:
    """Compose a tiny run's config: config("v1_per_skill", "seed=1")."""

    def make(experiment: str, *overrides: str, tiny: bool = True) -> DictConfig:
        chosen = [f"experiment={experiment}", *(TINY if tiny else ())]
        return composed("train", *chosen, f"run.root={tmp_path}/outputs", *overrides)

    return make


def composed(name: str, *overrides: str) -> DictConfig:
    """Compose a config as Hydra does: first its options, which is the slow part and done once for all tests, then the
    values set on top of them.
    """
    register_resolvers()
    options = tuple(o for o in overrides if _is_option(o))
    cfg = pickle.loads(_of_options(name, options))  # several times as fast as a deep copy
    ConfigLoaderImpl._apply_overrides_to_config([_parsed(o) for o in overrides if not _is_option(o)], cfg)
    return cfg


@cache
def _of_options(name: str, options: tuple[str, ...]) -> bytes:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return pickle.dumps(compose(name, list(options)))


@cache
def _parsed(override: str) -> Override:
    return OverridesParser.create().parse_override(override)


def untrained(sizes: Sizes, *overrides: str) -> GainKT:
    """Build the tiny model of a config, which is made and drawn at random once for all tests; each gets its own."""
    model, state = _drawn(sizes, overrides)
    torch.set_rng_state(state)  # whether it was made or copied, a test goes on with the same random numbers
    return copy.deepcopy(model)


@cache
def _drawn(sizes: Sizes, overrides: tuple[str, ...]) -> tuple[GainKT, torch.Tensor]:
    torch.manual_seed(0)
    model = build_model(composed("train", *overrides[:1], *TINY, *overrides[1:]).model, sizes).eval()
    return model, torch.get_rng_state()


@cache
def _is_option(override: str) -> bool:
    """Whether an override chooses among the files of a config group."""
    return Path(conf_dir(), override.lstrip("+~").partition("=")[0].partition("@")[0]).is_dir()


def loss_with(alignment: Alignment | None = None, **weights: float) -> Loss:
    """The loss with the given weights, and the terms that conf/ has."""
    base = OmegaConf.load(Path(conf_dir(), "loss", "base.yaml"))
    return build(OmegaConf.merge(base, weights), alignment=alignment)


def random_log(
    num_students: int = 30, num_skills: int = 7, longest: int = 25, slots: int = 3, seed: int = 0
) -> InteractionLog:
    """A log of random histories of 2 to `longest` steps with 1 to `slots` different skills a step."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(2, longest + 1, num_students)
    steps = int(lengths.sum())
    counts = draw.integers(1, slots + 1, steps)
    skills = np.concatenate([draw.choice(num_skills, count, replace=False) for count in counts])
    return InteractionLog(
        name="random",
        offsets=offsets_of(lengths),
        responses=draw.integers(0, 2, steps).astype(np.uint8),
        skill_offsets=offsets_of(counts),
        skills=skills.astype(np.int32),
        items=draw.integers(0, 11, steps).astype(np.int32),
        students=np.array([f"s{i}" for i in range(num_students)]),
        skill_names=np.array([f"k{i}" for i in range(num_skills)]),
        item_names=np.array([f"i{i}" for i in range(11)]),
        folds=np.full(num_students, -2, dtype=np.int16),
    )


def random_batch(b: int = 4, t: int = 9, s: int = 2, num_skills: int = 7, seed: int = 0) -> Batch:
    """A batch of random windows of different lengths, the first one full."""
    draw = torch.Generator().manual_seed(seed)
    length = torch.randint(2, t + 1, (b,), generator=draw)
    length[0] = t
    valid = torch.arange(t) < length[:, None]
    order = torch.rand(b, t, num_skills, generator=draw).argsort(-1)[..., :s]
    count = torch.randint(1, s + 1, (b, t, 1), generator=draw)
    has_skill = (torch.arange(s) < count) & valid[..., None]
    return Batch(
        student_B=torch.arange(b),
        trained_student_B=torch.arange(b) - 1,
        start_B=torch.zeros(b, dtype=torch.long),
        skills_BTS=torch.where(has_skill, order, 0),
        has_skill_BTS=has_skill,
        item_BT=torch.where(valid, torch.randint(0, 5, (b, t), generator=draw), -1),
        response_BT=torch.where(valid, torch.randint(0, 2, (b, t), generator=draw), 0).float(),
        valid_BT=valid,
        scored_BT=valid & (torch.arange(t) > 0),
    )


def output_for(batch: Batch, num_skills: int = 7) -> Output:
    """What a model might say about a batch, at random; None in the fields that no loss term reads."""
    b, t, s = batch.skills_BTS.shape
    draw = torch.Generator().manual_seed(1)
    gains = torch.rand(b, t, num_skills, generator=draw) * batch.valid_BT[..., None]
    said = {
        "logit1_BT": torch.randn(b, t, generator=draw),
        "logit2_BT": torch.randn(b, t, generator=draw),
        "mastery_before_BTS": torch.rand(b, t, s, generator=draw),
        "gains_BTC": gains,
        "practice_BTC": gains.cumsum(1),
        "axis": all_skills(batch, num_skills),
        "value_BTD": torch.randn(b, t, 4, generator=draw),
        "beta_K": torch.linspace(1, 2, num_skills),
        "offset_K": torch.linspace(-1, 2, num_skills),
        "belief": Belief(torch.ones(1, 1, 1), lambda cells: torch.linspace(-1, 1, num_skills)[cells.skills]),
        "item_penalties": (None, None),
    }
    return Output(**{field.name: said.get(field.name) for field in fields(Output)})
