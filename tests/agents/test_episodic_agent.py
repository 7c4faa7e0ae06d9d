"""Algorithm 1, with the writes to the memory checked against bookkeeping of the test's own."""

import itertools
import re
from operator import attrgetter
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import agents
import hyperrl_env  # noqa: F401 - registers the ids
from agents import episodic
from agents.episodic.agent import linear_epsilon
from agents.episodic.episode import EpisodeBuffer, hyper_returns

DOCS = Path(__file__).parents[2] / "docs" / "agents.md"


def test_hyper_returns_sum_what_comes_after():
    # Two phases of two updates: G = 5 after the second update, G = -2 after the fourth.
    assert hyper_returns([0, 5, 0, -2]).tolist() == [3, 3, -2, -2]


def test_the_buffer_keeps_states_with_the_return_of_the_rest_of_the_episode():
    buffer = EpisodeBuffer()
    for step, reward in enumerate([0.0, 5.0, 0.0, -2.0]):
        if step in (1, 3):
            buffer.keep(np.float32([step]), action=10 * step)
        buffer.rewards.append(reward)
    assert (buffer.steps, buffer.actions, buffer.n_steps) == ([1, 3], [10, 30], 4)
    # 5 + 0 - 2 from the second step on, -2 from the fourth.
    assert buffer.kept_returns().tolist() == [3, -2]
    restored = EpisodeBuffer()
    restored.load_state_dict(buffer.state_dict())
    buffer.rewards.append(9.0)
    assert restored.kept_returns().tolist() == [3, -2]


@pytest.mark.parametrize("source", [episodic.agent.__doc__, DOCS.read_text("utf-8")], ids=["code", "docs"])
def test_algorithm_1_names_what_exists(source):
    """Every name in the last column of the table: of the agent, of `agents`, or of the environment."""
    agent = agents.make("epgt", a2c_env())
    rows = dict(re.findall(r"^\| (\d+) .*\| (.+?) *\|$", source, re.MULTILINE))
    assert set(map(int, rows)) == {*range(1, 9), 10}
    table = re.findall(r"^\| *\d* *\|.*\| (.+?) *\|$", source, re.MULTILINE)
    for name in re.findall(r"`([\w.]+)`", " ".join(table)):
        root, _, rest = name.partition(".")
        if root in ("agents", "EpisodicMemory"):
            assert hasattr(agents, rest or root)
        else:
            assert attrgetter(name)(agent) is not None


def test_epsilon_falls_linearly_over_the_first_half():
    progress = [0, 0.125, 0.25, 0.5, 0.75, 1]
    found = [linear_epsilon(1.0, 0.01, p, 0.5) for p in progress]
    assert found == pytest.approx([1, 0.7525, 0.505, 0.01, 0.01, 0.01])


def ppo_env(**kwargs) -> gym.Env:
    settings = {"learner_kwargs": {"n_steps": 64, "batch_size": 32, "n_epochs": 3}, "total_env_steps": 640}
    return gym.make("HyperRL-PPO-CartPole-v0", **{**settings, **kwargs})


def a2c_env(**kwargs) -> gym.Env:
    return gym.make("HyperRL-A2C-CartPole-v0", **{"total_env_steps": 500, "n_envs": 1, **kwargs})


def drive(agent, env, on_step=lambda *step: None):
    agents.run(
        env, agent, seed=0, callback=lambda s: on_step(s.obs, s.action, s.reward, s.terminated, s.truncated)
    )


@pytest.mark.parametrize(
    ("make_env", "interval", "phases"), [(ppo_env, 4, 1), (ppo_env, 1, 1), (ppo_env, 4, 2), (a2c_env, 10, 1)]
)
def test_every_kth_and_the_last_step_are_written_with_the_return_they_led_to(make_env, interval, phases):
    env = make_env(learning_episode_phases=phases)
    agent = agents.make("epgt", env, seed=0, write_interval=interval, embedding="random")
    written, expected, episode = [], [], []

    def spy(key, action, value):
        written.append((key, action, value))

    def bookkeeping(obs, action, reward, terminated, truncated):
        episode.append((obs, action, reward))
        if terminated:
            for i, (state, chosen, _) in enumerate(episode):
                if i % interval == 0 or i == len(episode) - 1:
                    g = sum(r for _, _, r in episode[i:])
                    # Position at decision time, not the end of the phase.
                    expected.append((agent.embedding.keys(state[None])[0], chosen, g))
        if terminated or truncated:
            episode.clear()

    agent.memory.write = spy
    drive(agent, env, bookkeeping)
    assert len(written) == len(expected) > 4
    for (key, action, value), (expected_key, expected_action, expected_value) in zip(
        written, expected, strict=True
    ):
        assert np.allclose(key, expected_key, atol=1e-4)
        assert action == expected_action
        assert value == pytest.approx(expected_value)


def test_an_episode_cut_short_by_the_budget_is_not_written():
    env = a2c_env(total_env_steps=15)
    agent = agents.make("epgt", env, seed=0)
    drive(agent, env)
    # Three updates: two are followed by an environment phase, the last one by none.
    assert len(agent.memory) == 2


