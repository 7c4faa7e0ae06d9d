"""The embeddings: the VAE's steps against automatic differentiation, on hyper-states of a real run."""

import copy
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

import hyperrl_env  # noqa: F401 - registers the ids
from agents.episodic.embedding import ProjectionEmbedding, RandomEmbedding, VAEEmbedding
from hyperrl_env.hyper_state import HyperStateProjector


def vae_embedding(projector: HyperStateProjector, train_c=True, **kwargs) -> VAEEmbedding:
    settings = {"hidden": 800, "learning_rate": 1e-3, "batch_size": 8, "buffer_size": 1000, "seed": 0}
    if train_c:
        return ProjectionEmbedding(projector, 32, **{**settings, **kwargs})
    return VAEEmbedding(projector.state_size, 32, **{**settings, **kwargs})


def remember(embedding, matrices, position, obs=None):
    """As in an environment whose hyper-state this is."""
    env = SimpleNamespace(hyper_state_tensors=lambda: matrices)
    embedding.remember(env, np.float32([position]) if isinstance(embedding, ProjectionEmbedding) else obs)


@pytest.fixture(scope="module")
def real_run():
    """Hyper-states of a HalfCheetah run under random hyper-actions: raw tensors, position, observation."""
    env = gym.make(
        "HyperRL-PPO-HalfCheetah-v0", total_env_steps=1536, learner_kwargs={"n_steps": 256, "batch_size": 64}
    )
    env.action_space.seed(0)
    obs, info = env.reset(seed=0)
    states = []
    while not info["run_finished"]:
        states.append((env.unwrapped.hyper_state_tensors(), float(obs[-1]), obs))
        obs, _, terminated, truncated, info = env.step(env.action_space.sample())
        if (terminated or truncated) and not info["run_finished"]:
            obs, info = env.reset()
    shapes = [tuple(m.shape) for m in states[0][0]]
    return shapes, states


def standardised(embedding, states):
    """As the embedding's own, in Torch's arithmetic and differentiable."""
    mean, spread = (torch.from_numpy(x).to(states) for x in (embedding._mean, embedding._spread))
    return ((states - mean) / spread).clamp(-10, 10)


def negative_lower_bound(x, vae, noise):
    """-ELBO by Torch's distributions, up to a constant, and the mean squared error."""
    mean, log_var = vae.encoder(x).chunk(2, dim=-1)
    spread = (0.5 * log_var).exp()
    divergence = kl_divergence(Normal(mean, spread), Normal(torch.zeros_like(mean), 1.0)).sum(-1)
    # C is to serve the code, not to make itself easy to reconstruct.
    target, reconstruction = x.detach(), vae.decoder(mean + noise * spread)
    likelihood = Normal(reconstruction, 1.0).log_prob(target).sum(-1)
    return (divergence - likelihood).mean(), (target - reconstruction).detach().square().mean()


@pytest.mark.parametrize("train_c", [True, False], ids=["with C", "C as it starts"])
@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_step_is_what_automatic_differentiation_says(batch_size, train_c, real_run):
    """In float64, of the same batch and noise; then Torch's Adam."""
    shapes, states = real_run
    projector = HyperStateProjector(shapes, 4).requires_grad_(train_c)
    embedding = vae_embedding(projector, train_c, batch_size=batch_size)
    embedding.update_statistics(np.stack([obs for _, _, obs in states[:6]]))
    for state in states:
        remember(embedding, *state)
    modules = torch.nn.ModuleList([embedding.vae, *([projector] if train_c else [])])
    oracle = copy.deepcopy(modules).double()
    c = oracle[1] if train_c else copy.deepcopy(projector).double()
    adam = torch.optim.Adam(oracle.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)  # the embedding's
    for _ in range(3):
        batch = [states[i] for i in torch.randperm(len(states), generator=generator)[:batch_size]]
        noise = torch.randn(batch_size, 32, generator=generator).double()
        projected = [
            c([m.double() for m in matrices], torch.tensor([position]).double())
            for matrices, position, _ in batch
        ]
        x = standardised(embedding, torch.stack(projected))
        assert (x.detach().abs() == 10).any()
        loss, error = negative_lower_bound(x, oracle[0], noise)
        adam.zero_grad()
        loss.backward()
        assert embedding.train_step() == pytest.approx(float(error), rel=1e-4)
        for parameter, expected in zip(modules.parameters(), oracle.parameters(), strict=True):
            scale = float(expected.grad.abs().max()) or 1.0
            assert torch.allclose(parameter.grad.double(), expected.grad, rtol=1e-3, atol=1e-4 * scale)
            # Adam's first steps go by the sign of the gradient, which is open where it is next to nothing.
            expected.grad.copy_(parameter.grad)
        adam.step()
        for parameter, expected in zip(modules.parameters(), oracle.parameters(), strict=True):
            assert torch.allclose(parameter.double(), expected, rtol=1e-5, atol=1e-6)
    observations = np.stack([obs for _, _, obs in states])
    means = oracle[0].encoder(standardised(embedding, torch.from_numpy(observations).double()))[:, :32]
    assert np.allclose(embedding.keys(observations), means.detach().numpy(), rtol=1e-3, atol=1e-4)


