"""The hyper-state: Eq. 2 against an explicit loop, the history of gradients, the sizes."""

import copy
import hashlib
import pickle
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch

import hyperrl_env
from hyperrl_env.hyper_state import HyperStateProjector
from hyperrl_env.learners.gradient_history import GradientHistory
from hyperrl_env.numeric.arrays import as_matrix

TINY = {"n_steps": 16, "batch_size": 8, "n_epochs": 2, "policy_kwargs": {"net_arch": [3]}}


def equation_2(matrices, maps, position):
    """s = [vec(W_m^n C_m^n)], element by element, then the position."""
    state = []
    for w, c in zip(matrices, (c.tolist() for c in maps), strict=True):
        for row in w.tolist():
            state += [sum(row[k] * c[k][column] for k in range(len(c))) for column in range(len(c[0]))]
    return [*state, position]


@pytest.fixture
def trained(make_env, take_default_steps):
    """A small learner after `steps` updates (4 a phase)."""

    def build(steps=7, **kwargs):
        env = make_env(learner_kwargs=TINY, total_env_steps=1000, **kwargs)
        env.reset(seed=0)
        take_default_steps(env, steps)
        return env

    return build


def parameters(env):
    return list(env.learner.policy.parameters())


def spy_on_gradients(env):
    """What reaches every parameter in each backward pass, before anything clips it."""
    passes = []
    for index, parameter in enumerate(parameters(env)):

        def hook(gradient, index=index):
            if index in (passes[-1] if passes else {index: None}):
                passes.append({})
            passes[-1][index] = gradient.detach().clone()

        parameter.register_hook(hook)
    return passes


# ---------------------------------------------------------------- Eq. 2


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("projection_dim", [1, 4])
def test_the_observation_is_equation_2(trained, order, projection_dim):
    env = trained(order=order, projection_dim=projection_dim)
    for position in (0.0, 0.25, 0.5):  # the next update phase has begun
        obs, _, terminated, *_ = env.step(env.default_action)
        expected = equation_2(env.hyper_state_tensors(), env.projector.maps, position)
        np.testing.assert_allclose(obs, expected, rtol=1e-4, atol=1e-6)
        if terminated:
            env.reset()


def test_equation_2_by_hand():
    projector = HyperStateProjector([(2, 2), (1, 3)], dim=2)
    with torch.no_grad():
        projector.maps[0].copy_(torch.tensor([[1.0, 10.0], [2.0, 20.0]]))
        projector.maps[1].copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    matrices = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0, 7.0]])]
    # Rows of W by columns of C: [1 2] gives 1 + 4 = 5 and 50; [3 4] gives 3 + 8 = 11 and 110;
    # [5 6 7] gives 5 + 7 = 12 and 6 + 7 = 13.
    assert projector.observation([m.numpy() for m in matrices], 0.25).tolist() == [
        5,
        50,
        11,
        110,
        12,
        13,
        0.25,
    ]
    assert projector.state_size == 7


@pytest.mark.parametrize(
    ("shape", "matrix"), [((5, 3), (5, 3)), ((7,), (1, 7)), ((4, 3, 2, 2), (4, 12)), ((1, 1), (1, 1))]
)
def test_parameters_are_matrices(shape, matrix):
    tensor = torch.arange(float(np.prod(shape))).reshape(shape)
    assert tuple(as_matrix(tensor).shape) == matrix
    assert as_matrix(tensor).flatten().tolist() == tensor.flatten().tolist()


def test_the_tensors_are_all_weights_then_the_gradients(trained):
    env = trained()
    tensors, weights = env.hyper_state_tensors(), parameters(env)
    assert len(tensors) == 3 * len(weights)
    for tensor, weight in zip(tensors, weights, strict=False):
        assert tensor.equal(weight.detach().reshape(tensor.shape))
        assert tuple(tensor.shape) == (tuple(weight.shape) if weight.ndim == 2 else (1, weight.numel()))
    names = [name for name, _ in env.learner.policy.named_parameters()]
    assert any("value_net" in name for name in names)
    assert any("action_net" in name for name in names)


def test_the_tensors_are_copies(trained):
    env = trained()
    tensors = env.hyper_state_tensors()
    before = [tensor.clone() for tensor in tensors]
    env.step(env.default_action)
    assert all(a.equal(b) for a, b in zip(tensors, before, strict=True))
    assert not any(tensor.requires_grad for tensor in tensors)


