"""Search spaces: the presets' numbers, actions to values and back, what is refused."""

import math

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import InvalidAction
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.utils import LinearSchedule

import hyperrl_env
from hyperrl_env import DEFINITIONS, PRESETS, Hyperparameter, SearchSpace
from hyperrl_env.hyperparameters import levels
from hyperrl_env.presets import get_search_space
from hyperrl_env.search_space import BoundSearchSpace

MODES = ["discrete", "multi_discrete", "box"]
DEFAULTS = {
    "learning_rate": 3e-4,
    "clip_range": 0.2,
    "gae_lambda": 0.95,
    "gamma": 0.99,
    "batch_size": 64,
    "n_epochs": 10,
    "n_steps": 2048,
    "ent_coef": 0.0,
    "vf_coef": 0.5,
    "max_grad_norm": 0.5,
    "kl_clip": 0.001,
    "damping": 0.01,
}


def bind(items, mode="discrete", rollout_size=2048, **defaults):
    return BoundSearchSpace(get_search_space(items), mode, DEFAULTS | defaults, rollout_size)


def bound_bins(*items, rollout_size=2048, **defaults):
    return next(iter(bind(items, rollout_size=rollout_size, **defaults).bins.values()))


# ---------------------------------------------------------------- the presets, against the paper's settings


def with_inverses(*above):
    return pytest.approx(sorted([1.0, *above, *(1 / m for m in above)]))


def test_levels():
    assert levels(2, 1.0) == with_inverses(2)
    assert levels(4, 2.0) == with_inverses(1.5, 2, 2.5)
    assert levels(4, 0.2) == with_inverses(6, 11, 16)


@pytest.mark.parametrize(
    ("preset", "bins"),
    [
        ("a2c-bipedalwalker", {"learning_rate": with_inverses(1.5, 2.0, 2.5)}),
        ("a2c-mountaincar", {"learning_rate": with_inverses(6, 11, 16)}),
        (
            "ppo-mujoco",
            {
                "learning_rate": (0.5, 1, 2),
                "clip_range": (0.1, 0.2, 0.3, 0.4, 0.5),
                "gae_lambda": (0.9, 0.925, 0.95, 0.975, 0.99),
                "batch_size": (0.5, 1, 2),
            },
        ),
        (
            "ppo-atari",
            {
                "learning_rate": (0.5, 1, 2),
                "clip_range": (0.1, 0.2, 0.3, 0.4, 0.5),
                "batch_size": (0.5, 1, 2),
            },
        ),
        *(
            (preset, {"kl_clip": (0.001, 0.002, 0.003), "learning_rate": (0.5, 1, 2), "vf_coef": (0.5, 1, 2)})
            for preset in ("acktr", "acktr-atari")
        ),
    ],
)
def test_a_presets_bins(preset, bins):
    assert {h.name: h.bins for h in PRESETS[preset].hyperparameters} == bins


@pytest.mark.parametrize(
    ("preset", "n_actions"),
    [("a2c-bipedalwalker", 7), ("a2c-mountaincar", 7), ("ppo-mujoco", 225), ("acktr-atari", 27)],
)
def test_a_presets_joint_actions(preset, n_actions):
    assert bind(preset).action_space == spaces.Discrete(n_actions)
    assert bind(preset, "multi_discrete").n_actions == bind(preset, "box").n_actions == n_actions


@pytest.mark.parametrize(
    ("env_id", "n_actions"),
    [
        *(
            (f"HyperRL-PPO-{task}-v0", 225)
            for task in ("HalfCheetah", "Humanoid", "BipedalWalker", "CartPole")
        ),
        *(
            (f"HyperRL-A2C-{task}-v0", 7)
            for task in ("HalfCheetah", "BipedalWalker", "MountainCarContinuous")
        ),
        *((f"HyperRL-ACKTR-{task}-v0", 27) for task in ("HalfCheetah", "CartPole")),
    ],
)
def test_a_tasks_joint_actions(make_env, env_id, n_actions):
    few = {} if "PPO" in env_id else {"n_envs": 1}
    assert make_env(env_id, **few).action_space == spaces.Discrete(n_actions)


def test_the_range_of_bipedalwalkers_learning_rates(make_env):
    env = make_env("HyperRL-A2C-BipedalWalker-v0", n_envs=1)
    rates = [env.search_space.values(action)["learning_rate"] for action in range(7)]
    assert rates == sorted(rates)
    assert (rates[0], rates[-1]) == pytest.approx((2.8e-4, 1.75e-3))


