"""Atari: the usual preprocessing, learned from clipped rewards and told in raw scores.

What is expected is made with Stable-Baselines3's own parts.
"""

import subprocess
import sys
from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecFrameStack

import agents
import hyperrl_env
from hyperrl_env.inner_envs.atari import game_names, make_atari_envs
from hyperrl_env.numeric.discounted_sums import discounted_sums

SIMULATOR = {"frameskip": 1, "repeat_action_probability": 0.0}
FEW = {
    "PPO": {"n_envs": 2, "learner_kwargs": {"n_steps": 8, "batch_size": 8, "n_epochs": 1}},
    "A2C": {"n_envs": 2},
    "ACKTR": {"n_envs": 2, "learner_kwargs": {"n_steps": 8}},
}


def sb3_envs(game, n_envs, env_kwargs=None, **wrapper_kwargs):
    envs = make_atari_env(
        f"ALE/{game}-v5", n_envs, env_kwargs=SIMULATOR | (env_kwargs or {}), wrapper_kwargs=wrapper_kwargs
    )
    return VecFrameStack(envs, 4)


# ---------------------------------------------------------------- which games


def test_there_is_every_game_that_ale_py_ships():
    import ale_py.roms

    # Combat, Joust, Maze Craze and Warlords are for two players only.
    assert len(game_names()) == len(ale_py.roms.get_all_rom_ids()) - 4 == 104
    for game in ("Alien", "MsPacman", "Qbert", "Breakout", "Pong", "SpaceInvaders", "Seaquest", "BeamRider"):
        assert game in game_names()
    for game in game_names():
        for algorithm in ("PPO", "A2C", "ACKTR"):
            spec = gym.spec(f"HyperRL-{algorithm}-{game}-v0")
            assert spec.kwargs == {"algorithm": algorithm, "task": game}


@pytest.mark.parametrize("game", game_names())
def test_every_game_starts(game):
    envs = make_atari_envs(f"ALE/{game}-v5", env_kwargs={}, n_envs=1)
    try:
        assert envs.observation_space == gym.spaces.Box(0, 255, (4, 84, 84), np.uint8)
        # Below the frame stack: a reset with a seed would load the game a second time.
        (env,) = envs.unwrapped.envs
        observation, _ = env.reset()
        assert observation.shape == (84, 84, 1)
        assert env.unwrapped.get_action_meanings()[0] == "NOOP"
    finally:
        envs.close()


WITHOUT_ALE = """
import sys
sys.modules["ale_py"] = None
import gymnasium as gym, hyperrl_env
from hyperrl_lab.cli import main
assert "HyperRL-PPO-Hopper-v0" in hyperrl_env.env_ids()
assert main(["list", "ids"]) == 0
for make in (
    lambda: gym.make("HyperRL-PPO-Pong-v0"),
    lambda: gym.make("HyperRL-A2C-MsPacman-v0"),
    lambda: gym.make("HyperRL-PPO-v0", env_id="ALE/Pong-v5"),
    lambda: gym.make("HyperRL-PPO-v0", env_id="ale_py:ALE/Pong-v5"),
):
    try:
        make()
    except gym.error.DependencyNotInstalled as error:
        assert "pip install --constraint constraints.txt '.[atari]'" in str(error), error
    else:
        raise AssertionError
"""


def test_without_ale_py_everything_else_works_and_the_extra_is_named():
    subprocess.run([sys.executable, "-c", WITHOUT_ALE], check=True, capture_output=True, timeout=120)


@pytest.mark.parametrize("package", ["ale_py", "cv2"])
def test_a_package_that_is_missing_later_is_named(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyNotInstalled, match=rf"ALE/Pong-v5.*'\.\[atari\]'.*{package}"):
        gym.make("HyperRL-PPO-Pong-v0")


def test_a_namespace_that_nobody_knows_stays_an_error_of_gymnasiums():
    with pytest.raises(gym.error.NamespaceNotFound, match="Nowhere"):
        gym.make("HyperRL-PPO-v0", env_id="Nowhere/Pong-v5")


# ---------------------------------------------------------------- settings


def test_the_settings_of_the_paper():
    ppo, a2c, acktr = (hyperrl_env.SETTINGS[name, "Qbert"] for name in ("PPO", "A2C", "ACKTR"))
    for settings, n_envs in ((ppo, 32), (a2c, 16), (acktr, 32)):
        assert (settings.family, settings.normalize) == ("atari", False)
        assert (settings.n_envs, settings.total_env_steps) == (n_envs, 20_000_000)
    expected = {"n_steps": 128, "batch_size": 1024, "n_epochs": 4, "clip_range": 0.1, "ent_coef": 0.01}
    assert ppo.learner_kwargs.items() >= expected.items()
    assert [ppo.learner_kwargs["learning_rate"](p) for p in (1.0, 0.5)] == [2.5e-4, 1.25e-4]
    assert ppo.search_space.names == ("learning_rate", "clip_range", "batch_size")
    assert a2c.search_space.names == ("learning_rate",)
    assert acktr.search_space.names == ("kl_clip", "learning_rate", "vf_coef")
    assert (acktr.learner_kwargs["n_steps"], acktr.learner_kwargs["ent_coef"]) == (128, 0.01)


