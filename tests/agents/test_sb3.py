"""SB3 algorithms as hyper-agents, against the same algorithms' own `learn()`."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    VectorizedActionNoise,
)
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

import agents
import hyperrl_env  # noqa: F401 - registers the ids
from hyperrl_env.saving.checkpoint import read_checkpoint, write_checkpoint

# As in `learn()`, runs are left unfinished here, or followed by others, which is said.
pytestmark = pytest.mark.filterwarnings("ignore:.*starts a new.* with a new model:UserWarning")


class NormedAndDropped(BaseFeaturesExtractor):
    """Layers that act otherwise in training than in choosing, and one with a state."""

    def __init__(self, observation_space):
        size = observation_space.shape[0]
        super().__init__(observation_space, size)
        self.layers = torch.nn.Sequential(torch.nn.BatchNorm1d(size), torch.nn.Dropout())

    def forward(self, observations):
        return self.layers(observations)


NET = {"net_arch": [8]}
NORMED = {**NET, "features_extractor_class": NormedAndDropped}
NORMAL = NormalActionNoise(np.zeros(2), np.full(2, 0.2))
DRIFTING = OrnsteinUhlenbeckActionNoise(np.zeros(2), np.full(2, 0.5), initial_noise=np.full(2, 0.3))
ON_POLICY = {"n_steps": 8, "policy_kwargs": NET}
PPO = {**ON_POLICY, "batch_size": 4, "n_epochs": 2}
OFF_POLICY = {"learning_starts": 6, "buffer_size": 25, "batch_size": 4, "policy_kwargs": NET}
DQN = {
    **OFF_POLICY,
    "learning_rate": 0.01,
    "target_update_interval": 5,
    "exploration_initial_eps": 0.3,
    "exploration_final_eps": 0.3,
}
PER_EPISODE = {"train_freq": (2, "episode"), "gradient_steps": -1}
SHARED_MEMORY = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}

# (algorithm, action mode, its keywords). Buffers of 25 transitions are filled and begun again.
CASES = {
    "ppo": ("PPO", "discrete", PPO),
    "ppo-box": ("PPO", "box", PPO),
    "ppo-gsde": ("PPO", "box", {**PPO, "use_sde": True}),
    "ppo-gsde-resampled": (
        "PPO",
        "box",
        {**PPO, "use_sde": True, "sde_sample_freq": 3, "policy_kwargs": {**NET, "squash_output": True}},
    ),
    "ppo-normed": ("PPO", "discrete", {**PPO, "policy_kwargs": NORMED}),
    "a2c": ("A2C", "multi_discrete", ON_POLICY),
    "a2c-gsde": ("A2C", "box", {**ON_POLICY, "use_sde": True, "sde_sample_freq": 3}),
    "dqn": ("DQN", "discrete", DQN),
    "dqn-box": ("DQN", "box", DQN),
    "dqn-all-steps": ("DQN", "discrete", {**DQN, "train_freq": (3, "step"), "gradient_steps": -1}),
    "dqn-episodes": ("DQN", "discrete", {**DQN, **PER_EPISODE}),
    "dqn-n-step": ("DQN", "discrete", {**DQN, "n_steps": 3}),
    "dqn-shared-memory": ("DQN", "discrete", {**DQN, **SHARED_MEMORY}),
    "dqn-normed": ("DQN", "discrete", {**DQN, "policy_kwargs": NORMED}),
    "sac": ("SAC", "box", OFF_POLICY),
    "sac-gsde": ("SAC", "box", {**OFF_POLICY, "use_sde": True, "train_freq": 5}),
    "sac-gsde-resampled": (
        "SAC",
        "box",
        {**OFF_POLICY, **PER_EPISODE, "use_sde": True, "sde_sample_freq": 2, "use_sde_at_warmup": True},
    ),
    "sac-fixed-entropy": ("SAC", "box", {**OFF_POLICY, "ent_coef": 0.1, "action_noise": DRIFTING}),
    "td3": ("TD3", "box", {**OFF_POLICY, "action_noise": NORMAL, "n_steps": 3}),
    "td3-episodes": ("TD3", "box", {**OFF_POLICY, **PER_EPISODE, "action_noise": DRIFTING}),
    "ddpg": ("DDPG", "box", {**OFF_POLICY, "action_noise": DRIFTING}),
    "ddpg-vectorized": ("DDPG", "box", {**OFF_POLICY, "action_noise": VectorizedActionNoise(DRIFTING, 1)}),
}


def make_env(action_mode="discrete", **kwargs):
    # Learning episodes of three steps and runs of 20, so that all that can end does; the last
    # episode of a run is truncated.
    settings = {
        "total_env_steps": 100,
        "learning_episode_phases": 3,
        "search_space": ["learning_rate", "gamma"],
        "learner_kwargs": {"policy_kwargs": NET},
        "projection_dim": 1,
        "order": 1,
        **kwargs,
    }
    return gym.make("HyperRL-A2C-CartPole-v0", n_envs=1, action_mode=action_mode, **settings)


def make_agent(case, seed=7):
    algorithm, action_mode, kwargs = CASES[case]
    env = make_env(action_mode)
    return agents.make("sb3", env, seed=seed, algorithm=algorithm, **kwargs), env


class JointBins(gym.ActionWrapper):
    """The joint choices of bins as a discrete action space, whatever the action mode."""

    def __init__(self, env):
        super().__init__(env)
        self.action_space = gym.spaces.Discrete(env.unwrapped.search_space.n_actions)

    def action(self, action):
        return self.env.unwrapped.search_space.joint_action(action)


def reference_of(case):
    """The case's algorithm itself, on an environment that it can act in."""
    algorithm, action_mode, kwargs = CASES[case]
    env = make_env(action_mode)
    env = env if action_mode == "box" and algorithm != "DQN" else JointBins(env)
    # SB3 writes to the dictionaries that it is given.
    return getattr(sb3, algorithm)("MlpPolicy", env, seed=7, **copy.deepcopy(kwargs))


