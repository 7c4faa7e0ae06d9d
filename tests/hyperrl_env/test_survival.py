"""Run 2N equals run N, save, new process, load, run N; and branches from one state."""

import copy
import hashlib
import multiprocessing
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits

import agents
from hyperrl_env import CheckpointError, InnerEnvError, SearchSpace
from hyperrl_env.saving.checkpoint import read_checkpoint, write_checkpoint

# Runs are left unfinished here, and finished ones followed by others, which is said (see test_lifecycle.py).
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*starts a new.* with a new model:UserWarning"),
    # Of the run that is one learning episode.
    pytest.mark.filterwarnings("ignore:.*random search:UserWarning"),
]

PPO = {"learner_kwargs": {"n_steps": 32, "batch_size": 16, "n_epochs": 2}, "total_env_steps": 320}
A2C = {"total_env_steps": 900, "n_envs": 3}
TASKS = {
    "ppo classic": ("HyperRL-PPO-CartPole-v0", PPO),
    "ppo decides per epoch": ("HyperRL-PPO-MountainCar-v0", {**PPO, "decision": "epoch", "n_envs": 2}),
    "ppo mujoco": ("HyperRL-PPO-HalfCheetah-v0", {**PPO, "learning_episode_phases": 2}),
    "ppo mujoco, phase hyperparameters": (
        "HyperRL-PPO-Ant-v0",
        {**PPO, "search_space": ["n_steps", "gamma", "n_epochs", "clip_range"], "order": 1},
    ),
    "a2c classic": ("HyperRL-A2C-Pendulum-v0", A2C),
    "acktr classic": ("HyperRL-ACKTR-CartPole-v0", {**A2C, "learner_kwargs": {"inversion_interval": 2}}),
    "ppo atari": ("HyperRL-PPO-Pong-v0", {**PPO, "n_envs": 2}),
    "a2c atari": ("HyperRL-A2C-Breakout-v0", {"total_env_steps": 300, "n_envs": 2}),
    "acktr mujoco": ("HyperRL-ACKTR-Swimmer-v0", {**A2C, "search_space": ["kl_clip", "stats_interval"]}),
    "acktr atari": (
        "HyperRL-ACKTR-Pong-v0",
        {"total_env_steps": 96, "n_envs": 2, "learner_kwargs": {"n_steps": 2, "inversion_interval": 100}},
    ),
    "a2c mujoco": ("HyperRL-A2C-Hopper-v0", {**A2C, "learning_episode_phases": None}),
}
AGENTS = {
    "epgt": {
        "write_interval": 1,
        "vae_probability": 1.0,
        "vae_batch_size": 2,
        "vae_hidden": 8,
        "vae_buffer_size": 8,
    },
    "random": {},
    "dqn": {"learning_starts": 3, "buffer_size": 50},
}


def make(task, agent, backend):
    id_, kwargs = TASKS[task]
    env = gym.make(id_, backend=backend, **kwargs)
    return env, agents.make(agent, env, seed=1, **AGENTS[agent])


def drive(env, agent, obs, info, steps, log):
    """Takes so many hyper-steps and writes down everything that they bring."""
    for _ in range(steps):
        action = agent.act(obs, info)
        obs, reward, terminated, truncated, after = env.step(action)
        agent.observe(*log_entry(log, action, obs, reward, terminated, truncated, after))
        info = after
        if terminated or truncated:
            obs, info = env.reset()
    return obs, info


def log_entry(log, action, obs, reward, terminated, truncated, info):
    bits = hashlib.sha256(obs.tobytes()).hexdigest()
    log.append((np.asarray(action).tobytes(), bits, reward, terminated, truncated, info))
    return obs, action, reward, obs, terminated, truncated, info


def go_on(task, agent, backend, folder, steps):
    """The second half, as another process does it: what it logs, and the bits it ends with."""
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")
    np.random.seed(99)
    env, hyper_agent = make(task, agent, backend)
    obs, info = env.unwrapped.load(folder / "env")
    hyper_agent.load_state_dict(read_checkpoint(folder / "agent"))
    log = []
    drive(env, hyper_agent, obs, info, steps, log)
    return log, ending(env, hyper_agent)


def ending(env, agent):
    """Everything that the run would go on with, by name: a digest of every array, the rest as text."""
    leaves = flat({"env": env.unwrapped.snapshot(), "agent": agent.state_dict()})
    by_name = dict(leaves)
    assert len(by_name) == len(leaves)
    return by_name