def test_the_vae_learns_a_real_runs_hyper_states_and_c_with_them(real_run):
    shapes, states = real_run
    projector = HyperStateProjector(shapes, 4)
    embedding = vae_embedding(projector)
    embedding.update_statistics(np.stack([obs for _, _, obs in states]))
    held_out, train = states[::5], [s for i, s in enumerate(states) if i % 5]
    for matrices, position, _ in train:
        remember(embedding, matrices, position)
    before = [c.detach().clone() for c in projector.maps]
    for _ in range(150):
        embedding.train_step()

    def inputs(some):
        return torch.stack([standardised(embedding, projector(m, torch.tensor([p]))) for m, p, _ in some])

    with torch.no_grad():
        x, mean_state = inputs(held_out), inputs(train).mean(0)
        code, _ = embedding.vae.encoder(x).chunk(2, dim=-1)
        error = (x - embedding.vae.decoder(code)).square().mean()
        error_of_mean = (x - mean_state).square().mean()
    # About two thirds of the features are gradients, mostly noise from minibatch to minibatch.
    assert error < 0.75 * error_of_mean
    assert all(not torch.equal(a, b) for a, b in zip(before, projector.maps, strict=True))
    # Keys do not collapse: every dimension varies, and no two dimensions tell the same.
    keys = embedding.keys(np.stack([obs for _, _, obs in states]))
    assert (keys.std(0) > 0.1).all()
    assert np.linalg.matrix_rank(np.cov(keys.T), tol=1e-3) == 32


def test_gradient_reaches_every_c_through_the_code_only(real_run):
    shapes, states = real_run
    projector = HyperStateProjector(shapes, 4)
    embedding = vae_embedding(projector)
    for matrices, position, _ in states[:8]:
        remember(embedding, matrices, position)
    embedding.train_step()
    # The matrices of the first states' older gradients are zero: no gradient can come from them.
    for c, column in zip(projector.maps, zip(*(m for m, _, _ in states[:8]), strict=True), strict=True):
        assert (c.grad.abs().sum() > 0) == any(m.abs().sum() > 0 for m in column)


def test_too_few_remembered_states_are_not_trained_on():
    embedding = vae_embedding(HyperStateProjector([(2, 3)], 4))
    remember(embedding, [torch.ones(2, 3)], 0.0)
    assert embedding.train_step() is None


def test_standardised_features_weigh_the_same_and_are_clipped():
    rng = np.random.default_rng(0)
    # A weight-like and a gradient-like feature.
    states = (rng.normal(size=(5000, 2)) * [1e-1, 1e-3] + [3.0, 0.0]).astype(np.float32)
    embedding = RandomEmbedding(2, 3, seed=0)
    embedding.update_statistics(states)
    x = embedding.standardise(states)
    assert np.allclose(x.mean(0), 0, atol=0.02)
    assert np.allclose(x.std(0), 1, atol=0.05)
    assert np.array_equal(embedding.standardise(np.float32([1e9, -1e9])), [10, -10])


def test_the_random_embedding_keeps_distances_on_average():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300, 50)).astype(np.float32)
    embedding = RandomEmbedding(50, 400, seed=1)
    ratio = np.square(embedding.keys(a) - embedding.keys(b)).sum(-1) / np.square(a - b).sum(-1)
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)
    assert np.array_equal(embedding.keys(a), RandomEmbedding(50, 400, seed=1).keys(a))
    assert not np.array_equal(embedding.keys(a), RandomEmbedding(50, 400, seed=2).keys(a))


@pytest.mark.parametrize("train_c", [True, False])
def test_a_restored_embedding_goes_on_as_the_original(real_run, train_c):
    shapes, states = real_run
    original = vae_embedding(HyperStateProjector(shapes, 4), train_c, seed=3)
    observations = np.stack([obs for _, _, obs in states[:20]])
    original.update_statistics(observations)
    for state in states[:20]:
        remember(original, *state)
    original.train_step()
    restored = vae_embedding(HyperStateProjector(shapes, 4), train_c, seed=4)
    restored.load_state_dict(original.state_dict())
    for _ in range(3):
        assert original.train_step() == restored.train_step()
    assert np.array_equal(original.keys(observations), restored.keys(observations))
