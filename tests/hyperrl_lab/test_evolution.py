"""Evolution finds gains that control theory knows, and is the same however often it was cut."""

import sys

import numpy as np
import pytest

from hyperrl_lab.evolution import Evolution, Generation, shares_above, shares_beaten

# Toy learners that follow a random walk of variance q through observations of variance r by a gain: the
# best is Kalman's, P / (P + r) with P^2 - q P - q r = 0.
WALKS = {1 / 3: (1.0, 6.0), 2 / 3: (4e4, 3e4)}


def scores_of(members, seeds, steps=100):
    """Minus the mean squared errors of toy learners: a row per member, a column per seed and task.

    Each task is tracked by a gain of its own; all members follow the same walks.
    """
    gains = np.vstack([members, np.zeros(len(WALKS))])[:, None]
    drawn = np.stack([np.random.default_rng(seed).standard_normal((2, steps, len(WALKS))) for seed in seeds])
    walks, noises = np.moveaxis(drawn * np.sqrt(list(WALKS.values())).T[:, None], 0, 2)
    error, squares = 0.0, 0.0
    for walk, noise in zip(walks, noises, strict=True):
        error = (1 - gains) * (error + walk) - gains * noise
        squares = squares + error**2
    table = -squares.reshape(len(gains), -1)
    return table[:-1], table[-1]


def evolved(generations=25, seed=0, population=12, evolution=None):
    evolution = evolution or Evolution(len(WALKS), population=population, sigma=0.3, seed=seed)
    while (number := len(evolution.generations)) < generations:
        # Other seeds in every generation, the same for all members.
        evolution.tell(shares_beaten(*scores_of(evolution.ask(), seeds=range(3 * number, 3 * number + 3))))
    return evolution


@pytest.mark.parametrize("seed", [0, 1])
def test_it_finds_the_best_gains_of_noisy_toy_learners_whatever_the_scale_of_their_scores(seed):
    evolution = evolved(seed=seed)
    assert evolution.mean == pytest.approx(list(WALKS), abs=0.07)
    assert evolution.sigma < 0.3 / 2
    above = shares_above(*scores_of(evolution.mean[None], seeds=range(1000, 1010)))
    assert above.tolist() == [1.0]


def test_it_finds_the_optimum_of_a_known_function_without_noise():
    best = np.array([0.5, -1.0, 0.0, 2.0])
    evolution = Evolution(4, population=8, sigma=0.5, seed=3)
    for _ in range(80):
        evolution.tell(-((evolution.ask() - best) ** 2) @ np.array([1.0, 10.0, 100.0, 1.0]))
    assert evolution.mean == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("cut", [1, 4])
def test_replayed_it_goes_on_as_if_it_had_not_been_cut(cut):
    whole = evolved(generations=8)
    again = Evolution(len(WALKS), population=12, sigma=0.3, seed=0)
    again.replay(whole.generations[:cut])
    assert len(again.generations) == cut
    again = evolved(generations=8, evolution=again)
    for ours, theirs in zip(again.generations, whole.generations, strict=True):
        assert np.array_equal(ours.members, theirs.members)
        assert np.array_equal(ours.fitness, theirs.fitness)
        assert ours.sigma == theirs.sigma
    assert np.array_equal(again.mean, whole.mean)


def test_the_past_of_another_evolution_is_refused():
    past = evolved(generations=2, seed=1).generations
    with pytest.raises(ValueError, match=r"generation 0 has other members .* another seed"):
        Evolution(len(WALKS), population=12, sigma=0.3, seed=0).replay(past)
    changed = [past[0], Generation(past[1].members + 1e-9, past[1].fitness, past[1].sigma)]
    with pytest.raises(ValueError, match="generation 1 has other members"):
        Evolution(len(WALKS), population=12, sigma=0.3, seed=1).replay(changed)


def test_it_draws_from_its_own_generator_alone():
    before = np.random.get_state()[1].copy()
    one, other = (Evolution(3, population=4, sigma=1.0, seed=seed) for seed in (0, 1))
    assert np.array_equal(one.ask(), one.ask())
    assert not np.array_equal(one.ask(), other.ask())
    one.tell(np.zeros(4))
    assert np.array_equal(np.random.get_state()[1], before)


def test_fitness_by_hand():
    scores, default = np.array([[1.0, -np.inf], [3.0, 7.0], [2.0, 7.0]]), np.array([2.0, -np.inf])
    # Of three others each: 0, 3, 1.5 on the first; 0.5, 2.5, 2.5 on the second.
    assert shares_beaten(scores, default) * 3 == pytest.approx([0.25, 2.75, 2.0])
    assert shares_above(scores, default).tolist() == [0.25, 1.0, 0.75]
    assert np.array_equal(
        shares_beaten(scores * [1, 1e6], default * [1, 1e6]), shares_beaten(scores, default)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 1}, "n must be a whole number of at least 2"),
        ({"population": 3}, "population must be a whole number of at least 4"),
        ({"sigma": 0.0}, "sigma must be a finite number above 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    kwargs = {"n": 3, "population": 4, "sigma": 1.0, "seed": 0, **change}
    with pytest.raises(ValueError, match=message):
        Evolution(**kwargs)


@pytest.mark.parametrize("fitness", [[1.0, 2.0], [1.0, 2.0, np.nan, 0.0], [1.0, 2.0, np.inf, 0.0]])
def test_impossible_fitness_is_refused(fitness):
    with pytest.raises(ValueError, match="fitness must be 4 finite numbers"):
        Evolution(3, population=4, sigma=1.0, seed=0).tell(np.array(fitness))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(ValueError, match=r"needs an extra.*experience"):
        Evolution(3, population=4, sigma=1.0, seed=0)