def test_an_episode_cut_by_a_new_run_is_not_written():
    env = ppo_env()
    agent = agents.make("epgt", env, seed=0, write_interval=1, embedding="random")
    written = []
    agent.memory.write = lambda key, action, value: written.append(value)
    left = list(itertools.islice(agents.steps(env, agent, *env.reset(seed=0)), 3))
    assert not left[-1].terminated
    new_run = agents.steps(env, agent, *env.reset(options={"new_run": True}))
    n_steps = next(i for i, step in enumerate(new_run, start=1) if step.terminated)
    assert len(written) == n_steps


def act_many(agent, obs, env_steps, n=200):
    return {int(agent.act(obs, {"env_steps": env_steps})) for _ in range(n)}


def test_exploration_is_uniform_and_exploitation_takes_the_best_known_action():
    env = a2c_env()
    obs, _ = env.reset(seed=0)
    agent = agents.make("epgt", env, seed=0, embedding="random", epsilon_end=0.0)
    every_action = set(range(env.action_space.n))
    assert act_many(agent, obs, env_steps=0) == every_action
    assert act_many(agent, obs, env_steps=500) == every_action  # nothing is known yet
    key = agent.embedding.keys(obs[None])[0]
    agent.memory.write(key, 2, -5.0)
    assert act_many(agent, obs, env_steps=500) == {2}  # the only known one, bad as it is
    agent.memory.write(key, 4, -1.0)
    assert act_many(agent, obs, env_steps=500) == {4}
    agent.memory.write(key, 6, -1.0)
    assert act_many(agent, obs, env_steps=500) == {4, 6}  # ties are broken by chance
    agent.epsilon = None
    agent.act(obs, {"env_steps": 125})
    assert agent.epsilon == pytest.approx(0.5)


@pytest.mark.parametrize("embedding", ["vae", "paper", "random"])
def test_it_finds_the_action_that_pays(embedding):
    """A Hyper-RL whose reward is known: the more, the larger the learning rate that was chosen."""
    env = a2c_env(
        total_env_steps=2000,
        hyper_reward=lambda phase: float(np.log(unwrapped.learner.values_in_force()["learning_rate"])),
        learner_kwargs={"learning_rate": 1e-4},
    )
    unwrapped = env.unwrapped
    agent = agents.make("epgt", env, seed=0, embedding=embedding)
    chosen = []
    drive(agent, env, lambda obs, action, *_: chosen.append(int(action)))
    best = env.action_space.n - 1
    assert np.mean(np.array(chosen[-100:]) == best) > 0.9
    assert np.mean(np.array(chosen[:100]) == best) < 0.5


@pytest.mark.parametrize("embedding", ["vae", "paper"])
def test_a_restored_agent_goes_on_as_the_original(embedding):
    env, other_env = ppo_env(), ppo_env()
    original = agents.make("epgt", env, seed=5, vae_probability=1.0, embedding=embedding)
    drive(original, env)
    restored = agents.make("epgt", other_env, seed=6, vae_probability=1.0, embedding=embedding)
    restored.load_state_dict(original.state_dict())
    taken: list[list[int]] = [[], []]
    for one, agent, actions in zip((env, other_env), (original, restored), taken, strict=True):
        drive(agent, one, lambda obs, action, *_, actions=actions: actions.append(int(action)))
    assert taken[0] == taken[1]


@pytest.mark.parametrize(("embedding", "width"), [("paper", 810), ("vae", 64)])
def test_the_constants_are_those_of_the_paper_but_the_width_of_the_vae(embedding, width):
    agent = agents.make("epgt", gym.make("HyperRL-PPO-HalfCheetah-v0"), embedding=embedding)
    memory, vae = agent.memory, agent.embedding.vae
    assert (memory.k_read, memory.k_write, memory.beta, memory.rule) == (3, 3, 0.5, "average")
    assert memory.delta == 1e-3
    assert [layer.weight.shape for layer in (*vae.encoder, *vae.decoder) if hasattr(layer, "weight")] == [
        (width, 3241),
        (64, width),
        (width, 32),
        (3241, width),
    ]


def test_capacity_and_interval_follow_the_family():
    from_mujoco = agents.make("epgt", gym.make("HyperRL-PPO-HalfCheetah-v0"))
    from_box2d = agents.make("epgt", gym.make("HyperRL-PPO-BipedalWalker-v0"))
    assert (from_mujoco.memory.capacity, from_mujoco._write_interval) == (10_000, 20)
    assert (from_box2d.memory.capacity, from_box2d._write_interval) == (5_000, 10)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"epsilon_start": 1.5}, r"epsilon_start must be a number in \[0, 1\]"),
        ({"epsilon_fraction": 0.0}, r"epsilon_fraction must be a number in \(0, 1\]"),
        ({"embedding": "pca"}, "Unknown embedding 'pca'. Valid embeddings: vae, paper, random."),
        ({"write_interval": 0}, "write_interval must be a whole number of at least 1"),
        ({"vae_probability": 2.0}, "vae_probability must be a number in"),
        ({"vae_batch_size": 64, "vae_buffer_size": 32}, "at most vae_buffer_size"),
        ({"rule": "median"}, "rule"),
        ({"capacity": 0}, "capacity"),
        ({"beta": 0.0}, "beta"),
        ({"kernel_delta": 0.0}, "delta"),
        ({"vae_hidden": 0}, "vae_hidden"),
    ],
)
def test_arguments_out_of_range_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        agents.make("epgt", a2c_env(), **kwargs)
