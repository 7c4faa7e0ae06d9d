"""The white-box view of a learner: what it foretells comes true, and looking changes nothing."""

import copy
import itertools

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.distributions import kl_divergence as torch_kl

from hyperrl_env import LearnerView
from hyperrl_env.learners import whitebox

BACKENDS = ("eager", "fast")
OTHER = {
    "learning_rate": 3e-3,
    "gamma": 0.9,
    "gae_lambda": 0.8,
    "ent_coef": 0.05,
    "vf_coef": 0.3,
    "max_grad_norm": 0.05,
}


def flat(parameters):
    return torch.cat([p.detach().reshape(-1).clone() for p in parameters])


@pytest.fixture
def trained(make_env, take_default_steps):
    """`trained(algorithm, **kwargs)`: an environment whose learner has done a few updates."""

    def train(algorithm="A2C", steps=3, **kwargs):
        env = make_env(algorithm, total_env_steps=2_000, n_envs=3, **kwargs)
        env.reset(seed=1)
        take_default_steps(env, steps)
        return env

    return train


# ---------------------------------------------------------------------- the next update


RMSPROP = {"normalize_advantage": True}
ADAM = {"use_rms_prop": False}
# The fast backend does not know it.
SGD = {
    "use_rms_prop": False,
    "policy_kwargs": {"optimizer_class": torch.optim.SGD, "optimizer_kwargs": {"momentum": 0.9}},
}


@pytest.mark.parametrize(
    ("backend", "learner_kwargs"),
    [("eager", RMSPROP), ("fast", RMSPROP), ("eager", ADAM), ("fast", ADAM), ("eager", SGD)],
)
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("values", [{}, {"learning_rate": 0.01}, OTHER], ids=["default", "rate", "all"])
def test_the_weights_foretold_are_those_that_the_update_makes(
    trained, backend, env_id, values, learner_kwargs
):
    env = trained(backend=backend, env_id=env_id, learner_kwargs=learner_kwargs)
    view = LearnerView(env.learner)
    before = flat(env.learner.policy.parameters())
    foretold = view.weights_after(values)
    env.learner.policy_update(values)
    after = flat(env.learner.policy.parameters())
    assert (after - before).abs().max() > 1e-5
    torch.testing.assert_close(foretold, after, rtol=0, atol=3e-7)
    rate = values.get("learning_rate", env.learner.default_values()["learning_rate"])
    torch.testing.assert_close(view.step_direction(values) * rate, after - before, rtol=0, atol=3e-7)


def test_a_frozen_layer_stays(trained):
    env = trained()
    env.learner.policy.value_net.bias.requires_grad_(False)
    view = LearnerView(env.learner)
    foretold = view.weights_after({})
    env.learner.policy_update({})
    torch.testing.assert_close(foretold, flat(env.learner.policy.parameters()), rtol=0, atol=3e-7)
    assert view.policy_gradient().shape == foretold.shape


# ---------------------------------------------------------------------- looking changes nothing


def look(env):
    """Everything that a view offers."""
    view = LearnerView(env.learner)
    found = {"gradient": view.policy_gradient(), "weights": view.weights}
    other = view.weights + 0.01 * torch.randn(
        2, len(view.weights), generator=torch.Generator().manual_seed(0)
    )
    found |= view.evaluate(other)._asdict()
    if env.inner_run_config.algorithm == "A2C":
        found["direction"] = view.step_direction(OTHER)
        found["derivative"] = view.step_derivative(OTHER, np.ones_like(view.rollout.rewards))
    return found


