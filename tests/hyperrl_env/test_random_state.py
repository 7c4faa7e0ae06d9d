"""A run's own random state, swapped in and out; and durations that compare equal."""

import random

import numpy as np
import pytest
import torch
from stable_baselines3.common.utils import set_random_seed

from hyperrl_env.numeric.random_state import RandomState


def draw():
    return random.random(), random.gauss(0, 1), np.random.normal(), np.random.rand(), torch.randn(2).tolist()


def test_it_draws_what_sb3s_seed_would_draw():
    set_random_seed(3)
    expected = [draw() for _ in range(3)]
    with RandomState(3).swapped_in():
        assert [draw() for _ in range(3)] == expected


def test_it_goes_on_where_it_stopped_whatever_happens_outside():
    with RandomState(3).swapped_in():
        expected = [draw() for _ in range(4)]
    state = RandomState(3)
    found = []
    for i in range(4):
        with state.swapped_in():
            found.append(draw())
        set_random_seed(i)
        draw()
    assert found == expected


def test_the_outside_goes_on_where_it_stopped():
    set_random_seed(5)
    expected = [draw() for _ in range(4)]
    set_random_seed(5)
    found = []
    for i in range(4):
        found.append(draw())
        state = RandomState(i)
        with state.swapped_in():
            draw()
    assert found == expected


def test_two_states_do_not_mix_and_may_be_nested():
    expected = []
    for seed in (1, 2):
        with RandomState(seed).swapped_in():
            expected.append([draw() for _ in range(3)])
    one, two = RandomState(1), RandomState(2)
    found = [[], []]
    for _ in range(2):
        with one.swapped_in():
            found[0].append(draw())
            with two.swapped_in():
                found[1].append(draw())
    with two.swapped_in(), one.swapped_in():
        found[0].append(draw())
    with two.swapped_in():
        found[1].append(draw())
    assert found == expected


def test_an_error_inside_puts_the_outside_back():
    set_random_seed(5)
    expected = draw()
    set_random_seed(5)
    state = RandomState(1)

    def fail():
        with state.swapped_in():
            draw()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert draw() == expected
    with state.swapped_in():
        second = draw()
    with RandomState(1).swapped_in():
        draw()
        assert draw() == second


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_an_impossible_seed_leaves_the_outside_alone(seed):
    set_random_seed(5)
    expected = draw()
    set_random_seed(5)
    with pytest.raises((ValueError, RuntimeError)):
        RandomState(seed)
    assert draw() == expected