STANDARD = {
    "gamma": (0.95, 0.975, 0.99),
    "n_steps": (0.25, 0.5, 1),
    "learning_rate": (0.5, 1, 2),
    "vf_coef": (0.5, 1, 2),
    "max_grad_norm": (0.5, 1, 2),
    "batch_size": (0.5, 1, 2),
}


@pytest.mark.parametrize("name", STANDARD)
def test_the_standard_bins(name):
    assert Hyperparameter(name).bins == STANDARD[name]
    assert Hyperparameter(name).relative == (name != "gamma")


@pytest.mark.parametrize(
    ("algorithm", "task", "budget", "n_envs"),
    [
        ("PPO", "HalfCheetah", 1_000_000, 1),
        ("PPO", "Ant", 10_000_000, 1),
        ("PPO", "Humanoid", 10_000_000, 1),
        ("A2C", "HalfCheetah", 5_000_000, 16),
        ("A2C", "BipedalWalker", 4_000_000, 128),
        ("A2C", "MountainCarContinuous", 20_000, 1),
    ],
)
def test_the_tasks_budgets(algorithm, task, budget, n_envs):
    settings = hyperrl_env.SETTINGS[algorithm, task]
    assert (settings.total_env_steps, settings.n_envs, settings.normalize) == (budget, n_envs, True)
    assert settings.source


# ---------------------------------------------------------------- actions and values


def test_the_joint_action_counts_with_the_last_hyperparameter_fastest():
    space = bind(["gamma", "learning_rate"])
    found = [tuple(space.values(action).values()) for action in range(9)]
    assert found == [(g, r) for g in (0.95, 0.975, 0.99) for r in (1.5e-4, 3e-4, 6e-4)]
    multi = bind(["gamma", "learning_rate"], "multi_discrete")
    assert [tuple(multi.values(np.array([i, j])).values()) for i in range(3) for j in range(3)] == found


def test_box_endpoints_middle_and_scale():
    space = bind(["learning_rate", "gae_lambda", "batch_size"], "box")
    ends = [list(space.values(np.float32([x] * 3)).values()) for x in (-1, 1)]
    assert ends == [pytest.approx([1.5e-4, 0.9, 32]), pytest.approx([6e-4, 0.99, 128])]
    # Halfway: the geometric mean on a log scale, the arithmetic one on a linear scale.
    assert list(space.values(np.float32([0, 0, 0])).values()) == pytest.approx([3e-4, 0.945, 64])
    # A quarter of the way: 0.5 * 4^(1/4) times the default.
    quarter = space.values(np.float32([-0.5] * 3))
    assert quarter == pytest.approx({"learning_rate": 3e-4 * 2**-0.5, "gae_lambda": 0.9225, "batch_size": 45})


def test_a_scale_can_be_given():
    log = Hyperparameter("ent_coef", low=1e-4, high=1e-2, n_bins=3, scale="log")
    assert log.bins == pytest.approx((1e-4, 1e-3, 1e-2))
    linear = Hyperparameter("learning_rate", low=1e-4, high=3e-4, n_bins=3, scale="linear")
    assert linear.bins == pytest.approx((1e-4, 2e-4, 3e-4))
    space = bind([linear], "box", learning_rate=2e-4)
    assert space.values(np.float32([0.5]))["learning_rate"] == pytest.approx(2.5e-4)


def test_whole_numbers_stay_whole():
    assert Hyperparameter("n_epochs", low=1, high=4, n_bins=7, scale="linear").bins == (1, 2, 3, 4)
    space = bind(["batch_size", "n_epochs", "n_steps"], "box")
    for x in np.linspace(-1, 1, 9):
        assert all(type(value) is int for value in space.values(np.float32([x] * 3)).values())
    # Half of 5 and a quarter of 5 steps, half of one epoch: never none.
    assert [bind(["n_steps"], n_steps=5).values(a)["n_steps"] for a in range(3)] == [1, 2, 5]
    assert bound_bins("n_epochs", n_epochs=1) == (1, 2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 9, 64])
def test_whole_numbers_that_were_rounded_are_found_again(mode, batch_size):
    space = bind(["batch_size"], mode, batch_size=batch_size)
    for index in range(space.n_actions):
        values = space.values(space.joint_action(index))
        assert space.values(space.action(values)) == values


