"""The audit of anybody's model: honest ones pass, and each known kind of leak, rebuilt small, is caught."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from gainkt.errors import ConfigError, DataError
from gainkt.runs.audit import Audit, audit_model, audit_predictions, from_module

Model = Callable[[pd.DataFrame], np.ndarray]


def histories(students: int = 40, steps: int = 30, skills: int = 4, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    student = np.repeat([f"s{n}" for n in range(students)], steps)
    ability = np.repeat(draw.normal(0.5, 1, students), steps)
    return pd.DataFrame(
        {
            "student": student,
            "skill": draw.integers(0, skills, len(student)),
            "response": (draw.random(len(student)) < 1 / (1 + np.exp(-ability))).astype(int),
        }
    )


def moving_average(rows: pd.DataFrame) -> np.ndarray:
    """Honest: the share of right responses so far, one success and one failure added."""
    before = rows.groupby("student", sort=False)["response"]
    right, seen = before.cumsum() - rows["response"], before.cumcount()
    return ((right + 1) / (seen + 2)).to_numpy()


def sees_itself(rows: pd.DataFrame) -> np.ndarray:
    return 0.9 * moving_average(rows) + 0.1 * rows["response"].to_numpy()


def sees_the_next(rows: pd.DataFrame) -> np.ndarray:
    later = rows.groupby("student", sort=False)["response"].shift(-1).fillna(0.5)
    return 0.9 * moving_average(rows) + 0.1 * later.to_numpy()


def normalises_over_students(rows: pd.DataFrame) -> np.ndarray:
    """Features standardised over the whole table, as a batch norm in training mode does."""
    p = moving_average(rows)
    return 1 / (1 + np.exp(-(p - p.mean()) / p.std()))


def knows_the_length(rows: pd.DataFrame) -> np.ndarray:
    """Position as a share of the whole history, which nobody knows in advance."""
    return 0.5 + 0.1 * rows.groupby("student", sort=False).cumcount() / rows.groupby("student")["skill"].transform(
        "size"
    )


def reads_nothing(rows: pd.DataFrame) -> np.ndarray:
    return np.full(len(rows), 0.7)


class SparseAttention(nn.Module):
    """The hole of a public model: scores under the k-th highest are cut before the mask has underflown to 0 for all.

    Where fewer than `keep` past cells exist, the threshold is 0, and future cells, whose weight is 0 too, are admitted.
    """

    keep = 3

    def forward(self, skill: Tensor, response: Tensor) -> Tensor:
        steps = skill.shape[1]
        past = torch.ones(steps, steps).tril(-1)
        same = (skill[:, :, None] == skill[:, None, :]).float()
        weight = torch.softmax(4 * same - 1e4 * (1 - past), -1) * (past.sum(-1, keepdim=True) > 0)
        threshold = weight.topk(min(self.keep, steps), -1).values[..., -1:]
        chosen = (weight >= threshold).float()  # a weight of 0 is not less than a threshold of 0
        share = chosen / chosen.sum(-1, keepdim=True)
        return 0.05 + 0.9 * (share @ response[..., None].float())[..., 0]


class FusedSkills(nn.Module):
    """Questions of two skills, read as two rows whose predictions are averaged: the second has seen the label."""

    def forward(self, skill: Tensor, response: Tensor) -> Tensor:
        twice = response.repeat_interleave(2, 1).float()
        seen = torch.arange(twice.shape[1]) + 2
        p = (torch.cumsum(twice, 1) - twice + 1) / seen
        return p.view(*response.shape, 2).mean(-1)


class Causal(nn.Module):
    """An honest recurrent model that gives logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.lstm, self.head = nn.Embedding(8, 6), nn.LSTM(6, 6, batch_first=True), nn.Linear(6, 1)

    def forward(self, skill: Tensor, response: Tensor) -> Tensor:
        state = self.lstm(self.embedding(skill + 4 * response))[0]
        return 9 * self.head(torch.cat([torch.zeros_like(state[:, :1]), state[:, :-1]], 1))[..., 0]


def failing(done: Audit) -> set[str]:
    return {found["name"] for found in done.guards if found["passed"] is False}


