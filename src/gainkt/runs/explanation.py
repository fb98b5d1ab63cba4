"""Where a mastery and a prediction come from: the parts of Encoder 2's logit, and what would change it.

The curve's argument is a sum, a = -offset + beta W(P) + beta (gamma - 1) W(P) + o, and practice P is the sum of the
gains that the student's answers brought; a gain g counts now as beta (W(P) / P) g, for what practice is worth wears off
alike whenever it came. Mastery is M_sat sigmoid(a), the readout makes a logit of it, and the item's difficulty is taken
off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from gainkt.data.batch import Batch
from gainkt.errors import ConfigError
from gainkt.model import GainKT
from gainkt.model.curve import SigmoidCurve
from gainkt.model.readout import probability
from gainkt.model.state import State
from gainkt.names import visible
from gainkt.runs.tracer import (
    Trace,
    ask,
    belief_now,
    padded,
    questions,
    require_number,
    require_threshold,
    started,
    step,
)

OFF = 1e-4
"""Difference from the model's own prediction that is rounding."""


@dataclass(frozen=True)
class Explanation:
    """A mastery and a prediction taken apart."""

    skill: str
    """Name of the skill."""
    table: pd.DataFrame
    """A row a part: part (initial mastery, own gain, transferred gain, earlier answers, velocity, readiness, item
    difficulty); answer, its number in the history, from 0; of, the skills answered; correct; gain, what the answer
    added to practice, in [0, 1]; argument, what the part adds to the curve's argument: these add up to
    `chain["argument"]`; and logit, what it adds to the prediction's logit when the parts come in this order: these add
    up to `chain["logit"]`."""
    chain: dict[str, float]
    """From the argument to the prediction: argument, level = sigmoid(argument), saturation M_sat, mastery = M_sat
    level, readout (the logit of that mastery), difficulty of the item, logit = readout - difficulty, p2 =
    sigmoid(logit)."""
    changes: pd.DataFrame
    """What the model would say after further answers: right (in a row) and wrong; mastery, p2."""
    would: str
    """One sentence: what brings mastery over the threshold."""

    def __str__(self) -> str:
        """The whole of it as text."""
        chain = ", ".join(f"{name} {value:.3f}" for name, value in self.chain.items())
        table = self.table.to_string(index=False, float_format="{:.3f}".format, na_rep="")
        return f"{visible(self.skill)}\n{table}\n{chain}\n{self.would}"


@torch.inference_mode()
def explain(
    network: GainKT,
    trace: Trace,
    names: Sequence[str],
    skill: int,
    item: int,
    threshold: float,
    look_ahead: int,
) -> Explanation:
    """Take a student's mastery of a skill apart; see TrainedModel.explain.

    Raises:
        ConfigError: several students, a curve whose argument is not known to be a sum, or a number out of range.
    """
    require_threshold(threshold)
    require_number("look_ahead", look_ahead, 0)
    if len(trace) != 1:
        raise ConfigError(f"explain: {len(trace)} students; give the trace of one (trace.select([0]))")
    if not isinstance(network.curve, SigmoidCurve):
        raise ConfigError(f"explain: {type(network.curve).__name__} is not known to be a sum; its base is SigmoidCurve")
    batch = questions(torch.tensor([[[skill]]]), torch.tensor([[item]]), torch.zeros(1, 1))
    now = ask(network, trace.state, batch)
    parts = _Parts(network, trace, batch, skill)
    table = parts.table(names)
    arguments = torch.tensor(table["argument"].to_numpy())
    mastery = parts.saturation * torch.sigmoid(arguments.cumsum(0))
    column = questions(torch.full((1, len(mastery), 1), skill), torch.full((1, len(mastery)), -1), mastery[None])
    logits = network.readout(mastery.float()[None, :, None], column)[0].double()
    table["logit"] = torch.cat([logits[:1], logits.diff()]).numpy()
    difficulty = float(network.items2(batch)[0, 0])
    table.loc[len(table)] = {"part": "item difficulty", "argument": 0.0, "logit": -difficulty}
    argument, logit = float(arguments.sum()), float(logits[-1]) - difficulty
    assert abs(logit - float(now.logit2_BQ[0, 0])) < OFF, "the parts of an explanation do not add up"
    chain = {
        "argument": argument,
        "level": float(torch.sigmoid(arguments.sum())),
        "saturation": float(parts.saturation),
        "mastery": float(mastery[-1]),
        "readout": float(logits[-1]),
        "difficulty": difficulty,
        "logit": logit,
        "p2": float(torch.sigmoid(torch.tensor(logit, dtype=torch.float64))),
    }
    changes = _changes(network, trace, batch, skill, item, look_ahead)
    return Explanation(str(names[skill]), table, chain, changes, _would(changes, chain, threshold))


