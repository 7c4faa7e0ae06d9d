"""What every single-run method has in common: seeds, state, action modes, and decisions per phase."""

import numpy as np
import pytest

import agents
from hyperrl_env.saving.checkpoint import read_checkpoint, write_checkpoint

BANDITS = ["ultho", "lrrl", "hypercontroller"]
METHODS = [*BANDITS, "adaptive_kl", "constant", "linear_decay"]
KEYWORDS = {"adaptive_kl": {"target": 1e-4}}


@pytest.fixture
def made(make_env):
    """`made(name, seed, **env)`: an environment of six phases, and the agent on it."""

    def make(name, seed=1, **kwargs):
        kwargs = {"total_env_steps": 96, **agents.env_kwargs(name), **kwargs}
        env = make_env("PPO", **kwargs)
        return env, agents.make(name, env, seed=seed, **KEYWORDS.get(name, {}))

    return make


def choices(env, agent, callback=None):
    found = []

    def note(step):
        assert env.action_space.contains(step.action)
        found.append(step.next_info["hyperparameters"])
        return None if callback is None else callback(step)

    agents.run(env, agent, seed=0, callback=note)
    return found


@pytest.mark.parametrize("name", METHODS)
def test_same_seed_same_choices(name, made):
    assert choices(*made(name)) == choices(*made(name))


@pytest.mark.parametrize("name", BANDITS)
def test_another_seed_other_choices(name, made):
    assert choices(*made(name, seed=1)) != choices(*made(name, seed=2))


@pytest.mark.parametrize("action_mode", ["multi_discrete", "box"])
@pytest.mark.parametrize("name", BANDITS)
def test_the_action_mode_makes_no_difference_to_a_bandit(name, action_mode, made):
    expected = choices(*made(name))
    for found, values in zip(choices(*made(name, action_mode=action_mode)), expected, strict=True):
        assert found == pytest.approx(values)


@pytest.mark.parametrize(("name", "phases"), [("ultho", 3), ("lrrl", None), ("hypercontroller", 2)])
def test_learning_episodes_of_several_phases_make_no_difference(name, phases, made):
    assert choices(*made(name, learning_episode_phases=phases)) == choices(*made(name))


@pytest.mark.parametrize(
    ("name", "decision"),
    [("ultho", "update"), ("lrrl", "epoch"), ("hypercontroller", "update"), ("linear_decay", "epoch")],
)
def test_a_choice_is_held_through_its_phase_whatever_decision_is(name, decision, made):
    env, agent = made(name, decision=decision)
    phases, held = [], set()

    def note(step):
        held.add(str(step.action))
        if "phase_stats" in step.next_info:
            phases.append(step.next_info["hyperparameters"])
            assert len(held) == 1
            held.clear()

    choices(env, agent, note)
    assert phases == choices(*made(name))


@pytest.mark.parametrize(
    ("name", "decision"),
    [*((name, "update") for name in METHODS), ("ultho", "phase"), ("adaptive_kl", "phase")],
)
def test_saved_and_loaded_it_goes_on_to_the_same_result(name, decision, made, tmp_path, bits_of):
    env, agent = made(name, decision=decision)
    count = 0

    def save(step):
        nonlocal count
        count += 1
        if count == 3:
            env.save(tmp_path / "env")
            write_checkpoint(tmp_path / "agent", agent.state_dict())

    whole = choices(env, agent, save)
    other, its_agent = made(name, seed=5, decision=decision)
    obs, info = other.load(tmp_path / "env")
    its_agent.load_state_dict(read_checkpoint(tmp_path / "agent"))
    rest = [step.next_info["hyperparameters"] for step in agents.steps(other, its_agent, obs, info)]
    assert rest == whole[3:]
    assert bits_of(other.learner) == bits_of(env.learner)
    assert str(its_agent.state_dict()) == str(agent.state_dict())


@pytest.mark.parametrize("name", BANDITS)
def test_the_last_phase_has_no_return_and_teaches_nothing(name, made):
    env, agent = made(name)
    obs, info = env.reset(seed=0)
    while not info["run_finished"]:
        if env.episode_over:
            obs, _ = env.reset()
        action = agent.act(obs, info)
        learned = str(agent.state_dict())
        next_obs, reward, terminated, truncated, info = env.step(action)
        agent.observe(obs, action, reward, next_obs, terminated, truncated, info)
        assert (str(agent.state_dict()) == learned) == info["run_finished"]
        obs = next_obs


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [("ultho", "A2C"), ("lrrl", "ACKTR"), ("hypercontroller", "ACKTR"), ("constant", "A2C")],
)
def test_other_algorithms_too(name, algorithm, make_env):
    env = make_env(algorithm, **agents.env_kwargs(name))
    assert len(choices(env, agents.make(name, env))) == 3


@pytest.mark.parametrize(
    ("agent_kwargs", "env_kwargs"),
    [
        ({"rule": "max"}, {}),
        ({"k_write": 1}, {}),
        ({"embedding": "random"}, {}),
        *(({}, {"order": order}) for order in range(5)),
    ],
    ids=str,
)
def test_the_papers_ablations(agent_kwargs, env_kwargs, make_env):
    """The columns of EPGT's ablation study: writing, keys, and how many gradients the hyper-state holds."""
    env = make_env("PPO", **env_kwargs)
    agent = agents.make("epgt", env, write_interval=1, **agent_kwargs)
    choices(env, agent)
    assert len(agent.memory) > 0
    assert np.isfinite(agent.memory.values[: len(agent.memory)]).all()
