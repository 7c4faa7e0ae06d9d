"""EnvPool's simulators in the place of Gymnasium's, with Gymnasium's own as the oracle."""

import re

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack

import hyperrl_env
from hyperrl_env.inner_envs.make import make_inner_envs

pytest.importorskip("envpool", reason="the extra envpool is not installed")
import envpool

from hyperrl_env.inner_envs.envpool import pool_ids

TASKS = [task for task in hyperrl_env.TASKS.values() if task.family != "atari"]


def make_pool(env, n_envs=2, seed=0, atari=False, **env_kwargs):
    pool = make_inner_envs(
        env,
        env_kwargs=env_kwargs,
        n_envs=n_envs,
        normalize=False,
        gamma=0.99,
        atari=atari,
        vec_backend="envpool",
    )
    pool.seed(seed)
    return pool


def play(pool, steps, rng):
    """Random actions; yields (actions, observations, rewards, dones, infos)."""
    space = pool.action_space
    for _ in range(steps):
        if isinstance(space, gym.spaces.Discrete):
            actions = rng.integers(space.n, size=pool.num_envs)
        else:
            actions = rng.uniform(space.low, space.high, (pool.num_envs, *space.shape)).astype(np.float32)
        yield actions, *pool.step(actions)


# ---------------------------------------------------------------- the same simulators


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_task_has_gymnasiums_spaces(task):
    assert task.env_id in pool_ids()
    pool, gymnasium = make_pool(task.env_id), make_vec_env(task.env_id, 2)
    assert pool.observation_space == gymnasium.observation_space
    assert pool.action_space == gymnasium.action_space
    observations = pool.reset()
    assert observations.shape == (2, *pool.observation_space.shape)
    assert observations.dtype == gymnasium.reset().dtype
    for _, found, rewards, dones, _ in play(pool, 3, np.random.default_rng(0)):
        assert found.dtype == observations.dtype
        assert rewards.dtype == np.float32
        assert dones.dtype == bool
    pool.close()
    gymnasium.close()


def set_pendulum(env, observation):
    env.state = np.array([np.arctan2(observation[1], observation[0]), observation[2]])


def set_acrobot(env, observation):
    first, second = observation[:2], observation[2:4]
    env.state = np.array([np.arctan2(first[1], first[0]), np.arctan2(second[1], second[0]), *observation[4:]])


def set_state(env, observation):
    env.state = np.array(observation, np.float64)
    env.steps_beyond_terminated = None


def set_mujoco(hidden):
    """Observations are positions but for the first ones, on which nothing depends, and velocities."""

    def set_(env, observation):
        n = env.model.nq - hidden
        env.set_state(np.concatenate([np.zeros(hidden), observation[:n]]), observation[n : n + env.model.nv])

    return set_


def set_double_pendulum(env, observation):
    angles = np.arctan2(observation[1:3], observation[3:5])
    env.set_state(np.concatenate([observation[:1], angles]), observation[5:8])


# How Gymnasium's simulator is put into the state that an observation tells, and whether single
# precision is all that it tells.
STATES = {
    "CartPole-v1": (set_state, 1e-4),
    "MountainCar-v0": (set_state, 1e-5),
    "MountainCarContinuous-v0": (set_state, 1e-5),
    "Pendulum-v1": (set_pendulum, 1e-3),
    "Acrobot-v1": (set_acrobot, 1e-3),
    "HalfCheetah-v5": (set_mujoco(1), 1e-7),
    "Hopper-v5": (set_mujoco(1), 1e-7),
    "Swimmer-v5": (set_mujoco(2), 1e-7),
    "InvertedPendulum-v5": (set_mujoco(0), 1e-7),
    "InvertedDoublePendulum-v5": (set_double_pendulum, 1e-7),
}


