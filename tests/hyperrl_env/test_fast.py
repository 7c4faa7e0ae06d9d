"""The closed-form backend against SB3's own arithmetic, from identical states and on the same noise."""

import copy
import warnings
from itertools import product

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from torch._dynamo.utils import counters

import hyperrl_env  # noqa: F401 - registers the ids
from hyperrl_env import Hyperparameter
from hyperrl_env.inner_envs.make import make_inner_envs
from hyperrl_env.learners import learner_class, make_learner
from hyperrl_env.learners.fast.distributions import Gaussian
from hyperrl_env.learners.fast.rollout import can_collect_fast
from hyperrl_env.numeric.discounted_sums import discounted_sums

BUFFER = (
    "observations",
    "actions",
    "rewards",
    "episode_starts",
    "values",
    "log_probs",
    "advantages",
    "returns",
)
# Those of (nearly) equal eigenvalues are any basis of their space.
EIGENVECTORS = {"input_vectors", "output_vectors"}


def make(
    algorithm, backend, env_id="Pendulum-v1", n_envs=2, normalize=True, vec_backend="gymnasium", **kwargs
):
    envs = make_inner_envs(
        env_id, env_kwargs={}, n_envs=n_envs, normalize=normalize, gamma=0.99, vec_backend=vec_backend
    )
    learner = make_learner(algorithm, backend, envs, kwargs, seed=3, device="cpu")
    learner.start_run(100_000, gradient_order=2)
    return learner


def twins(algorithm, **kwargs):
    """An eager and a fast learner in one and the same state, at the start of an update phase."""
    eager, fast = (make(algorithm, backend, **kwargs) for backend in ("eager", "fast"))
    for learner in (eager, fast):
        learner.environment_phase()
    for name in (*BUFFER, "generator_ready"):
        setattr(fast.rollout_buffer, name, copy.copy(getattr(eager.rollout_buffer, name)))
    fast.targets = copy.deepcopy(eager.targets)
    for learner in (eager, fast):
        learner.begin_update_phase()
    return eager, fast


@pytest.mark.parametrize("n_epochs", [1, 6])
def test_the_fast_backend_draws_what_sb3_draws(n_epochs):
    """`target_kl` ends a phase early: permutations of epochs that never come are not drawn."""
    settings = {**PPO_SMALL, "n_epochs": n_epochs, "learning_rate": 1e-2, "target_kl": 0.02}
    drawn = []
    for learner in (make("PPO", backend, **settings) for backend in ("eager", "fast")):
        np.random.seed(0)
        learner.environment_phase()
        while not learner.update_phase_finished:
            learner.policy_update({})
        drawn.append((learner.update_step, np.random.randint(2**31)))
    assert drawn[0] == drawn[1]
    assert n_epochs == 1 or drawn[0][0] < 6 * 6, "no phase was stopped early, so that nothing was tested"


def update(learner, values, seed=0):
    """One update, with a given order of the rollout and, of ACKTR, given noise for its statistics."""
    np.random.seed(seed)
    if "kl_clip" in learner.offered:
        learner.begin_update_phase()
        np.random.seed(seed)
        torch.manual_seed(seed)
    learner.policy_update(values)


def tensors(learner):
    state = learner.policy.optimizer.state_dict()["state"]
    return {
        **{f"policy.{n}": t for n, t in learner.policy.state_dict().items()},
        **{
            f"optimizer.{i}.{n}": torch.as_tensor(t)
            for i, s in state.items()
            for n, t in s.items()
            if n not in EIGENVECTORS
        },
        **{f"gradient.{a}.{i}": g for a in range(2) for i, g in enumerate(learner.gradient_history[a])},
    }


def kind(name):
    """Weights, gradients, or which moment of the optimiser."""
    first, *_, last = name.split(".")
    return last if first == "optimizer" else first


def assert_close(eager, fast, tolerance):
    expected, found = tensors(eager), tensors(fast)
    assert expected.keys() == found.keys()
    largest = {}
    for name, tensor in expected.items():
        largest[kind(name)] = max(largest.get(kind(name), 0.0), float(tensor.norm()))
    for name, tensor in expected.items():
        # Where a gradient's terms cancel (one log_std), the sum is no more exact than they are.
        scale = max(float(tensor.norm()), 1e-2 * largest[kind(name)], 1e-8)
        # A natural gradient multiplies rounding by the condition of the damped Fisher matrix.
        condition = 20 if kind(name) == "momentum_buffer" else 1
        assert float((tensor - found[name]).norm()) <= tolerance * scale * condition, name