# ---------------------------------------------------------------- exactness

# The settings of the ids but for the size of a phase, which is short here.
SMALL_PPO = {"n_steps": 24, "batch_size": 24, "n_epochs": 2}
KWARGS = {
    PPO: {
        "learning_rate": LinearSchedule(2.5e-4, 0.0, 1.0),
        "clip_range": 0.1,
        "clip_range_vf": 0.2,
        "ent_coef": 0.01,
        **SMALL_PPO,
    },
    A2C: {
        "learning_rate": LinearSchedule(7e-4, 0.0, 1.0),
        "n_steps": 5,
        "gae_lambda": 0.95,
        "ent_coef": 0.01,
        "rms_prop_eps": 1e-5,
    },
}


@pytest.mark.parametrize(
    ("algorithm", "game", "env_kwargs"),
    [
        pytest.param(PPO, "Pong", {"max_num_frames_per_episode": 150}, id="games cut by their time limit"),
        pytest.param(PPO, "Breakout", {}, id="lives lost"),
        pytest.param(A2C, "Alien", {}, id="A2C"),
    ],
)
def test_the_default_action_ends_with_sb3s_own_bits(
    make_env, bits_of, run_to_end, algorithm, game, env_kwargs
):
    kwargs = KWARGS[algorithm]
    total = 3 * kwargs["n_steps"] * 2
    plain = algorithm("CnnPolicy", sb3_envs(game, 2, env_kwargs), seed=11, device="cpu", **kwargs)
    ends = []
    plain.learn(total, lambda within, _: ends.extend(within["dones"]) or True)
    hyper = make_env(
        f"HyperRL-{algorithm.__name__}-{game}-v0",
        total_env_steps=total,
        n_envs=2,
        env_kwargs=env_kwargs,
        learner_kwargs=SMALL_PPO if algorithm is PPO else {},
        backend="eager",
        device="cpu",
    )
    assert run_to_end(hyper, 11)["phase"] == 3
    expected, found = bits_of(plain), bits_of(hyper.learner)
    assert [name for name in expected if found.get(name) != expected[name]] == []
    assert found.keys() == expected.keys()
    assert any(ends) or algorithm is A2C, "no episode ended, so that little was tested"


# ---------------------------------------------------------------- scores


def test_scores_are_raw_and_the_learner_sees_their_sign(make_env):
    """The same actions again in environments that do not clip, with Monitor's word for whole games."""
    n_steps, n_envs, gamma = 300, 2, 0.99
    frames = {"max_num_frames_per_episode": 1_000}
    env = make_env(
        "HyperRL-A2C-MsPacman-v0",
        total_env_steps=10_000,
        n_envs=n_envs,
        env_kwargs=frames,
        learner_kwargs={"n_steps": n_steps},
    )
    phases = []
    env._hyper_reward = lambda phase: phases.append(phase) or 0.0
    _, info = env.reset(seed=5)
    (phase,), buffer = phases, env.learner.rollout_buffer

    twin = sb3_envs("MsPacman", n_envs, frames, clip_reward=False)
    twin.seed(5)
    twin.reset()
    rewards, dones, episodes = [], [], []
    for actions in buffer.actions[:, :, 0].astype(int):
        _, reward, done, infos = twin.step(actions)
        rewards.append(reward)
        dones.append(done)
        episodes += [info["episode"] for info in infos if "episode" in info]
    twin.close()
    rewards, dones = np.array(rewards), np.array(dones)
    assert rewards.max() >= 10
    assert len(episodes) >= 2
    np.testing.assert_array_equal(phase.rewards, rewards)
    np.testing.assert_array_equal(phase.dones, dones)
    assert phase.episode_returns == tuple(episode["r"] for episode in episodes)
    assert phase.episode_lengths == tuple(episode["l"] for episode in episodes)
    assert info["phase_stats"]["returns"] == [episode["r"] for episode in episodes]
    assert info["discounted_return"] == pytest.approx(discounted_sums(rewards, gamma * ~dones).mean())
    assert info["episode_return"] == pytest.approx(np.mean([episode["r"] for episode in episodes]))
    # Where a time limit ends a game the learner adds the value of its last state.
    np.testing.assert_array_equal(buffer.rewards[~dones], np.sign(rewards)[~dones])


