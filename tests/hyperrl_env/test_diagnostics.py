"""The diagnostics as an observation: bounded, finite, restored to the bit, the same in both backends.

That they are what they say, `tests/hyperrl_lab/test_phases.py` checks against the log of whole runs.
"""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from hyperrl_env import DIAGNOSTICS, EnvironmentPhase, Hyperparameter
from hyperrl_env.diagnostics import LIMIT, Diagnostics, log_horizon_ratio, log_ratio, log_ratio_from_0
from hyperrl_env.hyper_reward import improvement
from hyperrl_env.numeric.running import Running

# Runs are left unfinished here, and finished ones followed by others, which is said (see test_lifecycle.py).
pytestmark = pytest.mark.filterwarnings("ignore:.*starts a new.* with a new model:UserWarning")

ALGORITHMS = ["PPO", "A2C", "ACKTR"]
OBSERVATIONS = ["hyper_state", "diagnostics", "both"]
N = len(DIAGNOSTICS)


def phase(returns, lengths=None):
    return EnvironmentPhase(
        rewards=np.zeros((1, 1)),
        dones=np.zeros((1, 1), bool),
        value_targets=np.zeros((1, 1)),
        episode_returns=tuple(returns),
        episode_lengths=tuple(lengths or [1] * len(returns)),
        last_episode_return=0.0,
        gamma=0.9,
    )