class Pictures(gym.Env):
    """Random pictures; where the bright bar is decides what an action is worth.

    Some episodes terminate, some reach a time limit.
    """

    shape: tuple[int, ...] = (2, 36, 40)
    action_space = gym.spaces.Discrete(3)

    def __init__(self):
        self.observation_space = gym.spaces.Box(0, 255, self.shape, np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.length = 0, int(self.np_random.integers(3, 12))
        return self._picture(), {}

    def step(self, action):
        self.t += 1
        reward = float(np.sum(action) * (self.bar - 1))
        over = self.t == self.length
        return self._picture(), reward, over and self.length % 2 == 0, over and self.length % 2 == 1, {}

    def _picture(self):
        self.bar = int(self.np_random.integers(3))
        picture = self.np_random.integers(0, 64, self.shape, dtype=np.uint8)
        rows = picture.swapaxes(0, 1) if self.shape[0] == 2 else picture
        rows[12 * self.bar : 12 * (self.bar + 1)] += 128
        return picture


class PicturesChannelsLast(Pictures):
    """As most simulators paint them; SB3 transposes them."""

    shape = (36, 40, 2)


class PicturesToSteer(Pictures):
    """Continuous actions."""

    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)


class Bottleneck(BaseFeaturesExtractor):
    """A features extractor of one's own."""

    def __init__(self, observation_space):
        super().__init__(observation_space, features_dim=8)
        self.net = torch.nn.Sequential(torch.nn.Linear(observation_space.shape[0], 8), torch.nn.ELU())

    def forward(self, observations):
        return self.net(observations)


class Frozen(Bottleneck):
    """One that has been trained before, and is not trained here."""

    def __init__(self, observation_space):
        super().__init__(observation_space)
        self.requires_grad_(False)


class Bytes(gym.ObservationWrapper):
    """Pendulum's observation as bytes that are no picture, as an emulator's memory."""

    def __init__(self):
        super().__init__(gym.make("Pendulum-v1"))
        self.observation_space = gym.spaces.Box(0, 255, (3,), np.uint8)

    def observation(self, observation):
        return np.clip(128 + 15 * observation, 0, 255).astype(np.uint8)


PPO_SMALL = {"n_steps": 96, "batch_size": 32, "n_epochs": 2}
# A convolution's Fisher matrix from few samples is far from regular: damping says how far rounding goes.
SMALL = {"PPO": PPO_SMALL, "A2C": {"n_steps": 16}, "ACKTR": {"n_steps": 16, "damping": 1.0}}
NATURE = {"policy": "CnnPolicy", "policy_kwargs": {"features_extractor_kwargs": {"features_dim": 16}}}
HIDDEN = {**NATURE, "policy_kwargs": {**NATURE["policy_kwargs"], "net_arch": [8]}}
OWN = {"policy_kwargs": {"features_extractor_class": Bottleneck}}
FROZEN = {"policy_kwargs": {"features_extractor_class": Frozen}}
POLICIES = [
    ("PPO", "Pendulum-v1", {**PPO_SMALL, "ent_coef": 0.01}),
    ("PPO", "CartPole-v1", {**PPO_SMALL, "ent_coef": 0.01}),
    ("PPO", "Pendulum-v1", {**PPO_SMALL, "clip_range_vf": 0.05}),
    ("PPO", "Pendulum-v1", {**PPO_SMALL, "normalize_advantage": False}),
    (
        "PPO",
        "CartPole-v1",
        {**PPO_SMALL, "policy_kwargs": {"activation_fn": torch.nn.ReLU, "net_arch": [32]}},
    ),
    ("PPO", "Pendulum-v1", {**PPO_SMALL, "policy_kwargs": {"net_arch": {"pi": [16], "vf": [32, 32, 8]}}}),
    ("PPO", "Pendulum-v1", {**PPO_SMALL, "policy_kwargs": {"net_arch": {"pi": [16, 8], "vf": [16, 32]}}}),
    ("PPO", "CartPole-v1", {**PPO_SMALL, "policy_kwargs": {"net_arch": []}}),
    ("A2C", "Pendulum-v1", {"n_steps": 16, "ent_coef": 0.01}),
    ("A2C", "CartPole-v1", {"n_steps": 16, "ent_coef": 0.01, "normalize_advantage": True}),
    ("A2C", "CartPole-v1", {"n_steps": 16, "use_rms_prop": False}),
    ("ACKTR", "Pendulum-v1", {"n_steps": 16}),
    ("ACKTR", "CartPole-v1", {"n_steps": 16, "normalize_advantage": True, "weight_decay": 0.1}),
    ("ACKTR", "CartPole-v1", {"n_steps": 16, "policy_kwargs": {"net_arch": []}}),
    ("ACKTR", "Pendulum-v1", {"n_steps": 16, "policy_kwargs": {"net_arch": {"pi": [16], "vf": [16, 8]}}}),
    (
        "ACKTR",
        "CartPole-v1",
        {"n_steps": 16, "policy_kwargs": {"activation_fn": torch.nn.ReLU, "net_arch": [32, 16]}},
    ),
    # More than the Nature CNN evaluates at one time.
    ("PPO", Pictures, {"n_steps": 300, "batch_size": 600, "n_epochs": 1, **NATURE}),
    ("ACKTR", Pictures, {"n_steps": 300, "damping": 1.0, **NATURE}),
    ("ACKTR", "CartPole-v1", {"n_steps": 16, "weight_decay": 0.1, **FROZEN}),
    *(
        (algorithm, env, {**SMALL[algorithm], **policy})
        for algorithm in ("PPO", "A2C", "ACKTR")
        for env, policy in (
            (Pictures, {**NATURE, "ent_coef": 0.01}),
            (PicturesChannelsLast, HIDDEN),
            (PicturesToSteer, NATURE),
            ("Pendulum-v1", OWN),
            ("CartPole-v1", FROZEN),
            (Bytes, {}),
        )
    ),
]


