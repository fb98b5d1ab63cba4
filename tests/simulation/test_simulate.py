"""Simulated students: what is drawn, what happens at a step, what is saved."""

import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.metrics import roc_auc_score as auc

from gainkt.errors import ConfigError, DataError
from gainkt.simulation.settings import POLICIES, Settings
from gainkt.simulation.simulate import shuffle_labels, shuffle_q_matrix, simulate, simulate_with_truth
from gainkt.simulation.truth import Truth

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(scope="module")
def simulation():
    return simulate_with_truth()


@pytest.fixture(scope="module")
def small():
    return simulate_with_truth(
        num_students=60, num_skills=5, num_items=30, multi_skill_share=0.6, transfer_density=0.5, seed=3
    )


def step_of_slot(log):
    return np.repeat(np.arange(log.num_steps), np.diff(log.skill_offsets))


def student_of_step(log):
    return np.repeat(np.arange(log.num_students), log.lengths)


def opportunity_of_slot(log):
    """How often the student met the slot's skill before."""
    key = student_of_step(log)[step_of_slot(log)] * log.num_skills + log.skills
    return pd.Series(key).groupby(key).cumcount().to_numpy()


def test_the_same_seed_gives_the_same_bits():
    one, two, other = (simulate_with_truth(num_students=50, seed=seed) for seed in (1, 1, 2))
    assert one.log.digest == two.log.digest != other.log.digest
    for field in vars(one.truth.steps):
        np.testing.assert_array_equal(getattr(one.truth.steps, field), getattr(two.truth.steps, field))
    assert simulate(num_students=50, seed=1).digest == one.log.digest


def test_skills_and_items_do_not_depend_on_the_number_of_students():
    few, many = (simulate_with_truth(num_students=n, seed=4).truth.world for n in (5, 80))
    np.testing.assert_array_equal(few.q_matrix_IK, many.q_matrix_IK)
    np.testing.assert_array_equal(few.steepness_K, many.steepness_K)


def test_shapes_and_ranges(simulation):
    log, truth = simulation.log, simulation.truth
    steps, world = truth.steps, truth.world
    assert (log.num_students, log.num_skills, log.num_items) == (2000, 20, 200)
    assert steps.oracle_M.shape == (log.num_steps,)
    for slots in (steps.gain_L, steps.mastery_before_L, steps.mastery_after_L):
        assert slots.shape == log.skills.shape
        assert slots.min() >= 0
        assert slots.max() <= 1
    assert np.all((steps.oracle_M > 0) & (steps.oracle_M < 1))
    assert np.all(steps.mastery_after_L <= world.saturation_K[log.skills])
    assert world.q_matrix_IK[np.arange(200), np.arange(200) % 20].all()
    assert set(world.q_matrix_IK.sum(axis=1)) == {1, 2, 3}
    assert truth.initial_mastery_NK.shape == (2000, 20)
    assert truth.students.velocity_N.mean() == pytest.approx(1, abs=0.05)
    np.testing.assert_array_equal(np.bincount(truth.students.policy_N, minlength=3) > 500, True)


def test_lengths_have_median_20_and_a_long_tail(simulation):
    lengths = simulation.log.lengths
    assert abs(np.median(lengths) - 20) <= 2
    assert lengths.min() >= 2
    assert lengths.max() <= 500
    assert np.quantile(lengths, 0.99) > 100
    assert simulate(num_students=200, max_length=30).lengths.max() == 30


def test_items_practise_the_skills_of_the_q_matrix(simulation):
    log, world = simulation.log, simulation.truth.world
    seen = np.zeros((log.num_steps, log.num_skills), dtype=bool)
    seen[step_of_slot(log), log.skills] = True
    np.testing.assert_array_equal(seen, world.q_matrix_IK[log.items])


