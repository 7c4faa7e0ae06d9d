"""What others do to `learner.model` through its own API acts on the fast backend as on the eager one.

The same calls on an eager and a fast learner, between phases and between two updates: both end with the
same weights, gradients, moments, statistics and rollouts, to float tolerance.
"""

import copy
import functools
from itertools import product

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import configure
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper, VecNormalize

import hyperrl_env  # noqa: F401 - registers the ids
from hyperrl_env.inner_envs.make import make_inner_envs
from hyperrl_env.learners import FAST, make_learner
from hyperrl_env.learners.acktr.optimizer import KFAC

SMALL = {
    "PPO": {"n_steps": 24, "batch_size": 24, "n_epochs": 2},
    "A2C": {"n_steps": 16},
    "ACKTR": {"n_steps": 16, "damping": 0.1},
}
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


class Line(gym.Env):
    """A point on a line: nothing in it multiplies rounding. Episodes end by a time limit, some by a goal."""

    observation_space = gym.spaces.Box(-10, 10, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.x = 0, self.np_random.uniform(-1, 1)
        self.length = int(self.np_random.integers(4, 9))
        return self.observation(), {}

    def step(self, action):
        self.t += 1
        self.x += 0.1 * float(np.sum(action))
        over = self.t == self.length
        return self.observation(), 1 - self.x**2, over and self.length == 4, over and self.length > 4, {}

    def observation(self):
        return np.array([self.x, self.t / 8], np.float32)


class Corridor(Line):
    """Left and right."""

    action_space = gym.spaces.Discrete(2)

    def step(self, action):
        return super().step(2 * action - 1)


def make(algorithm, backend, env=Line, normalize=True, seed=3, **kwargs):
    envs = make_inner_envs(env, env_kwargs={}, n_envs=2, normalize=normalize, gamma=0.99)
    kwargs = {**SMALL[algorithm], "policy_kwargs": {"net_arch": [8, 8]}, **kwargs}
    learner = make_learner(algorithm, backend, envs, kwargs, seed=seed, device="cpu")
    learner.start_run(100_000, gradient_order=2)
    return learner


class Twins:
    """An eager and a fast learner that live through the same, on the same random numbers."""

    def __init__(self, algorithm, env=Line, **kwargs):
        self.both = [make(algorithm, backend, env, **kwargs) for backend in ("eager", "fast")]
        self.eager, self.fast = self.both
        self.seed = 0

    def each(self, do):
        """The same random numbers for both, whatever was drawn before."""
        self.seed += 1
        for learner in self.both:
            np.random.seed(self.seed)
            torch.manual_seed(self.seed)
            do(learner)
        return self

    def collect(self):
        return self.each(lambda learner: learner.environment_phase())

    def update(self, **values):
        """One update on one order of the samples, however many numbers were drawn before."""
        return self.each(lambda learner: learner.policy_update(values))

    def finish(self, **values):
        while not self.eager.update_phase_finished:
            self.update(**values)
        return self

    def assert_alike(self, tolerance=1e-4):
        assert self.eager.update_phase_finished == self.fast.update_phase_finished
        assert self.eager.updates_refused == self.fast.updates_refused == 0
        expected, found = everything(self.eager), everything(self.fast)
        for name, array in expected.items():
            np.testing.assert_allclose(found[name], array, rtol=tolerance, atol=tolerance, err_msg=name)
        # Moments that are zeros may be there before the first step, and nowhere else.
        assert not any(np.any(found[name]) for name in found.keys() - expected.keys())


def everything(learner):
    found = {f"policy.{name}": t.numpy().copy() for name, t in learner.policy.state_dict().items()}
    found |= {
        f"grad.{n}": p.grad.numpy().copy() for n, p in learner.policy.named_parameters() if p.grad is not None
    }
    for i, state in learner.policy.optimizer.state_dict()["state"].items():
        found |= {
            f"moment.{i}.{n}": torch.as_tensor(t).numpy().copy()
            for n, t in state.items()
            if n not in EIGENVECTORS
        }
    for age in range(2):
        found |= {
            f"gradient.{age}.{i}": g.numpy().copy() for i, g in enumerate(learner.gradient_history[age])
        }
    found |= {f"value.{name}": value for name, value in learner.values_in_force().items()}
    buffer = learner.rollout_buffer
    for name in BUFFER:
        # SB3's A2C lays it out flat.
        laid_out = buffer.generator_ready and name not in ("rewards", "episode_starts")
        array = getattr(buffer, name)
        found[f"buffer.{name}"] = (array if laid_out else buffer.swap_and_flatten(array)).reshape(-1)
    if (normalizer := learner.get_vec_normalize_env()) is not None:
        found |= {"normalizer.returns": normalizer.returns.copy()}
        for name in ("obs_rms", "ret_rms"):
            rms = getattr(normalizer, name)
            found |= {f"normalizer.{name}": np.append(rms.mean, [*np.ravel(rms.var), rms.count])}
    return found


def weights(learner):
    return torch.cat([p.detach().flatten() for p in learner.policy.parameters()]).clone()


@functools.cache
def a_trained_model(algorithm):
    """Another one, with moments of its own."""
    other = make(algorithm, "eager", seed=7)
    other.environment_phase()
    while not other.update_phase_finished:
        other.policy_update({"learning_rate": 0.01})
    return other


ALGORITHMS = pytest.mark.parametrize("algorithm", list(SMALL))
# ------------------------------------------------------------------ doors


def set_parameters(twins, algorithm, tmp_path):
    given = a_trained_model(algorithm).get_parameters()
    for learner in twins.both:
        learner.set_parameters(copy.deepcopy(given))


def set_parameters_from_a_zip(twins, algorithm, tmp_path):
    a_trained_model(algorithm).save(tmp_path / "model.zip")
    for learner in twins.both:
        learner.set_parameters(str(tmp_path / "model.zip"))


def set_some_parameters(twins, algorithm, tmp_path):
    given = a_trained_model(algorithm).get_parameters()["policy"]
    given = {name: tensor for name, tensor in given.items() if name.startswith("mlp_extractor")}
    for learner in twins.both:
        learner.set_parameters(copy.deepcopy({"policy": given}), exact_match=False)


def set_own_parameters(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.set_parameters(learner.get_parameters())


def load_the_policy(twins, algorithm, tmp_path):
    given = a_trained_model(algorithm).policy.state_dict()
    for learner in twins.both:
        learner.policy.load_state_dict(copy.deepcopy(given))


def load_the_optimiser(twins, algorithm, tmp_path):
    given = a_trained_model(algorithm).policy.optimizer.state_dict()
    for learner in twins.both:
        learner.policy.optimizer.load_state_dict(copy.deepcopy(given))


def clear_the_optimiser(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.policy.optimizer.state.clear()


def replace_moments(twins, algorithm, tmp_path):
    for learner in twins.both:
        for state in learner.policy.optimizer.state.values():
            for name, tensor in state.items():
                if name.endswith(("avg", "sq", "buffer")):
                    state[name] = torch.full_like(tensor, 1e-3)


def replace_the_optimiser(twins, algorithm, tmp_path):
    for learner in twins.both:
        old = learner.policy.optimizer
        kind, keywords = type(old), {"module": learner.policy} if algorithm == "ACKTR" else {}
        learner.policy.optimizer = kind(**keywords) if keywords else kind(learner.policy.parameters(), lr=1.0)


def another_optimiser(twins, algorithm, tmp_path):
    for learner in twins.both:
        if algorithm != "ACKTR":
            learner.policy.optimizer = torch.optim.SGD(learner.policy.parameters(), lr=1.0, momentum=0.5)


def optimiser_options(twins, algorithm, tmp_path):
    for learner in twins.both:
        group = learner.policy.optimizer.param_groups[0]
        group |= {"eps": 0.1} | ({"betas": (0.5, 0.9)} if "betas" in group else {"alpha": 0.995})


def weight_decay(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.policy.optimizer.param_groups[0]["weight_decay"] = 0.1


def a_second_group(twins, algorithm, tmp_path):
    for learner in twins.both:
        if algorithm == "ACKTR":
            continue
        first = learner.policy.optimizer.param_groups[0]
        moved = first["params"].pop()
        learner.policy.optimizer.add_param_group({"params": [moved], "weight_decay": 0.5})


def freeze_the_actor(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.policy.mlp_extractor.policy_net.requires_grad_(False)


def freeze_a_head(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.policy.value_net.requires_grad_(False)
        learner.policy.log_std.requires_grad = False


def other_memory(twins, algorithm, tmp_path):
    for learner in twins.both:
        for parameter in learner.policy.parameters():
            parameter.data = parameter.data * 1.5


def another_layer(twins, algorithm, tmp_path):
    """Which nobody optimises; ACKTR's optimiser knows layers, and holds on to the old one."""
    if algorithm == "ACKTR":
        return
    layer = torch.nn.Linear(8, 1)
    for learner in twins.both:
        learner.policy.value_net = copy.deepcopy(layer)


def another_layer_and_optimiser(twins, algorithm, tmp_path):
    layer = torch.nn.Linear(8, 1)
    for learner in twins.both:
        learner.policy.value_net = copy.deepcopy(layer)
    replace_the_optimiser(twins, algorithm, tmp_path)


def another_log_std(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.policy.log_std = torch.nn.Parameter(learner.policy.log_std.detach().clone())


def a_head_of_two(twins, algorithm, tmp_path):
    head = torch.nn.Sequential(torch.nn.Linear(8, 2), torch.nn.Hardtanh(-0.1, 0.1))
    for learner in twins.both:
        learner.policy.action_net = copy.deepcopy(head)


class Half(FlattenExtractor):
    def forward(self, observations):
        return 0.5 * super().forward(observations)


def one_extractor(twins, algorithm, tmp_path):
    """The one that training sees; acting and bootstrapping have others."""
    for learner in twins.both:
        learner.policy.features_extractor = Half(learner.observation_space)


def a_hook_on_a_layer(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.policy.mlp_extractor.register_forward_hook(lambda module, x, out: (out[0] * 0.5, out[1]))


def a_hook_on_a_gradient(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.policy.action_net.weight.register_hook(lambda gradient: gradient * 0.5)


def a_method_of_the_object(twins, algorithm, tmp_path):
    for learner in twins.both:
        predict = learner.policy.predict_values
        learner.policy.predict_values = lambda obs, predict=predict: 0.5 * predict(obs)


def a_hook_on_the_step(twins, algorithm, tmp_path):
    def halve(optimizer, *_):
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad.mul_(0.5)

    for learner in twins.both:
        learner.policy.optimizer.register_step_pre_hook(halve)


def a_step_of_the_object(twins, algorithm, tmp_path):
    for learner in twins.both:
        optimizer = learner.policy.optimizer
        optimizer.step = lambda optimizer=optimizer, step=optimizer.step: (step(), step())


def zero_grad(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.policy.optimizer.zero_grad()


def seeds_and_logger(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.set_random_seed(5)
        learner.set_logger(configure(None, []))


def algorithm_attributes(twins, algorithm, tmp_path):
    for learner in twins.both:
        learner.normalize_advantage = algorithm != "PPO"
        learner.max_grad_norm = 0.01


DOORS = [
    *(set_parameters, set_parameters_from_a_zip, set_some_parameters, set_own_parameters),
    *(load_the_policy, load_the_optimiser, clear_the_optimiser, replace_moments, replace_the_optimiser),
    *(another_optimiser, optimiser_options, weight_decay, a_second_group, freeze_the_actor, freeze_a_head),
    *(other_memory, another_layer, another_layer_and_optimiser, another_log_std, a_head_of_two),
    *(one_extractor, a_hook_on_a_layer, a_hook_on_a_gradient, a_method_of_the_object, zero_grad),
    *(a_hook_on_the_step, a_step_of_the_object),
    *(seeds_and_logger, algorithm_attributes),
]


# A2C differs from PPO in its optimiser, here.
OF_OPTIMISERS = [
    *(set_parameters, load_the_optimiser, clear_the_optimiser, replace_moments, replace_the_optimiser),
    *(another_optimiser, optimiser_options, weight_decay, freeze_a_head, other_memory, algorithm_attributes),
]


@pytest.mark.parametrize(
    ("algorithm", "door"),
    [*product(["PPO", "ACKTR"], DOORS), *product(["A2C"], OF_OPTIMISERS)],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_between_phases(algorithm, door, tmp_path):
    """After the environment phase, where `env.step` returns: both the updates and the next phase follow."""
    twins = Twins(algorithm).collect().finish().collect()
    door(twins, algorithm, tmp_path)
    twins.finish(learning_rate=1e-3)
    twins.assert_alike()
    before = weights(twins.fast)
    twins.collect().finish(learning_rate=3e-3)
    twins.assert_alike()
    assert not torch.equal(before, weights(twins.fast))


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_between_two_updates(door, tmp_path):
    twins = Twins("PPO").collect().update()
    door(twins, "PPO", tmp_path)
    twins.finish(learning_rate=1e-3)
    twins.assert_alike()


def freeze(twins, frozen=True):
    for learner in twins.both:
        learner.policy.action_net.requires_grad_(not frozen)
        learner.policy.mlp_extractor.value_net[0].requires_grad_(not frozen)


@ALGORITHMS
def test_what_was_frozen_is_trained_again_from_its_own_moments(algorithm):
    """Adam counts the steps of every parameter tensor by itself."""
    twins = Twins(algorithm).collect()
    freeze(twins)
    before = [p.detach().clone() for p in twins.fast.policy.action_net.parameters()]
    twins.finish().assert_alike()
    assert all(
        torch.equal(p, q) for p, q in zip(before, twins.fast.policy.action_net.parameters(), strict=True)
    )
    twins.collect()
    freeze(twins, False)
    twins.finish().assert_alike()
    assert twins.fast.is_fast
    twins.collect().update()
    freeze(twins)
    assert twins.fast.is_fast == (algorithm != "ACKTR")
    twins.finish().collect().finish().assert_alike()


def test_steps_that_sb3_did_on_some_parameters_count():
    """`train()` in between counts steps that the fast optimiser did not do."""
    twins = Twins("PPO").collect().finish().collect()
    freeze(twins)
    twins.each(lambda learner: learner.train())
    freeze(twins, False)
    twins.finish().collect().finish().assert_alike()


def test_states_with_and_without_steps_on_some_parameters():
    """Snapshots of both kinds, put back in turn; whatever was written out anew in between."""
    twins = Twins("PPO").collect()

    def put_back(states):
        twins.each(lambda learner: learner.load_state_dict(copy.deepcopy(states[learner])))

    before = {learner: copy.deepcopy(learner.state_dict()) for learner in twins.both}
    freeze(twins)
    twins.update()
    frozen = {learner: copy.deepcopy(learner.state_dict()) for learner in twins.both}
    twins.update()
    freeze(twins, False)
    twins.update()
    unequal = {learner: copy.deepcopy(learner.state_dict()) for learner in twins.both}
    for states in (before, unequal, frozen, before, unequal):
        put_back(states)
        twins.update().assert_alike()
        other_memory(twins, "PPO", None)
        twins.update().assert_alike()
        put_back(states)
        twins.update().assert_alike()
    assert twins.fast.is_fast


class Bottleneck(BaseFeaturesExtractor):
    """A features extractor of one's own, which Torch differentiates."""

    def __init__(self, observation_space):
        super().__init__(observation_space, features_dim=4)
        self.net = torch.nn.Sequential(torch.nn.Linear(2, 5), torch.nn.ELU(), torch.nn.Linear(5, 4))

    def forward(self, observations):
        return self.net(observations)


def freeze_half_of_the_extractor(twins):
    for learner in twins.both:
        learner.policy.features_extractor.net[0].requires_grad_(False)


def freeze_the_extractor(twins):
    for learner in twins.both:
        learner.policy.features_extractor.requires_grad_(False)


def another_extractor(twins):
    extractor = Bottleneck(Line.observation_space)
    for learner in twins.both:
        policy = learner.policy
        policy.features_extractor = policy.pi_features_extractor = policy.vf_features_extractor = (
            copy.deepcopy(extractor)
        )
        kind, keywords = type(policy.optimizer), learner.policy.optimizer.defaults
        policy.optimizer = kind(policy if kind is KFAC else policy.parameters(), **keywords)


def a_hook_on_the_extractor(twins):
    for learner in twins.both:
        learner.policy.features_extractor.net[0].register_forward_hook(lambda module, x, out: 0.5 * out)


def other_memory_everywhere(twins):
    other_memory(twins, None, None)


@ALGORITHMS
@pytest.mark.parametrize(
    "door",
    [
        *(freeze_half_of_the_extractor, freeze_the_extractor, another_extractor, a_hook_on_the_extractor),
        other_memory_everywhere,
    ],
    ids=lambda door: door.__name__,
)
def test_an_extractor_of_ones_own(algorithm, door):
    policy = {"net_arch": [8], "features_extractor_class": Bottleneck}
    twins = Twins(algorithm, policy_kwargs=policy).collect().finish().collect()
    door(twins)
    twins.finish(learning_rate=1e-3).collect().finish().assert_alike()
    assert twins.fast.is_fast
    for learner in twins.both:
        learner.policy.features_extractor.requires_grad_(True)
    twins.collect().finish().assert_alike()


@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_the_hyper_state_is_that_of_the_layers_that_are_there(make_env, backend):
    env = make_env("PPO", backend=backend, decision="phase", learning_episode_phases=None)
    env.reset(seed=0)
    policy = env.learner.policy
    policy.action_net = torch.nn.Linear(policy.action_net.in_features, policy.action_net.out_features)
    policy.optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    env.step(env.default_action)
    for matrix, parameter in zip(env.hyper_state_tensors(), policy.parameters(), strict=False):
        assert torch.equal(matrix.reshape(-1), parameter.detach().reshape(-1))


@ALGORITHMS
@pytest.mark.parametrize(
    ("shut", "open_again"),
    [
        (weight_decay, lambda learner: learner.policy.optimizer.param_groups[0].update(weight_decay=0.0)),
        (a_method_of_the_object, lambda learner: vars(learner.policy).pop("predict_values")),
        (a_step_of_the_object, lambda learner: vars(learner.policy.optimizer).pop("step")),
    ],
    ids=["weight_decay", "method", "step"],
)
def test_it_is_fast_again_when_what_forbade_it_is_gone(algorithm, shut, open_again, tmp_path):
    if algorithm == "ACKTR" and shut is not a_method_of_the_object:
        return
    twins = Twins(algorithm).collect()
    assert twins.fast.is_fast
    shut(twins, algorithm, tmp_path)
    assert not twins.fast.is_fast
    twins.update().assert_alike()
    for learner in twins.both:
        open_again(learner)
    assert twins.fast.is_fast
    twins.finish().collect().finish().assert_alike()


def test_a_removed_hook_is_no_hook():
    twins = Twins("PPO").collect()
    handles = [learner.policy.action_net.register_forward_hook(lambda *_: None) for learner in twins.both]
    assert not twins.fast.is_fast
    twins.update()
    for handle in handles:
        handle.remove()
    assert twins.fast.is_fast
    twins.finish().assert_alike()


def test_nothing_is_written_out_anew_where_nothing_was_replaced():
    twins = Twins("PPO").collect()
    written = twins.fast.fast.actor_critic
    torch.nn.Linear(1, 1).register_forward_hook(lambda *_: None)
    twins.finish().collect().finish()
    state = copy.deepcopy(twins.fast.state_dict())
    twins.fast.load_state_dict(state)
    twins.fast.set_logger(configure(None, []))
    twins.fast.policy.load_state_dict(twins.fast.policy.state_dict())
    twins.fast.policy_update({})
    assert twins.fast.fast.actor_critic is written


@ALGORITHMS
def test_sb3s_learn_in_between(algorithm):
    twins = Twins(algorithm).collect().finish()
    twins.each(lambda learner: learner.learn(96, reset_num_timesteps=False))
    twins.collect().finish().assert_alike()


def test_a_learner_that_was_loaded(tmp_path):
    twins = Twins("PPO").collect().finish()
    for learner in twins.both:
        learner.save(tmp_path / "model.zip")
        twins.both[twins.both.index(learner)] = type(learner).load(
            tmp_path / "model.zip", env=make("PPO", "eager").env
        )
    twins.eager, twins.fast = twins.both
    twins.fast.fast = FAST["PPO"](twins.fast)
    for learner in twins.both:
        learner.start_run(100_000, gradient_order=2)
    assert twins.fast.is_fast
    twins.collect().finish().assert_alike()


def small_env(backend, algorithm="PPO", **kwargs):
    settings = {**SMALL[algorithm], "policy_kwargs": {"net_arch": [8, 8]}, **kwargs}
    return gym.make(
        f"HyperRL-{algorithm}-v0",
        env_fn=Line,
        total_env_steps=10_000,
        n_envs=2,
        search_space=["learning_rate"],
        backend=backend,
        learner_kwargs=settings,
    ).unwrapped


@pytest.mark.parametrize("algorithm", ["PPO", "A2C"])
@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_a_learning_rate_acts_after_set_parameters(algorithm, backend):
    def after(env, action, snapshot):
        env.restore(snapshot)
        start = weights(env.learner)
        env.step(action)
        return weights(env.learner) - start

    env = small_env(backend, algorithm)
    env.reset(seed=0)
    env.step(0)
    if algorithm == "A2C":
        env.reset()
    env.learner.model.set_parameters(a_trained_model(algorithm).get_parameters())
    snapshot = env.snapshot()
    low, high, again = (after(env, action, snapshot) for action in (0, 2, 0))
    assert torch.equal(low, again)
    (first, *_, last) = env.search_space.bins["learning_rate"]
    torch.testing.assert_close(high, low * last / first, rtol=1e-2, atol=1e-6)


# ------------------------------------------------------------------ environments


def switch(**values):
    def do(learner):
        for name, value in values.items():
            setattr(learner.get_vec_normalize_env(), name, value)

    return do


@pytest.mark.parametrize(
    "values",
    [
        {"training": False},
        {"training": False, "norm_reward": False},
        {"norm_reward": False},
        {"norm_obs": False},
        {"norm_obs": False, "norm_reward": False, "training": False},
        {"clip_obs": 0.3, "clip_reward": 0.2},
        {"gamma": 0.5, "epsilon": 1.0},
    ],
    ids=lambda values: "-".join(values),
)
@pytest.mark.parametrize("env", [Line, Corridor])
def test_the_switches_of_vec_normalize(env, values):
    """Off, and on again."""
    twins = Twins("A2C", env).collect().finish()
    before = {name: getattr(twins.fast.get_vec_normalize_env(), name) for name in values}
    for now in (values, before):
        for learner in twins.both:
            switch(**now)(learner)
        twins.collect().assert_alike()
        twins.finish().collect().finish().assert_alike()
    assert twins.fast.is_fast


def test_statistics_that_others_put_there():
    """Whole numbers, and an array that somebody else holds."""
    twins = Twins("A2C").collect().finish()
    mean = np.array([1, 2])
    for learner in twins.both:
        learner.get_vec_normalize_env().obs_rms.mean = mean
        learner.get_vec_normalize_env().obs_rms.var = np.array([2, 2])
    twins.collect().finish().assert_alike()
    assert mean.tolist() == [1, 2]


class Halved(VecEnvWrapper):
    """Rewards, halved."""

    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        observations, rewards, dones, infos = self.venv.step_wait()
        return observations, 0.5 * rewards, dones, infos


class HalvedNormalize(VecNormalize):
    """Observations, halved."""

    def normalize_obs(self, obs):
        return 0.5 * super().normalize_obs(obs)


class HalvedDummy(DummyVecEnv):
    """Rewards, halved."""

    def step_wait(self):
        observations, rewards, dones, infos = super().step_wait()
        return observations, 0.5 * rewards, dones, infos


def override_normalize_obs(envs):
    envs.normalize_obs = lambda obs, normalize=envs.normalize_obs: 0.5 * normalize(obs)
    return envs


def plain():
    return DummyVecEnv([lambda: TimeLimit(Line(), 5) for _ in range(2)])


OTHER_ENVS = {
    "plain": plain,
    "normalised": lambda: VecNormalize(plain()),
    "wrapped inside": lambda: VecNormalize(Halved(plain())),
    "wrapped outside": lambda: Halved(VecNormalize(plain())),
    "normalised twice": lambda: VecNormalize(VecNormalize(plain())),
    "VecNormalize subclass": lambda: HalvedNormalize(plain()),
    "DummyVecEnv subclass": lambda: HalvedDummy([Line, Line]),
    "method replaced": lambda: override_normalize_obs(VecNormalize(plain())),
}


@pytest.mark.parametrize("name", OTHER_ENVS)
def test_set_env(name):
    twins = Twins("A2C").collect().finish()
    # The new environments' episodes begin with the next phase, on the run's random numbers.
    twins.each(lambda learner: learner.set_env(OTHER_ENVS[name]()))
    twins.collect().finish().collect().finish().assert_alike()
    assert twins.fast.get_env() is not None


class Writes(Line):
    """One array for all observations."""

    def __init__(self):
        self.shown = np.zeros(2, np.float32)

    def observation(self):
        self.shown[:] = super().observation()
        return self.shown


class WritesSteps(Writes):
    """One array for all observations of an episode."""

    def reset(self, *, seed=None, options=None):
        self.shown = np.zeros(2, np.float32)
        return super().reset(seed=seed, options=options)


class InPlace(VecEnvWrapper):
    """One array for all last observations of episodes."""

    def reset(self):
        self.last = np.zeros(2, np.float32)
        return self.venv.reset()

    def step_wait(self):
        observations, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            if "terminal_observation" in info:
                self.last[:] = info["terminal_observation"]
                info["terminal_observation"] = self.last
        return observations, rewards, dones, infos


@pytest.mark.parametrize("normalize", [True, False])
def test_environments_that_write_into_one_array(normalize):
    """SB3 keeps an episode's last observation until the next one has begun, and no longer."""
    in_place, afresh, copied = (Twins("PPO", env, normalize=normalize) for env in (Writes, WritesSteps, Line))
    for twins in (in_place, afresh, copied):
        assert twins.fast.is_fast
        twins.collect().assert_alike()
        twins.finish().collect().finish().assert_alike()
    for expected, found in zip(copied.both, afresh.both, strict=True):
        np.testing.assert_array_equal(found.rollout_buffer.rewards, expected.rollout_buffer.rewards)
    assert not np.allclose(in_place.fast.rollout_buffer.rewards, copied.fast.rollout_buffer.rewards)


def test_vectorised_environments_that_write_into_one_array():
    twins = Twins("A2C", normalize=False)
    twins.each(lambda learner: learner.set_env(InPlace(DummyVecEnv([Line, Line]))))
    twins.collect().finish().collect().finish().assert_alike()


# ------------------------------------------------------------------ buffers and policies of one's own


class Scaled(RolloutBuffer):
    """Advantages are halved."""

    def compute_returns_and_advantage(self, last_values, dones):
        super().compute_returns_and_advantage(last_values, dones)
        self.advantages *= 0.5


@ALGORITHMS
def test_another_rollout_buffer_class(algorithm):
    twins = Twins(algorithm, rollout_buffer_class=Scaled, normalize=False)
    assert not twins.fast.is_fast
    twins.collect()
    own = make(algorithm, "eager", normalize=False)
    np.random.seed(twins.seed)
    torch.manual_seed(twins.seed)
    own.environment_phase()
    for learner in twins.both:
        np.testing.assert_array_equal(learner.rollout_buffer.advantages, 0.5 * own.rollout_buffer.advantages)
    twins.finish().collect().finish().assert_alike(0)


@ALGORITHMS
def test_another_rollout_buffer_in_the_middle(algorithm):
    def replace(learner):
        learner.rollout_buffer = Scaled(
            learner.n_steps,
            learner.observation_space,
            learner.action_space,
            n_envs=2,
            gamma=0.9,
            gae_lambda=0.5,
        )

    twins = Twins(algorithm).collect().finish().each(replace)
    assert not twins.fast.is_fast
    twins.collect().finish().assert_alike()


def test_who_asks_for_the_fast_backend_is_told_which_buffer_has_none():
    with pytest.warns(UserWarning, match=r"Scaled on cpu has no closed form for backend='fast'"):
        small_env("fast", rollout_buffer_class=Scaled)
    small_env("auto", rollout_buffer_class=Scaled)


class Shifted(ActorCriticPolicy):
    """Values beside those that it trains."""

    def predict_values(self, obs):
        return super().predict_values(obs) + 1


class Adam(torch.optim.Adam):
    """Steps of its own."""

    def step(self, closure=None):
        super().step(closure)
        return super().step(closure)


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        *((algorithm, {"policy": Shifted}) for algorithm in SMALL),
        *((a, {"policy_kwargs": {"optimizer_class": Adam, "net_arch": [8]}}) for a in ("PPO", "A2C")),
        ("PPO", {"use_sde": True}),
        ("PPO", {"use_sde": True, "policy_kwargs": {"squash_output": True}}),
    ],
)
def test_classes_of_ones_own_are_left_to_sb3(algorithm, settings):
    twins = Twins(algorithm, **settings)
    assert not twins.fast.is_fast
    twins.collect().finish().collect().finish().assert_alike(0)