@pytest.mark.parametrize("steps", [0, 1, 4, 7])
def test_the_observation_is_the_projection_of_the_tensors(trained, steps):
    env = trained(steps)
    obs = env.step(env.default_action)[0]
    state = env.projector(env.hyper_state_tensors(), torch.tensor([env.learner.update_position]))
    assert obs.dtype == np.float32
    assert obs.shape == env.observation_space.shape == (env.projector.state_size,)
    np.testing.assert_allclose(obs, state.detach().numpy(), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- the gradients


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
def test_the_latest_gradients_come_first_and_unclipped(make_env, order, algorithm):
    # ACKTR clips nothing: there they must be those before preconditioning.
    clipped = {"n_steps": 5} if algorithm == "ACKTR" else {"max_grad_norm": 1e-3}
    clipped |= TINY if algorithm == "PPO" else {}
    env = make_env(
        algorithm,
        learner_kwargs=clipped,
        order=order,
        total_env_steps=1000,
        search_space=["ent_coef"],
    )
    env.reset(seed=0)
    passes, m = spy_on_gradients(env), len(parameters(env))
    zeros = dict(enumerate(torch.zeros_like(p) for p in parameters(env)))
    rng = np.random.default_rng(0)
    for step in range(11):
        tensors = env.hyper_state_tensors()
        # What was captured, latest first, and zeros before there was anything.
        expected = [*reversed(passes), *[zeros] * order][:order]
        assert len(passes) == step
        for age in range(order):
            for index, tensor in enumerate(tensors[m * (1 + age) : m * (2 + age)]):
                assert tensor.equal(expected[age][index].reshape(tensor.shape)), f"age {age}, tensor {index}"
        *_, terminated, truncated, _ = env.step(rng.integers(env.action_space.n))
        if terminated or truncated:
            env.reset()
    norm = torch.cat([gradient.flatten() for gradient in passes[-1].values()]).norm()
    assert norm > 1e-2, "these gradients test no clipping"


def test_a_new_run_starts_without_gradients(trained):
    env = trained()
    m = len(parameters(env))
    assert all(tensor.any() for tensor in env.hyper_state_tensors()[m : 2 * m])
    env.reset(options={"new_run": True})
    assert not any(tensor.any() for tensor in env.hyper_state_tensors()[m:])


def test_the_history_in_itself():
    history = GradientHistory([torch.ones(2), torch.ones(1, 3)], order=2)
    assert [[g.tolist() for g in history[age]] for age in range(2)] == [[[0, 0], [[0, 0, 0]]]] * 2
    for i in (1.0, 2.0, 3.0):
        history.push(torch.tensor([i, i, -i, -i, -i]))
    assert len(history) == 2
    assert [history[age][0][0].item() for age in range(2)] == [3, 2]
    assert [history[age][1][0, 0].item() for age in range(2)] == [-3, -2]
    nothing = GradientHistory([torch.ones(2)], order=0)
    nothing.push(torch.ones(2))
    assert len(nothing) == 0


# ---------------------------------------------------------------- sizes


# Those of games, whose networks are convolutions, are in test_atari.py.
@pytest.mark.parametrize("task", [n for n, task in hyperrl_env.TASKS.items() if task.family != "atari"])
@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
def test_the_size_is_the_formulas_for_every_task(make_env, algorithm, task):
    inner = gym.make(hyperrl_env.TASKS[task].env_id)
    if isinstance(inner.action_space, gym.spaces.Box):
        # Per order: 64 rows and a bias for each of four hidden layers, A actions, one value, their two
        # biases, and log_std: 4 * 65 + A + 1 + 2 + 1 = 264 + A.
        rows = 264 + inner.action_space.shape[0]
    else:
        rows = 263 + int(inner.action_space.n)  # no log_std
    inner.close()
    few = {"n_steps": 8} | ({"batch_size": 8} if algorithm == "PPO" else {})
    env = make_env(f"HyperRL-{algorithm}-{task}-v0", learner_kwargs=few, n_envs=1, total_env_steps=8)
    assert env.observation_space.shape == (12 * rows + 1,)
    if task == "HalfCheetah":
        assert env.observation_space.shape == (3241,)  # as in the paper's code


@pytest.mark.parametrize(("order", "dim"), [(0, 1), (0, 4), (1, 2), (4, 3)])
def test_the_size_follows_order_and_dimension(make_env, order, dim):
    env = make_env(order=order, projection_dim=dim)
    assert env.observation_space.shape == (dim * (1 + order) * (263 + 2) + 1,)


# ---------------------------------------------------------------- C


def digest(maps):
    return hashlib.sha256(b"".join(c.detach().numpy().tobytes() for c in maps)).hexdigest()


def test_runs_and_processes_share_the_projector(make_env):
    torch.manual_seed(1)
    env = make_env()
    first = digest(env.projector.maps)
    for seed in (0, 1):
        env.reset(seed=seed)
        assert digest(env.projector.maps) == first
    torch.manual_seed(2)
    assert digest(make_env().projector.maps) == first
    script = f"""
import hashlib, torch
torch.manual_seed(3)
from hyperrl_env.hyper_state import HyperStateProjector
maps = HyperStateProjector({[(1, c.shape[0]) for c in env.projector.maps]}, 4).maps
print(hashlib.sha256(b"".join(c.detach().numpy().tobytes() for c in maps)).hexdigest())
"""
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert other.stdout.split()[-1] == first


def test_every_map_is_its_own(make_env):
    maps = make_env().projector.maps
    assert len({digest([c]) for c in maps}) == len(maps)


def test_c_is_trainable(trained):
    env = trained(9)
    names = dict(env.projector.named_parameters())
    assert len(names) == len(env.hyper_state_tensors())
    position = torch.tensor([env.learner.update_position])
    env.projector(env.hyper_state_tensors(), position).square().sum().backward()
    for tensor, c in zip(env.hyper_state_tensors(), env.projector.maps, strict=True):
        assert tensor.any()
        # d/dC |W C|^2 = 2 W'W C
        torch.testing.assert_close(c.grad, 2 * tensor.T @ tensor @ c.detach())


def test_what_an_agent_trains_is_what_the_observation_uses(trained):
    env = trained(2)
    with torch.no_grad():
        for c in env.projector.maps:
            c.zero_()
    obs = env.step(env.default_action)[0]
    assert not obs[:-1].any()
    assert obs[-1] == 0.75


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_of_a_projector_have_nothing_in_common(copied):
    projector = HyperStateProjector([(2, 3), (1, 4)], 2)
    matrices = [np.float32([[1, 2, 3], [4, 5, 6]]), np.float32([[7, 8, 9, 10]])]
    before = projector.observation(matrices, 0.5)
    other = copied(projector)
    assert np.array_equal(other.observation(matrices, 0.5), before)
    kept = before.copy()
    with torch.no_grad():
        other.maps[0].mul_(2)
    expected = np.concatenate([2 * kept[:4], kept[4:]])
    assert np.array_equal(other.observation(matrices, 0.5), expected)
    assert np.array_equal(projector.observation(matrices, 0.5), kept)
    # Nor do observations, with each other.
    projector.observation([2 * matrix for matrix in matrices], 0.25)
    assert np.array_equal(before, kept)


def test_batches_of_hyper_states():
    projector = HyperStateProjector([(2, 3), (1, 2)], dim=4)
    batch = [torch.randn(5, 2, 3), torch.randn(5, 1, 2)]
    position = torch.rand(5, 1)
    states = projector(batch, position)
    assert states.shape == (5, 13)
    for i in range(5):
        one = projector([w[i] for w in batch], position[i])
        torch.testing.assert_close(states[i], one)


# ---------------------------------------------------------------- finite


@pytest.mark.parametrize("signs", [(1, 1), (1, -1)])
def test_huge_weights_leave_it_finite(signs):
    projector = HyperStateProjector([(3, 50), (1, 50)], dim=4)
    row = 1e38 * torch.tensor(signs * 25, dtype=torch.float32)
    obs = projector.observation([row.expand(3, 50).numpy(), row.expand(1, 50).numpy()], 0.5)
    assert obs.dtype == np.float32
    assert np.isfinite(obs).all()
    assert np.abs(obs[:-1]).max() > 1e38


def test_a_learner_with_huge_weights_is_observed_finite(trained):
    env = trained()
    with torch.no_grad():
        env.learner.policy.value_net.weight.fill_(1e38)
    obs, reward, *_ = env.step(env.default_action)
    assert np.isfinite(obs).all()
    assert np.isfinite(reward)
    assert obs in env.observation_space