class _Parts:
    """The parts of the curve's argument for one skill, in float64."""

    def __init__(self, network: GainKT, trace: Trace, batch: Batch, skill: int) -> None:
        self.network, self.skill = network, skill
        self.answers = [] if trace.journal is None else list(trace.journal)
        skills = torch.tensor([skill])
        belief, cells, practice = belief_now(network, trace.state, batch)
        curve = network.curve
        self.gamma = float(belief.velocity.expand(1, 1, 1))
        self.readiness = float(belief.readiness(cells).expand(1, 1, 1))
        self.beta, self.offset = (float(p.at(skills).expand(1)) for p in (curve.beta, curve.offset))
        self.saturation = curve.saturation.at(skills).double().expand(1)
        self.practice = float(practice)
        self.worth = float(curve.worth(practice.flatten(), skills))
        self.before = trace.answers[0] - len(self.answers)
        self.gains = self._gains(trace)

    def _gains(self, trace: Trace) -> Tensor:
        """What each answer of the journal added to the skill's practice."""
        if not self.answers:
            return torch.empty(0, dtype=torch.float64)
        skills = padded([skills for skills, _, _ in self.answers])[None]
        item = torch.tensor([[item for _, item, _ in self.answers]])
        right = torch.tensor([[float(right) for _, _, right in self.answers]])
        base = started(self.network, 1) if trace.base is None else trace.base
        return self.network(questions(skills, item, right), base, every_skill=True).gains_BTC[0, :, self.skill].double()

    def table(self, names: Sequence[str]) -> pd.DataFrame:
        """The parts, one a row, but for the logit."""
        per_gain = self.beta * (self.worth / self.practice if self.practice else 1.0)
        rows = [{"part": "initial mastery", "argument": -self.offset}]
        if self.before:
            rest = self.practice - float(self.gains.sum())
            rows.append({"part": "earlier answers", "gain": rest, "argument": per_gain * rest})
        for number, ((skills, _, right), gain) in enumerate(
            zip(self.answers, self.gains.tolist(), strict=True), self.before
        ):
            rows.append(
                {
                    "part": "own gain" if self.skill in skills else "transferred gain",
                    "answer": number,
                    "of": ";".join(str(names[k]) for k in skills),
                    "correct": right,
                    "gain": gain,
                    "argument": per_gain * gain,
                }
            )
        rows.append({"part": "velocity", "argument": self.beta * (self.gamma - 1) * self.worth})
        rows.append({"part": "readiness", "argument": self.readiness})
        return pd.DataFrame(rows, columns=["part", "answer", "of", "correct", "gain", "argument", "logit"])


def _changes(network: GainKT, trace: Trace, batch: Batch, skill: int, item: int, look_ahead: int) -> pd.DataFrame:
    """What the model says after 0, 1, 2, .. right answers in a row, and after a wrong one."""
    rows = []

    def note(right: int, wrong: int, state: State) -> None:
        said = ask(network, state, batch)
        p2 = float(probability(said.logit2_BQ[0, 0]))
        rows.append({"right": right, "wrong": wrong, "mastery": float(said.mastery_BQS[0, 0, 0]), "p2": p2})

    skills, items = torch.tensor([[skill]]), torch.tensor([item])
    note(0, 1, step(network, trace.state, skills, items, torch.zeros(1)))
    state = trace.state
    note(0, 0, state)
    for right in range(1, look_ahead + 1):
        state = step(network, state, skills, items, torch.ones(1))
        note(right, 0, state)
    return pd.DataFrame(rows)


def _would(changes: pd.DataFrame, chain: dict[str, float], threshold: float) -> str:
    """Say what brings mastery over the threshold."""
    right = changes[changes["wrong"] == 0]
    over = right[right["mastery"] >= threshold]
    if chain["mastery"] >= threshold:
        return f"Mastery is {chain['mastery']:.2f}, over {threshold:g} already."
    if chain["saturation"] < threshold:
        return f"No answers bring it over {threshold:g}: the mastery of this skill tends to {chain['saturation']:.3f}."
    if len(over):
        needed = int(over["right"].iloc[0])
        answers = "1 more right answer brings" if needed == 1 else f"{needed} more right answers bring"
        return f"{answers} it over {threshold:g}."
    tried, reached = int(right["right"].iloc[-1]), float(right["mastery"].iloc[-1])
    return f"{tried} more right answers do not bring it over {threshold:g}; they bring it to {reached:.2f}."
