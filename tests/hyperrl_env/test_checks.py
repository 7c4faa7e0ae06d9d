"""Whatever is given as an argument works or raises the error that is documented, and says what is wrong."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperrl_env import DEFINITIONS, HYPER_REWARDS, PRESETS, HyperRLEnv
from hyperrl_env.checks import check_between, check_choice, suggestion, unknown

NUMBERS = st.one_of(
    st.integers(-2, 40),
    st.floats(),
    st.sampled_from([0, 1, -1, 2**31, 2**63, 10**30, 1e-30, 1e30, True, np.int64(3), np.float32(0.5), 8.0]),
)
TEXTS = st.text(max_size=6)
NONSENSE = st.one_of(st.none(), NUMBERS, TEXTS, st.lists(NUMBERS | TEXTS, max_size=2), st.binary(max_size=2))
NAMES = st.sampled_from([*DEFINITIONS, "nonsense"])


def mostly(*sensible):
    """One of the sensible values, or anything."""
    return st.one_of(st.sampled_from(sensible), st.sampled_from(sensible), NONSENSE)


LEARNER_KWARGS = st.fixed_dictionaries(
    {},
    optional={
        "learning_rate": mostly(3e-4, 1e6),
        "n_steps": mostly(8, 16),
        "batch_size": mostly(4, 8, 64),
        "n_epochs": mostly(1, 2),
        "gamma": mostly(0.9, 1, 0),
        "gae_lambda": mostly(0.9, 1, 0),
        "clip_range": mostly(0.2, 1e9),
        "clip_range_vf": mostly(0.2),
        "ent_coef": mostly(0.0, 0.1),
        "vf_coef": mostly(0.5),
        "max_grad_norm": mostly(0.5),
        "normalize_advantage": mostly(True, False),
        "target_kl": mostly(0.01),
        "use_rms_prop": mostly(True),
        "rms_prop_eps": mostly(1e-5),
        "policy": mostly("MlpPolicy", "CnnPolicy"),
        "policy_kwargs": mostly({"net_arch": [4]}),
        "verbose": mostly(0),
        "stats_window_size": mostly(10),
        "seed": mostly(0),
        "env": mostly("CartPole-v1"),
        "nonsense": NONSENSE,
    },
)
SEARCH_SPACES = st.one_of(
    st.sampled_from([*PRESETS, ["learning_rate"], ["gamma", "n_steps", "n_epochs", "batch_size"]]),
    st.lists(NAMES, max_size=3),
    NONSENSE,
)
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "total_env_steps": mostly(32, 64),
        "search_space": SEARCH_SPACES,
        "action_mode": mostly("discrete", "multi_discrete", "box"),
        "decision": mostly("update", "epoch", "phase"),
        "learning_episode_phases": mostly(1, 2),
        "observation": mostly("hyper_state", "diagnostics", "both"),
        "order": mostly(0, 1, 2),
        "projection_dim": mostly(1, 4),
        "hyper_reward": mostly(*HYPER_REWARDS),
        "n_envs": mostly(1, 2),
        "normalize": mostly(True, False),
        "learner_kwargs": LEARNER_KWARGS | NONSENSE,
        "backend": mostly("eager", "fast", "auto"),
        "device": mostly("cpu", "auto"),
        "render_mode": mostly("ansi"),
        "env_kwargs": mostly({}, {"sutton_barto_reward": True}, {"nonsense": 1}),
        "env_id": mostly("CartPole-v1", "MountainCarContinuous-v0", "Nothing-v0", "not an id"),
    },
)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(algorithm=st.sampled_from(["PPO", "A2C"]), arguments=ARGUMENTS)
def test_the_constructor_works_or_says_what_is_wrong(algorithm, arguments):
    small = {"n_steps": 8, **({"batch_size": 4, "n_epochs": 1} if algorithm == "PPO" else {})}
    given_kwargs = arguments.get("learner_kwargs", {})
    arguments = {"env_id": "CartPole-v1", "total_env_steps": 64, **arguments}
    if isinstance(given_kwargs, dict):
        arguments["learner_kwargs"] = {**small, **given_kwargs}
    if isinstance(arguments.get("n_envs"), int) and arguments["n_envs"] > 64:
        arguments["n_envs"] = 64  # what works takes memory
    try:
        env = HyperRLEnv(algorithm, **arguments)
    except (ValueError, gym.error.Error) as error:
        refusal = str(error)
    except TypeError as error:
        # The inner environment's own word on keywords that it does not know.
        refusal = str(error) if arguments.get("env_kwargs") else ""
    else:
        refusal = None
    if refusal is not None:
        assert refusal
        return
    env.reset(seed=0)
    for _ in range(3):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert env.observation_space.contains(obs)
        assert np.isfinite(reward)
        if terminated or truncated:
            env.reset()
    env.close()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("egpt", " Did you mean 'epgt'?"),
        ("EPGT", " Did you mean 'epgt'?"),
        ("clip", " Did you mean 'clip_range' or 'clip_range_vf'?"),
        ("lambda", " Did you mean 'gae_lambda'?"),
        ("nothing like it", ""),
        ("", ""),
        (3, ""),
    ],
)
def test_near_misses_are_suggested(name, expected):
    known = ("epgt", "clip_range", "clip_range_vf", "gae_lambda")
    assert suggestion(name, known) == expected
    assert unknown("thing", name, known) == (
        f"Unknown thing {name!r}.{expected} Valid things: epgt, clip_range, clip_range_vf, gae_lambda."
    )


def test_an_alias_suggests_the_name_that_it_stands_for():
    assert suggestion("hoper", ["HyperRL-PPO-Hopper-v0"], {"Hopper": "HyperRL-PPO-Hopper-v0"}) == (
        " Did you mean 'HyperRL-PPO-Hopper-v0'?"
    )


@pytest.mark.parametrize("value", [0, 7, np.int64(7), np.uint8(1)], ids=repr)
def test_a_whole_number_between_two_others(value):
    check_between("steps", value, 0, 7)


@pytest.mark.parametrize("value", [-1, 8, 1.0, True, np.True_, "1", None, np.array([1])], ids=repr)
def test_what_is_not_a_whole_number_between_two_others(value):
    with pytest.raises(ValueError, match=r"^steps must be a whole number in \[0, 7\], not "):
        check_between("steps", value, 0, 7)


def test_one_of_several_names():
    check_choice("decision", "epoch", ("update", "epoch"))
    with pytest.raises(
        ValueError, match=r"^Unknown decision 'epochs'\. Did you mean 'epoch'\? Valid decisions: up"
    ):
        check_choice("decision", "epochs", ("update", "epoch"))