@pytest.mark.parametrize("mode", MODES)
def test_the_default_action_is_exact(mode):
    odd = {
        "learning_rate": 7.1e-4,
        "clip_range": 0.23,
        "gae_lambda": 1 / 3,
        "batch_size": 63,
        "ent_coef": 1e-3,
    }
    space = bind(list(odd), mode, **odd)
    assert space.values(space.default_action) == odd
    assert space.default_action in space.action_space
    # Also of a default that has decayed since.
    assert space.values(space.default_action, odd | {"learning_rate": 1e-5})["learning_rate"] == 1e-5


def test_a_default_that_is_changed_by_its_reader_stays():
    for mode in ("multi_discrete", "box"):
        space = bind(["learning_rate", "gamma"], mode)
        expected = space.values(space.default_action)
        action = space.default_action
        action[:] = 0 if mode == "multi_discrete" else -1
        assert space.values(space.default_action) == expected


NUMBERS = {
    "learning_rate": st.floats(1e-6, 1.0),
    "clip_range": st.floats(0.01, 1.0),
    "gae_lambda": st.floats(0.0, 1.0),
    "gamma": st.floats(0.0, 1.0),
    "ent_coef": st.floats(0.0, 1.0),
    "vf_coef": st.floats(0.01, 2.0),
    "max_grad_norm": st.floats(0.01, 10.0),
    "batch_size": st.integers(1, 64),
    "n_epochs": st.integers(1, 20),
    "n_steps": st.integers(1, 100),
}


@st.composite
def bound_spaces(draw, mode):
    """A space of up to three hyperparameters, each given in one of the four forms, with any defaults."""
    names = draw(st.lists(st.sampled_from(sorted(NUMBERS)), min_size=1, max_size=3, unique=True))
    defaults, items = dict(DEFAULTS), []
    for name in names:
        numbers = NUMBERS[name]
        form = draw(st.sampled_from(["standard", "values", "multipliers", "range"]))
        if form == "multipliers" and name in ("gae_lambda", "gamma", "ent_coef"):
            form = "values"
        defaults[name] = draw(numbers)
        if form == "standard":
            items.append(name)
        elif form == "values":
            values = draw(st.lists(numbers, min_size=1, max_size=4))
            items.append(Hyperparameter(name, values=tuple(values)))
        elif form == "multipliers":
            values = draw(st.lists(st.floats(0.2, 1.0), max_size=3))
            defaults[name] = min(defaults[name], 12) if name == "batch_size" else defaults[name]
            items.append(Hyperparameter(name, multipliers=(*values, 1.0)))
        else:
            low, high = sorted((draw(numbers), draw(numbers)))
            if not low < high * (1 - 1e-6) or (name in ("gae_lambda", "gamma", "ent_coef") and low == 0):
                low, high = (1, 2) if isinstance(high, int) else (0.25, 0.75)
            items.append(Hyperparameter(name, low=low, high=high, n_bins=draw(st.integers(2, 5))))
    return BoundSearchSpace(SearchSpace(items), mode, defaults, 64), defaults