@pytest.mark.parametrize("env_id", STATES)
def test_every_step_is_gymnasiums(env_id):
    """State by state and through the ends of episodes: observations, rewards, and why an episode ended."""
    put, tolerance = STATES[env_id]
    limit, rng = 40, np.random.default_rng(0)
    pool = make_pool(env_id, 3, seed=1, max_episode_steps=limit)
    one = gym.make(env_id).unwrapped
    one.reset(seed=0)
    before, lengths, returns = pool.reset().copy(), np.zeros(3, int), np.zeros(3)
    ends = {"termination": 0, "time limit": 0}
    for actions, observations, rewards, dones, infos in play(pool, 130, rng):
        lengths += 1
        for i in range(3):
            put(one, before[i])
            expected, reward, terminated, *_ = one.step(actions[i])
            last = infos[i]["terminal_observation"] if dones[i] else observations[i]
            np.testing.assert_allclose(last, expected, rtol=tolerance, atol=tolerance)
            assert rewards[i] == pytest.approx(float(reward), rel=1e-4, abs=max(tolerance, 1e-5))
            returns[i] += rewards[i]
            assert dones[i] == (terminated or lengths[i] == limit)
            assert ("episode" in infos[i]) == ("terminal_observation" in infos[i]) == dones[i]
            assert infos[i]["TimeLimit.truncated"] == (lengths[i] == limit)
            if dones[i]:
                ends["termination" if terminated else "time limit"] += 1
                assert infos[i]["episode"]["l"] == lengths[i]
                assert infos[i]["episode"]["r"] == pytest.approx(returns[i], abs=1e-4)
                lengths[i] = returns[i] = 0
                assert not np.array_equal(observations[i], last)
        before = observations.copy()
    pool.close()
    assert sum(ends.values()) >= 9
    if env_id in ("CartPole-v1", "Hopper-v5", "InvertedDoublePendulum-v5"):
        assert ends["termination"] > 0


def test_new_episodes_begin_in_start_states():
    """CartPole's are uniform in [-0.05, 0.05]^4, its last states far outside."""
    pool = make_pool("CartPole-v1", 4)
    starts = [pool.reset()]
    for _, observations, _, dones, infos in play(pool, 200, np.random.default_rng(0)):
        starts.append(observations[dones])
        assert all(np.abs(infos[i]["terminal_observation"]).max() > 0.2 for i in np.flatnonzero(dones))
    pool.close()
    starts = np.concatenate(starts)
    assert len(starts) > 25
    assert np.abs(starts).max() <= 0.05
    assert len(np.unique(starts, axis=0)) == len(starts)


@pytest.mark.parametrize(("env_id", "limit"), [("HalfCheetah-v5", 1000), ("Pendulum-v1", 200)])
def test_the_time_limits_are_gymnasiums(env_id, limit):
    assert gym.spec(env_id).max_episode_steps == limit
    pool = make_pool(env_id)
    pool.reset()
    for t, (*_, dones, infos) in enumerate(play(pool, limit, np.random.default_rng(0)), start=1):
        assert list(dones) == [t == limit] * 2
        assert [info["TimeLimit.truncated"] for info in infos] == [t == limit] * 2
        assert [info["episode"]["l"] for info in infos if "episode" in info] == [limit] * 2 * (t == limit)
    pool.close()


@pytest.mark.parametrize("task", ["BipedalWalker-v3", "LunarLanderContinuous-v3"])
def test_box2d_ends_and_begins_anew(task):
    pool = make_pool(task, 4)
    pool.reset()
    rewards, episodes = np.zeros(4), []
    for _, observations, reward, dones, infos in play(pool, 400, np.random.default_rng(0)):
        rewards += reward
        for i in np.flatnonzero(dones):
            episodes.append(infos[i]["episode"]["l"])
            assert infos[i]["episode"]["r"] == pytest.approx(rewards[i], abs=1e-3)
            assert reward[i] == -100  # for a crash
            assert not infos[i]["TimeLimit.truncated"]
            assert not np.array_equal(observations[i], infos[i]["terminal_observation"])
            rewards[i] = 0.0
    pool.close()
    assert len(episodes) >= 4