def flat(state, name=""):
    if isinstance(state, dict):
        return [leaf for key, value in state.items() for leaf in flat(value, f"{name}.{key}")]
    if isinstance(state, list | tuple):
        return [leaf for i, value in enumerate(state) for leaf in flat(value, f"{name}.{i}")]
    if isinstance(state, torch.Tensor):
        state = state.detach().numpy()
    # A duration (Monitor's "t") is the only thing that two runs may have apart.
    if name.endswith(".t"):
        return []
    if isinstance(state, np.ndarray | np.generic):
        return [(name, (str(state.dtype), state.shape, hashlib.sha256(state.tobytes()).hexdigest()))]
    return [(name, repr(state))]


@pytest.fixture(scope="module")
def other_process():
    """`other_process(f, *arguments)`: f's result, computed in a process that was started anew."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool.apply


STEPS = 17  # in the middle of an update phase and of inner episodes


@pytest.mark.parametrize(
    ("task", "agent", "backend"),
    [
        (task, agent, backend)
        for i, task in enumerate(TASKS)
        for j, agent in enumerate(AGENTS)
        # Every task with every agent, and every task and every agent with both backends.
        for backend in (("eager", "fast") if agent == "epgt" else (("eager", "fast")[(i + j) % 2],))
        # One inversion of the Nature CNN's statistics takes seconds.
        if task != "acktr atari" or (agent, backend) == ("epgt", "fast")
    ],
)
def test_a_run_that_is_saved_and_loaded_is_the_run(task, agent, backend, tmp_path, other_process):
    env, hyper_agent = make(task, agent, backend)
    log = []
    obs, info = env.reset(seed=3)
    obs, info = drive(env, hyper_agent, obs, info, STEPS, log)
    env.unwrapped.save(tmp_path / "env")
    write_checkpoint(tmp_path / "agent", hyper_agent.state_dict())
    log.clear()
    drive(env, hyper_agent, obs, info, STEPS, log)
    other_log, other_end = other_process(go_on, (task, agent, backend, tmp_path, STEPS))
    assert other_log == log
    end = ending(env, hyper_agent)
    assert list(other_end) == list(end)
    # Names, not contents: those of a game are too large to be shown.
    assert [name for name in end if other_end[name] != end[name]] == []
    assert "inner_episodes_restarted" not in info
    env.close()


@pytest.mark.parametrize("name", ["Walker2d", "Swimmer", "Humanoid", "InvertedDoublePendulum"])
def test_every_mujoco_task_goes_on_to_the_bit(name, tmp_path):
    """The whole state, the positions that velocities are taken from included, in the middle of episodes."""
    env = gym.make(f"HyperRL-PPO-{name}-v0", **PPO, decision="phase").unwrapped
    env.reset(seed=0)
    snapshot = env.snapshot()
    once = [env.step(0)[:2] for _ in range(1)]
    other = gym.make(f"HyperRL-PPO-{name}-v0", **PPO, decision="phase").unwrapped
    other.restore(snapshot)
    again = [other.step(0)[:2] for _ in range(1)]
    assert [(obs.tobytes(), reward) for obs, reward in once] == [(o.tobytes(), r) for o, r in again]
    rollouts = [e.learner.rollout_buffer for e in (env, other)]
    for part in ("observations", "rewards", "actions"):
        assert getattr(rollouts[0], part).tobytes() == getattr(rollouts[1], part).tobytes()
    env.close()
    other.close()


@pytest.mark.parametrize("at", ["after reset", "end of an episode", "end of the run"])
def test_it_can_be_saved_at_any_moment(at, make_env, run_to_end, tmp_path):
    env = make_env("PPO")
    env.reset(seed=0)
    if at == "end of an episode":
        for _ in range(4):
            env.step(env.default_action)
    if at == "end of the run":
        run_to_end(env, seed=0)
    env.save(tmp_path / "state")
    other = make_env("PPO")
    other.load(tmp_path / "state")
    assert other.run_finished == env.run_finished
    if at != "after reset":
        with pytest.raises(gym.error.ResetNeeded):
            other.step(env.default_action)
        # A finished run is followed by a new one, whose seed the environment draws.
        assert env.reset()[0].tobytes() == other.reset()[0].tobytes()
    assert env.step(0)[0].tobytes() == other.step(0)[0].tobytes()


def test_samples_of_the_action_space_go_on_too(make_env, tmp_path):
    env = make_env("PPO")
    env.reset(seed=0)
    env.action_space.seed(5)
    env.save(tmp_path / "state")
    drawn = [env.action_space.sample() for _ in range(5)]
    other = make_env("PPO")
    other.load(tmp_path / "state")
    assert [other.action_space.sample() for _ in range(5)] == drawn


# ---------------------------------------------------------------------- branches


def take(env, action):
    if any(env.step(action)[2:4]):
        env.reset()


@pytest.mark.parametrize("backend", ["eager", "fast"])
@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
def test_branches_are_identical_until_their_actions_differ(algorithm, backend, make_env, bits_of):
    trunk, left, right = (make_env(algorithm, backend=backend) for _ in range(3))
    trunk.reset(seed=0)
    take(trunk, 0)
    snapshot = trunk.snapshot()
    for branch in (left, right):
        branch.restore(snapshot)
        assert bits_of(branch.learner) == bits_of(trunk.learner)
    for action in (1, 2, 0):
        for env in (trunk, left, right):
            take(env, action)
    assert bits_of(left.learner) == bits_of(right.learner) == bits_of(trunk.learner)
    left.restore(snapshot)
    right.restore(snapshot)
    left.step(1)
    right.step(2)
    assert bits_of(left.learner) != bits_of(right.learner)
    # The snapshot has not grown with its branches.
    left.restore(snapshot)
    right.restore(snapshot)
    assert bits_of(left.learner) == bits_of(right.learner)


@pytest.mark.parametrize("backend", ["eager", "fast"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copy_goes_on_by_itself(copied, normalize, backend, make_env, bits_of):
    env = make_env("PPO", backend=backend, normalize=normalize, render_mode="ansi")
    for _ in range(2):
        other = copied(env)
        for each in (env, other):
            each.reset(seed=0)
            take(each, 1)
        third = copied(other)
        assert bits_of(third.learner) == bits_of(env.learner)
        for action in (2, 0, 1, 1):
            take(other, action)
        for action in (2, 0, 1, 1):
            take(env, action)
            take(third, action)
        assert bits_of(third.learner) == bits_of(env.learner) == bits_of(other.learner)
        assert third.render() == env.render()
        for each in (env, other, third):
            each.close()


def test_a_reseeded_branch_goes_its_own_way_and_the_same_one_again(make_env, bits_of):
    env = make_env("PPO")
    env.reset(seed=0)
    snapshot, ends = env.snapshot(), []
    for seed in (None, 1, 1, 2):
        env.restore(snapshot)
        if seed is not None:
            before = bits_of(env.learner)
            env.reseed(seed)
            assert bits_of(env.learner) == before
        for _ in range(8):
            take(env, 0)
        ends.append(bits_of(env.learner))
    assert ends[1] == ends[2]
    assert ends[0] != ends[1] != ends[3] != ends[0]
    with pytest.raises(ValueError, match="seed must be"):
        env.reseed(-1)


def test_a_restored_learner_stays_the_same_object_and_keeps_sharing_memory(make_env):
    """The fast backend's arrays are Torch's tensors, and have to stay so."""
    env = make_env("PPO", backend="fast")
    env.reset(seed=0)
    learner, snapshot = env.learner, env.snapshot()
    once = env.step(0)[0].tobytes()
    assert env.step(0)[0].tobytes() != once
    env.restore(snapshot)
    assert env.learner is learner
    assert env.step(0)[0].tobytes() == once
    moments = learner.policy.optimizer.state[next(learner.policy.parameters())]
    assert moments["step"] == 1
    env.step(0)
    assert moments["step"] == 2


def test_a_snapshot_taken_elsewhere_brings_its_picture_along(make_env):
    env = make_env("PPO", render_mode="ansi")
    env.reset(seed=0)
    snapshot, text = env.snapshot(), env.render()
    for _ in range(4):
        env.step(env.default_action)
    assert env.render() != text
    env.restore(snapshot)
    assert env.render() == text
    without = make_env("PPO")
    without.reset(seed=0)
    env.restore(without.snapshot())
    assert "16 env steps" in env.render()


OTHERS = {
    "algorithm": ("A2C", {}),
    "inner_env": ("PPO", {"env_id": "Acrobot-v1"}),
    "learner_kwargs.n_steps": ("PPO", {"learner_kwargs": {"n_steps": 8, "batch_size": 8, "n_epochs": 2}}),
    "search_space": ("PPO", {"search_space": ["clip_range"]}),
    "action_mode": ("PPO", {"action_mode": "box"}),
    "decision": ("PPO", {"decision": "phase"}),
    "gradient_order": ("PPO", {"order": 1}),
    "projection_dim": ("PPO", {"projection_dim": 5}),
    "n_envs": ("PPO", {"n_envs": 2}),
    "normalize": ("PPO", {"normalize": True}),
    "total_env_steps": ("PPO", {"total_env_steps": 64}),
    "learning_episode_phases": ("PPO", {"learning_episode_phases": 2}),
    "observation": ("PPO", {"observation": "both"}),
    "hyper_reward": ("PPO", {"hyper_reward": "episode_return"}),
    "backend is": ("PPO", {"backend": "fast"}),
    "env_kwargs": ("PPO", {"env_kwargs": {"sutton_barto_reward": True}}),
}


@pytest.mark.parametrize("what", OTHERS)
def test_the_state_of_another_environment_is_refused_and_nothing_changes(what, make_env, tmp_path, bits_of):
    env, (name, changes) = make_env("PPO"), OTHERS[what]
    other = make_env(name, **changes)
    other.reset(seed=0)
    other.save(tmp_path / "state")
    env.reset(seed=1)
    before, content = bits_of(env.learner), (tmp_path / "state").read_bytes()
    with pytest.raises(CheckpointError, match=what):
        env.load(tmp_path / "state")
    with pytest.raises(CheckpointError, match=what):
        env.restore(other.snapshot())
    assert bits_of(env.learner) == before
    assert (tmp_path / "state").read_bytes() == content
    env.step(0)
    fresh = make_env("PPO")
    with pytest.raises(CheckpointError, match=what):
        fresh.load(tmp_path / "state")
    with pytest.raises(gym.error.ResetNeeded):
        fresh.step(0)


def test_equal_settings_said_differently_are_equal(make_env):
    """Which process, which object, which spelling: none of it counts."""
    env = make_env("PPO", search_space=["clip_range"])
    env.reset(seed=0)
    other = make_env(
        "PPO",
        env_id=None,
        env_fn=lambda: gym.make("CartPole-v1"),
        search_space=SearchSpace(["clip_range"]),
        device="cpu",
    )
    other.restore(env.snapshot())
    assert env.step(0)[0].tobytes() == other.step(0)[0].tobytes()


@pytest.mark.parametrize("where", [("run",), ("run", "learner", "policy"), ("run", "envs"), ("counters",)])
@pytest.mark.parametrize("started", [True, False])
def test_a_state_that_does_not_fit_leaves_everything_as_it_was(where, started, make_env, bits_of):
    env, other = make_env("PPO"), make_env("PPO")
    other.reset(seed=0)
    broken = other.snapshot()
    node = broken
    for key in where:
        node = node[key]
    node.pop(list(node)[-1])
    if not started:
        with pytest.raises(CheckpointError, match="does not fit"):
            env.restore(broken)
        with pytest.raises(gym.error.ResetNeeded):
            env.step(0)
        return
    env.reset(seed=1)
    before = bits_of(env.learner)
    with pytest.raises(CheckpointError, match="does not fit"):
        env.restore(broken)
    assert bits_of(env.learner) == before
    env.step(0)


@pytest.mark.parametrize("nonsense", [None, 3, {}, {"identity": 3}, []])
def test_what_is_no_snapshot_is_refused(nonsense, make_env, tmp_path):
    env = make_env("PPO")
    with pytest.raises(CheckpointError, match="not a snapshot"):
        env.restore(nonsense)
    write_checkpoint(tmp_path / "state", nonsense)
    with pytest.raises(CheckpointError, match="no environment"):
        env.load(tmp_path / "state")


def test_there_is_nothing_to_save_before_reset(make_env, tmp_path):
    with pytest.raises(gym.error.ResetNeeded):
        make_env("PPO").save(tmp_path / "state")
    with pytest.raises(gym.error.ResetNeeded):
        make_env("PPO").snapshot()
    with pytest.raises(gym.error.ResetNeeded):
        make_env("PPO").reseed(0)


# ---------------------------------------------------------------------- simulators that cannot be given back


@pytest.mark.parametrize("kind", ["Box2D", "EnvPool", "own", "own wrapper"])
def test_other_simulators_start_a_new_episode_and_say_so(kind, make_env, scripted_env, tmp_path):
    if kind == "EnvPool":
        pytest.importorskip("envpool")
    kwargs = {
        "Box2D": {"env_id": "BipedalWalker-v3", "normalize": True},
        "EnvPool": {"env_id": "CartPole-v1", "vec_backend": "envpool"},
        "own": {"env_id": None, "env_fn": lambda: scripted_env([1.0] * 100)},
        "own wrapper": {"env_id": None, "env_fn": lambda: gym.Wrapper(gym.make("CartPole-v1"))},
    }[kind]
    env = make_env("PPO", **kwargs)
    _, info = env.reset(seed=0)
    assert "inner_episodes_restarted" not in info
    env.step(env.default_action)
    env.save(tmp_path / "state")
    weights = [w.copy() for w in env._run.weights()]
    left, right = make_env("PPO", **kwargs), make_env("PPO", **kwargs)
    infos = [branch.load(tmp_path / "state")[1] for branch in (left, right)]
    assert [info["inner_episodes_restarted"] for info in infos] == [True, True]
    assert all(np.array_equal(a, b) for a, b in zip(weights, left._run.weights(), strict=True))
    assert left.learner._last_episode_starts.all()
    said = []
    for _ in range(4):
        steps = [branch.step(branch.default_action) for branch in (left, right)]
        # Both begin the same new episode.
        assert steps[0][0].tobytes() == steps[1][0].tobytes()
        assert steps[0][1] == steps[1][1]
        said.append(steps[0][-1].get("inner_episodes_restarted", False))
        if steps[0][2]:
            said.append(left.reset()[1].get("inner_episodes_restarted", False))
            break
    # Until the environment phase that the new episodes are in is done.
    assert said == [True, True, True, False]


# ---------------------------------------------------------------------- inner environments that fail


class Failing(gym.Env):
    """Raises in one of its steps."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    fails_at = 21

    def __init__(self):
        self.t = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        if self.t == self.fails_at:
            raise ZeroDivisionError("the robot fell over")
        return np.zeros(2, np.float32), 1.0, False, self.t % 7 == 0, {}


