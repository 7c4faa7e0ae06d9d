"""The controller's formula by hand, its two known points, and weights that do not fit."""

import json
import math
import re

import numpy as np
import pytest

import agents
from agents.adaptive_kl import FACTOR
from agents.controller import kl_rule
from agents.controller_weights import (
    FEATURES,
    HYPERPARAMETERS,
    N_WEIGHTS,
    ControllerWeights,
    read_weights,
    weights_file,
)
from hyperrl_env import DIAGNOSTICS

ZERO = [0.0] * N_WEIGHTS
SMALL = {"learner_kwargs": {"n_steps": 16, "batch_size": 8, "n_epochs": 2}, "backend": "eager"}
# The learning rate is constant on the one, and falls to 0 on the other.
ENVS = {"constant": ("PPO", 96), "decay": ("HyperRL-PPO-HalfCheetah-v0", 96)}


def weights(**features):
    """All 0 but for `learning_rate=...`: {"level.bias": ...}."""
    table = np.zeros((len(HYPERPARAMETERS), len(FEATURES)))
    for name, given in features.items():
        for feature, weight in given.items():
            table[HYPERPARAMETERS.index(name), FEATURES.index(feature)] = weight
    return table.ravel().tolist()


@pytest.fixture
def made(make_env):
    """`made(weights, env, seed, **keywords)`: an environment of six phases, and the agent on it."""

    def make(given, env="constant", seed=1, env_kwargs=None, **keywords):
        name, budget = ENVS[env]
        kwargs = {**SMALL, "total_env_steps": budget, **agents.env_kwargs("controller"), **(env_kwargs or {})}
        env = make_env(name, **kwargs)
        return env, agents.make("controller", env, seed=seed, weights=given, **keywords)

    return make


def phases(env, agent):
    """Of every update phase: the values in force, and the diagnostics that they were chosen on."""
    found = []
    agents.run(
        env,
        agent,
        seed=0,
        callback=lambda step: found.append(
            (step.next_info["hyperparameters"], dict(zip(DIAGNOSTICS, map(float, step.obs), strict=True)))
        ),
    )
    return found


@pytest.mark.parametrize("env", ENVS)
def test_without_weights_it_is_the_task_itself_to_the_bit(env, made, make_env, bits_of):
    controlled, agent = made(ZERO, env)
    agents.run(controlled, agent, seed=0)
    name, budget = ENVS[env]
    plain = make_env(name, **SMALL, total_env_steps=budget)
    agents.run(plain, agents.make("fixed", plain), seed=0)
    assert bits_of(controlled.learner) == bits_of(plain.learner)
    # The same rates before and after every phase, and other weights are other runs.
    other, agent = made(weights(learning_rate={"level.bias": 0.1}), env)
    agents.run(other, agent, seed=0)
    assert bits_of(other.learner) != bits_of(plain.learner)


@pytest.mark.parametrize("env", ENVS)
@pytest.mark.parametrize(("target", "gain"), [(1e-4, 0.1), (0.05, 0.5)])
def test_the_kl_rule_is_one_point_of_its_space(env, target, gain, made):
    """rate <- rate (target / KL)^gain, as the phases' own statistics say, by no more than 1.5 at a time."""
    environment, agent = made(kl_rule(target, gain).to_plain(), env)
    rates, divergences = [], []

    def note(step):
        rates.append(step.next_info["hyperparameters"]["learning_rate"])
        divergences.append(step.next_info["phase_stats"]["approx_kl"])

    agents.run(environment, agent, seed=0, callback=note)
    expected = [environment.search_space.values(environment.default_action)["learning_rate"]]
    for kl in divergences[:-1]:
        factor = (target / max(kl, 1e-6)) ** gain
        expected.append(min(max(expected[-1] * min(max(factor, 1 / FACTOR), FACTOR), 1e-6), 1e-2))
    assert rates == pytest.approx(expected, rel=3e-5)
    assert len(set(rates)) == len(rates) == 6