def drive(agent, env, steps, start=None):
    """Steps of the usual loop, from `start` or a new run; the actions, and where it got to."""
    obs, info = start or env.reset(seed=7)
    actions = []
    for _ in range(steps):
        action = agent.act(obs, info)
        next_obs, reward, terminated, truncated, info = env.step(action)
        agent.observe(obs, action, reward, next_obs, terminated, truncated, info)
        if terminated or truncated:
            next_obs, info = env.reset()
        obs = next_obs
        actions.append(np.array(action).tolist())
    return actions, (obs, info)


def bits(model):
    """All that training changes in an algorithm but its buffer, comparable by ==."""
    parts = {
        "parameters": model.get_parameters(),
        "variables": [getattr(model, name) for name in model._get_torch_save_params()[1]],
        "noise": repr(vars(model.action_noise)) if model.action_noise is not None else None,
        "counters": (model.num_timesteps, model._n_updates, model._episode_num),
    }
    return repr(torch.utils._pytree.tree_map(exact, parts))


def exact(value):
    return value.detach().numpy().tobytes() if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("case", CASES)
def test_an_algorithm_learns_the_same_bits_as_in_its_own_learn(case):
    reference = reference_of(case)
    reference.learn(48)
    agent, env = make_agent(case)
    torch.rand(3)  # the agent's generators are its own
    drive(agent, env, reference.num_timesteps)
    assert agent.model._n_updates > 1
    assert bits(agent.model) == bits(reference)


@pytest.mark.parametrize("case", CASES)
def test_a_restored_agent_continues_as_the_original(case, tmp_path):
    original, env = make_agent(case)
    position, states, actions = None, {}, []
    # In the warm-up; in the second run with a full buffer; both in the middle of rollouts and episodes.
    for cut in (4, 27, 40):
        found, position = drive(original, env, cut - len(actions), position)
        actions += found
        path = tmp_path / f"{cut}.zip"
        write_checkpoint(path, {"agent": original.state_dict(), "env": env.unwrapped.snapshot()})
        states[cut] = read_checkpoint(path)
    path = tmp_path / "restored.zip"
    for cut in (4, 27):
        restored, other_env = make_agent(case, seed=8)
        if cut == 27:
            drive(restored, other_env, 5)  # one with a life of its own until then
        restored.load_state_dict(states[cut]["agent"])
        found, _ = drive(restored, other_env, 40 - cut, other_env.unwrapped.restore(states[cut]["env"]))
        assert found == actions[cut:]
        assert bits(restored.model) == bits(original.model)
        write_checkpoint(path, {"agent": restored.state_dict(), "env": other_env.unwrapped.snapshot()})
        assert path.read_bytes() == (tmp_path / "40.zip").read_bytes()


@pytest.mark.parametrize("case", ["ppo-gsde", "dqn", "td3"])
def test_a_choice_whose_outcome_is_open_is_part_of_the_state(case):
    original, env = make_agent(case)
    _, (obs, info) = drive(original, env, 10)
    action = original.act(obs, info)
    restored, _ = make_agent(case, seed=8)
    restored.load_state_dict(original.state_dict())
    outcome = env.step(action)
    for agent in (original, restored):
        agent.observe(obs, action, *outcome[1:2], outcome[0], *outcome[2:])
    assert restored.act(outcome[0], outcome[4]).tolist() == original.act(outcome[0], outcome[4]).tolist()
    assert bits(restored.model) == bits(original.model)


