"""The particle filter against exact integration, and against what it must not beat."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score as auc

from gainkt.errors import ConfigError
from gainkt.simulation.bayes_filter import bayes_filter, expected_gain
from gainkt.simulation.simulate import shuffle_labels, simulate_with_truth


@pytest.fixture(scope="module")
def simulation():
    return simulate_with_truth(num_students=1500)


@pytest.fixture(scope="module")
def followed(simulation):
    return bayes_filter(simulation.log, simulation.truth, num_particles=300)


def log_loss(response, probability):
    return -np.mean(np.log(np.where(response == 1, probability, 1 - probability)))


def exact(simulation, student, velocity_V, initial_VK, prior_V, mean_of):
    """Chance of a correct response before each step, by a sum over a grid of velocities and logits."""
    log, world = simulation.log, simulation.truth.world
    practice = np.zeros(log.num_skills)
    weight, found = prior_V / prior_V.sum(), []
    for m in range(log.offsets[student], log.offsets[student + 1]):
        skills, item, right = (
            log.skills[log.skill_offsets[m] : log.skill_offsets[m + 1]],
            log.items[m],
            log.responses[m],
        )
        mastery = world.saturation_K / (1 + np.exp(-(world.steepness_K * velocity_V[:, None] * practice + initial_VK)))
        lowest = mastery[:, skills].min(axis=1)
        solved = 1 / (1 + np.exp(-(lowest - world.difficulty_I[item]) / world.temperature))
        p = world.guess_I[item] + (1 - world.slip_I[item] - world.guess_I[item]) * solved
        found.append((weight @ p, *(weight @ mastery[:, skills])))
        weight = weight * (p if right else 1 - p)
        weight /= weight.sum()
        gain = np.zeros(log.num_skills)
        gain[skills] = world.gain_RK[right, skills]
        kept = np.where(np.isin(np.arange(log.num_skills), skills), 1, 1 - world.forgetting)
        practice = kept * practice + gain + gain @ world.transfer_KK
    return found, mean_of(weight)


def check(simulation, found, student, probability=0.006):
    log = simulation.log
    belief = bayes_filter(log, simulation.truth, num_particles=20000, students=[student])
    steps = slice(log.offsets[student], log.offsets[student + 1])
    slots = slice(log.skill_offsets[steps.start], log.skill_offsets[steps.stop])
    np.testing.assert_allclose(belief.probability_M[steps], [step[0] for step in found], atol=probability)
    expected = np.concatenate([step[1:] for step in found])
    np.testing.assert_allclose(belief.mastery_L[slots], expected, atol=2 * probability)
    return belief


def test_it_is_exact_for_one_skill_and_unknown_velocity():
    simulation = simulate_with_truth(
        num_students=3,
        num_skills=1,
        num_items=5,
        gain_noise=0,
        velocity_spread=0.5,
        median_length=15,
        length_spread=0,
    )
    settings, world = simulation.truth.settings, simulation.truth.world
    spread = np.hypot(settings.ability_spread, settings.skill_spread)
    z = np.linspace(-5, 5, 201)
    z_x, z_v = (grid.ravel() for grid in np.meshgrid(z, z))
    velocity = np.exp(0.5 * z_v - 0.125)
    initial = (-world.offset_K[0] + spread * z_x)[:, None]
    for student in range(3):
        found, mean_velocity = exact(
            simulation,
            student,
            velocity,
            initial,
            np.exp(-(z_x**2 + z_v**2) / 2),
            lambda weight: weight @ velocity,
        )
        belief = check(simulation, found, student)
        assert belief.velocity_N[student] == pytest.approx(mean_velocity, abs=0.05)


@pytest.mark.parametrize("forgetting", [0.0, 0.1])
def test_it_is_exact_for_skills_that_share_an_ability_and_feed_each_other(forgetting):
    simulation = simulate_with_truth(
        num_students=2,
        num_skills=2,
        num_items=8,
        gain_noise=0,
        velocity_spread=0,
        multi_skill_share=0.4,
        transfer_density=1,
        transfer_strength=[0.4, 0.4],
        policy="mixed",
        forgetting=forgetting,
        median_length=30,
        length_spread=0,
    )
    settings, world = simulation.truth.settings, simulation.truth.world
    assert world.transfer_KK.any()
    covariance = settings.ability_spread**2 + settings.skill_spread**2 * np.eye(2)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*[np.linspace(-5, 5, 251)] * 2)], axis=1)
    prior = np.exp(-0.5 * np.einsum("vk,kj,vj->v", grid, np.linalg.inv(covariance), grid))
    shrink = np.linalg.solve(settings.ability_spread**2 + settings.skill_spread**2 * np.eye(2), np.ones(2))
    ability = settings.ability_spread**2 * grid @ shrink
    for student in range(2):
        found, mean_ability = exact(
            simulation,
            student,
            np.ones(len(grid)),
            grid - world.offset_K,
            prior,
            lambda weight: weight @ ability,
        )
        belief = check(simulation, found, student)
        assert belief.ability_N[student] == pytest.approx(mean_ability, abs=0.05)


def test_it_is_right_about_noisy_gains():
    simulation = simulate_with_truth(
        num_students=1,
        num_skills=1,
        num_items=3,
        gain_noise=0.6,
        ease=[0.8, 0.8],
        length_spread=0,
        median_length=8,
    )
    log, world, settings = simulation.log, simulation.truth.world, simulation.truth.settings
    rng = np.random.default_rng(1)
    draws = 300_000
    # Plain importance sampling: whole histories drawn blindly, weighed by the responses seen so far.
    initial = rng.normal(-world.offset_K[0], np.hypot(settings.ability_spread, settings.skill_spread), draws)
    velocity = np.exp(rng.normal(-0.5 * settings.velocity_spread**2, settings.velocity_spread, draws))
    practice, weight, found = np.zeros(draws), np.ones(draws), []
    for m in range(log.num_steps):
        logit = world.steepness_K[0] * velocity * practice + initial
        mastery = world.saturation_K[0] / (1 + np.exp(-logit))
        p = world.probability(log.items[[m]], mastery[None])[0]
        found.append((np.average(p, weights=weight), np.average(mastery, weights=weight)))
        weight = weight * (p if log.responses[m] else 1 - p)
        noise = np.exp(rng.normal(-0.18, 0.6, draws))
        practice = practice + np.minimum(world.gain_RK[log.responses[m], 0] * noise, 1)
    check(simulation, found, 0)


def test_expected_gain_is_the_mean_of_clipped_noise():
    noise = np.exp(np.random.default_rng(0).normal(-0.125, 0.5, 400_000))
    gain = np.array([[0.1, 0.5], [0.7, 1.0]])
    expected = [[np.minimum(g * noise, 1).mean() for g in row] for row in gain]
    np.testing.assert_allclose(expected_gain(gain, 0.5), expected, atol=0.002)
    np.testing.assert_array_equal(expected_gain(gain, 0), gain)


def test_it_is_calibrated_and_under_the_oracle(simulation, followed):
    log, oracle = simulation.log, simulation.truth.steps.oracle_M
    probability, right = followed.probability_M, log.responses
    bins = np.digitize(probability, np.linspace(0, 1, 11))
    for b in np.unique(bins):
        inside = bins == b
        # Responses of a student hang together, so the error is wider than that of independent draws.
        assert right[inside].mean() == pytest.approx(probability[inside].mean(), abs=5 * np.sqrt(0.25 / inside.sum()))
    assert 0.72 < auc(right, probability) < auc(right, oracle) - 0.01
    item_rate = np.bincount(log.items, weights=right) / np.bincount(log.items)
    constant = np.full(log.num_steps, right.mean())
    losses = [log_loss(right, p) for p in (oracle, probability, item_rate[log.items], constant)]
    assert losses == sorted(losses)
    assert losses[1] < losses[2] - 0.02


def test_its_beliefs_track_the_truth(simulation, followed):
    steps, students = simulation.truth.steps, simulation.truth.students
    error = followed.mastery_L - steps.mastery_before_L
    assert abs(error.mean()) < 0.01
    assert np.corrcoef(followed.mastery_L, steps.mastery_before_L)[0, 1] > 0.8
    assert followed.gain_L.mean() == pytest.approx(steps.gain_L.mean(), abs=0.01)
    assert np.corrcoef(followed.ability_N, students.ability_N)[0, 1] > 0.6
    assert np.corrcoef(followed.velocity_N, students.velocity_N)[0, 1] > 0.2


def test_more_particles_change_little(simulation, followed):
    log = simulation.log
    more = bayes_filter(log, simulation.truth, num_particles=900, students=range(500)).probability_M
    seen = np.isfinite(more)
    assert seen.sum() > 10_000
    assert abs(auc(log.responses[seen], more[seen]) - auc(log.responses[seen], followed.probability_M[seen])) < 0.003


def test_a_prediction_reads_nothing_after_it(simulation):
    log = simulation.log.select([np.argmax(simulation.log.lengths)])
    flipped = replace(log, responses=log.responses.copy())
    flipped.responses[50:] ^= 1
    one, two = (bayes_filter(of, simulation.truth, num_particles=50).probability_M for of in (log, flipped))
    np.testing.assert_array_equal(one[:51], two[:51])
    assert np.all(one[51:60] != two[51:60])


def test_the_same_seed_gives_the_same_beliefs_and_students_can_be_chosen(simulation):
    log, truth = simulation.log, simulation.truth
    one, two = (bayes_filter(log, truth, num_particles=20, students=[4, 9]) for _ in range(2))
    np.testing.assert_array_equal(one.probability_M, two.probability_M)
    chosen = np.zeros(log.num_steps, dtype=bool)
    chosen[log.steps_of(np.array([4, 9]))] = True
    np.testing.assert_array_equal(np.isfinite(one.probability_M), chosen)
    np.testing.assert_array_equal(np.isfinite(one.gain_L), np.repeat(chosen, np.diff(log.skill_offsets)))
    assert np.isfinite(one.ability_N).sum() == np.isfinite(one.velocity_N).sum() == 2
    other = bayes_filter(log, truth, num_particles=20, students=[4, 9], seed=1)
    assert np.any(other.probability_M[chosen] != one.probability_M[chosen])


def test_it_finds_nothing_in_shuffled_labels():
    simulation = simulate_with_truth(num_students=300)
    shuffled = shuffle_labels(simulation.log)
    belief = bayes_filter(shuffled, simulation.truth, num_particles=50)
    assert auc(shuffled.responses, belief.probability_M) == pytest.approx(0.5, abs=0.025)


def test_bad_arguments_are_named(simulation):
    with pytest.raises(ConfigError, match="num_particles: found 1"):
        bayes_filter(simulation.log, simulation.truth, num_particles=1)
    with pytest.raises(ConfigError, match="same simulation"):
        bayes_filter(simulate_with_truth(num_students=5, num_items=50).log, simulation.truth)