def test_levels_by_hand(made):
    """Half as far from 1, half the clip range, fewer epochs as the run goes on, twice the batch."""
    given = weights(
        learning_rate={"level.progress": 1.0},
        clip_range={"level.bias": -math.log(2)},
        gae_lambda={"level.bias": math.log(2)},
        batch_size={"level.bias": math.log(2)},
        n_epochs={"level.progress": -math.log(2)},
    )
    environment, agent = made(given)
    own = environment.search_space.values(environment.default_action)
    found = phases(environment, agent)
    for phase, (values, _) in enumerate(found):
        progress = (phase + 1) / len(found)
        assert values["learning_rate"] == pytest.approx(own["learning_rate"] * math.exp(progress), rel=1e-5)
        assert values["clip_range"] == pytest.approx(own["clip_range"] / 2, rel=1e-5)
        assert 1 - values["gae_lambda"] + 0.001 == pytest.approx(
            (1 - own["gae_lambda"] + 0.001) / 2, rel=1e-4
        )
        assert values["batch_size"] == 16
        assert values["n_epochs"] == round(2 * 0.5**progress)


def test_steps_add_up_and_levels_do_not(made):
    given = weights(
        learning_rate={"step.log_approx_kl": -1.0, "step.bias": 0.5, "step.entropy": 2.0},
        clip_range={"level.recent_return": 0.3},
    )
    environment, agent = made(given)
    own = environment.search_space.values(environment.default_action)
    s = 0.0
    for phase, (values, seen) in enumerate(phases(environment, agent)):
        if phase:
            step = 0.1 * (0.5 - seen["log_approx_kl"] + 2 * seen["entropy"])
            s += max(-math.log(1.5), min(step, math.log(1.5)))
        assert values["learning_rate"] == pytest.approx(own["learning_rate"] * math.exp(s), rel=1e-5)
        level = min(own["clip_range"] * math.exp(0.3 * seen["recent_return"]), 1.0)
        assert values["clip_range"] == pytest.approx(level, rel=1e-5)
    assert s


@pytest.mark.parametrize("weight", [-100.0, 100.0, -1e300, 1e300])
def test_whatever_the_weights_values_stay_in_their_ranges(weight, made):
    environment, agent = made([weight] * N_WEIGHTS)
    box, space = environment.action_space, environment.search_space
    low, high = space.values(box.low), space.values(box.high)
    for values, _ in phases(environment, agent):
        assert all(low[name] <= values[name] <= high[name] for name in HYPERPARAMETERS)
        assert values["batch_size"] in (4, 16)


def test_a_choice_is_held_through_its_phase_whatever_decision_is(made):
    given = weights(learning_rate={"step.bias": 1.0, "level.progress": 1.0})
    per_phase = [values for values, _ in phases(*made(given))]
    environment, agent = made(given, env_kwargs={"decision": "update"})
    found = {}

    def note(step):
        found.setdefault(step.info["phase"], []).append(step.next_info["hyperparameters"]["learning_rate"])

    agents.run(environment, agent, seed=0, callback=note)
    assert all(len(set(rates)) == 1 and len(rates) == 4 for rates in found.values())
    assert [rates[0] for rates in found.values()] == [values["learning_rate"] for values in per_phase]


@pytest.mark.parametrize("observation", ["hyper_state", "both"])
def test_it_looks_at_the_diagnostics_whatever_is_observed(observation, made):
    def rates(env, agent):
        found = []
        agents.run(env, agent, seed=0, callback=lambda step: found.append(step.next_info["hyperparameters"]))
        return found

    given = [0.3] * N_WEIGHTS
    assert rates(*made(given, env_kwargs={"observation": observation})) == rates(*made(given))


@pytest.mark.parametrize("shuffled", [False, True])
def test_it_goes_on_from_its_state_as_if_it_had_not_been_cut(shuffled, made, bits_of):
    given = np.random.default_rng(0).normal(size=N_WEIGHTS).tolist()
    whole, agent = made(given, shuffled=shuffled)
    agents.run(whole, agent, seed=0)
    cut, first = made(given, shuffled=shuffled)
    agents.run(cut, first, seed=0, callback=lambda step: step.next_info["phase"] < 3)
    resumed, second = made(given, seed=9, shuffled=shuffled)
    second.load_state_dict(first.state_dict())
    for _ in agents.steps(resumed, second, *resumed.restore(cut.snapshot())):
        pass
    assert bits_of(resumed.learner) == bits_of(whole.learner)
    assert second.state_dict() == agent.state_dict()


def test_the_next_run_begins_as_the_first_did(made):
    environment, agent = made(weights(learning_rate={"step.bias": 1.0}))
    first = phases(environment, agent)
    assert phases(environment, agent) == first