def random_steps(env, n, seed=0):
    """n random steps of a run, over the ends of its learning episodes: observation, reward, info of each."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        obs, reward, terminated, truncated, info = env.step(int(rng.integers(env.action_space.n)))
        yield obs, reward, info
        if info["run_finished"]:
            return
        if terminated or truncated:
            env.reset()


# ---------------------------------------------------------------- the formulas


def test_running_mean_and_spread():
    numbers = np.random.default_rng(0).normal(50, 3, 40)
    seen = Running()
    for i, x in enumerate(numbers):
        seen = seen.add(x)
        assert seen.mean == pytest.approx(numbers[: i + 1].mean(), rel=1e-12)
        assert seen.spread == pytest.approx(numbers[: i + 1].std(), rel=1e-9, abs=1e-12)
    assert seen.count == 40


def test_a_running_mean_with_a_weight_follows_the_latest_numbers():
    # The second counts 1/2 as 1/2 > 0.4; the third 0.4 > 1/3; nothing counts more than all.
    assert Running().add(1.0, 0.4).add(2.0, 0.4).add(4.0, 0.4).mean == pytest.approx(0.6 * 1.5 + 0.4 * 4)
    assert Running().add(1.0).add(5.0, 7.0) == Running(2, 5.0, 0.0)


@pytest.mark.parametrize(
    ("formula", "x", "start", "expected"),
    [
        (log_ratio, 2e-3, 1e-3, np.log(2)),
        (log_ratio, 0.0, 1e-3, -LIMIT),
        (log_ratio, 1e-3, 0.0, LIMIT),
        (log_ratio, 0.0, 0.0, 0.0),
        (log_ratio, 1e-9, 1e9, -LIMIT),
        (log_ratio, np.inf, np.inf, 0.0),
        (log_ratio_from_0, 0.009, 0.0, np.log(10)),
        (log_horizon_ratio, 0.99, 0.9, np.log(0.101 / 0.011)),
        (log_horizon_ratio, 1.0, 0.999, np.log(2)),
    ],
)
def test_values_in_force_against_the_start_by_hand(formula, x, start, expected):
    assert formula(x, start) == pytest.approx(expected)


def test_improvement_by_hand():
    def of(earlier, last, returns):
        seen = Running()
        for x in earlier:
            seen = seen.add(x)
        given = vars(phase(returns)) | {"earlier_returns": seen, "last_episode_return": last}
        return improvement(EnvironmentPhase(**given))

    # The returns so far are 1, 3 and 8, whose standard deviation is sqrt(26 / 3).
    assert of([1.0, 3.0], 3.0, [7.0, 9.0]) == pytest.approx(5 / np.sqrt(26 / 3))
    assert of([1.0, 3.0], 3.0, []) == 0.0, "no inner episode ended"
    assert of([], 0.0, [7.0]) == 0.0, "there is nothing to compare with"
    assert of([7.0, 7.0], 7.0, [7.0]) == 0.0, "there is no spread"
    assert of([0.1, 0.1], 0.1, [0.1, 0.1, 0.1]) == 0.0, "that mean is not 0.1, but only by rounding"
    # However small the spread was before: at most sqrt(2 n).
    assert of([7.0] * 7, 7.0, [1e9]) == pytest.approx(8 / np.sqrt(7), rel=1e-6)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("worst", [np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320, 0.0, None])
def test_no_number_that_comes_in_gets_out_of_bounds(worst):
    space = gym.spaces.Box(-1, 1, (2,))
    bounds = np.array([(d.low, d.high) for d in DIAGNOSTICS.values()])
    found = Diagnostics({"gamma": 1.0, "learning_rate": 1e-3, "ent_coef": 0.0}, 100, space)
    names = ("approx_kl", "clip_fraction", "explained_variance", "entropy_loss", "grad_norm", "value_loss")
    usual = dict.fromkeys((*names, "policy_loss"), 0.5)
    for step, odd in enumerate([False, True, True, False]):
        # The learner reports what is not finite as None.
        number = None if worst is None or not np.isfinite(worst) else worst
        found.update_phase(dict.fromkeys(usual, number) if odd else usual)
        returns = [float(step)] if not odd or worst is None else [worst, worst]
        found.environment_phase(60 * step, phase(returns))
        numbers = found.numbers(0.5, {"gamma": 1.0, "learning_rate": 0.0 if odd else 1.0, "ent_coef": 0.0})
        assert numbers.dtype == np.float32
        assert ((bounds[:, 0] <= numbers) & (numbers <= bounds[:, 1])).all()
    if worst is None or not np.isfinite(worst):
        # Nothing has stayed of it: the returns that count are 0 and 3, or 0, 1, 2, 3.
        assert found.earlier_returns.mean == 1.5


# ---------------------------------------------------------------- through the environment


@pytest.mark.parametrize("backend", ["eager", "fast"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_observations_are_the_hyper_state_the_diagnostics_and_both(make_env, algorithm, backend):
    envs = {o: make_env(algorithm, backend=backend, observation=o) for o in OBSERVATIONS}
    first = {o: env.reset(seed=3)[0] for o, env in envs.items()}
    size = envs["hyper_state"].projector.state_size
    assert [len(obs) for obs in first.values()] == [size, N, size + N]
    for found in zip(*(random_steps(env, 30) for env in envs.values()), strict=True):
        (state, reward, info), (diagnostics, *_), (both, *_) = found
        assert np.array_equal(both, np.concatenate([state, diagnostics]))
        assert {step[1] for step in found} == {reward}
        for (obs, _, _), env in zip(found, envs.values(), strict=True):
            assert env.observation_space.contains(obs)
            assert np.array_equal(env.diagnostics(), diagnostics)
            assert np.array_equal(env.hyper_state(env.projector), state)
        if "phase_stats" in info:
            assert info["diagnostics"] == dict(zip(DIAGNOSTICS, diagnostics.tolist(), strict=True))
    assert info["run_finished"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_backends_agree(make_env, algorithm):
    envs = [make_env(algorithm, backend=b, observation="diagnostics") for b in ("eager", "fast")]
    for env in envs:
        env.reset(seed=0)
    for (eager, *_), (fast, *_) in zip(*(random_steps(env, 12) for env in envs), strict=True):
        np.testing.assert_allclose(fast, eager, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("observation", ["diagnostics", "both"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_restored_goes_on_with_the_same_bits(make_env, algorithm, observation, tmp_path):
    # Short inner episodes, so that every phase has a return.
    env, other = (
        make_env(algorithm, observation=observation, total_env_steps=200, hyper_reward="improvement")
        for _ in range(2)
    )
    env.reset(seed=0)
    list(random_steps(env, 9))
    snapshot = env.snapshot()
    env.save(tmp_path / "state")
    rest = [(obs.tobytes(), reward, info) for obs, reward, info in random_steps(env, 15, seed=1)]
    other.load(tmp_path / "state")
    for continued in (other, env):
        if continued is env:
            env.restore(snapshot)
        again = [(obs.tobytes(), reward, info) for obs, reward, info in random_steps(continued, 15, seed=1)]
        assert again == rest
    assert any(reward for _, reward, _ in rest)


def test_to_look_changes_nothing(make_env):
    env = make_env("PPO")
    env.reset(seed=0)
    list(random_steps(env, 3))
    before = env.snapshot()["diagnostics"]
    env.diagnostics()
    after = env.snapshot()["diagnostics"]
    assert before.pop("numbers").tobytes() == after.pop("numbers").tobytes()
    assert before == after


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_new_run_starts_anew(make_env, algorithm):
    env = make_env(algorithm, observation="diagnostics", hyper_reward="improvement")
    first = env.reset(seed=0)[0]
    run = [(obs.tobytes(), reward) for obs, reward, _ in random_steps(env, 30)]
    assert np.array_equal(env.reset(seed=0)[0], first)
    assert [(obs.tobytes(), reward) for obs, reward, _ in random_steps(env, 30)] == run


def test_nothing_changes_within_a_phase_but_position_and_values(make_env):
    env = make_env("PPO", observation="diagnostics", search_space=["learning_rate"])
    env.reset(seed=0)
    names = list(DIAGNOSTICS)
    changed = {"position", "log_learning_rate"}
    before = env.diagnostics()
    for i, (obs, _, info) in enumerate(random_steps(env, 3)):
        assert "phase_stats" not in info
        assert {n for n, x, y in zip(names, before, obs, strict=True) if x != y} <= changed
        assert obs[names.index("position")] == pytest.approx((i + 1) / 4)


def test_a_learning_rate_that_decays_is_seen_against_the_start(make_env):
    env = make_env("HyperRL-PPO-Hopper-v0", total_env_steps=4096, observation="diagnostics", decision="phase")
    env.reset(seed=0)
    obs = env.step(env.default_action)[0]
    # Of two phases the first has half of the rate.
    assert obs[list(DIAGNOSTICS).index("log_learning_rate")] == pytest.approx(np.log(0.5))


@pytest.mark.parametrize("observation", ["diagnostics", "both"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_a_run_that_diverges_stays_finite(make_env, algorithm, observation):
    rates = Hyperparameter("learning_rate", values=(1e38, 1e37))
    env = make_env(algorithm, observation=observation, search_space=[rates], hyper_reward="improvement")
    env.reset(seed=0)
    steps = list(random_steps(env, 50))
    # ACKTR's trust region holds at any rate.
    assert any(info["diverged"] for *_, info in steps) or algorithm == "ACKTR"
    assert all(np.isfinite(obs).all() and np.isfinite(reward) for obs, reward, _ in steps)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e300])
@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_poisoned_rewards_do_not_get_in(make_env, scripted_env, poison):
    """Every second inner episode has a reward that is not finite, or nearly so."""

    class Poisoned(scripted_env):
        episodes = 0

        def reset(self, **kwargs):
            self.episodes += 1
            self.rewards = [1.0, poison, 2.0] if self.episodes % 2 == 0 else [1.0, 5.0, 2.0]
            return super().reset(**kwargs)

    env = make_env(
        "A2C",
        env_fn=lambda: Poisoned([1.0]),
        normalize=False,
        observation="diagnostics",
        hyper_reward="improvement",
    )
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs)
    for obs, reward, _ in random_steps(env, 30):
        assert env.observation_space.contains(obs)
        assert np.isfinite(reward)


def test_improvement_through_the_environment(make_env, scripted_env):
    """Episodes of one step, in phases of five steps: returns 1, 2, 4, 8 ... are the phases' means."""

    class Doubling(scripted_env):
        steps = 0

        def step(self, action):
            self.rewards, self.t = [2.0 ** (self.steps // 5)], 0
            self.steps += 1
            return super().step(action)

    env = make_env(
        "A2C",
        env_fn=lambda: Doubling([0.0]),
        normalize=False,
        total_env_steps=30,
        hyper_reward="improvement",
    )
    _, info = env.reset(seed=0)
    assert info["improvement"] == 0
    for n, (_, reward, info) in enumerate(random_steps(env, 5), start=1):
        returns = 2.0 ** np.arange(n + 1)
        assert reward == pytest.approx((returns[-1] - returns[-2]) / returns.std())
        assert info["improvement"] == reward


@pytest.mark.parametrize("observation", ["diagnostics", "both"])
def test_checkers_find_nothing(make_env, observation):
    env = make_env("A2C", observation=observation)
    with warnings.catch_warnings():
        # The hyper-state has no bounds.
        warnings.filterwarnings("ignore", ".*A Box observation space (min|max)imum value is -?infinity.")
        check_env(env, skip_render_check=True)
    sb3_check_env(env)


def test_the_diagnostics_need_no_network_of_any_size(make_env):
    """Where the hyper-state's length depends on task and network, theirs does not."""
    for kwargs in ({"env_id": "Pendulum-v1"}, {"learner_kwargs": {"policy_kwargs": {"net_arch": [8]}}}):
        env = make_env("A2C", observation="diagnostics", **kwargs)
        assert env.observation_space.shape == env.reset(seed=0)[0].shape == (N,)