def assert_close(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
        assert type(found[name]) is type(value) or not DEFINITIONS[name].integer


@settings(deadline=None)
@given(data=st.data())
def test_actions_and_values_round_trip(data):
    mode = data.draw(st.sampled_from(MODES))
    space, defaults = data.draw(bound_spaces(mode))
    for index in data.draw(st.lists(st.integers(0, space.n_actions - 1), max_size=5)):
        action = space.joint_action(index)
        assert action in space.action_space
        values = space.values(action)
        assert_close(space.values(space.action(values)), values)
        for name, value in values.items():
            assert DEFINITIONS[name].allows(value)
            bins = space.bins[name]
            assert min(bins) <= max(bins)
    assert space.values(space.default_action) == {name: defaults[name] for name in space.names}
    assert_close(space.values(space.action({})), {name: defaults[name] for name in space.names})


@settings(deadline=None)
@given(data=st.data())
def test_joint_actions_are_the_same_choices_in_every_mode(data):
    space, defaults = data.draw(bound_spaces("discrete"))
    others = [BoundSearchSpace(SearchSpace(space.hyperparameters), mode, defaults, 64) for mode in MODES[1:]]
    index = data.draw(st.integers(0, space.n_actions - 1))
    for other in others:
        assert_close(other.values(other.joint_action(index)), space.values(space.joint_action(index)))
    for mode in (space, *others):
        assert mode.joint_index(mode.joint_action(index)) == index


def test_joint_choices_of_a_discrete_space_are_checked():
    space = BoundSearchSpace(SearchSpace(["gamma"]), "discrete", {"gamma": 0.99}, 64)
    with pytest.raises(InvalidAction, match="Hyper-action 99 is not in the action space"):
        space.joint_index(99)
    with pytest.raises(TypeError):
        space.joint_action(1.5)
    assert space.joint_action(np.int64(1)) in space.action_space


@settings(deadline=None)
@given(data=st.data())
def test_every_point_of_the_box_is_a_value_in_range(data):
    space, defaults = data.draw(bound_spaces("box"))
    point = data.draw(
        st.lists(st.floats(-1, 1, width=32), min_size=len(space.names), max_size=len(space.names))
    )
    values = space.values(np.float32(point))
    for name, value in values.items():
        relative = next(h for h in space.hyperparameters if h.name == name).relative
        offered = [b * defaults[name] if relative else b for b in space.bins[name]]
        slack = 0.5 if DEFINITIONS[name].integer else 1e-9
        assert min(offered) - slack <= value <= max(offered) + slack
        assert DEFINITIONS[name].allows(value)
        if name == "batch_size":
            assert value <= 64
    assert_close(space.values(space.action(values)), values)


@pytest.mark.parametrize("mode", MODES)
def test_values_follow_the_defaults_of_the_moment(mode):
    """A multiple is one of the decayed learning rate; and back."""
    space = bind(["learning_rate"], mode)
    now = DEFAULTS | {"learning_rate": 1e-4}
    double = space.joint_action(2)
    assert space.values(double, now)["learning_rate"] == pytest.approx(2e-4)
    assert space.values(space.action({"learning_rate": 2e-4}, now), now)["learning_rate"] == pytest.approx(
        2e-4
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("now", [0.2, 0.15, 0.1, 0.05])
def test_an_absolute_default_that_decays_round_trips(mode, now):
    space = bind(["clip_range"], mode)
    defaults = DEFAULTS | {"clip_range": now}
    values = space.values(space.default_action, defaults)
    assert values == {"clip_range": now}
    assert space.values(space.action(values, defaults), defaults)["clip_range"] == pytest.approx(now)


# ---------------------------------------------------------------- fitting a space to a task


def test_the_default_becomes_a_bin():
    assert bound_bins("clip_range", clip_range=0.25) == (0.1, 0.2, 0.25, 0.3, 0.4, 0.5)
    assert bound_bins(Hyperparameter("gamma", values=(0.5,))) == (0.5, 0.99)
    assert bound_bins(Hyperparameter("gamma", low=0.9, high=0.98, n_bins=2)) == (0.9, 0.98, 0.99)
    assert bound_bins("gae_lambda", gae_lambda=0.95) == (0.9, 0.925, 0.95, 0.975, 0.99)


def test_standard_batches_larger_than_the_rollout_are_left_out():
    assert bound_bins("batch_size", rollout_size=64) == (0.5, 1)
    assert bound_bins("batch_size", rollout_size=127) == (0.5, 1)
    assert bound_bins("batch_size", rollout_size=128) == (0.5, 1, 2)


@pytest.mark.parametrize(
    "batches", [{"values": (32, 129)}, {"multipliers": (1, 3)}, {"low": 16, "high": 256}], ids=str
)
def test_explicit_batches_larger_than_the_rollout_are_refused(batches):
    with pytest.raises(ValueError, match=r"batch_size=.*rollout of 128"):
        bind([Hyperparameter("batch_size", **batches)], rollout_size=128)


@pytest.mark.parametrize("name", ["vf_coef", "learning_rate", "max_grad_norm"])
def test_multiples_of_nothing_are_refused(name):
    with pytest.raises(ValueError, match=rf"{name}: the task's default is 0.*values="):
        bind([name], **{name: 0.0})


@pytest.mark.parametrize("mode", MODES)
def test_values_beside_a_default_of_nothing(mode):
    """What the message above proposes works in every mode, also where the own scale is logarithmic."""
    space = bind([Hyperparameter("vf_coef", values=(0.5, 1.0))], mode, vf_coef=0.0)
    assert space.bins == {"vf_coef": (0.0, 0.5, 1.0)}
    found = [space.values(space.joint_action(i))["vf_coef"] for i in range(3)]
    assert found == pytest.approx([0.0, 0.5, 1.0])


def test_multiples_outside_the_domain_are_refused():
    with pytest.raises(ValueError, match=r"gamma=1\.98 .*\[0, 1\]"):
        bind([Hyperparameter("gamma", multipliers=(1, 2))])


def test_a_space_of_the_environments_own(make_env):
    space = SearchSpace(["gamma", Hyperparameter("learning_rate", values=(1e-5, 1e-3))])
    for form in (space, list(space.hyperparameters)):
        env = make_env(search_space=form, action_mode="multi_discrete")
        assert env.action_space == spaces.MultiDiscrete([3, 3])
        assert env.search_space.bins["learning_rate"] == (1e-5, 3e-4, 1e-3)


def test_a_space_on_a_scheduled_clip(make_env):
    kwargs = {"n_steps": 16, "batch_size": 8, "n_epochs": 1, "clip_range": LinearSchedule(0.3, 0.0, 1.0)}
    env = make_env(learner_kwargs=kwargs, search_space=["clip_range"], total_env_steps=64, decision="phase")
    env.reset(seed=0)
    info = env.step(env.default_action)[-1]
    assert info["hyperparameters"]["clip_range"] == pytest.approx(0.3 * 3 / 4)
    env.reset()
    info = env.step(4)[-1]
    assert info["hyperparameters"]["clip_range"] == pytest.approx(0.5)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", -1e-3),
        ("clip_range", 0.0),
        ("clip_range", -0.1),
        ("gae_lambda", -0.01),
        ("gae_lambda", 1.01),
        ("gamma", -0.01),
        ("gamma", 1.01),
        ("batch_size", 0),
        ("batch_size", 2.5),
        ("n_epochs", 0),
        ("n_epochs", 1.5),
        ("n_steps", 0),
        ("ent_coef", -0.01),
        ("vf_coef", -0.01),
        ("max_grad_norm", 0.0),
        ("kl_clip", 0.0),
        ("damping", 0.0),
        *((name, value) for name in DEFINITIONS for value in (math.nan, math.inf)),
    ],
)
def test_values_outside_the_domain_are_refused(name, value):
    with pytest.raises(ValueError, match=name):
        Hyperparameter(name, values=(value,))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"values": ()}, "at least one"),
        ({"values": (0.1,), "multipliers": (1, 2)}, "only one of values, multipliers"),
        ({"values": (0.1,), "low": 0.1, "high": 0.2}, "only one of values, multipliers"),
        ({"multipliers": (0.5, 2)}, "must contain 1"),
        ({"multipliers": (0, 1)}, "positive"),
        ({"multipliers": (-1, 1)}, "positive"),
        ({"multipliers": (1, math.inf)}, "finite"),
        ({"low": 0.1}, "low < high"),
        ({"high": 0.1}, "low < high"),
        ({"low": 0.2, "high": 0.1}, "low < high"),
        ({"low": 0.1, "high": 0.1}, "low < high"),
        ({"low": 0.1, "high": 0.2, "n_bins": 1}, "n_bins must be a whole number of at least 2"),
        ({"low": 0.1, "high": 0.2, "n_bins": 2.5}, "n_bins must be a whole number"),
        ({"low": "a", "high": 0.2}, "must be a number"),
        ({"values": 0.1}, "values must be a list"),
        ({"values": "0.1"}, "values must be a list"),
        ({"values": {0.1: 0.2}}, "values must be a list"),
        ({"values": (True,)}, "values must be a list"),
        ({"multipliers": (1, "2")}, "multipliers must be a list"),
        ({"low": 0.0, "high": 0.2}, r"clip_range=0 is outside its domain: \(0, inf\)"),
        ({"scale": "cubic"}, r"clip_range: Unknown scale 'cubic'\. Valid scales: linear, log\."),
    ],
    ids=str,
)
def test_malformed_hyperparameters_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        Hyperparameter("clip_range", **kwargs)