# ---------------------------------------------------------------- seeds


def observations_of(pool, steps=60):
    seen = [pool.reset().copy()]
    return np.stack(
        seen + [observations.copy() for _, observations, *_ in play(pool, steps, np.random.default_rng(0))]
    )


@pytest.mark.parametrize(
    ("env_id", "atari"), [("CartPole-v1", False), ("Hopper-v5", False), ("ALE/Breakout-v5", True)]
)
def test_a_seed_decides_everything(env_id, atari):
    pool, other = (make_pool(env_id, 2, seed=5, atari=atari) for _ in range(2))
    first = observations_of(pool)
    np.testing.assert_array_equal(observations_of(other), first)
    # Without a seed the streams go on; the same seed begins them again.
    assert not np.array_equal(observations_of(pool), first)
    pool.seed(5)
    np.testing.assert_array_equal(observations_of(pool), first)
    pool.seed(2**32 - 1)
    assert not np.array_equal(observations_of(pool), first)
    for vec_env in (pool, other):
        vec_env.close()


@pytest.mark.parametrize(("env_id", "atari"), [("Hopper-v5", False), ("ALE/Breakout-v5", True)])
def test_threads_decide_nothing(env_id, atari, monkeypatch):
    seen = []
    for threads in (1, 2, 8):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        pool = make_pool(env_id, 5, seed=5, atari=atari)
        seen.append(observations_of(pool))
        assert pool._pool.config["num_threads"] == min(threads, 5)
        pool.close()
    np.testing.assert_array_equal(seen[1], seen[0])
    np.testing.assert_array_equal(seen[2], seen[0])


def test_environments_and_pools_without_a_seed_differ():
    pools = [make_pool("CartPole-v1", 3, seed=None) for _ in range(2)]
    starts = np.concatenate([pool.reset() for pool in pools])
    assert len(np.unique(starts, axis=0)) == 6
    for pool in pools:
        pool.close()


# ---------------------------------------------------------------- Atari


def test_a_game_is_ale_pys_screen_by_screen():
    """From the number of no-ops that fits the first screen on, the same actions give the same game."""
    pool = make_pool("ALE/MsPacman-v5", 1, seed=3, atari=True)
    assert pool.observation_space == gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    first = pool.reset()[0].astype(int)
    played = [
        (observations[0].astype(int), rewards[0], infos[0])
        for _, observations, rewards, _, infos in play(pool, 150, np.random.default_rng(0))
    ]
    pool.close()

    raw = gym.make("ALE/MsPacman-v5", frameskip=1, repeat_action_probability=0.0)
    one = AtariWrapper(raw, clip_reward=False)
    noop = one
    while not hasattr(noop, "override_num_noops"):
        noop = noop.env

    def start(noops):
        noop.override_num_noops = noops
        return one.reset()[0][:, :, 0].astype(int)

    def distance(noops):
        return np.abs(start(noops) - first[-1]).mean()

    start(min(range(1, 31), key=distance))
    rng, scores = np.random.default_rng(0), []
    for found, reward, info in played:
        screen, score, *_ = one.step(int(rng.integers(9, size=1)[0]))
        # Two ways to grey differ by a few shades.
        assert np.abs(screen[:, :, 0].astype(int) - found[-1]).mean() < 2
        assert info["raw_reward"] == score
        assert reward == np.sign(score)
        scores.append(score)
    one.close()
    assert max(scores) >= 10


