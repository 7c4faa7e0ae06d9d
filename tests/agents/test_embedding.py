"""The embeddings: the lower bound against closed forms, the VAE on hyper-states of a real run."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

import hyperrl_env  # noqa: F401 - registers the ids
from agents.episodic.embedding import RandomEmbedding, VAEEmbedding, evidence_lower_bound
from hyperrl_env.hyper_state import HyperStateProjector


def vae_embedding(projector: HyperStateProjector, **kwargs) -> VAEEmbedding:
    settings = {"hidden": 800, "learning_rate": 1e-3, "batch_size": 8, "buffer_size": 1000, "seed": 0}
    return VAEEmbedding(projector, 32, **{**settings, **kwargs})


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


def test_the_lower_bound_is_likelihood_less_divergence():
    torch.manual_seed(0)
    x, decoded = torch.randn(5, 7), torch.randn(5, 7)
    mean, log_var = torch.randn(5, 3), torch.randn(5, 3)
    posterior = Normal(mean, (0.5 * log_var).exp())
    divergence = kl_divergence(posterior, Normal(torch.zeros(5, 3), torch.ones(5, 3))).sum(-1)
    likelihood = Normal(decoded, 1.0).log_prob(x).sum(-1) + 7 / 2 * np.log(2 * np.pi)
    expected = float((likelihood - divergence).mean())
    assert float(evidence_lower_bound(x, decoded, mean, log_var)) == pytest.approx(expected, rel=1e-5)


def test_the_vae_learns_a_real_runs_hyper_states_and_c_with_them(real_run):
    shapes, states = real_run
    projector = HyperStateProjector(shapes, 4)
    embedding = vae_embedding(projector)
    embedding.update_statistics(np.stack([obs for _, _, obs in states]))
    held_out, train = states[::5], [s for i, s in enumerate(states) if i % 5]
    for matrices, position, _ in train:
        embedding.remember(matrices, position)
    before = [c.detach().clone() for c in projector.maps]
    for _ in range(150):
        embedding.train_step()

    def standardised(some):
        return torch.stack([embedding.standardise(projector(m, torch.tensor([p]))) for m, p, _ in some])

    with torch.no_grad():
        x, mean_state = standardised(held_out), standardised(train).mean(0)
        code, _ = embedding.vae.encode(x)
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
        embedding.remember(matrices, position)
    embedding.train_step()
    # The matrices of the first states' older gradients are zero: no gradient can come from them.
    for c, column in zip(projector.maps, zip(*(m for m, _, _ in states[:8]), strict=True), strict=True):
        assert (c.grad.abs().sum() > 0) == any(m.abs().sum() > 0 for m in column)


def test_too_few_remembered_states_are_not_trained_on():
    embedding = vae_embedding(HyperStateProjector([(2, 3)], 4))
    embedding.remember([torch.ones(2, 3)], 0.0)
    assert embedding.train_step() is None


def test_standardised_features_weigh_the_same_and_are_clipped():
    rng = np.random.default_rng(0)
    # A weight-like and a gradient-like feature.
    states = (rng.normal(size=(5000, 2)) * [1e-1, 1e-3] + [3.0, 0.0]).astype(np.float32)
    embedding = RandomEmbedding(2, 3, seed=0)
    embedding.update_statistics(states)
    x = embedding.standardise(torch.as_tensor(states)).numpy()
    assert np.allclose(x.mean(0), 0, atol=0.02)
    assert np.allclose(x.std(0), 1, atol=0.05)
    assert np.array_equal(embedding.standardise(torch.tensor([1e9, -1e9])).numpy(), [10, -10])


def test_the_random_embedding_keeps_distances_on_average():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300, 50)).astype(np.float32)
    embedding = RandomEmbedding(50, 400, seed=1)
    ratio = np.square(embedding.keys(a) - embedding.keys(b)).sum(-1) / np.square(a - b).sum(-1)
    assert ratio.mean() == pytest.approx(1.0, abs=0.05)
    assert np.array_equal(embedding.keys(a), RandomEmbedding(50, 400, seed=1).keys(a))
    assert not np.array_equal(embedding.keys(a), RandomEmbedding(50, 400, seed=2).keys(a))


def test_a_restored_embedding_goes_on_as_the_original(real_run):
    shapes, states = real_run
    original = vae_embedding(HyperStateProjector(shapes, 4), seed=3)
    observations = np.stack([obs for _, _, obs in states[:20]])
    original.update_statistics(observations)
    for matrices, position, _ in states[:20]:
        original.remember(matrices, position)
    original.train_step()
    restored = vae_embedding(HyperStateProjector(shapes, 4), seed=4)
    restored.load_state_dict(original.state_dict())
    for _ in range(3):
        assert original.train_step() == restored.train_step()
    assert np.array_equal(original.keys(observations), restored.keys(observations))