# ---------------------------------------------------------------------- a new run in an episode


@pytest.mark.parametrize(
    ("case", "steps"),
    # In the middle of on-policy rollouts, which `learn()` drops, and after off-policy ones.
    [("ppo", 13), ("ppo-gsde", 13), ("a2c", 13), ("dqn", 8), ("sac-gsde", 10), ("ddpg", 10)],
)
def test_a_new_run_in_the_middle_of_an_episode_begins_as_learn_does(case, steps):
    other = reference_of(case).get_env()  # first: it seeds the process's generators
    reference = reference_of(case)
    on_policy = isinstance(reference, OnPolicyAlgorithm)
    reference.learn(steps, (lambda scope, _: scope["self"].num_timesteps < steps) if on_policy else None)
    assert reference.num_timesteps == steps
    other.seed(9)
    reference.set_env(other)
    reference.learn(21, reset_num_timesteps=False)

    agent, env = make_agent(case)
    drive(agent, env, steps)
    drive(agent, env, reference.num_timesteps - steps, env.reset(seed=9))
    assert bits(agent.model) == bits(reference)


def test_no_n_step_return_runs_on_into_a_new_run():
    agent, env = make_agent("dqn-n-step")
    drive(agent, env, 4)
    drive(agent, env, 4, env.reset(seed=9))
    buffer = agent.model.replay_buffer
    # The fourth transition is the last before the new run, the first of a learning episode.
    samples = buffer._get_samples(np.array([3]))
    assert samples.rewards.item() == buffer.rewards[3, 0]
    assert samples.discounts.item() == pytest.approx(0.99)
    assert samples.dones.item() == 0
    assert np.array_equal(samples.next_observations.numpy(), buffer.next_observations[3])


def test_no_observation_of_a_new_run_is_taken_for_the_next_one():
    """SB3 marks the last transition of a memory-optimised buffer so where `learn()` begins anew."""
    agent, env = make_agent("dqn-shared-memory")
    drive(agent, env, 4)
    assert agent.model.replay_buffer.dones[:5, 0].tolist() == [0, 0, 1, 0, 0]
    agent.act(*env.reset(seed=9))
    assert agent.model.replay_buffer.dones[:5, 0].tolist() == [0, 0, 1, 1, 0]


# ---------------------------------------------------------------------- generators


def test_the_process_keeps_its_random_state():
    agent, env = make_agent("dqn")
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    drive(agent, env, 30)
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_what_the_environments_action_space_draws_is_nothing_to_the_agent():
    warming_up, disturbed = make_agent("sac"), make_agent("sac")
    env = disturbed[1]
    env.action_space.seed(3)
    drawn = [env.action_space.sample().tolist() for _ in range(5)]
    env.action_space.seed(3)
    assert drive(*disturbed, 5)[0] == drive(*warming_up, 5)[0]
    assert [env.action_space.sample().tolist() for _ in range(5)] == drawn


def test_agents_share_no_action_noise():
    one, other = make_agent("ddpg")[0].model, make_agent("ddpg")[0].model
    assert len({id(one.action_noise), id(other.action_noise), id(DRIFTING)}) == 3


# ---------------------------------------------------------------------- actions, schedules, refusals


@pytest.mark.parametrize("action_mode", ["discrete", "multi_discrete", "box"])
def test_dqn_chooses_joint_bins_in_every_action_mode(action_mode):
    env = make_env(action_mode)
    space = env.unwrapped.search_space
    agent = agents.make("dqn", env, seed=0)
    chosen = set()
    obs, info = env.reset(seed=7)
    for _ in range(30):
        action = agent.act(obs, info)
        assert env.action_space.contains(action)
        index = space.joint_index(action)
        assert np.array_equal(action, space.joint_action(index))
        chosen.add(index)
    assert len(chosen) > 3
    assert agent.model.action_space == gym.spaces.Discrete(space.n_actions)


def test_algorithms_for_both_kinds_of_actions_follow_the_action_mode():
    for mode, expected in (("box", gym.spaces.Box), ("discrete", gym.spaces.Discrete)):
        assert isinstance(agents.make("sb3", make_env(mode), algorithm="A2C").model.action_space, expected)


