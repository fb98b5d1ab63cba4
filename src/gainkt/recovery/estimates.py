"""Estimates of simulated students by trained models and by yardsticks, laid out along the log's steps and slots."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from gainkt.digests import read_table
from gainkt.evaluation.statistics.bootstrap import Array
from gainkt.evaluation.statistics.practice import worth
from gainkt.model import Carrier
from gainkt.model.gain_head.own import OwnAndMatrixGain
from gainkt.model.readout import probability
from gainkt.recovery.agreement import Compared, Source, less_receivers_mean, mean_by, students_from_curves
from gainkt.references import BKT
from gainkt.runs.folder import way_out
from gainkt.simulation.bayes_filter import bayes_filter
from gainkt.simulation.truth import Simulation, Truth
from gainkt.train import RunResult


@torch.inference_mode()
def follow_model(name: str, result: RunResult, cells: Compared) -> Source:
    """Run a trained model over the test students and lay out what it says along the log's steps and slots."""
    log, size = cells.log, cells.log.num_skills
    assert result.datamodule.log_.digest == log.digest, "trained on other data"
    p1, p2 = (np.full(log.num_steps, np.nan) for _ in range(2))
    before, gain, practice, after = (np.full(len(log.skills), np.nan) for _ in range(4))
    given, counted = (np.zeros((size, size)) for _ in range(2))
    model, carrier = result.run.model(), Carrier()
    for batch in result.datamodule.loader("test"):
        output = model(batch, carrier.before(batch), every_skill=True)
        carrier.after(batch, output)
        first = batch.start_B[:, None] + torch.arange(batch.valid_BT.shape[1]) == 0
        shown = batch.scored_BT | (first & batch.valid_BT)
        row, step = (x.numpy() for x in shown.nonzero(as_tuple=True))
        flat = log.offsets[batch.student_B.numpy()[row]] + batch.start_B.numpy()[row] + step
        p1[flat], p2[flat] = (probability(x[shown]).numpy() for x in (output.logit1_BT, output.logit2_BT))
        has = batch.has_skill_BTS[shown].numpy()
        slot = (log.skill_offsets[flat][:, None] + np.arange(has.shape[1]))[has]
        assert np.array_equal(log.skills[slot], batch.skills_BTS[shown].numpy()[has]), "slots out of line"
        before[slot] = output.mastery_before_BTS[shown].numpy()[has]
        gain[slot] = output.axis.read(output.gains_BTC)[shown].numpy()[has]
        practice[slot] = output.axis.read(output.practice_BTC)[shown].numpy()[has]
        practised = output.axis.practised(batch.has_skill_BTS)[shown].double()
        others = 1 - practised
        given += (practised.T @ (output.gains_BTC[shown].double() * others)).numpy()
        counted += (practised.T @ others).numpy()

    folder = result.run.directory.path
    paths = [folder / f"{table}.parquet" for table in ("trajectories", "mastery", "skills")]
    own, last, skills = (read_table(path, way_out(path)) for path in paths)
    student = pd.Index(log.students).get_indexer(pd.Index(own["student"]))
    skill = pd.Index(log.skill_names).get_indexer(pd.Index(own["skill"]))
    # One number for each (step, skill) that occurs, so that rows find their slots.
    slots = pd.Index(cells.step_L * size + log.skills)
    place = slots.get_indexer((log.offsets[student] + own["step"]) * size + skill)
    assert (place >= 0).all(), "a practised skill without a slot"
    after[place] = own["mastery"]

    skills = skills.set_index("skill").loc[list(map(str, log.skill_names))].astype(np.float64)
    of_students = students_from_curves(own, last, skills.reset_index()).reindex(list(map(str, log.students)))
    beta_L, experience_L = (skills[name].to_numpy()[log.skills] for name in ("beta", "experience"))
    logits = beta_L * (worth(practice, experience_L) - worth(practice - gain, experience_L))
    mean_gain = np.divide(given, counted, out=np.zeros_like(given), where=counted > 0)
    transfer = {
        "mean gain of others": mean_gain,
        "the same less receiver's mean": less_receivers_mean(mean_gain),
    }
    if isinstance(model.gain_head, OwnAndMatrixGain):
        transfer = {"learnt matrix": model.gain_head.transfer().numpy(), **transfer}
    told = np.isfinite(logits)
    return Source(
        name,
        p2,
        before,
        after,
        gain,
        logits,
        encoder1_M=p1,
        parameters={
            "mastery at first opportunity": cells.at_first_opportunity(before),
            "initial mastery": (skills["saturation"] / (1 + np.exp(skills["offset"]))).to_numpy(),
            "steepness x gain": mean_by(logits[told], log.skills[told], size),
            "steepness": skills["beta"].to_numpy(),
            "gain": skills["gain_practised_mean"].to_numpy(),
            "saturation": skills["saturation"].to_numpy(),
            "velocity": of_students["velocity"].to_numpy(),
            "ability": of_students["ability"].to_numpy(),
        },
        transfer=transfer,
    )