def test_a_lost_life_ends_an_episode_and_not_the_game():
    pool = make_pool("ALE/Breakout-v5", 3, atari=True)
    pool.reset()
    scores, steps, lives_lost, games = np.zeros(3), np.zeros(3, int), np.zeros(3, int), 0
    for _, _, rewards, dones, infos in play(pool, 400, np.random.default_rng(1)):
        scores += [info["raw_reward"] for info in infos]
        steps += 1
        lives_lost += dones
        np.testing.assert_array_equal(rewards, np.sign([info["raw_reward"] for info in infos]))
        for i, info in enumerate(infos):
            assert dones[i] == ("terminal_observation" in info)
            if "episode" in info:
                assert lives_lost[i] == 5
                assert info["episode"]["r"] == scores[i]
                assert info["episode"]["l"] == 4 * steps[i]
                scores[i] = steps[i] = lives_lost[i] = 0
                games += 1
    pool.close()
    assert games >= 3


def test_games_have_gymnasiums_actions():
    for game, n_actions in (("Pong", 6), ("Alien", 18), ("Backgammon", 18), ("TicTacToe3D", 10)):
        pool = make_pool(f"ALE/{game}-v5", 1, atari=True)
        assert pool.action_space.n == n_actions
        pool.reset()
        pool.step(np.array([n_actions - 1]))
        pool.close()


# ---------------------------------------------------------------- SB3 and the Hyper-RL on it


def test_stable_baselines3_trains_and_evaluates_on_it():
    pool = make_pool("CartPole-v1", 4)
    model = PPO("MlpPolicy", pool, n_steps=64, batch_size=64, seed=0, device="cpu").learn(1_024)
    assert len(model.ep_info_buffer) > 20
    # Its episodes are known by their records, as those of a Monitor, without a warning.
    mean, _ = evaluate_policy(model, pool, n_eval_episodes=4)
    assert mean > 8
    pool.close()


@pytest.mark.parametrize("backend", ["eager", "fast"])
@pytest.mark.parametrize(
    ("id_", "kwargs"),
    [
        ("HyperRL-PPO-HalfCheetah-v0", {"learner_kwargs": {"n_steps": 64, "batch_size": 32, "n_epochs": 2}}),
        ("HyperRL-A2C-LunarLanderContinuous-v0", {"n_envs": 4, "learner_kwargs": {"n_steps": 32}}),
    ],
)
def test_the_same_seed_gives_the_same_run(make_env, id_, kwargs, backend):
    def run(seed):
        env = make_env(id_, total_env_steps=256, vec_backend="envpool", backend=backend, **kwargs)
        obs, info = env.reset(seed=seed)
        seen, actions = [obs], iter(range(1, 100))
        while not info["run_finished"]:
            obs, reward, terminated, truncated, info = env.step(next(actions) % env.action_space.n)
            seen.append(np.append(obs, np.float32(reward)))
            if (terminated or truncated) and not info["run_finished"]:
                env.reset()
        return np.concatenate(seen)

    first = run(0)
    np.testing.assert_array_equal(run(0), first)
    assert not np.array_equal(run(1), first)


def test_the_hyper_rl_of_a_game(make_env, run_to_end):
    env = make_env("HyperRL-A2C-Pong-v0", total_env_steps=40, n_envs=4, vec_backend="envpool", device="cpu")
    info = run_to_end(env, 0)
    assert info["env_steps"] == 40
    assert env.learner.observation_space.shape == (4, 84, 84)


@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_scores_are_raw_and_the_learner_sees_their_sign(backend, make_env):
    """The same actions again in EnvPool's own environments, which do not clip."""
    env = make_env(
        "HyperRL-A2C-MsPacman-v0",
        total_env_steps=10_000,
        n_envs=2,
        vec_backend="envpool",
        backend=backend,
        learner_kwargs={"n_steps": 100},
        device="cpu",
    )
    phases = []
    env._hyper_reward = lambda phase: phases.append(phase) or 0.0
    env.reset(seed=5)
    (phase,), buffer = phases, env.learner.rollout_buffer
    pool = env.learner.env
    settings = {**pool._config, "reward_clip": False}
    seeds = pool._pool.config["env_seed"]
    twin = envpool.make_gymnasium(pool._env_id, num_envs=2, num_threads=1, env_seed=seeds, **settings)
    twin.reset()
    scores = np.stack([twin.step(a.astype(np.int32))[1] for a in buffer.actions[:, :, 0]])
    twin.close()
    assert scores.max() >= 10
    assert not phase.dones.any(), "EnvPool would start anew in a step of its own"
    np.testing.assert_array_equal(phase.rewards, scores)
    np.testing.assert_array_equal(buffer.rewards, np.sign(scores))


