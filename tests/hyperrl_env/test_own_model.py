"""`HyperRL-v0`: the Hyper-RL environment of a model of the user's own."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import SubprocVecEnv, VecFrameStack, VecNormalize, VecTransposeImage

import agents
from hyperrl_env import CheckpointError, HyperRLEnv
from hyperrl_env.learners import ACKTR
from hyperrl_env.policy import evaluate, policy_state

SMALL = {PPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 2}, A2C: {"n_steps": 8}, ACKTR: {"n_steps": 8}}


def make_model(cls=PPO, env="Pendulum-v1", seed=3, **kwargs):
    envs = VecNormalize(make_vec_env(env, n_envs=2)) if isinstance(env, str) else env
    rate = LinearSchedule(1e-2, 1e-3, 1.0)
    kwargs = {"learning_rate": rate, "device": "cpu", "seed": seed, **SMALL[cls], **kwargs}
    return cls("MlpPolicy", envs, **kwargs)


def make_env(model, **kwargs):
    return gym.make("HyperRL-v0", model=model, **{"total_env_steps": 96, **kwargs}).unwrapped


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()]).clone()


def generators():
    return np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()


# As it should be: numbers of any size.
@pytest.mark.filterwarnings("ignore:.*A Box observation space m.*imum value is:UserWarning")
@pytest.mark.parametrize("cls", [PPO, A2C, ACKTR])
@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_it_keeps_gymnasiums_contract(cls, backend):
    env = make_env(make_model(cls), backend=backend)
    # From it another one would be made, of a copy of the model.
    env.spec = None
    check_env(env, skip_render_check=True)
    assert env.learner.model.n_envs == 2


@pytest.mark.parametrize("cls", [PPO, A2C, ACKTR])
def test_a_seed_starts_a_run_that_can_be_repeated(cls, bits_of, run_to_end):
    model = make_model(cls)
    model.learn(40)
    env = make_env(model, search_space=["learning_rate", "gamma", "n_steps"])
    outside, found = generators(), []
    for seed in (5, 6, 5):
        rng = np.random.default_rng(0)
        info = run_to_end(env, seed, lambda rng=rng: int(rng.integers(env.action_space.n)))
        found.append((bits_of(model), info))
    assert generators() == outside
    assert found[0] == found[2]
    assert found[0][0] != found[1][0]


def test_without_a_seed_the_model_is_trained_on_as_by_learn(bits_of, run_to_end):
    plain = make_model()
    plain.learn(96)
    plain.learn(96)
    model = make_model()
    env = make_env(model, backend="eager")
    run_to_end(env, None)
    with pytest.warns(UserWarning, match=r"starts a new one with your model as it is. It is trained on"):
        run_to_end(env, None)
    assert bits_of(model) == bits_of(plain)
    assert env.finished_learner.model is model
    before = weights(model)
    env.reset()
    assert torch.equal(weights(model), before)
    env.step(env.action_space.sample())
    with pytest.warns(UserWarning, match="a new run with your model as it is. The present one is dropped"):
        env.reset()


@pytest.mark.filterwarnings("ignore:.*The run is finished:UserWarning")
def test_any_agent_that_speaks_gymnasium():
    model = make_model(A2C)
    before = weights(model)
    env = gym.make("HyperRL-v0", model=model, total_env_steps=1_600)
    DQN("MlpPolicy", env, buffer_size=100, learning_starts=10, device="cpu").learn(99)
    assert not torch.equal(weights(model), before)
    for name in ("epgt", "dqn", "random"):
        env = make_env(model)
        assert agents.run(env, agents.make(name, env))["run_finished"]


@pytest.mark.parametrize("seed", [7, None])
@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_branches_from_a_snapshot_are_the_same(seed, backend, bits_of):
    model = make_model()
    env = make_env(model, backend=backend)
    env.reset(seed=seed)
    env.step(3)
    snapshot, found = env.snapshot(), []
    for _ in range(2):
        env.restore(snapshot)
        for action in (5, 1, 7, 3):
            obs, reward, *_, info = env.step(action)
        found.append((obs.tobytes(), reward, info, bits_of(model)))
    assert found[0] == found[1]


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps])
def test_it_is_not_copied(copied):
    """The copy of a model and of its second view would be two models."""
    env = make_env(make_model())
    env.reset()
    with pytest.raises(TypeError, match=r"a model of yours cannot be copied or pickled.*snapshot\(\)"):
        copied(env)


def test_a_snapshot_brings_its_own_generators(bits_of):
    model = make_model()
    env = make_env(model)
    found = []
    env.reset(seed=7)
    snapshot = env.snapshot()
    for seed in (7, None):
        env.reset(seed=seed, options={"new_run": True})
        env.restore(snapshot)
        outside = generators()
        for _ in range(6):
            env.step(3)
        assert generators() == outside
        found.append(bits_of(model))
    assert found[0] == found[1]


@pytest.mark.parametrize("cls", [PPO, A2C, ACKTR])
@pytest.mark.parametrize("seed", [7, None])
def test_a_run_is_continued_in_another_environment(cls, seed, tmp_path, bits_of):
    first = make_env(make_model(cls))
    first.reset(seed=seed)
    if first.step(2)[2]:
        first.reset()
    first.save(tmp_path / "env")
    ends = []
    model = make_model(cls, seed=9)
    other = make_env(model)
    other.load(tmp_path / "env")
    for env in (other, first):
        if env is first:
            env.load(tmp_path / "env")
        for _ in range(3):
            *_, terminated, truncated, _ = env.step(env.default_action)
            if (terminated or truncated) and not env.run_finished:
                env.reset()
        ends.append(bits_of(env.learner.model))
    assert ends[0] == ends[1]


def test_a_state_of_another_model_is_refused(tmp_path):
    first = make_env(make_model())
    first.reset(seed=0)
    first.save(tmp_path / "env")
    for model, message in (
        (make_model(gamma=0.9), "settings.gamma is 0.99 there and 0.9 here"),
        (make_model(policy_kwargs={"net_arch": [5]}), "parameters.mlp_extractor"),
        (make_model(A2C), "algorithm is 'PPO' there and 'A2C' here"),
        (make_model(env=make_vec_env("Pendulum-v1", n_envs=2)), "normalize is True there"),
    ):
        before = weights(model)
        with pytest.raises(CheckpointError, match=message):
            make_env(model).load(tmp_path / "env")
        assert torch.equal(weights(model), before)


class Pictures(gym.Env):
    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros((36, 36, 1), np.uint8), {}

    def step(self, action):
        self.t += 1
        return self.np_random.integers(0, 255, (36, 36, 1), np.uint8), float(action), self.t == 6, False, {}


def test_environments_that_cannot_be_saved_start_new_episodes(bits_of):
    subprocesses = {"vec_env_cls": SubprocVecEnv, "vec_env_kwargs": {"start_method": "fork"}}
    simulators = make_vec_env("Pendulum-v1", n_envs=2, **subprocesses)
    pictures = VecFrameStack(make_vec_env(Pictures, n_envs=2), 2)
    for envs, policy in ((simulators, "MlpPolicy"), (VecTransposeImage(pictures), "CnnPolicy")):
        model = PPO(policy, envs, device="cpu", seed=0, **SMALL[PPO])
        env = make_env(model)
        env.reset(seed=0)
        snapshot, ends = env.snapshot(), []
        for _ in range(2):
            assert env.restore(snapshot)[1]["inner_episodes_restarted"]
            for _ in range(8):
                env.step(env.default_action)
            ends.append(weights(model))
        assert torch.equal(*ends)
        envs.close()


def test_closing_leaves_the_environments_open_and_puts_the_settings_back():
    model = make_model()
    own = (model.n_steps, model.gamma, model.clip_range, model.rollout_buffer.buffer_size)
    env = make_env(model, search_space={"gamma": [0.5], "n_steps": [4], "clip_range": [0.7]})
    chosen = env.search_space.action({"gamma": 0.5, "n_steps": 4, "clip_range": 0.7})
    env.reset()
    for _ in range(8):
        *_, info = env.step(chosen)
    assert (info["hyperparameters"]["gamma"], info["hyperparameters"]["n_steps"]) == (0.5, 4)
    assert (model.gamma, model.n_steps, model.rollout_buffer.buffer_size) == (0.5, 4, 4)
    env.close()
    assert own == (model.n_steps, model.gamma, model.clip_range, model.rollout_buffer.buffer_size)
    model.env.reset()
    model.gamma = 0.8
    env.reset()
    env.close()
    assert model.gamma == 0.8


def test_the_fast_backend_says_what_it_cannot_do():
    model = make_model(policy_kwargs={"activation_fn": torch.nn.ELU})
    with pytest.warns(UserWarning, match="no closed form for backend='fast'"):
        make_env(model, backend="fast")
    make_env(make_model(), backend="fast")


def test_a_policy_is_evaluated_by_stable_baselines3():
    env = make_env(make_model())
    with pytest.raises(ValueError, match=r"evaluate_policy\(model, env\)"):
        evaluate(env.inner_run_config, policy_state(make_model()), episodes=1, seed=0)


@pytest.mark.parametrize(
    "given",
    [
        {"env_id": "CartPole-v1"},
        {"env_fn": Pictures},
        {"env_kwargs": {}},
        {"n_envs": 2},
        {"normalize": False},
        {"learner_kwargs": {"n_steps": 8}},
        {"settings": "zoo"},
        {"vec_backend": "envpool"},
        {"device": "cpu"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_what_the_model_says_already_is_not_said_again(given):
    (name,) = given
    with pytest.raises(ValueError, match=f"Leave out {name}: the model that was given brings"):
        HyperRLEnv(model=make_model(), total_env_steps=96, **given)


@pytest.mark.parametrize(
    ("id_", "keywords", "message"),
    [
        ("HyperRL-v0", {}, "HyperRL-v0 trains a Stable-Baselines3 model of yours: give model"),
        ("HyperRL-A2C-v0", {"model": make_model}, "The model is PPO, not A2C: .* HyperRL-v0"),
        ("HyperRL-PPO-Hopper-v0", {"model": make_model}, "Leave out task: .* HyperRL-v0"),
        ("HyperRL-v0", {"model": lambda: DQN("MlpPolicy", "CartPole-v1", buffer_size=9)}, "not DQN"),
        ("HyperRL-v0", {"model": make_model, "total_env_steps": 31}, r"at least 32 \(one environment phase"),
        ("HyperRL-v0", {"model": make_model, "total_env_steps": "many"}, "total_env_steps must be a whole"),
        ("HyperRL-v0", {"model": make_model, "search_space": ["kl_clip"]}, "does not offer 'kl_clip'"),
    ],
)
def test_bad_arguments(id_, keywords, message):
    keywords = {name: value() if callable(value) else value for name, value in keywords.items()}
    with pytest.raises(ValueError, match=message):
        gym.make(id_, **keywords)