@pytest.mark.parametrize(("algorithm", "env_id", "kwargs"), POLICIES)
def test_one_update_gives_the_same_tensors(algorithm, env_id, kwargs):
    eager, fast = twins(algorithm, env_id=env_id, normalize=isinstance(env_id, str), **kwargs)
    assert fast.is_fast
    for learner in (eager, fast):
        update(learner, learner.default_values())
    assert_close(eager, fast, 1e-5)


VALUES = {
    "learning_rate": [1e-4, 1e-2],
    "clip_range": [0.01, 0.4],
    "batch_size": [7, 60],
    "ent_coef": [0.0, 0.5],
    "vf_coef": [0.0, 3.0],
    "max_grad_norm": [0.01, 100.0],
    "gamma": [0.5, 1.0],
    "gae_lambda": [0.0, 1.0],
    "kl_clip": [1e-4, 1.0],
    "damping": [0.1, 1.0],
    "momentum": [0.0, 0.5],
    "weight_decay": [0.0, 0.1],
    "stats_interval": [2, 3],
    "inversion_interval": [1, 2],
}


@pytest.mark.parametrize(("env_id", "policy"), [("Pendulum-v1", {}), ("CartPole-v1", {}), (Pictures, NATURE)])
@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
@pytest.mark.parametrize("name", VALUES)
def test_every_update_hyperparameter_does_the_same(algorithm, env_id, policy, name):
    if name not in learner_class(algorithm).offered:
        return
    for value in VALUES[name]:
        settings = {**SMALL[algorithm], **policy}
        eager, fast = twins(algorithm, env_id=env_id, normalize=not policy, **settings)
        for seed in range(1 if algorithm == "A2C" else 3):
            for learner in (eager, fast):
                update(learner, {name: value}, seed)
        assert_close(eager, fast, 2e-4 if algorithm == "ACKTR" else 1e-4)
        assert eager.update_statistics().keys() == fast.update_statistics().keys()
        for key, expected in eager.update_statistics().items():
            assert fast.update_statistics()[key] == pytest.approx(expected, rel=1e-3, abs=1e-5), key