def test_responses_look_like_those_of_learners(simulation):
    log, steps = simulation.log, simulation.truth.steps
    assert 0.6 < log.responses.mean() < 0.8
    assert 0.78 < auc(log.responses, steps.oracle_M) < 0.85
    opportunity, right = opportunity_of_slot(log), log.responses[step_of_slot(log)]
    assert right[opportunity == 5].mean() > right[opportunity == 0].mean() + 0.1
    key = student_of_step(log)[step_of_slot(log)] * log.num_skills + log.skills
    long = np.bincount(key)[key] >= 6  # the same student-skill curves at both ends
    assert right[long & (opportunity == 5)].mean() > right[long & (opportunity == 0)].mean() + 0.1


def test_the_oracle_is_calibrated(simulation):
    probability, right = simulation.truth.steps.oracle_M, simulation.log.responses
    bins = np.digitize(probability, np.linspace(0, 1, 11))
    for b in np.unique(bins):
        inside = bins == b
        error = 4 * np.sqrt(0.25 / inside.sum())
        assert right[inside].mean() == pytest.approx(probability[inside].mean(), abs=error)


def test_transfer_is_acyclic_and_follows_the_curriculum(small):
    world = small.truth.world
    ordered = world.transfer_KK[np.ix_(world.order_K, world.order_K)]
    assert ordered.any()
    assert not np.tril(ordered).any()
    given = ordered[ordered > 0]
    assert given.min() >= 0.1
    assert given.max() <= 0.4


@pytest.mark.parametrize("forgetting", [0.0, 0.05])
def test_mastery_is_the_curve_of_the_gains(forgetting):
    simulation = simulate_with_truth(
        num_students=25,
        num_skills=4,
        num_items=12,
        multi_skill_share=0.6,
        transfer_density=0.6,
        forgetting=forgetting,
    )
    log, truth = simulation.log, simulation.truth
    steps, world = truth.steps, truth.world
    assert len(truth.trajectory_of([])) == 0
    curves = truth.trajectory_of(range(25))
    fell = 0
    for i, curve in enumerate(curves):
        # Written out skill by skill, apart from the code under test.
        practice = np.zeros(4)
        for t in range(log.lengths[i]):
            m = log.offsets[i] + t
            slots = range(log.skill_offsets[m], log.skill_offsets[m + 1])
            kept = np.array([1 if k in log.skills[slots] else 1 - forgetting for k in range(4)])
            np.testing.assert_allclose(curve[t, log.skills[slots]], steps.mastery_before_L[slots], atol=1e-12)
            practice = practice * kept
            for slot in slots:
                k = log.skills[slot]
                practice[k] += steps.gain_L[slot]
                practice += world.transfer_KK[k] * steps.gain_L[slot]
            logit = world.steepness_K * truth.students.velocity_N[i] * practice + truth.students.initial_logit_NK[i]
            np.testing.assert_allclose(curve[t + 1], world.saturation_K / (1 + np.exp(-logit)), atol=1e-12)
            np.testing.assert_allclose(curve[t + 1, log.skills[slots]], steps.mastery_after_L[slots], atol=1e-12)
        assert curve.shape == (log.lengths[i] + 1, 4)
        np.testing.assert_allclose(curve[0], truth.initial_mastery_NK[i])
        fell += (np.diff(curve, axis=0) < -1e-12).sum()
    assert (fell > 0) == (forgetting > 0)


def test_gains_depend_on_the_response_and_on_the_ease(simulation):
    log, truth = simulation.log, simulation.truth
    right, gain = log.responses[step_of_slot(log)] == 1, truth.steps.gain_L
    for k in range(log.num_skills):
        here = log.skills == k
        ratio = gain[here & right].mean() / gain[here & ~right].mean()
        assert ratio == pytest.approx(2, rel=0.1)
    expected = truth.world.gain_RK[1, log.skills]
    assert np.corrcoef(expected[right], gain[right])[0, 1] > 0.8
    even = simulate_with_truth(num_students=300, gain_ratio=1.0, gain_noise=0.0, ease=(1.0, 1.0))
    assert np.all(even.truth.steps.gain_L == even.truth.steps.gain_L[0])


def test_an_item_is_as_hard_as_its_least_mastered_skill(small):
    log, truth = small.log, small.truth
    world = truth.world
    lowest = np.minimum.reduceat(truth.steps.mastery_before_L, log.skill_offsets[:-1])
    slip, guess = world.slip_I[log.items], world.guess_I[log.items]
    solved = 1 / (1 + np.exp(-(lowest - world.difficulty_I[log.items]) / world.temperature))
    np.testing.assert_allclose(truth.steps.oracle_M, guess + (1 - slip - guess) * solved)