@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_an_inner_environment_that_raises_is_reported_in_full(backend, make_env, take_default_steps):
    env = make_env("PPO", env_id=None, env_fn=Failing, backend=backend)
    env.reset(seed=7)
    for _ in range(3):
        env.step(env.default_action)
    snapshot = env.snapshot()
    with pytest.raises(InnerEnvError) as caught:
        env.step(env.default_action)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    rate = env.learner.values_in_force()["learning_rate"]
    for fact in ("step 21 ", "seed 7,", f"learning_rate {rate:.6g}", "clip_range 0.2", "the robot fell over"):
        assert fact in str(caught.value)
    # Half a phase is nothing to go on from.
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.default_action)
    with pytest.raises(gym.error.ResetNeeded):
        env.snapshot()
    # The state before it is; its new inner episode lives longer here.
    env.restore(snapshot)
    *_, info = env.step(env.default_action)
    assert info["phase"] == 1
    env.reset()
    with pytest.raises(InnerEnvError):
        take_default_steps(env, 9)
    _, info = env.reset()
    assert (info["phase"], info["env_steps"]) == (0, 16)


def test_a_first_phase_that_fails_leaves_no_run(make_env, monkeypatch):
    monkeypatch.setattr(Failing, "fails_at", 3)
    env = make_env("PPO", env_id=None, env_fn=Failing)
    with pytest.raises(InnerEnvError, match=r"step 3 .* seed 7,"):
        env.reset(seed=7)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(env.default_action)
    monkeypatch.setattr(Failing, "fails_at", 1_000)
    env.reset(seed=7)
    env.step(env.default_action)