def test_a_log_scale_from_zero_is_refused():
    with pytest.raises(ValueError, match="log scale needs"):
        Hyperparameter("ent_coef", low=0, high=1, scale="log")
    with pytest.raises(ValueError, match="log scale needs"):
        Hyperparameter("ent_coef", values=(0, 1), scale="log")


def test_unknown_names_list_what_exists():
    with pytest.raises(ValueError, match="learning_rte") as error:
        Hyperparameter("learning_rte")
    assert all(name in str(error.value) for name in DEFINITIONS)
    with pytest.raises(ValueError, match="no-such") as error:
        get_search_space("no-such")
    assert all(name in str(error.value) for name in PRESETS)


def test_a_mapping_of_names_to_values_means_them():
    """Beside the same in `Hyperparameter` objects; JSON's form of one is a mapping with its name."""
    expected = SearchSpace(
        [
            Hyperparameter("learning_rate", values=(1e-4, 1e-3)),
            Hyperparameter("clip_range", multipliers=(0.5, 1, 2)),
            Hyperparameter("gamma", low=0.9, high=0.99, n_bins=4, scale="linear"),
            Hyperparameter("ent_coef"),
        ]
    ).hyperparameters
    offers = {
        "learning_rate": [1e-3, 1e-4],
        "clip_range": {"multipliers": [0.5, 1, 2]},
        "gamma": {"low": 0.9, "high": 0.99, "n_bins": 4, "scale": "linear"},
        "ent_coef": {},
    }
    assert get_search_space(offers).hyperparameters == SearchSpace(offers).hyperparameters == expected
    items = [
        {"name": "learning_rate", "values": [1e-4, 1e-3]},
        {"name": "clip_range", **offers["clip_range"]},
        {"name": "gamma", **offers["gamma"]},
        "ent_coef",
    ]
    assert get_search_space(items).hyperparameters == expected
    assert SearchSpace({"vf_coef": np.array([0.25, 1])}).hyperparameters[0].bins == (0.25, 1)