def learner_bits(env, bits_of):
    gradients = [None if p.grad is None else p.grad.clone() for p in env.learner.policy.parameters()]
    env_state = env.snapshot()
    return repr((bits_of(env.learner), gradients, env.learner.values_in_force())), repr(
        (env_state["run"]["learner"]["targets"], env_state["run"]["random_state"], env.hyper_state_tensors())
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("algorithm", ["A2C", "PPO", "ACKTR"])
def test_looking_changes_nothing(trained, bits_of, algorithm, backend, take_default_steps):
    env, undisturbed = (trained(algorithm, backend=backend, env_id="Pendulum-v1") for _ in range(2))
    for generator in (np.random.seed, torch.manual_seed):
        generator(5)
    policy = env.learner.policy
    parts = [*policy.parameters(), *vars(policy.action_dist).values()]
    before, state = learner_bits(env, bits_of), (torch.get_rng_state(), np.random.get_state()[1].copy())
    look(env)
    assert learner_bits(env, bits_of) == before
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (np.random.get_state()[1] == state[1]).all()
    after = [*policy.parameters(), *vars(policy.action_dist).values()]
    assert all(a is b for a, b in zip(parts, after, strict=True))
    assert env.learner.is_fast == (backend == "fast")
    for one in (env, undisturbed):
        take_default_steps(one, 3)
    assert bits_of(env.learner) == bits_of(undisturbed.learner)


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_views_see_the_same(trained, backend):
    env = trained(backend=backend)
    first, second = look(env), look(env)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_can_be_looked_at_between_two_minibatches(make_env):
    """Where the policy still holds the graph of the update before."""
    env = make_env("PPO", env_id="Pendulum-v1")
    env.reset(seed=0)
    env.step(env.default_action)
    view = LearnerView(env.learner)
    assert torch.equal(view.weights, flat(env.learner.policy.parameters()))
    assert view.evaluate(view.weights[None]).kl.max() < 1e-6


def test_a_view_stays_what_it_was(trained, take_default_steps):
    env = trained(env_id="Pendulum-v1")
    view = LearnerView(env.learner)
    kept = copy.deepcopy(view.rollout), view.weights.clone(), view.evaluate(view.weights[None])
    take_default_steps(env, 2)
    for name, part in vars(kept[0]).items():
        np.testing.assert_array_equal(getattr(view.rollout, name), part)
    assert torch.equal(view.weights, kept[1])
    assert torch.equal(view.evaluate(view.weights[None]).log_probs, kept[2].log_probs)


# ---------------------------------------------------------------------- the rollout


@pytest.mark.parametrize("algorithm", ["A2C", "PPO"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_rollout_is_laid_out_by_steps_and_environments(make_env, scripted_env, algorithm, backend):
    """Episodes of 3 and of 4 steps; the observation says which step it is."""
    lengths = itertools.cycle([3, 4])

    def make():
        return scripted_env([float(t) for t in range(next(lengths))])

    env = make_env(
        algorithm,
        env_fn=make,
        n_envs=2,
        backend=backend,
        learner_kwargs={"n_steps": 7} | ({"batch_size": 7} if algorithm == "PPO" else {}),
        total_env_steps=70,
    )
    env.reset(seed=0)
    rollout = LearnerView(env.learner).rollout
    steps = np.arange(7)
    expected = np.stack([steps % 3, steps % 4], axis=1)
    np.testing.assert_array_equal(rollout.rewards, expected)
    np.testing.assert_allclose(rollout.observations[..., 0], expected / [3, 4], rtol=1e-6)
    np.testing.assert_array_equal(rollout.dones, expected == [2, 3])
    assert rollout.actions.shape == (7, 2, 1)
    assert rollout.log_probs.shape == rollout.values.shape == (7, 2)
    assert rollout.last_values.shape == (2,)


# ---------------------------------------------------------------------- the policy


class Spaces(gym.Env):
    """Any action space; observations are noise."""

    observation_space = gym.spaces.Box(-3, 3, (4,), np.float32)

    def __init__(self, action_space):
        self.action_space = action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.normal(size=4).astype(np.float32), {}

    def step(self, action):
        return self.np_random.normal(size=4).astype(np.float32), self.np_random.normal(), False, False, {}


SPACES = {
    "box": gym.spaces.Box(-1, 1, (3,), np.float32),
    "discrete": gym.spaces.Discrete(3),
    "multi_discrete": gym.spaces.MultiDiscrete([2, 3]),
    "multi_binary": gym.spaces.MultiBinary(3),
}


def summed(divergence):
    return divergence.sum(-1) if divergence.ndim == 2 else divergence


@pytest.mark.parametrize("space", [*SPACES, "sde"])
@pytest.mark.parametrize("at_once", [1, 2**22])
def test_policies_are_evaluated_as_if_their_weights_were_loaded(make_env, space, at_once, monkeypatch):
    monkeypatch.setattr(whitebox, "_AT_ONCE", at_once)
    env = make_env(
        "A2C",
        env_fn=lambda: Spaces(SPACES["box" if space == "sde" else space]),
        n_envs=2,
        learner_kwargs={"use_sde": space == "sde"},
        total_env_steps=100,
    )
    env.reset(seed=0)
    view = LearnerView(env.learner)
    shift = torch.randn(2, len(view.weights), generator=torch.Generator().manual_seed(0))
    candidates = torch.cat([view.weights[None], view.weights + 0.05 * shift])
    found = view.evaluate(candidates)
    np.testing.assert_allclose(found.log_probs[0], view.rollout.log_probs, atol=1e-5)
    assert found.kl[0].abs().max() < 1e-6

    policy = env.learner.policy
    observations = torch.as_tensor(view.rollout.observations.reshape(-1, 4))
    actions = torch.as_tensor(view.rollout.actions.reshape(len(observations), -1)).float()
    if space == "discrete":
        actions = actions.flatten()
    with torch.no_grad():
        present = policy.get_distribution(observations).distribution
        for i, weights in enumerate(candidates):
            torch.nn.utils.vector_to_parameters(weights, policy.parameters())
            other = policy.get_distribution(observations)
            pairs = [(present, other.distribution)]
            if space == "multi_discrete":
                pairs = list(zip(present, other.distribution, strict=True))
            expected = sum(summed(torch_kl(p, q)) for p, q in pairs).reshape(5, 2)
            torch.testing.assert_close(found.kl[i], expected, rtol=1e-3, atol=1e-6)
            log_probs = other.log_prob(actions).reshape(5, 2)
            torch.testing.assert_close(found.log_probs[i], log_probs, rtol=1e-4, atol=1e-5)
    assert found.kl[1:].min() > 0


@pytest.mark.parametrize("algorithm", ["A2C", "PPO"])
def test_the_policy_gradient_is_the_slope_of_the_policy_objective(trained, algorithm):
    """Against central differences of mean A log pi, along a random direction and along the gradient."""
    env = trained(algorithm, env_id="Pendulum-v1")
    view = LearnerView(env.learner)
    gradient = view.policy_gradient()
    buffer = env.learner.rollout_buffer
    advantages = buffer.advantages.reshape(-1)
    if algorithm == "PPO":
        # Laid out environment by environment; PPO standardises.
        advantages = buffer.advantages.reshape(3, -1).T.reshape(-1)
        advantages = (advantages - advantages.mean()) / advantages.std(ddof=1)
    random = torch.randn(len(gradient), generator=torch.Generator().manual_seed(0))
    for direction in (random / random.norm(), gradient / gradient.norm()):
        step = 0.02 * direction
        log_probs = view.evaluate(torch.stack([view.weights + step, view.weights - step])).log_probs.double()
        ends = (log_probs.reshape(2, -1) * torch.as_tensor(advantages)).mean(1)
        slope = float(ends[0] - ends[1]) / 0.04
        assert float(gradient @ direction) == pytest.approx(slope, rel=0.02, abs=1e-3)


class Parts(gym.ObservationWrapper):
    """Observations in two parts."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = gym.spaces.Dict(dict.fromkeys("ab", env.observation_space))

    def observation(self, observation):
        return {"a": observation, "b": -observation}


def test_observations_may_be_dictionaries(make_env):
    env = make_env("A2C", env_fn=lambda: Parts(Spaces(SPACES["box"])), n_envs=2)
    env.reset(seed=0)
    view = LearnerView(env.learner)
    np.testing.assert_array_equal(view.rollout.observations["a"], -view.rollout.observations["b"])
    log_probs = view.evaluate(view.weights[None]).log_probs[0]
    np.testing.assert_allclose(log_probs, view.rollout.log_probs, atol=1e-5)
    foretold = view.weights_after({})
    env.learner.policy_update({})
    torch.testing.assert_close(foretold, flat(env.learner.policy.parameters()), rtol=0, atol=3e-7)


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize("algorithm", ["PPO", "ACKTR"])
def test_steps_that_cannot_be_foretold_are_refused(trained, algorithm):
    with pytest.raises(ValueError, match=f"for A2C, not for a {algorithm}Learner: PPO draws"):
        LearnerView(trained(algorithm).learner).step_direction({})


def test_an_unknown_hyperparameter_is_refused(trained):
    with pytest.raises(ValueError, match=r"Unknown hyperparameter 'clip_range'.*learning_rate"):
        LearnerView(trained().learner).weights_after({"clip_range": 0.1})