@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_a_reset_that_fails_is_reported(backend, make_env, monkeypatch):
    """The first one, and the one that starts afresh what no simulator can give back."""

    def fail(env, *, seed=None, options=None):
        raise ZeroDivisionError("the robot does not start")

    env = make_env("PPO", env_id=None, env_fn=Failing, backend=backend)
    env.reset(seed=7)
    snapshot = env.snapshot()
    env.step(env.default_action)
    other = make_env("PPO", env_id=None, env_fn=Failing, backend=backend)
    with monkeypatch.context() as patch:
        patch.setattr(Failing, "reset", fail)
        with pytest.raises(
            InnerEnvError, match=r"first reset .* seed 7: ZeroDivisionError: the robot"
        ) as caught:
            other.reset(seed=7)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        with pytest.raises(gym.error.ResetNeeded):
            other.step(other.default_action)
        with pytest.raises(InnerEnvError, match="first reset"):
            other.restore(snapshot)
        with pytest.raises(
            InnerEnvError, match=r"reset that starts new .* failed .* seed 7: ZeroDivisionError"
        ):
            env.restore(snapshot)
    for restored in (env, other):
        with pytest.raises(gym.error.ResetNeeded):
            restored.step(restored.default_action)
        _, info = restored.restore(snapshot)
        assert (info["env_steps"], info["update_step"]) == (16, 0)


def test_an_inner_environment_that_cannot_be_made_is_reported():
    def fail():
        raise ZeroDivisionError("the robot has no body")

    with pytest.raises(InnerEnvError, match="could not be made: ZeroDivisionError: the robot") as caught:
        gym.make("HyperRL-PPO-v0", env_fn=fail)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