def test_a_lost_life_ends_an_episode_and_not_the_game():
    envs = make_atari_envs("ALE/Breakout-v5", env_kwargs={}, n_envs=1)
    envs.seed(0)
    envs.reset()
    lives, games = [], []
    while not games:
        observation, reward, (done,), (info,) = envs.step([1])
        assert observation.shape == (1, 4, 84, 84)
        assert reward[0] == np.sign(info["raw_reward"])
        if done:
            lives.append(info["lives"])
        games += [info["episode"]] if "episode" in info else []
    envs.close()
    assert lives == [4, 3, 2, 1, 0]
    assert games[0]["l"] > 4 * 5


# ---------------------------------------------------------------- the whole


@pytest.mark.parametrize(
    ("algorithm", "game", "n_actions"),
    [
        ("PPO", "Pong", 6),
        ("A2C", "Alien", 18),
        ("PPO", "MsPacman", 9),
        ("A2C", "Qbert", 6),
        ("ACKTR", "Breakout", 4),
    ],
)
def test_the_hyper_rl_of_a_game(make_env, algorithm, game, n_actions):
    # Two phases of PPO, four of A2C; one of ACKTR, whose first update takes seconds on a CNN.
    total = {"PPO": 32, "A2C": 40, "ACKTR": 16}[algorithm]
    env = make_env(f"HyperRL-{algorithm}-{game}-v0", total_env_steps=total, **FEW[algorithm])
    obs, info = env.reset(seed=0)
    assert env.learner.action_space.n == n_actions
    # SB3's CNN: rows of weights and biases of 3 convolutions, 1 linear layer, actor and critic.
    rows = (32 + 1) + (64 + 1) + (64 + 1) + (512 + 1) + (n_actions + 1) + (1 + 1)
    assert obs.shape == (3 * 4 * rows + 1,)
    seen = 0
    while not info["run_finished"]:
        next_obs, reward, terminated, truncated, info = env.step(env.default_action)
        assert next_obs in env.observation_space
        assert np.isfinite(reward)
        assert not np.array_equal(next_obs, obs)
        obs, seen = next_obs, seen + 1
        if (terminated or truncated) and not info["run_finished"]:
            env.reset()
    assert seen == {"PPO": 2 * 2, "A2C": 4, "ACKTR": 1}[algorithm]
    assert info["env_steps"] == total


def test_the_same_seed_gives_the_same_run(make_env):
    def run():
        env = make_env("HyperRL-A2C-Breakout-v0", total_env_steps=20, **FEW["A2C"])
        obs, info = env.reset(seed=3)
        seen = [obs]
        while not info["run_finished"]:
            obs, *_, terminated, truncated, info = env.step(0)
            seen.append(obs)
            if (terminated or truncated) and not info["run_finished"]:
                env.reset()
        return seen

    first, second = run(), run()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(not np.array_equal(a, b) for a, b in pairwise(first))


@pytest.mark.parametrize(
    ("game", "n_actions"), [("Breakout", 4), ("Pong", 6), ("MsPacman", 9), ("Alien", 18)]
)
def test_the_hyper_states_size_is_the_formulas(make_env, game, n_actions):
    # Per order: the rows of three convolutions, of a hidden layer, of the actions and of the value, and a
    # bias for each of the six: 32 + 64 + 64 + 512 + A + 1 + 6 = 679 + A.
    env = make_env(f"HyperRL-PPO-{game}-v0", **FEW["PPO"])
    obs, _ = env.reset(seed=0)
    assert env.learner.action_space.n == n_actions
    assert obs.shape == env.observation_space.shape == (12 * (679 + n_actions) + 1,)


def test_episodic_control_has_the_papers_settings_for_atari(make_env):
    env = make_env("HyperRL-PPO-Pong-v0", total_env_steps=32, **FEW["PPO"])
    agent = agents.make("epgt", env, seed=0, embedding="random")
    assert agent.memory.capacity == 5_000
    assert agent._write_interval == 30


def test_ones_own_environment_is_taken_as_it_is(make_env):
    env = make_env("A2C", env_id="ALE/Pong-v5", total_env_steps=10)
    env.reset(seed=0)
    assert env.learner.observation_space.shape == (3, 210, 160)
    (inner,) = env.learner.env.unwrapped.envs
    assert inner.unwrapped._frameskip == 4


def test_what_normalises_images_is_refused(make_env):
    with pytest.raises(ValueError, match="normalize must be False on an Atari task"):
        make_env("HyperRL-PPO-Pong-v0", normalize=True)