class Matrices(gym.Env):
    """Observations and actions are matrices; the reward tells them apart."""

    observation_space = gym.spaces.Box(-1, 1, (3, 2), np.float32)
    action_space = gym.spaces.Box(-0.5, 0.5, (2, 2), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.low * 0.1, {}

    def step(self, action):
        assert action.shape == (2, 2)
        self.t += 1
        reward = float((action * [[1, 2], [3, 4]]).sum())
        return np.full((3, 2), np.sin(self.t), np.float32), reward, self.t == 9, self.t == 7, {}


class GivenNoise:
    """Replaces a learner's draws: SB3's policy and the closed form get the same noise, step by step."""

    def __init__(self, n_steps, n_envs, width):
        self.noise = np.random.default_rng(0).normal(size=(n_steps, n_envs, width)).astype(np.float32)

    def sample_eagerly(self, learner):
        policy, steps = learner.policy, iter(self.noise)

        def forward(obs, deterministic=False):
            with torch.no_grad():
                distribution = policy.get_distribution(obs).distribution
                noise = torch.from_numpy(next(steps))
                if isinstance(distribution, torch.distributions.Normal):
                    actions = distribution.mean + distribution.stddev * noise
                    log_prob = distribution.log_prob(actions).sum(-1)
                else:
                    actions = (distribution.logits + noise).argmax(-1)
                    log_prob = distribution.log_prob(actions)
                return actions, policy.predict_values(obs), log_prob

        policy.forward = forward

    def sample_compiled(self, learner):
        log_std = getattr(learner.policy, "log_std", torch.zeros(()))
        scaled = self.noise * log_std.exp().detach().numpy()
        learner.fast.actor_critic.distribution.noise = lambda n_steps, n_envs: scaled


@pytest.mark.parametrize(("n_envs", "size"), [(1, 1), (1, 6), (2, 7), (3, 5), (1, 16), (4, 6)])
def test_noise_is_what_torch_draws_a_step_at_a_time(n_envs, size):
    log_std = np.linspace(-1, 1, size, dtype=np.float32)
    torch.manual_seed(3)
    torch.randn(1)  # an odd number: Torch draws two at a time and keeps one
    steps = [torch.randn(n_envs, size) * torch.from_numpy(np.exp(log_std)) for _ in range(50)]
    after = torch.get_rng_state()
    torch.manual_seed(3)
    torch.randn(1)
    noise = Gaussian(log_std, np.zeros(size, np.float32)).noise(50, n_envs)
    np.testing.assert_array_equal(noise, torch.stack(steps).numpy())
    assert torch.equal(torch.get_rng_state(), after)


def assert_same_rollouts(eager, fast, rtol, atol):
    """Both collect one, with the same noise."""
    for learner in (eager, fast):
        torch.manual_seed(0)
        learner.environment_phase()
    for name in BUFFER:
        a, b = getattr(eager.rollout_buffer, name), getattr(fast.rollout_buffer, name)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=name)


def test_matrices_as_observations_and_actions():
    eager, fast = (make("A2C", backend, Matrices, 2, True, n_steps=20) for backend in ("eager", "fast"))
    assert fast.is_fast
    assert_same_rollouts(eager, fast, rtol=1e-4, atol=1e-5)
    for learner in (eager, fast):
        learner.policy_update({})
    assert_close(eager, fast, 1e-4)


class WholeNumbers(gym.Env):
    """Observations are integers, until they are normalised."""

    observation_space = gym.spaces.Box(-5, 5, (3,), np.int64)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.integers(-5, 6, 3), {}

    def step(self, action):
        observation = self.np_random.integers(-5, 6, 3)
        return observation, float(action), False, bool(observation[0] == 5), {}