def test_exploration_follows_the_budget_of_the_run():
    env = make_env(total_env_steps=400)
    agent = agents.make("dqn", env, seed=0)
    drive(agent, env, 20)  # 105 of 400 steps: about half way down to 0.01 at 200
    assert agent.model.exploration_rate == pytest.approx(1 - 0.99 * 105 / 200)


def test_the_learning_rate_follows_the_budget_of_the_run_to_zero_and_not_beyond():
    # Rollouts of five steps: the last one, after step 20, exceeds the budget.
    env = make_env(total_env_steps=102)
    agent = agents.make("sb3", env, algorithm="A2C", n_steps=1, learning_rate=lambda left: 0.01 * left)
    rates, position = [], None
    for _ in range(21):
        _, position = drive(agent, env, 1, position)
        rates.append(agent.model.policy.optimizer.param_groups[0]["lr"])
    assert rates[:3] == pytest.approx([0.01 * (1 - n / 102) for n in (10, 15, 20)])
    assert rates[-2:] == [0, 0]


class HalvedNoise(ActionNoise):
    """Noise of a user's own: what it counts is a number, so it can be saved."""

    def __init__(self):
        super().__init__()
        self.scale = np.ones(2)

    def __call__(self):
        self.scale = self.scale / 2
        return self.scale


def test_action_noise_of_a_users_own_is_saved_too():
    def make(seed):
        return agents.make(
            "sb3", make_env("box"), seed, algorithm="TD3", action_noise=HalvedNoise(), buffer_size=9
        )

    original, restored = make(0), make(1)
    drive(original, make_env("box"), 4)
    restored.load_state_dict(original.state_dict())
    assert restored.model.action_noise.scale.tolist() == [1 / 16, 1 / 16]


class DrawingNoise(HalvedNoise):
    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(0)


class OwnReplayBuffer(ReplayBuffer):
    pass


class OwnRolloutBuffer(RolloutBuffer):
    pass


class OwnLoop(sb3.PPO):
    def collect_rollouts(self, *args, **kwargs):
        return super().collect_rollouts(*args, **kwargs)


class OwnLearn(sb3.DQN):
    def learn(self, *args, **kwargs):
        return super().learn(*args, **kwargs)


class OwnBuffer(sb3.DQN):
    def _setup_model(self):
        self.replay_buffer_class = OwnReplayBuffer
        super()._setup_model()


@pytest.mark.parametrize(
    ("algorithm", "kwargs", "message"),
    [
        ("Rainbow", {}, "Unknown SB3 algorithm 'Rainbow'. Valid SB3 algorithms: .*DQN"),
        (BaseAlgorithm, {}, "subclasses of SB3's OnPolicyAlgorithm and OffPolicyAlgorithm"),
        (OwnLoop, {}, r"OwnLoop defines its own collect_rollouts\(\)"),
        (OwnLearn, {}, r"OwnLearn defines its own learn\(\)"),
        (OwnBuffer, {"buffer_size": 9}, "OwnReplayBuffer cannot be the buffer"),
        ("DQN", {"bufer_size": 3}, "Unknown DQN keyword 'bufer_size'. Did you mean 'buffer_size'"),
        ("DQN", {"callback": print}, "Unknown DQN keyword 'callback'"),
        ("DQN", {"tensorboard_log": "logs"}, r"writes no logs.*Leave out tensorboard_log\."),
        (
            "DQN",
            {"replay_buffer_class": sb3.HerReplayBuffer},
            "HerReplayBuffer cannot be the buffer.*ReplayBuffer",
        ),
        ("PPO", {"rollout_buffer_class": OwnRolloutBuffer}, "OwnRolloutBuffer cannot be the buffer"),
        ("DQN", {"train_freq": (0, "episode")}, "train_freq must be at least 1, not 0"),
        ("DQN", {"policy": "CnnPolicy"}, "DQN cannot be a hyper-agent here"),
        ("PPO", {"use_sde": True}, "only be used with continuous actions"),
        ("SAC", {}, 'SAC cannot choose between .* joint actions.*action_mode="box"'),
        ("TD3", {"action_noise": "normal"}, "must be an SB3 ActionNoise or None"),
        ("TD3", {"action_noise": DrawingNoise()}, "its rng is a Generator"),
    ],
)
def test_what_cannot_be_driven_is_refused(algorithm, kwargs, message):
    # The noise is for continuous actions.
    env = make_env("box" if "action_noise" in kwargs else "discrete")
    with pytest.raises(ValueError, match=message):
        agents.make("sb3", env, algorithm=algorithm, **kwargs)


def test_logging_arguments_at_their_defaults_are_no_obstacle():
    agents.make("sb3", make_env(), algorithm="A2C", verbose=0, tensorboard_log=None)