def own_skills(policy, **options):
    """The student's runs: for each student the items' own skills and the responses."""
    log = simulate(num_students=200, policy=policy, median_length=60, **options)
    for i in range(log.num_students):
        steps = slice(log.offsets[i], log.offsets[i + 1])
        yield log.items[steps] % log.num_skills, log.responses[steps], log.items[steps]


def test_blocked_practice_stays_for_a_block():
    for skill, _, item in own_skills("blocked", block_size=4):
        assert np.all(skill == np.repeat(skill[::4], 4)[: len(skill)])
        assert np.all(skill[4:] != skill[:-4])
        assert np.all(item[1:] != item[:-1])


def test_mastery_practice_moves_on_after_three_right_in_a_row():
    for skill, right, _ in own_skills("mastery"):
        streak = 0
        for t in range(len(skill) - 1):
            streak = streak + 1 if right[t] else 0
            assert (skill[t + 1] != skill[t]) == (streak == 3)
            streak %= 3


def test_mixed_practice_draws_every_step():
    stays = np.concatenate([skill[1:] == skill[:-1] for skill, _, _ in own_skills("mixed")])
    assert stays.mean() == pytest.approx(1 / 20, abs=0.01)


def test_curriculum_teaches_prerequisites_first():
    truth = simulate_with_truth(num_students=50, policy="blocked").truth
    place = np.argsort(truth.world.order_K)
    before, after = np.nonzero(truth.world.transfer_KK)
    assert np.all(place[before] < place[after])


def test_saved_files_hold_the_log_and_the_truth(small, tmp_path):
    folder = small.save(tmp_path / "data" / "simulated")
    table = pd.read_csv(folder / "interactions.csv")
    log = small.log
    assert list(table.columns) == ["student", "order", "item", "skill", "correct"]
    np.testing.assert_array_equal(table["student"], log.students[student_of_step(log)])
    np.testing.assert_array_equal(table["order"], np.arange(log.num_steps) - log.offsets[student_of_step(log)])
    np.testing.assert_array_equal(table["item"], log.item_names[log.items])
    np.testing.assert_array_equal(table["correct"], log.responses)
    skills = table["skill"].str.split(";")
    np.testing.assert_array_equal(skills.map(len), np.diff(log.skill_offsets))
    np.testing.assert_array_equal(skills.explode(), log.skill_names[log.skills])

    truth = Truth.open(folder)
    assert truth.settings == small.truth.settings
    for part in ("world", "students", "steps"):
        for field, expected in vars(getattr(small.truth, part)).items():
            if not field.startswith("_") and field != "skills_IS":
                found = getattr(getattr(truth, part), field)
                np.testing.assert_array_equal(found, expected, err_msg=field)
    np.testing.assert_array_equal(truth.trajectory_of([7])[0], small.truth.trajectory_of([7])[0])
    assert sorted(path.name for path in folder.parent.iterdir()) == ["simulated"]

    with pytest.raises(DataError, match="exists already"):
        small.save(folder)
    (folder / "truth_items.parquet").unlink()
    with pytest.raises(DataError, match="truth_items"):
        Truth.open(folder)
    (folder / "truth_items.parquet").write_bytes(b"nonsense")
    with pytest.raises(DataError, match="damaged"):
        Truth.open(folder)
    with pytest.raises(DataError, match="not a saved simulation"):
        Truth.open(tmp_path / "nowhere")


def test_settings_survive_json_and_numpy_numbers():
    settings = Settings(num_students=np.int64(7), gain_noise=np.float32(0.5), slip=[0.1, 0.2])
    assert type(settings.num_students) is int
    assert settings.slip == (0.1, 0.2)
    assert json.loads(json.dumps(vars(settings)))["gain_noise"] == 0.5