@pytest.mark.parametrize("policy", [{}, {"features_extractor_class": Bottleneck}])
def test_normalised_integers_are_acted_on_as_the_fractions_that_they_are(policy):
    learners = [
        make("A2C", backend, WholeNumbers, n_steps=20, policy_kwargs=policy) for backend in ("eager", "fast")
    ]
    assert learners[1].is_fast
    for _ in range(2):
        assert_same_rollouts(*learners, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("vec_backend", ["gymnasium", "envpool"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize(
    ("env_id", "n_steps"),
    [("Pendulum-v1", 250), ("CartPole-v1", 120), ("Hopper-v5", 120), ("MountainCarContinuous-v0", 90)],
)
def test_the_environment_phase_fills_the_buffer_as_sb3_does(env_id, n_steps, n_envs, normalize, vec_backend):
    """Terminations (CartPole, Hopper) and time limits (Pendulum at 200 steps) included."""
    if vec_backend == "envpool":
        pytest.importorskip("envpool", reason="the extra envpool is not installed")
    learners = [
        make("A2C", backend, env_id, n_envs, normalize, vec_backend, n_steps=n_steps)
        for backend in ("eager", "fast")
    ]
    assert can_collect_fast(learners[1].env)
    with torch.no_grad():  # hoppers that fall at different times, poles that do not all fall at once
        for learner in learners:
            learner.policy.action_net.weight.mul_(30)
    assert_equal_phases(*learners)


@pytest.mark.parametrize("env", [Pictures, PicturesChannelsLast, PicturesToSteer])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_environment_phase_on_pictures(env, n_envs):
    learners = [
        make("A2C", backend, env, n_envs, normalize=False, n_steps=40, **NATURE)
        for backend in ("eager", "fast")
    ]
    assert learners[1].is_fast
    assert can_collect_fast(learners[1].env)
    assert_equal_phases(*learners)


def assert_equal_phases(eager, fast):
    """Two phases on the same noise fill the buffer, and leave everything else, in the same way."""
    learners, n_steps, n_envs = (eager, fast), eager.n_steps, eager.n_envs
    normalize = eager.get_vec_normalize_env() is not None
    width = (
        eager.action_space.shape[0]
        if isinstance(eager.action_space, gym.spaces.Box)
        else eager.action_space.n
    )
    for _ in range(2):
        noise = GivenNoise(n_steps, n_envs, int(width))
        noise.sample_eagerly(eager)
        noise.sample_compiled(fast)
        expected, found = (learner.environment_phase() for learner in learners)
        for name in BUFFER:
            a, b = getattr(eager.rollout_buffer, name), getattr(fast.rollout_buffer, name)
            assert a.shape == b.shape
            assert a.dtype == b.dtype, name
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4, err_msg=name)
        np.testing.assert_array_equal(expected.dones, found.dones)
        np.testing.assert_allclose(expected.rewards, found.rewards, rtol=1e-4, atol=1e-4)
        assert expected.episode_lengths == found.episode_lengths
        assert expected.episode_returns == pytest.approx(found.episode_returns, rel=1e-3)
        assert eager.num_timesteps == fast.num_timesteps
        assert len(eager.ep_info_buffer) == len(fast.ep_info_buffer)
        np.testing.assert_allclose(eager._last_obs, fast._last_obs, rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(eager._last_episode_starts, fast._last_episode_starts)
        if normalize:
            for attribute in ("obs_rms", "ret_rms"):
                a, b = (getattr(x.get_vec_normalize_env(), attribute) for x in learners)
                np.testing.assert_allclose(a.mean, b.mean, rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(a.var, b.var, rtol=1e-4, atol=1e-6)
                assert a.count == pytest.approx(b.count)
            a, b = (x.get_vec_normalize_env() for x in learners)
            np.testing.assert_allclose(a.returns, b.returns, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(a.get_original_obs(), b.get_original_obs(), rtol=1e-3, atol=1e-4)
        for learner in learners:
            while not learner.update_phase_finished:
                learner.policy_update({"learning_rate": 1e-9})


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "CartPole-v1"])
def test_actions_are_drawn_from_the_policys_distribution(env_id):
    learner = make("A2C", "fast", env_id, n_envs=1, n_steps=2)
    with torch.no_grad():
        learner.policy.action_net.weight.mul_(100)
    actor = learner.fast.actor_critic
    output = actor.policy_output(np.repeat(learner._last_obs, 20_000, axis=0).astype(np.float32))
    torch.manual_seed(0)
    actions = actor.distribution.sample(output, actor.distribution.noise(1, 20_000)[0])
    with torch.no_grad():
        distribution = learner.policy.get_distribution(torch.as_tensor(learner._last_obs)).distribution
    if env_id == "Pendulum-v1":
        assert actions.mean() == pytest.approx(float(distribution.mean[0]), abs=0.03)
        assert actions.std() == pytest.approx(float(distribution.stddev[0]), abs=0.03)
    else:
        assert (actions == 1).mean() == pytest.approx(float(distribution.probs[0, 1]), abs=0.015)


def test_the_policy_and_its_optimiser_are_seen_by_torch_as_ever():
    learner = make("PPO", "fast", **PPO_SMALL)
    learner.environment_phase()
    before = [p.detach().clone() for p in learner.policy.parameters()]
    learner.policy_update({})
    for p, old in zip(learner.policy.parameters(), before, strict=True):
        assert not torch.equal(p, old)
        assert p.grad is not None
        assert learner.policy.optimizer.state[p]["step"] == 1
    obs = torch.as_tensor(learner._last_obs)
    mine = learner.fast.actor_critic.values(learner._last_obs.astype(np.float32))
    np.testing.assert_allclose(
        learner.policy.predict_values(obs).detach().flatten(), mine, rtol=1e-5, atol=1e-6
    )


def run(backend, seed=0, pictures=False):
    task = {"env_fn": Pictures, "normalize": False} if pictures else {}
    env = gym.make(
        "HyperRL-PPO-v0" if pictures else "HyperRL-PPO-Pendulum-v0",
        total_env_steps=600 if pictures else 1200,
        backend=backend,
        learner_kwargs={"n_steps": 200, "batch_size": 50, "n_epochs": 3, **(NATURE if pictures else {})},
        **task,
    )
    env.action_space.seed(seed)
    obs, info = env.reset(seed=seed)
    seen = [obs]
    while not info["run_finished"]:
        obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
        seen.append(np.append(obs, np.float32(reward)))
        if (terminated or truncated) and not info["run_finished"]:
            env.reset()
    return seen, env.unwrapped


@pytest.mark.parametrize(
    ("task", "vec_backend"),
    [
        *product(("PPO-Pendulum", "PPO-CartPole", "PPO-MountainCarContinuous"), ["gymnasium"]),
        *product(("A2C-Pendulum", "A2C-CartPole", "ACKTR-Pendulum", "ACKTR-CartPole"), ["gymnasium"]),
        *product(("PPO-Breakout", "A2C-Breakout"), ["gymnasium", "envpool"]),
    ],
)
def test_the_first_phases_of_a_run_follow_sb3s_arithmetic(task, vec_backend):
    """The same noise, minibatches and updates; only rounding differs.

    Simulators with contacts multiply a difference of 1e-7 to 1 within a hundred steps, so they are
    compared phase by phase on given noise instead.
    """
    if vec_backend == "envpool":
        pytest.importorskip("envpool", reason="the extra envpool is not installed")
    settings = {"batch_size": 64, "n_epochs": 1} if task == "PPO-Breakout" else {}

    def first_phases(backend):
        env = gym.make(
            f"HyperRL-{task}-v0",
            total_env_steps=100_000,
            n_envs=2,
            vec_backend=vec_backend,
            backend=backend,
            device="cpu",
            learner_kwargs={"n_steps": 96, **settings},
            decision="phase",
        )
        env.action_space.seed(0)
        env.reset(seed=0)
        assert env.unwrapped.learner.is_fast == (backend == "fast")
        seen = []
        for _ in range(3):
            obs, reward, _, _, info = env.step(env.action_space.sample())
            env.reset()
            seen.append((obs, reward, info["phase_stats"]["loss"], info["phase_stats"]["lengths"]))
        return seen

    for (obs, reward, loss, lengths), (o, r, x, n) in zip(
        first_phases("eager"), first_phases("fast"), strict=True
    ):
        np.testing.assert_allclose(o, obs, rtol=2e-2, atol=2e-3)
        assert r == pytest.approx(reward, rel=1e-2)
        assert x == pytest.approx(loss, rel=2e-2, abs=1e-3)
        assert n == lengths


def test_later_phases_differ_no_more_than_two_seeds_do():
    """Rounding grows to chaos through HalfCheetah's contacts; what is left is the learner's statistics."""

    def episode_return(env):
        reward = env.step(env.default_action)[1]
        env.reset()
        return reward

    def later_returns(backend, seed):
        env = gym.make(
            "HyperRL-PPO-HalfCheetah-v0",
            total_env_steps=9 * 256,
            backend=backend,
            learner_kwargs={"n_steps": 256, "n_epochs": 3},
            decision="phase",
        ).unwrapped
        env.reset(seed=seed)
        # The last episode has no environment phase and no return.
        return np.array([episode_return(env) for _ in range(8)])[3:]

    seeds = range(3)
    eager, fast = ([later_returns(backend, seed) for seed in seeds] for backend in ("eager", "fast"))
    between_backends = np.mean([np.abs(eager[s] - fast[s]).mean() for s in seeds])
    between_seeds = np.mean([np.abs(eager[s] - eager[r]).mean() for s in seeds for r in seeds if r < s])
    # Where all is chaos the two are the same on average: half as much again is for chance.
    assert 0 < between_backends < 1.5 * between_seeds


@pytest.mark.parametrize("pictures", [False, True])
def test_no_hyper_action_compiles_anything(pictures):
    """Any batch size and value is one and the same arithmetic."""
    assert run("fast", pictures=pictures)[1].learner.is_fast
    assert not counters["frames"]
    assert not counters["stats"]


@pytest.mark.parametrize("pictures", [False, True])
def test_same_seed_same_run_to_the_bit(pictures):
    (a, _), (b, _), (c, _) = (run("fast", seed, pictures) for seed in (0, 0, 1))
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(np.array_equal(x, y) for x, y in zip(a, c, strict=False))


def test_auto_is_compiled_where_it_fits():
    assert run("auto")[1].learner.is_fast
    assert not run("eager")[1].learner.is_fast


@pytest.mark.parametrize(
    "policy",
    [
        {"policy_kwargs": {"activation_fn": torch.nn.ELU}},
        {"policy_kwargs": {"optimizer_kwargs": {"amsgrad": True}}},
        {"policy_kwargs": {"optimizer_kwargs": {"weight_decay": 1e-2}}},
        {"policy_kwargs": {"optimizer_class": torch.optim.SGD}},
        {"policy_kwargs": {**OWN["policy_kwargs"], "share_features_extractor": False}},
        {"use_sde": True},
    ],
)
def test_what_has_no_closed_form_is_trained_by_sb3s_arithmetic(policy):
    settings = {"n_steps": 64, "batch_size": 32, "n_epochs": 1, "learning_rate": LinearSchedule(1e-3, 0, 1)}
    eager, fast = (make("PPO", backend, n_envs=1, **settings, **policy) for backend in ("eager", "fast"))
    assert not fast.is_fast
    for learner in (eager, fast):
        torch.manual_seed(0)
        np.random.seed(0)
        learner.environment_phase()
        while not learner.update_phase_finished:
            learner.policy_update({})
    a, b = eager.policy.state_dict(), fast.policy.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)


class Dropout(Bottleneck):
    """Draws at every evaluation that is trained on, and at no other."""

    def __init__(self, observation_space):
        super().__init__(observation_space)
        self.net.append(torch.nn.Dropout(0.5))


def test_an_extractor_may_draw():
    policy = {"policy_kwargs": {"features_extractor_class": Dropout}}
    eager, fast = twins("PPO", env_id="CartPole-v1", **PPO_SMALL, **policy)
    assert fast.is_fast
    assert fast.fast.draws
    for learner in (eager, fast):
        torch.manual_seed(0)
        update(learner, {})
    assert_close(eager, fast, 1e-5)
    eager, fast = (
        make("PPO", backend, "CartPole-v1", **PPO_SMALL, **policy) for backend in ("eager", "fast")
    )
    assert_same_rollouts(eager, fast, rtol=1e-3, atol=1e-4)


def test_only_who_asks_for_compiled_is_warned_where_it_does_not_fit():
    kwargs = {"total_env_steps": 4096, "learner_kwargs": {"policy_kwargs": {"activation_fn": torch.nn.ELU}}}
    with pytest.warns(UserWarning, match="no closed form"):
        gym.make("HyperRL-PPO-Pendulum-v0", backend="fast", **kwargs)
    gym.make("HyperRL-PPO-Pendulum-v0", backend="auto", **kwargs)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7,), (64, 2), (1000, 1)])