def follow_bkt(cells: Compared, *, forgets: bool = False) -> Source:
    """Fit BKT on the training students and follow the test students."""
    bkt = BKT.fit(cells.log, cells.split.train, forgets=forgets)
    found = bkt.predict(cells.log, cells.split.test)
    return Source(
        "BKT",
        found.probability_M,
        found.mastery_before_L,
        found.mastery_after_L,
        parameters={
            "mastery at first opportunity": cells.at_first_opportunity(found.mastery_before_L),
            "initial mastery": bkt.parameters["prior"].to_numpy(),
            "steepness x gain": bkt.parameters["learn"].to_numpy(),
        },
    )


def follow_nobody(cells: Compared) -> Source:
    """The floor: each skill's share of right responses in training, whoever practises it and however long."""
    log, at = cells.log, np.isin(cells.student_L, cells.split.train)
    rate = mean_by(log.responses[cells.step_L[at]], log.skills[at], log.num_skills)
    rate = np.where(np.isfinite(rate), rate, log.responses[cells.step_L[at]].mean())[log.skills]
    return Source("share right of skill", np.minimum.reduceat(rate, log.skill_offsets[:-1]), rate, rate)


def follow_bayes(simulation: Simulation, cells: Compared, num_particles: int) -> Source:
    """The best attainable: an observer who knows all parameters, but no student."""
    belief = bayes_filter(simulation.log, simulation.truth, num_particles=num_particles, students=cells.split.test)
    logits = belief.gain_L * simulation.truth.world.steepness_K[simulation.log.skills]
    return Source(
        "Bayes filter",
        belief.probability_M,
        belief.mastery_L,
        belief.mastery_after_L,
        belief.gain_L,
        logits,
        parameters={
            "mastery at first opportunity": cells.at_first_opportunity(belief.mastery_L),
            "velocity": belief.velocity_N,
            "ability": belief.ability_N,
        },
    )


def truth_of(simulation: Simulation, cells: Compared) -> Source:
    """The truth in the same form; its probability is the oracle's, who sees the states."""
    steps, world, students = simulation.truth.steps, simulation.truth.world, simulation.truth.students
    at = np.isin(cells.student_L, cells.split.test)
    gain = mean_by(steps.gain_L[at], steps.skills[at], cells.log.num_skills)
    return Source(
        "oracle",
        steps.oracle_M,
        steps.mastery_before_L,
        steps.mastery_after_L,
        steps.gain_L,
        steps.gain_L * world.steepness_K[steps.skills],
        parameters={
            "mastery at first opportunity": cells.at_first_opportunity(steps.mastery_before_L),
            "initial mastery": world.saturation_K / (1 + np.exp(world.offset_K)),
            "steepness x gain": world.steepness_K * gain,
            "steepness": world.steepness_K,
            "gain": gain,
            "saturation": world.saturation_K,
            "velocity": students.velocity_N,
            "ability": students.ability_N,
        },
    )


def mastery_of_named_skills(truth: Truth, cells: Compared) -> Array:
    """True mastery before each step of the skills that the log names, [L]; these need not be the item's own.

    NaN but for test students.
    """
    found = np.full(len(cells.log.skills), np.nan)
    student, step = cells.student_L, cells.step_L
    for curves, one in zip(truth.trajectory_of(cells.split.test), cells.split.test, strict=True):
        slots = np.flatnonzero(student == one)
        found[slots] = curves[step[slots] - cells.log.offsets[one], cells.log.skills[slots]]
    return found