@pytest.mark.parametrize(
    ("model", "fails"),
    [
        (moving_average, set()),
        (from_module(Causal()), set()),
        (sees_itself, {"later_responses", "random_responses"}),
        (sees_the_next, {"later_responses", "later_rows"}),
        (normalises_over_students, {"later_responses", "later_rows", "other_students"}),
        (knows_the_length, {"later_rows", "history_is_read"}),
        (reads_nothing, {"history_is_read"}),
        (from_module(SparseAttention()), {"later_responses", "later_rows"}),
        (from_module(FusedSkills()), {"later_responses", "random_responses"}),
    ],
)
def test_each_kind_of_leak_is_told(model: Model, fails: set[str]) -> None:
    done = audit_model(model, histories())
    assert failing(done) == fails
    assert done.passed == (not fails)


def test_counterexample_is_small_and_shows_the_fault() -> None:
    done = audit_model(from_module(SparseAttention()), histories(steps=60))
    example = next(found["measured"]["counterexample"] for found in done.guards if found["name"] == "later_responses")
    rows = pd.DataFrame(example["history"])
    assert len(rows) <= 4
    assert len(example["flipped"]) == 1
    model = from_module(SparseAttention())
    changed = rows.assign(response=np.where(rows.index.isin(example["flipped"]), 1 - rows.response, rows.response))
    row = example["row"]
    assert min(example["flipped"]) >= row
    assert model(rows)[row] == pytest.approx(example["before"])
    assert model(changed)[row] == pytest.approx(example["after"])
    assert abs(example["before"] - example["after"]) > 1e-6


def test_missing_predictions_of_first_steps_are_no_leak() -> None:
    def model(rows: pd.DataFrame) -> np.ndarray:
        return np.where(rows.groupby("student", sort=False).cumcount() == 0, np.nan, moving_average(rows))

    assert audit_model(model, histories()).passed


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda rows: np.zeros((len(rows), 1)), r"returned \[1200, 1\] for 1200 rows"),
        (lambda rows: np.full(len(rows), 2.0), "returned 2; probabilities from 0 to 1"),
        (lambda rows: np.full(len(rows), np.nan), "nothing but NaN"),
    ],
)
def test_a_model_that_gives_no_probabilities_is_refused(model: Model, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        audit_model(model, histories())


def test_histories_are_checked() -> None:
    with pytest.raises(DataError, match="column skill is missing"):
        audit_model(moving_average, histories().drop(columns="skill"))
    with pytest.raises(DataError, match="column response: 0 or 1 is needed, and 1200 rows"):
        audit_model(moving_average, histories().assign(response=0.5))


def predictions() -> pd.DataFrame:
    rows = histories()
    part = np.where(rows["student"] < "s3", "train", "test")
    return rows.assign(p=moving_average(rows), step=rows.groupby("student").cumcount(), part=part)


def test_honest_predictions_pass() -> None:
    done = audit_predictions(predictions())
    assert failing(done) == set()
    assert all(found["passed"] for found in done.guards)


def expanded(items: bool) -> pd.DataFrame:
    """Every row twice, once a skill, as ASSISTments 2009 comes."""
    rows = predictions()
    rows["item"] = np.arange(len(rows))
    twice = rows.loc[rows.index.repeat(2)].reset_index(drop=True)
    twice["skill"] = 10 * twice["skill"] + np.arange(len(twice)) % 2
    twice["step"] = twice.groupby("student").cumcount()
    return twice if items else twice.drop(columns="item")


@pytest.mark.parametrize(
    ("table", "fails"),
    [
        (expanded(items=True), "row_expansion"),
        (expanded(items=False), "row_expansion"),
        (pd.concat([predictions(), predictions().iloc[:3]]), "label_scored_once"),
        (predictions().assign(part=lambda rows: np.where(rows["step"] < 15, "train", "test")), "parts_apart"),
        (
            pd.concat([predictions(), predictions().assign(student=lambda r: "copy " + r.student, part="other")]),
            "parts_apart",
        ),
    ],
)
def test_each_kind_of_leaking_file_is_told(table: pd.DataFrame, fails: str) -> None:
    assert failing(audit_predictions(table)) == {fails}


def test_predictions_are_checked() -> None:
    with pytest.raises(DataError, match="column p is missing"):
        audit_predictions(predictions().drop(columns="p"))
    with pytest.raises(DataError, match="1200 rows are no probability"):
        audit_predictions(predictions().assign(p=7.0))
    with pytest.raises(DataError, match="nothing to audit"):
        audit_predictions(predictions().assign(p=np.nan))