def test_discounted_sums_are_those_of_a_loop(shape):
    rng = np.random.default_rng(0)
    terms, factors = rng.normal(size=shape), 0.99 * (rng.random(shape) > 0.1)
    expected, y = np.empty(shape), np.zeros(shape[1:])
    for t in reversed(range(shape[0])):
        y = expected[t] = terms[t] + factors[t] * y
    np.testing.assert_allclose(discounted_sums(terms, factors), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("learning_rate", [1e3, 1e38])
@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
def test_a_step_that_would_ruin_the_policy_is_refused(algorithm, learning_rate, env_id):
    env = gym.make(
        f"HyperRL-{algorithm}-v0",
        env_id=env_id,
        total_env_steps=200,
        backend="fast",
        search_space=[Hyperparameter("learning_rate", values=(learning_rate,))],
        learner_kwargs={"n_steps": 20, **({"batch_size": 10, "n_epochs": 2} if algorithm == "PPO" else {})},
    )
    _, info = env.reset(seed=0)
    refused = False
    while not info["run_finished"]:
        obs, reward, terminated, truncated, info = env.step(1)
        refused |= info["diverged"]
        assert np.isfinite(obs).all()
        assert np.isfinite(reward)
        if (terminated or truncated) and not info["run_finished"]:
            env.reset()
    # ACKTR's trust region shortens every step.
    assert refused or learning_rate == 1e3 or algorithm == "ACKTR"


@pytest.mark.parametrize("algorithm", ["A2C", "ACKTR"])
@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_one_advantage_cannot_be_standardised(algorithm, backend):
    learner = make(algorithm, backend, n_envs=1, n_steps=1, normalize_advantage=True)
    learner.environment_phase()
    before = {name: tensor.clone() for name, tensor in learner.policy.state_dict().items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*degrees of freedom")  # Torch's
        learner.policy_update({})
    assert learner.updates_refused == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.policy.state_dict().items())


@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_the_statistics_of_a_refused_update_are_forgotten(backend):
    """Even where the next update takes none of its own."""

    def factors():
        state = learner.policy.optimizer.state_dict()["state"]
        return [t.clone() for s in state.values() for n, t in s.items() if n.endswith("_factor")]

    learner = make("ACKTR", backend, n_steps=16)
    learner.environment_phase()
    update(learner, {})
    before = factors()
    learner.rollout_buffer.advantages[:] = np.nan
    update(learner, {}, seed=1)
    assert learner.updates_refused == 1
    learner.rollout_buffer.advantages[:] = 1.0
    update(learner, {"stats_interval": 5})
    assert learner.updates_refused == 0
    assert all(torch.equal(a, b) for a, b in zip(factors(), before, strict=True))


@pytest.mark.parametrize(("env_id", "policy"), [("Pendulum-v1", {}), (Pictures, NATURE)])
def test_a_refused_update_leaves_everything_as_it_was(env_id, policy):
    learner = make("PPO", "fast", env_id, normalize=not policy, **PPO_SMALL, **policy)
    learner.environment_phase()
    learner.policy_update({})
    before = {name: tensor.clone() for name, tensor in tensors(learner).items()}
    learner.fast.rollout["advantages"][:] = np.nan
    learner.policy_update({})
    assert learner.updates_refused == 1
    learner.fast.rollout["advantages"][:] = 1.0
    learner.policy_update({"learning_rate": 1e30})
    assert learner.updates_refused == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(learner).items())


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
@pytest.mark.parametrize("name", ["gamma", "gae_lambda", "n_steps", "n_epochs"])
def test_what_a_whole_phase_is_held_at_acts_by_the_next_phase(algorithm, name):
    if name not in learner_class(algorithm).offered:
        return

    def weights(action):
        env = gym.make(
            f"HyperRL-{algorithm}-Pendulum-v0",
            total_env_steps=10_000,
            n_envs=2,
            backend="fast",
            search_space=[name],
            decision="phase",
            learner_kwargs={"n_steps": 32},
        )
        env.reset(seed=0)
        for chosen in (env.unwrapped.default_action, action, env.unwrapped.default_action):
            before = env.unwrapped.learner.values_in_force()[name]
            assert env.unwrapped.learner.is_fast
            env.step(chosen)
            env.reset()
        assert len(env.unwrapped.learner.rollout_buffer.rewards.reshape(-1)) == 64
        return before, torch.cat([p.detach().flatten() for p in env.unwrapped.learner.policy.parameters()])

    (low, some), (high, others), (same, again) = weights(0), weights(2), weights(0)
    assert low == same < high
    assert torch.equal(some, again)
    assert not torch.equal(some, others)