def test_shuffled_labels_carry_no_signal(simulation):
    log = simulation.log
    shuffled = shuffle_labels(log, seed=1)
    assert shuffled.responses.sum() == log.responses.sum()
    assert shuffled.digest != log.digest
    assert shuffled.digest == shuffle_labels(log, seed=1).digest
    right, rate = shuffled.responses[step_of_slot(log)], log.responses.mean()
    for groups in (log.skills, np.minimum(opportunity_of_slot(log), 8)):
        count = np.bincount(groups)
        z = (np.bincount(groups, weights=right) / count - rate) / np.sqrt(rate * (1 - rate) / count)
        assert np.abs(z).max() < 4
        true_right = log.responses[step_of_slot(log)]
        z = (np.bincount(groups, weights=true_right) / count - rate) / np.sqrt(rate * (1 - rate) / count)
        assert np.abs(z).max() > 8
    assert auc(shuffled.responses, simulation.truth.steps.oracle_M) == pytest.approx(0.5, abs=0.01)


def test_shuffled_q_matrix_gives_each_item_the_skills_of_another(small):
    log = small.log
    shuffled = shuffle_q_matrix(log, seed=1)
    assert shuffled.digest == shuffle_q_matrix(log, seed=1).digest
    np.testing.assert_array_equal(shuffled.responses, log.responses)
    np.testing.assert_array_equal(shuffled.items, log.items)

    def skills_by_item(log):
        found = {}
        for m in range(log.num_steps):
            skills = tuple(log.skills[log.skill_offsets[m] : log.skill_offsets[m + 1]])
            assert found.setdefault(log.items[m], skills) == skills
        return found

    before, after = skills_by_item(log), skills_by_item(shuffled)
    assert sorted(before.values()) == sorted(after.values())
    assert np.mean([before[item] != after[item] for item in before]) > 0.6
    without = replace(log, items=np.full_like(log.items, -1), item_names=log.item_names[:0])
    with pytest.raises(DataError, match="no items"):
        shuffle_q_matrix(without)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_students": 0}, "num_students: found 0; give a value at least 1"),
        ({"num_students": 2.5}, "num_students: found 2.5; give a whole number"),
        ({"num_students": True}, "num_students: found True"),
        ({"seed": -1}, "seed: found -1"),
        ({"num_items": 10}, "num_items: 10 is under num_skills = 20"),
        ({"policy": "block"}, "policy: 'block' is unknown; did you mean 'blocked'"),
        ({"policy": 3}, "policy: 3 is unknown"),
        ({"max_length": 10}, "max_length: 10 is under median_length"),
        ({"median_length": "long"}, "median_length: found 'long'; give a number"),
        ({"gain_correct": 1.5}, "gain_correct: found 1.5"),
        ({"gain_noise": float("nan")}, "gain_noise: found nan"),
        ({"forgetting": -0.1}, "forgetting: found -0.1"),
        ({"slip": 0.1}, "slip: found 0.1; give two numbers"),
        ({"slip": [0.1]}, "slip: found"),
        ({"guess": [0.3, 0.1]}, "guess: found .* rising"),
        ({"steepness": [0, 1]}, "steepness: found"),
        ({"saturation": "ab"}, "saturation: found 'ab'"),
        ({"num_student": 5}, "num_student: the simulator has no such setting; did you mean 'num_students'"),
    ],
)
def test_a_bad_setting_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        simulate(**options)


def test_settings_are_the_signature():
    assert list(inspect.signature(simulate).parameters) == list(vars(Settings()))
    assert POLICIES == ("blocked", "mixed", "mastery")


def test_the_smallest_simulation():
    log = simulate(num_students=1, num_skills=1, num_items=1, median_length=2, length_spread=0)
    assert log.num_steps == 2
    assert log.items.tolist() == [0, 0]


def test_the_shipped_configuration_shows_the_defaults_and_instantiates():
    shipped = OmegaConf.load(CONF / "dataset" / "simulated.yaml").read
    reader = instantiate(shipped, num_students=30)
    assert reader().digest == simulate(num_students=30).digest
    shown = {key: value for key, value in OmegaConf.to_container(shipped).items() if not key.startswith("_")}
    assert Settings(**shown) == Settings()
    assert list(shown) == list(vars(Settings()))