# ---------------------------------------------------------------- what it cannot do


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"env_id": "Taxi-v3"}, ["'Taxi-v3'", "HalfCheetah-v5", "BipedalWalker-v3", "'gymnasium'"]),
        ({"env_id": "HalfCheetah-v3"}, ["'HalfCheetah-v3'", "HalfCheetah-v5"]),
        # EnvPool's name, and Gymnasium's without preprocessing.
        ({"env_id": "Pong-v5"}, ["'Pong-v5'", "HyperRL-PPO-Pong-v0"]),
        ({"env_id": "ALE/Pong-v5"}, ["'ALE/Pong-v5'", "HyperRL-PPO-Pong-v0"]),
        ({"env_kwargs": {"sutton_barto_reward": True}}, ["sutton_barto_reward", "max_episode_steps"]),
        (
            {"env_id": "HalfCheetah-v5", "env_kwargs": {"num_threads": 2}},
            ["num_threads", "ctrl_cost_weight", "reset_noise_scale"],
        ),
    ],
    ids=lambda value: str(sorted(value)),
)
def test_what_envpool_does_not_have_is_a_specific_error(make_env, kwargs, parts):
    with pytest.raises(ValueError, match=re.escape(parts[0])) as caught:
        make_env(**{"vec_backend": "envpool", **kwargs})
    for part in parts:
        assert part in str(caught.value)


def test_a_callable_is_refused(make_env, scripted_env):
    with pytest.raises(ValueError, match=r"env_fn.*env_id.*'gymnasium'"):
        make_env(vec_backend="envpool", env_fn=scripted_env)


def test_keywords_of_a_game_reach_the_simulator():
    with pytest.raises(ValueError, match=r"noop_max.*'mode'.*'full_action_space'"):
        make_pool("ALE/Pong-v5", atari=True, noop_max=3)
    pool = make_pool("ALE/Pong-v5", 1, atari=True, full_action_space=True)
    assert pool.action_space.n == 18
    pool.reset()
    pool.step(np.array([17]))
    pool.close()


def test_keywords_reach_the_simulators():
    """Without noise every episode starts in the same state."""
    pool = make_pool("HalfCheetah-v5", 2, reset_noise_scale=0.0)
    assert len(np.unique(pool.reset(), axis=0)) == 1
    pool.close()


def test_there_is_no_python_object_behind_it():
    pool = make_pool("CartPole-v1")
    for call in (
        lambda: pool.get_attr("state"),
        lambda: pool.set_attr("state", 0),
        lambda: pool.env_method("render"),
    ):
        with pytest.raises(AttributeError, match=r"C\+\+"):
            call()
    pool.close()


def test_frames_are_stacked_as_sb3_stacks_them():
    """The channels are screens in the order of time, the latest last."""
    pool = make_pool("ALE/Pong-v5", 1, atari=True)
    gymnasium = make_inner_envs(
        "ALE/Pong-v5", env_kwargs={}, n_envs=1, normalize=False, gamma=0.99, atari=True
    )
    assert isinstance(gymnasium.venv, VecFrameStack)
    for envs in (pool, gymnasium):
        before = envs.reset().copy()
        for _ in range(5):
            after, *_ = envs.step(np.array([2]))
            np.testing.assert_array_equal(after[:, :3], before[:, 1:])
            before = after.copy()
        envs.close()
