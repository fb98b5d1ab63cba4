"""KTDataModule: from a data set's config to loaders over its training, validation and test students."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from gainkt.data.batch import Batch
from gainkt.data.loader import FlatLog, TokenBudgetSampler, WindowDataset, make_loader
from gainkt.data.log import InteractionLog, offsets_of
from gainkt.data.splits import AllStudents, AutoSplit, SplitRule
from gainkt.data.windows import Windows, cut_windows
from gainkt.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    import pandas as pd

PARTS = ("train", "valid", "test")
ON_CPU = 4096
"""Cells of a batch on a CPU, which gains nothing from more."""
PSEUDO_STEPS = 2
"""Responses at the mean rate that a skill's rate starts from."""


@dataclass(frozen=True)
class Sizes:
    """What the model must know of the data: counted once, here."""

    num_skills: int
    """Skills of the data set, K."""
    num_students: int
    """Training students."""
    num_items: int
    """Items seen in training; 0 where the data has none."""
    skill_names: tuple[str, ...]
    """The skills' names, in the order of their numbers."""
    item_names: tuple[str, ...]
    """The training items' names, in the order of their numbers."""


class KTDataModule(LightningDataModule):
    """Reads a data set, splits it by student, cuts windows and serves batches."""

    def __init__(
        self,
        *,
        read: Callable[..., InteractionLog],
        split: SplitRule,
        path: str | None = None,
        fold: int = 0,
        window_length: int = 1024,
        window_context: int = 256,
        tokens_per_batch: int | str = ON_CPU,
        carry_state: bool = True,
        seed: int = 0,
        unknown_skills: str = "fail",
    ) -> None:
        """Keep the settings; nothing is read before `setup`.

        Args:
            read: a reader; called with `path` if one is given, without arguments otherwise.
            split: a split rule.
            path: file or folder of the data, `~` and environment variables allowed.
            fold: the validation fold.
            window_length: longest piece of a history in steps, at least 2.
            window_context: steps that a later window of the same history repeats, unscored; read where nothing is
                carried.
            tokens_per_batch: cells of a batch, padding included; of several processes, of each one's share. `auto` is
                for a training run, which puts a number in its place; else it is 4,096.
            carry_state: windows of a history go on from each other; else each starts anew.
            seed: of the order of batches.
            unknown_skills: steps on skills that a trained model does not know, when it is scored on this data: `fail`,
                `skip` them, or `prior`: each is a skill of its own that starts as the mean of those known.

        Raises:
            ConfigError: unknown_skills is none of these, tokens_per_batch a word, or a path is missing, or given to a
                reader of no file.
        """
        super().__init__()
        self.read, self.rule, self.fold, self.seed = read, split, fold, seed
        self.path = None if path is None else Path(os.path.expandvars(path)).expanduser()
        self.window_length, self.window_context, self.carry_state = window_length, window_context, carry_state
        if isinstance(tokens_per_batch, str) and tokens_per_batch != "auto":
            raise ConfigError(f"dataset.tokens_per_batch={tokens_per_batch}: give a whole number of steps, or auto")
        self.tokens_per_batch = ON_CPU if isinstance(tokens_per_batch, str) else tokens_per_batch
        if unknown_skills not in (choices := ("fail", "skip", "prior")):
            listed = nearest(str(unknown_skills), choices)
            raise ConfigError(f"dataset.unknown_skills={unknown_skills}: no such choice{listed}")
        self.unknown_skills = unknown_skills
        self._log: InteractionLog | None = None
        self._kept: tuple[torch.device, FlatLog] | None = None
        try:
            inspect.signature(read).bind(*self._place)
        except TypeError as error:
            told = "the reader reads no file; leave it out" if self._place else "give file or folder of the data"
            raise ConfigError(f"path={path}: {told} ({error})") from error

    def setup(self, stage: str | None = None) -> None:
        """Read and split the data, once."""
        if self._log is not None:
            return
        log = self.read(*self._place)
        log.check()
        self.split = self.rule.split(log, self.fold)
        self.trained_student = _rank_of(self.split.train, log.num_students)
        seen = np.zeros(log.num_items, dtype=bool)
        for some in log.some_at_a_time(self.split.train) if log.num_items else ():
            seen[log.items[log.steps_of(some)]] = True
        self.trained_item = _rank_of(np.flatnonzero(seen), log.num_items)
        self._log = log

    @property
    def _place(self) -> tuple[Path, ...]:
        """What the reader is called with."""
        return () if self.path is None else (self.path,)

    @property
    def log_(self) -> InteractionLog:
        """The whole data set."""
        self.setup()
        assert self._log is not None
        return self._log

    @property
    def sizes(self) -> Sizes:
        """Numbers of skills, training students and training items."""
        log = self.log_
        return Sizes(
            num_skills=log.num_skills,
            num_students=len(self.split.train),
            num_items=int((self.trained_item >= 0).sum()),
            skill_names=tuple(map(str, log.skill_names)),
            item_names=tuple(map(str, log.item_names[self.trained_item >= 0])),
        )

    def true_mastery(self) -> pd.DataFrame | None:
        """The true mastery of each practised skill after each step; None where the reader does not know it.

        A reader of simulated students has a function `true_mastery`, which takes what the reader takes.

        Returns:
            student, step, skill, true_mastery. None, too, where steps were left out since the data was read.
        """
        reader = self.read.func if isinstance(self.read, partial) else self.read
        tell = getattr(reader, "true_mastery", None)
        if tell is None:
            return None
        found = tell(*self._place, **(self.read.keywords if isinstance(self.read, partial) else {}))
        return found if len(found) == len(self.log_.skills) else None

    def num_scored(self, part: str) -> int:
        """Number of scored steps of a part: all but the first of each student."""
        lengths = self.log_.lengths[self.students(part)]
        return int(np.maximum(lengths - 1, 0).sum())

    def skill_rates(self) -> NDArray[np.float64]:
        """Share of right responses to each skill among training students, [K], in the order of the skills' numbers.

        rate[k] = (right[k] + 2 mean) / (steps[k] + 2): a rare skill is drawn to the mean, one never met has it.
        """
        log, answers = self.log_, np.zeros(2)  # right ones, all
        rights, steps = np.zeros((2, log.num_skills))
        for some in log.some_at_a_time(self.split.train):
            train = log.select(some)
            right = np.repeat(train.responses, np.diff(train.skill_offsets))
            rights += np.bincount(train.skills, weights=right, minlength=log.num_skills)
            steps += np.bincount(train.skills, minlength=log.num_skills)
            answers += train.responses.sum(), train.num_steps
        return (rights + PSEUDO_STEPS * (answers[0] / answers[1])) / (steps + PSEUDO_STEPS)

    @property
    def protocol(self) -> str:
        """One line that names data, split and windows, for every result."""
        log = self.log_
        longest = int(log.lengths.max())
        goes_on = "state carried" if self.carry_state else f"{self.window_context} of context"
        cut = (
            f"whole histories (longest {longest})"
            if longest <= self.window_length
            else f"windows of {self.window_length} steps, {goes_on}"
        )
        return ", ".join([log.name, self.split.description, cut, *told(log.account)])

    @property
    def account(self) -> dict[str, Any]:
        """What reading and cutting did to the data, counted; see `InteractionLog.account`."""
        cut = int(np.count_nonzero(self.log_.lengths > self.window_length))
        return {**self.log_.account, "histories_cut": cut}

    def students(self, part: str) -> np.ndarray:
        """Return the student numbers of a part: train, valid or test.

        Raises:
            ConfigError: there is no such part.
        """
        if part not in PARTS:
            raise ConfigError(f"split={part}: no such part of the data{nearest(part, PARTS)}")
        self.setup()
        found = getattr(self.split, part)
        if not len(found):
            raise DataError(
                f"{self.log_.name}, {self.split.description}: the {part} part is empty; choose another part"
            )
        return found

    def of_students(self, part: str, students: NDArray[np.int64]) -> KTDataModule:
        """The same data, a part of which holds these students alone."""
        self.setup()
        some = copy.copy(self)
        some.split = replace(self.split, **{part: students})  # type: ignore[arg-type]
        return some

    def windows(self, part: str) -> Windows:
        """Return the windows of a part."""
        students, carry = self.students(part), self.carry_state
        return cut_windows(self.log_, students, self.window_length, self.window_context, carry=carry)

    def loader(
        self, part: str, *, shuffle: bool = False, shared: bool = False, device: torch.device | None = None
    ) -> DataLoader[Batch]:
        """Return batches over a part; in a fixed order, from long to short, unless shuffled.

        Args:
            part: train, valid or test.
            shuffle: draw the order of an epoch.
            shared: of several processes that train each takes its share of every batch, else all of it.
            device: where batches are wanted, that of the trainer unless given; there the log is kept if there is room.
        """
        shuffle = shuffle and not getattr(self.trainer, "overfit_batches", 0)  # the same batch in every epoch
        windows = self.windows(part)
        rank, num_ranks = (self.trainer.global_rank, self.trainer.world_size) if self.trainer and shared else (0, 1)
        sampler = TokenBudgetSampler(
            windows.lengths,
            self.tokens_per_batch,
            shuffle=shuffle,
            seed=self.seed,
            rank=rank,
            num_ranks=num_ranks,
            history=windows.student if self.carry_state else None,
        )
        dataset = WindowDataset(self.log_, windows, self.trained_student, self.trained_item, self._flat(device))
        return make_loader(dataset, sampler)

    def _flat(self, device: torch.device | None) -> FlatLog:
        """The log where batches are gathered, the same for all parts."""
        if device is None:
            device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if self._kept is None or self._kept[0] != device:
            self._kept = device, FlatLog(self.log_, self.trained_item, FlatLog.home(self.log_, device))
        return self._kept[1]

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return shuffled batches of the training students."""
        return self.loader("train", shuffle=True, shared=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return batches of the validation students."""
        return self.loader("valid", shared=True)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Return batches of the test students."""
        return self.loader("test")

    def conform(self, skill_names: tuple[str, ...], item_names: tuple[str, ...]) -> int:
        """Number skills and items as a trained model does, so that it can be scored on this data, whole unless asked.

        All students count as new: that a name recurs in another data set does not make it the same student.

        Returns:
            How many skills the model must be given beside its own (`Run.model`): those numbered from K on.

        Raises:
            DataError: a skill of this data is unknown to the model, and unknown_skills is `fail`.
        """
        if isinstance(self.rule, AutoSplit) and not self.rule.asked:
            self.rule = AllStudents()
        log = self.log_
        number_of = _numbers(log.skill_names, skill_names)
        unknown = number_of < 0
        slots = int(np.count_nonzero(unknown[log.skills]))
        if slots and self.unknown_skills == "fail":
            name = str(log.skill_names[int(np.argmax(unknown))])
            raise DataError(
                f"{log.name}: skill {name!r} is unknown to the model, which knows {len(skill_names)} skills (so are "
                f"{int(unknown.sum())} of {len(unknown)}, in {slots} of {len(log.skills)} places)"
                f"{nearest(name, skill_names)}; score it on data with the same skill names, leave such steps out by "
                "dataset.unknown_skills=skip, or take such a skill for a typical one by dataset.unknown_skills=prior"
            )
        more: list[str] = []
        if slots and self.unknown_skills == "prior":
            more = [str(name) for name in log.skill_names[unknown]]
            number_of[unknown] = len(skill_names) + np.arange(len(more))
            what = f"places of {len(more)} skills unknown to the model, each predicted as a typical skill"
            converted = {**log.account.get("converted", {}), what: slots}
            log = replace(log, account={**log.account, "converted": converted})
        log = replace(log, skills=number_of[log.skills], skill_names=np.array([*skill_names, *more]))
        if slots and not more:
            log = _without_unknown(log)
        self._log, self._kept, self.split = log, None, self.rule.split(log, self.fold)
        self.trained_item = _numbers(log.item_names, item_names).astype(np.int64)
        self.trained_student = np.full(log.num_students, -1, dtype=np.int64)
        return len(more)


def told(account: Mapping[str, Any]) -> list[str]:
    """Return what an account has to tell in a line: what was left out, folded and converted."""
    left = {reason: count for reason, count in account.get("left_out", {}).items() if count}
    said = []
    if left:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left.items())
        said.append(f"{sum(left.values()):,} of {account['rows']:,} rows left out ({reasons})")
    if account.get("folded"):
        said.append(f"{account['folded']:,} rows folded into steps of several skills")
    said += [f"{count:,} {what}" for what, count in account.get("converted", {}).items() if count]
    said += [f"{found:,} {what} ({known:,} published)" for what, (found, known) in account.get("differs", {}).items()]
    if account.get("row_expansion"):
        said.append("row-expanded items kept apart")
    if account.get("encoding"):
        said.append(f"text read as {account['encoding']}")
    return said


def _numbers(names: NDArray[np.str_], known: Sequence[str]) -> NDArray[np.int32]:
    """Return the number of each name among the known ones, -1 for an unknown one; 1.0 is 1 where only one is known."""
    number = {name: at for at, name in enumerate(known)}
    whole = {name.removesuffix(".0"): at for name, at in number.items()}
    return np.array([number.get(str(n), whole.get(str(n).removesuffix(".0"), -1)) for n in names], dtype=np.int32)


def _without_unknown(log: InteractionLog) -> InteractionLog:
    """Return a log without skills numbered -1, and without steps that have no other."""
    known = log.skills >= 0
    owner = np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))
    counts = np.bincount(owner[known], minlength=log.num_steps)
    kept = counts > 0
    student = np.repeat(np.arange(log.num_students), log.lengths)
    left_out = {**log.account.get("left_out", {}), "steps on skills unknown to the model": int((~kept).sum())}
    return replace(
        log,
        offsets=offsets_of(np.bincount(student[kept], minlength=log.num_students)),
        responses=log.responses[kept],
        skill_offsets=offsets_of(counts[kept]),
        skills=log.skills[known],
        items=log.items[kept],
        account={"rows": log.num_steps, **log.account, "left_out": left_out, "steps": int(kept.sum())},
    )


def _rank_of(members: np.ndarray, size: int) -> np.ndarray:
    """Return [size] int64: position of each number among `members`, -1 elsewhere."""
    rank = np.full(size, -1, dtype=np.int64)
    rank[members] = np.arange(len(members))
    return rank