def test_the_values_of_a_mapping_are_what_is_offered(make_env):
    env = make_env(search_space={"learning_rate": [1e-4, 1e-3]})
    offered = {env.search_space.values(action)["learning_rate"] for action in range(env.action_space.n)}
    assert offered == {1e-4, 3e-4, 1e-3}  # and SB3's default


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"lr": [1e-4]}, "Unknown hyperparameter 'lr'"),
        ({"learning_rte": [1e-4]}, "Did you mean 'learning_rate'"),
        ({"learning_rate": 1e-4}, r"learning_rate: give a list of values, as \[1e-4, 1e-3\], or arguments"),
        ({"learning_rate": "1e-4"}, "give a list of values"),
        ({"learning_rate": None}, "give a list of values"),
        ({"learning_rate": []}, "at least one"),
        ({"learning_rate": [-1]}, "outside its domain"),
        ({"learning_rate": ["1e-4"]}, "list of at least one number"),
        ({"learning_rate": {"multiplier": [1]}}, "Unknown argument 'multiplier'. Did you mean 'multipliers'"),
        ({"learning_rate": {"name": "gamma"}}, "Unknown argument 'name'"),
        ([{"values": [1e-4]}], "mappings with a 'name'"),
        ([1], "what is offered, not 1"),
        ({}, "at least one"),
        pytest.param({"gamma", "clip_range"}, "needs a list of hyperparameters, or a mapping", id="a set"),
        (3, "needs a list of hyperparameters, or a mapping"),
        ("ppo-mujco", "Did you mean 'ppo-mujoco'"),
    ],
    ids=str,
)
def test_other_forms_of_a_space_are_refused_with_what_is_right(space, message):
    with pytest.raises(ValueError, match=message):
        get_search_space(space)


@pytest.mark.parametrize("items", [[], ["gamma", "gamma"], ["gamma", Hyperparameter("gamma", values=(0.9,))]])
def test_a_space_names_each_once_and_at_least_one(items):
    with pytest.raises(ValueError, match=r"at least one|once"):
        SearchSpace(items)


@pytest.mark.parametrize("mode", MODES)
def test_values_that_are_not_offered_are_refused(mode):
    space = bind(["clip_range"], mode)
    with pytest.raises(ValueError, match=r"clip_range=0\.7.*0\.5"):
        space.action({"clip_range": 0.7})
    with pytest.raises(ValueError, match=r"gamma.*clip_range"):
        space.action({"gamma": 0.9})
    if mode != "box":
        with pytest.raises(ValueError, match=r"clip_range=0\.15.*0\.1, 0\.2"):
            space.action({"clip_range": 0.15})
