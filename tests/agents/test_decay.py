"""Constant and linearly falling values, beside Stable-Baselines3's own schedules."""

import gymnasium as gym
import pytest

import agents
from agents.decay import linear

TASK = "HyperRL-PPO-HalfCheetah-v0"
STEPS = 5 * 64
SMALL = {"total_env_steps": STEPS, "learner_kwargs": {"n_steps": 64, "batch_size": 32, "n_epochs": 1}}


def values(agent, env, **kwargs):
    """The hyperparameters in force in every phase, and the task's own at the time."""
    found = []

    def note(step):
        found.append((step.info["env_steps"], step.next_info["hyperparameters"]))

    agents.run(env, agents.make(agent, env, **kwargs), seed=0, callback=note)
    return found


def made(id_, agent, env=SMALL, **kwargs):
    return gym.make(id_, **{**agents.env_kwargs(agent, **kwargs), **env}).unwrapped


def test_the_task_decays_its_learning_rate():
    """What the other tests rest on."""
    env = gym.make(TASK, **SMALL, decision="phase").unwrapped
    rates = [v["learning_rate"] for _, v in values("fixed", env)]
    assert rates == pytest.approx([rates[0] * (1 - i / 5) / 0.8 for i in range(1, 6)])


def test_constant_holds_what_the_task_decays():
    env = made(TASK, "constant")
    own = env.search_space.values(env.default_action)["learning_rate"]
    rates = [v["learning_rate"] for _, v in values("constant", env)]
    assert len(rates) == 5
    assert rates == pytest.approx(5 * [own], rel=2e-5)


def test_linear_decay_is_the_tasks_own_decay():
    decayed = gym.make(TASK, **SMALL, decision="phase").unwrapped
    own = [v["learning_rate"] for _, v in values("fixed", decayed)]
    rates = [v["learning_rate"] for _, v in values("linear_decay", made(TASK, "linear_decay"))]
    assert rates == pytest.approx(own, rel=1e-5, abs=2e-8)


def test_other_hyperparameters_fall_to_a_fraction_too(make_env):
    names = ["clip_range", "batch_size", "ent_coef", "gamma"]
    kwargs = agents.env_kwargs("linear_decay", hyperparameters=names)
    learner = {"n_steps": 16, "batch_size": 8, "n_epochs": 1, "ent_coef": 0.02}
    env = make_env("PPO", total_env_steps=80, **{**kwargs, "learner_kwargs": learner})
    found = values("linear_decay", env, hyperparameters=names, end=0.25)
    own = {"clip_range": 0.2, "batch_size": 8, "ent_coef": 0.02, "gamma": 0.99}
    for env_steps, now in found:
        for name, start in own.items():
            expected = linear(start, 0.25 * start, env_steps / 80)
            expected = round(expected) if name == "batch_size" else expected
            assert now[name] == pytest.approx(expected, rel=1e-4), name
        assert now["learning_rate"] == 3e-4


@pytest.mark.parametrize(
    ("agent", "kwargs", "message"),
    [
        ("linear_decay", {"end": 2}, r"end must be a number in \[0, 1\]"),
        ("linear_decay", {"hyperparameters": ["lr"]}, "Unknown hyperparameter 'lr'"),
        ("linear_decay", {"hyperparameters": "gamma"}, "must be a list of names, not 'gamma'"),
        ("constant", {"hyperparameters": []}, "must be a list of names"),
        ("constant", {"hyperparameters": ["gamma"]}, "can handle gamma, .* has learning_rate besides"),
    ],
)
def test_what_is_impossible_is_refused(make_env, agent, kwargs, message):
    env = make_env("PPO", **agents.env_kwargs(agent))
    with pytest.raises(ValueError, match=message):
        agents.make(agent, env, **kwargs)


def test_values_between_the_bins_need_the_box(make_env):
    with pytest.raises(
        ValueError, match="'constant' sets values between the bins: it needs action_mode='box'"
    ):
        agents.make("constant", make_env("PPO", search_space=["learning_rate"]))