def test_shuffled_it_sees_what_other_phases_measured_and_its_schedule_as_ever(made):
    known = weights(learning_rate={"level.progress": 1.0, "level.log_budget": 0.3, "step.bias": 1.0})
    assert phases(*made(known, shuffled=True)) == phases(*made(known))

    # The log of the rate is then a diagnostic of an earlier phase, or of this one.
    environment, agent = made(
        weights(clip_range={"level.recent_return": 0.3}), shuffled=True, env_kwargs={"total_env_steps": 320}
    )
    own = environment.search_space.values(environment.default_action)["clip_range"]
    seen, own_phase = [], []
    for phase, (values, numbers) in enumerate(phases(environment, agent)):
        seen.append(numbers["recent_return"])
        shown = math.log(values["clip_range"] / own) / 0.3
        near = [i for i, x in enumerate(seen) if x == pytest.approx(shown, abs=1e-4)]
        assert near
        own_phase.append(phase in near)
    assert not all(own_phase)


def test_the_file_gives_the_weights_back(tmp_path):
    rng = np.random.default_rng(0)
    trained = ControllerWeights(tuple(rng.normal(size=N_WEIGHTS)), {"tasks": ["Hopper"], "generations": 3})
    path = tmp_path / "controller.json"
    path.write_text(weights_file(trained))
    assert read_weights(str(path)) == trained == read_weights(trained.to_plain())
    assert read_weights(list(trained.weights)).weights == trained.weights
    assert trained.table.ravel().tolist() == list(trained.weights)


def test_the_configuration_keeps_the_content_of_the_file(tmp_path):
    path = tmp_path / "controller.json"
    path.write_text(weights_file(kl_rule()))
    recorded = agents.recorded_kwargs("controller", weights=str(path), shuffled=True)
    assert recorded == {"weights": kl_rule().to_plain(), "shuffled": True}
    assert agents.recorded_kwargs("controller", weights=ZERO) == {"weights": ZERO}
    assert agents.recorded_kwargs("epgt", k_read=3) == {"k_read": 3}
    assert agents.recorded_kwargs(lambda env, seed: None, a=1) == {"a": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "hyperrl-schedule"}, "does not hold a controller's weights. `hyperrl evolve STUDY.toml"),
        ({"version": 2}, "with version 2, and this agent has 1"),
        ({"algorithm": "A2C"}, "with algorithm A2C, and this agent has PPO"),
        (
            {"hyperparameters": ["gamma"]},
            "hyperparameters gamma, and this agent has learning_rate, clip_range",
        ),
        (
            {"features": list(FEATURES)[::-1]},
            "features step.log_value_loss, .* this agent has level.bias, level",
        ),
        ({"weights": ZERO[1:]}, "weights must be 55 finite numbers, a row of 11 for each .* not 54 of them"),
        ({"weights": [math.nan, *ZERO[1:]]}, "55 finite numbers"),
        ({"weights": None}, "55 finite numbers.* not None"),
        ({"training": 1}, "training must be an object, not 1"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(change, message, made, tmp_path):
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**ControllerWeights().to_plain(), **change}))
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{message}"):
        made(str(path))


def test_a_file_that_is_missing_or_damaged_is_named(made, tmp_path):
    path = tmp_path / "c.json"
    with pytest.raises(ValueError, match=r"c.json cannot be read: No such file.*hyperrl evolve"):
        made(str(path))
    path.write_text("{")
    with pytest.raises(ValueError, match=r"c.json is not JSON"):
        made(str(path))
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"does not hold a controller's weights"):
        made(str(path))
    with pytest.raises(ValueError, match=r"55 finite numbers.* not 3"):
        made(3)


@pytest.mark.parametrize(
    ("algorithm", "env", "keywords", "message"),
    [
        ("A2C", {"search_space": ["learning_rate"]}, {}, "can handle PPO, not A2C"),
        ("PPO", {"search_space": ["learning_rate"]}, {}, "this search space lacks clip_range, gae_lambda"),
        ("PPO", {"action_mode": "discrete"}, {}, "needs action_mode='box', not 'discrete'"),
        ("PPO", {}, {"shuffled": "yes"}, "shuffled must be True or False"),
    ],
)
def test_what_it_cannot_handle_is_refused(algorithm, env, keywords, message, make_env):
    environment = make_env(algorithm, **{**agents.env_kwargs("controller"), **env})
    with pytest.raises(ValueError, match=message):
        agents.make("controller", environment, weights=ZERO, **keywords)
