"""Checks that a config adds to the scorecard, and the numbers that they ask of every step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from omegaconf import DictConfig
from torch import Tensor

from gainkt.config import build
from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.evaluation.check import Rule
from gainkt.evaluation.schema import PREDICTIONS
from gainkt.evaluation.scorecard.scorecard import BUILT_IN
from gainkt.model import GainKT, Output


@dataclass(frozen=True)
class StepColumn:
    """A column of predictions.parquet that a check asks for, held to what a column must be."""

    check: str
    name: str
    function: Callable[[Output, Batch], Tensor]

    def of(self, output: Output, batch: Batch, shown_BT: Tensor) -> Tensor:
        """Numbers of a batch's steps, [B, T].

        Raises:
            ConfigError: the function gives something else, or a shown step has no finite number.
        """
        found, asked = self.function(output, batch), tuple(shown_BT.shape)
        where = f"scorecard.checks.{self.check}: its column {self.name!r}"
        if not isinstance(found, Tensor) or tuple(found.shape) != asked:
            got = f"shape {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise ConfigError(f"{where} must give a tensor [B, T] = {list(asked)}, a number a step; found {got}")
        bad = int((~torch.isfinite(found) & shown_BT).sum())
        if bad:
            raise ConfigError(f"{where} is not finite at {bad} of {int(shown_BT.sum())} steps of a batch")
        return found


def added_rules(settings: DictConfig | None) -> tuple[Rule, ...]:
    """Build the rules that a `scorecard` node adds; none where a run has no such node.

    Raises:
        ConfigError: a node builds no rule, or has the name of a built-in check.
    """
    rules = []
    nodes = None if settings is None else settings.get("checks")
    for name, node in (nodes or {}).items():
        if node is None:
            continue
        if name in {rule.name for rule in BUILT_IN}:
            raise ConfigError(f"scorecard.checks.{name}: a built-in check has this name; choose another")
        try:
            rule = build(node)
        except ConfigError as error:
            raise ConfigError(f"scorecard.checks.{name}: {error}") from error
        if not isinstance(rule, Rule):
            raise ConfigError(
                f"scorecard.checks.{name}: {node.get('_target_')} must give a gainkt.evaluation.check.Rule, found "
                f"{type(rule).__name__}"
            )
        rules.append(replace(rule, name=str(name)))
    return tuple(rules)


def step_columns(rules: Iterable[Rule]) -> tuple[StepColumn, ...]:
    """Return the columns that rules ask for; rules may share one.

    Raises:
        ConfigError: two rules mean different things by a name, or predictions.parquet has such a column already.
    """
    columns: dict[str, StepColumn] = {}
    for rule in rules:
        for name, function in rule.columns.items():
            other = columns.setdefault(name, StepColumn(rule.name, name, function))
            taken = "predictions.parquet" if name in PREDICTIONS.names else f"scorecard.checks.{other.check}"
            if name in PREDICTIONS.names or other.function is not function:
                raise ConfigError(
                    f"scorecard.checks.{rule.name}: {taken} has a column {name!r} already; choose another"
                )
    return tuple(columns.values())


@torch.no_grad()  # inference tensors that a part keeps would not train
def try_columns(rules: Iterable[Rule], model: GainKT, batches: Iterable[Batch]) -> None:
    """Ask for each column on one batch, so that a mistake shows before training rather than after it.

    Raises:
        ConfigError: as `StepColumn.of`.
    """
    columns = step_columns(rules)
    if not columns:
        return
    training, batch = model.training, next(iter(batches))
    output = model.eval()(batch)
    for column in columns:
        column.of(output, batch, batch.valid_BT)
    model.train(training)