@pytest.mark.parametrize(("env_id", "policy"), [("Pendulum-v1", {}), (Pictures, NATURE)])
@pytest.mark.parametrize("algorithm", SMALL)
def test_sb3_goes_on_training_where_the_fast_backend_stopped(algorithm, env_id, policy, tmp_path):
    """SB3's own `train()`, on the live model and one saved and loaded, as after eager updates; and back."""
    eager, fast = twins(algorithm, env_id=env_id, normalize=not policy, **SMALL[algorithm], **policy)
    for learner in (eager, fast):
        update(learner, {})
    fast.save(tmp_path / "model.zip")
    loaded = type(eager).load(tmp_path / "model.zip")
    loaded.rollout_buffer = copy.deepcopy(eager.rollout_buffer)
    for model in (eager, fast, loaded):
        model.set_logger(eager.logger)
        np.random.seed(1)
        torch.manual_seed(1)
        model.train()
    assert_close(eager, fast, 1e-4)
    a, b = (m.policy.optimizer.state_dict()["state"] for m in (eager, loaded))
    for i in a:
        for name in a[i].keys() - EIGENVECTORS:
            tensor = a[i][name]
            # A natural gradient multiplies rounding; see `assert_close`.
            rounding = 1e-4 * float(tensor.abs().max()) if algorithm == "ACKTR" else 1e-7
            np.testing.assert_allclose(tensor, b[i][name], rtol=1e-3, atol=rounding)
    for p, q in zip(eager.policy.parameters(), loaded.policy.parameters(), strict=True):
        np.testing.assert_allclose(p.detach(), q.detach(), rtol=1e-4, atol=1e-6)
    for learner in (eager, fast):
        learner.begin_update_phase()
        update(learner, {})
    assert_close(eager, fast, 1e-3)
