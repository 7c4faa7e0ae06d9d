"""K-FAC against the dense Fisher matrix, against another implementation, and by hand."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from hyperrl_env.learners.acktr import kfac
from hyperrl_env.learners.acktr.kfac import Basis, eigenbasis, precondition, trust_region_scale
from hyperrl_env.learners.acktr.optimizer import KFAC

with warnings.catch_warnings():
    # One of its dependencies compiles with torch.jit.
    warnings.simplefilter("ignore")
    from curvlinops import FisherType, KFACLinearOperator

PLAIN = {"lr": 1.0, "momentum": 0.0, "kl_clip": 1e9}


def double(module, seed=0):
    """The module in float64, its weights drawn anew."""
    torch.manual_seed(seed)
    module = module.double()
    for p in module.parameters():
        nn.init.normal_(p, std=0.5)
    return module


def normal(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def vector(tensors):
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def gaussian_nll(outputs, targets):
    """-log N(targets; outputs, I) without its constant, for each sample."""
    return 0.5 * (targets - outputs).square().sum(dim=1)


def categorical_nll(outputs, targets):
    return functional.cross_entropy(outputs, targets, reduction="none")


def observe(optimizer, module, nll, inputs, targets):
    with optimizer.watching():
        outputs = module(inputs)
    optimizer.take_statistics(nll(outputs, targets).mean())


def dense_fisher(module, nll, inputs, targets):
    """Mean over the samples of grad log p grad log p^T, each sample's gradient on its own: (P, P)."""
    gradients = [
        vector(
            torch.autograd.grad(
                nll(module(inputs[i : i + 1]), targets[i : i + 1]).sum(), list(module.parameters())
            )
        )
        for i in range(len(inputs))
    ]
    return torch.stack([torch.outer(g, g) for g in gradients]).mean(dim=0)


# ---------------------------------------------------------------- where the factorisation is exact


def every_pair(inputs, outcomes):
    """Every input with every outcome: inputs and outcomes are then independent in the batch itself."""
    return inputs.repeat_interleave(len(outcomes), 0), outcomes.repeat(
        len(inputs), *[1] * (outcomes.ndim - 1)
    )


def squared_loss(module):
    """A Gaussian with a constant covariance: g is the residual, whatever the input."""
    x, residuals = every_pair(normal(7, 4), normal(5, 3, seed=2))
    return gaussian_nll, x, module(x).detach() + residuals


def categorical_of_equal_predictions(module):
    """Logits that do not depend on the input: g = p - onehot(action) does not either."""
    nn.init.zeros_(module.weight)
    return categorical_nll, *every_pair(normal(7, 4), torch.tensor([0, 1, 1, 2]))


def categorical_of_one_input(module):
    """One input only: a a^T is constant."""
    return categorical_nll, normal(1, 4).expand(6, 4), torch.tensor([0, 1, 1, 2, 0, 1])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("damping", [0.01, 0.5])
@pytest.mark.parametrize("case", [squared_loss, categorical_of_equal_predictions, categorical_of_one_input])
def test_the_step_is_the_exact_natural_gradient(case, bias, damping):
    """Where a and g are independent, E[(a a^T) x (g g^T)] is A x G, and the step that of the dense Fisher."""
    module = double(nn.Linear(4, 3, bias=bias))
    nll, inputs, targets = case(module)
    fisher = dense_fisher(module, nll, inputs, targets)
    optimizer = KFAC(module, damping=damping, **PLAIN)
    observe(optimizer, module, nll, inputs, targets)
    # Any gradient will do.
    for i, p in enumerate(module.parameters()):
        p.grad = normal(*p.shape, seed=10 + i)
    gradient, before = vector(p.grad for p in module.parameters()), vector(module.parameters())
    optimizer.step()
    expected = torch.linalg.solve(fisher + damping * torch.eye(len(fisher), dtype=torch.float64), gradient)
    torch.testing.assert_close(before - vector(module.parameters()), expected, rtol=1e-6, atol=1e-9)
    assert optimizer.report.trust_region_scale == 1


def test_a_dependence_of_inputs_and_derivatives_shows():
    """The comparison above could fail: with different predictions the factorisation is not exact."""
    module = double(nn.Linear(4, 3))
    x, actions = every_pair(normal(7, 4), torch.tensor([0, 1, 2]))
    fisher = dense_fisher(module, categorical_nll, x, actions)
    optimizer = KFAC(module, damping=0.01, **PLAIN)
    observe(optimizer, module, categorical_nll, x, actions)
    for p in module.parameters():
        p.grad = normal(*p.shape)
    gradient, before = vector(p.grad for p in module.parameters()), vector(module.parameters())
    optimizer.step()
    exact = torch.linalg.solve(fisher + 0.01 * torch.eye(len(fisher), dtype=torch.float64), gradient)
    assert (before - vector(module.parameters()) - exact).norm() > 1e-2 * exact.norm()


# ---------------------------------------------------------------- the factors, by another implementation


def mlp():
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=False), nn.ReLU(), nn.Linear(4, 3))


def convolutions():
    return nn.Sequential(
        nn.Conv2d(2, 5, (3, 2), stride=(2, 1), padding=(1, 0)),
        nn.ReLU(inplace=True),
        nn.Conv2d(5, 7, 2, dilation=(1, 2), bias=False),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(7 * 3, 3),
    )


NETWORKS = {"mlp": (mlp, (6,)), "convolutions": (convolutions, (2, 7, 4))}


def factors_of(optimizer, layer):
    state = optimizer.state[layer.weight]
    return state["input_factor"], state["output_factor"]


def step_once(optimizer, module, nll, inputs, targets):
    """A step whose gradient is that of the Fisher loss."""
    observe(optimizer, module, nll, inputs, targets)
    module.zero_grad()
    nll(module(inputs), targets).mean().backward()
    optimizer.step()


@pytest.mark.parametrize("loss", ["categorical", "squared"])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_factors_are_those_of_curvlinops(network, loss):
    make, shape = NETWORKS[network]
    module, inputs = double(make()), normal(12, *shape)
    if loss == "categorical":
        targets, criterion, nll = torch.arange(12) % 3, nn.CrossEntropyLoss(), categorical_nll
    else:
        targets, criterion = normal(12, 3, seed=3), nn.MSELoss()

        def nll(outputs, y):
            # The scale on which curvlinops takes a mean over samples and outputs.
            return (outputs - y).square().sum(dim=1) / math.sqrt(3)

    reference = copy.deepcopy(module)
    theirs = KFACLinearOperator(
        reference,
        criterion,
        list(reference.parameters()),
        [(inputs, targets)],
        fisher_type=FisherType.EMPIRICAL,
        separate_weight_and_bias=False,
        check_deterministic=False,
    )
    theirs.compute_kronecker_factors()
    optimizer = KFAC(module, **PLAIN)
    step_once(optimizer, module, nll, inputs, targets)
    layers = {name: layer for name, layer in module.named_modules() if kfac.has_factors(layer)}
    assert theirs._input_covariances.keys() == layers.keys()
    for name, layer in layers.items():
        a, g = factors_of(optimizer, layer)
        torch.testing.assert_close(a, theirs._input_covariances[name], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(g, theirs._gradient_covariances[name], rtol=1e-9, atol=1e-12)


def test_of_a_convolution_some_samples_are_enough(monkeypatch):
    """A is that of evenly spaced samples with as many rows; G, and a linear layer's factors, of all."""

    def factors(enough, every):
        monkeypatch.setattr(kfac, "ENOUGH_ROWS", enough)
        module = double(nn.Sequential(nn.Conv2d(2, 5, 2), nn.Flatten(), nn.Linear(5 * 12, 3)))
        inputs, optimizer = normal(12, 2, 5, 4)[::every], KFAC(module, **PLAIN)
        step_once(optimizer, module, categorical_nll, inputs, torch.arange(12)[::every] % 3)
        return *factors_of(optimizer, module[0]), *factors_of(optimizer, module[2])

    # 12 samples at 12 places are 144 rows: every third sample, 48 of them, is enough.
    some, all_, only_those = factors(40, every=1), factors(144, every=1), factors(144, every=3)
    torch.testing.assert_close(some[0], only_those[0])
    assert not torch.allclose(some[0], all_[0])
    for found, expected in zip(some[1:], all_[1:], strict=True):
        torch.testing.assert_close(found, expected)


def test_a_step_without_gradients_moves_nothing():
    module = nn.Linear(2, 2)
    before = vector(module.parameters())
    KFAC(module).step()
    assert before.equal(vector(module.parameters()))


class TwoHeads(nn.Module):
    """A trunk that both heads use, one of whose layers is used twice."""

    def __init__(self):
        super().__init__()
        self.trunk, self.twice = nn.Linear(4, 5), nn.Linear(5, 5)
        self.pi, self.vf, self.unused = nn.Linear(5, 3), nn.Linear(5, 1), nn.Linear(2, 2)

    def forward(self, x):
        hidden = torch.tanh(self.twice(torch.tanh(self.twice(torch.tanh(self.trunk(x))))))
        return torch.cat([self.pi(hidden), self.vf(hidden)], dim=1)


def two_heads_nll(outputs, targets):
    """Of a Gaussian for the value beside a categorical for the policy."""
    actions, values = targets[:, 0].long(), targets[:, 1]
    return categorical_nll(outputs[:, :3], actions) + gaussian_nll(outputs[:, 3:], values[:, None])


def test_the_factors_of_shared_and_repeated_layers_sample_by_sample():
    """Samples one at a time: no mean over a batch, whose size would have to be undone."""
    module, inputs = double(TwoHeads()), normal(9, 4)
    targets = torch.cat([(torch.arange(9) % 3)[:, None], normal(9, 1, seed=3)], dim=1)
    calls = {}
    for layer in (module.trunk, module.twice, module.pi, module.vf):
        layer.register_forward_hook(
            lambda layer, args, output: calls.setdefault(layer, []).append((args[0][0], output))
        )
    sums = {}
    for i in range(9):
        calls.clear()
        loss = two_heads_nll(module(inputs[i : i + 1]), targets[i : i + 1]).sum()
        for layer, seen in calls.items():
            derivatives = torch.autograd.grad(loss, [output for _, output in seen], retain_graph=True)
            a = [torch.cat([x, torch.ones(1, dtype=torch.float64)]) for x, _ in seen]
            entry = sums.setdefault(layer, [0.0, 0.0])
            entry[0] += sum(torch.outer(x, x) for x in a).detach() / len(seen) / 9
            entry[1] += sum(torch.outer(g[0], g[0]) for g in derivatives) / 9
    optimizer = KFAC(module, **PLAIN)
    step_once(optimizer, module, two_heads_nll, inputs, targets)
    for layer, (a, g) in sums.items():
        found_a, found_g = factors_of(optimizer, layer)
        torch.testing.assert_close(found_a, a, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found_g, g, rtol=1e-9, atol=1e-12)
    assert module.unused.weight not in optimizer.state


def test_statistics_are_of_the_fisher_loss_alone_and_leave_the_gradient_alone():
    module, inputs = double(mlp()), normal(8, 6)
    optimizer = KFAC(module, **PLAIN)
    for p in module.parameters():
        p.grad = normal(*p.shape)
    before = [p.grad.clone() for p in module.parameters()]
    observe(optimizer, module, categorical_nll, inputs, torch.arange(8) % 3)
    assert all(p.grad.equal(b) for p, b in zip(module.parameters(), before, strict=True))
    optimizer.step()
    first = [f.clone() for f in factors_of(optimizer, module[0])]
    # Nothing is watched outside of the block, and without statistics the factors stay.
    module(inputs * 100)
    (1e3 * module(inputs)).sum().backward()
    optimizer.step()
    assert all(a.equal(b) for a, b in zip(first, factors_of(optimizer, module[0]), strict=True))
    assert not any(layer._forward_hooks or layer._backward_hooks for layer in module.modules())


# ---------------------------------------------------------------- by hand


def test_preconditioning_by_hand():
    a, g = Basis(torch.tensor([4.0, 0.0]), torch.eye(2)), Basis(torch.tensor([3.0, 1.0]), torch.eye(2))
    natural = precondition(torch.tensor([[25.0, 1.0], [9.0, 2.0]]), a, g, 0.5)
    torch.testing.assert_close(natural, torch.tensor([[2.0, 2.0], [2.0, 4.0]]))


def test_an_eigenbasis_by_hand():
    values, vectors = eigenbasis(torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 9e-7]]))
    torch.testing.assert_close(values, torch.tensor([0.0, 1.0, 3.0]))
    torch.testing.assert_close(vectors[:, 2].abs(), torch.tensor([0.5**0.5, 0.5**0.5, 0.0]))
    values, _ = eigenbasis(torch.diag(torch.tensor([-1e-3, 2e-6])))
    torch.testing.assert_close(values, torch.tensor([0.0, 2e-6]), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("slope", "learning_rate", "kl_clip", "scale"),
    [
        (4.0, 0.25, 0.001, math.sqrt(0.001 / 0.25)),  # 0.25^2 * 4 = 0.25
        (400.0, 0.5, 0.01, 0.01),  # 0.5^2 * 400 = 100
        (0.016, 0.25, 0.001, 1.0),  # exactly at the edge
        (1e-9, 0.25, 0.001, 1.0),
        (0.0, 0.25, 0.001, 1.0),
        (-1e-3, 0.25, 0.001, 1.0),
        (5.0, 0.0, 0.001, 1.0),  # a learning rate that has decayed to 0
        (math.nan, 0.25, 0.001, 0.0),
        (math.inf, 0.25, 0.001, 0.0),
        (-math.inf, 0.25, 0.001, 0.0),
        (1.0, 1e200, 0.001, 0.0),
    ],
)
def test_the_trust_region_by_hand(slope, learning_rate, kl_clip, scale):
    assert trust_region_scale(slope, learning_rate, kl_clip) == pytest.approx(scale, rel=1e-12)


class Scalar(nn.Module):
    """Without layers: a parameter whose Fisher information is known, and one without."""

    def __init__(self):
        super().__init__()
        self.x, self.y = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([2.0]))


def test_momentum_scale_and_decay_over_two_steps_by_hand():
    module = Scalar()
    optimizer = KFAC(
        module, lr=0.5, momentum=0.8, kl_clip=0.01, damping=0.5, weight_decay=0.1, diagonals={module.x: 2.0}
    )
    module.x.grad, module.y.grad = torch.tensor([4.9]), torch.tensor([0.8])
    optimizer.step()
    # W' = (5, 1), V = (5 / 2.5, 1) = (2, 1), V . W' = 11, nu = sqrt(0.01 / (0.25 * 11)) = 0.060302...
    nu = math.sqrt(0.01 / 2.75)
    assert optimizer.report.trust_region_scale == pytest.approx(nu, rel=1e-6)
    x, y = 1 - 0.5 * 0.2 * 2 * nu, 2 - 0.5 * 0.2 * 1 * nu
    assert (module.x.item(), module.y.item()) == pytest.approx((x, y), rel=1e-6)
    # A second gradient, so small that nu = 1: V = (W'_x / 2.5, W'_y) with weight decay's part of W'.
    optimizer.param_groups[0]["kl_clip"] = 100.0
    module.x.grad, module.y.grad = torch.tensor([0.0]), torch.tensor([-1.0])
    optimizer.step()
    x -= 0.1 * (0.8 * 2 * nu + 0.1 * x / 2.5)
    y -= 0.1 * (0.8 * 1 * nu + (0.1 * y - 1))
    assert (module.x.item(), module.y.item()) == pytest.approx((x, y), rel=1e-6)


def test_moving_averages_and_intervals_by_hand():
    module = nn.Linear(1, 1, bias=False)
    optimizer = KFAC(module, stats_interval=2, inversion_interval=3, stats_decay=0.75, lr=1e-9)
    averages, values, due = [], [], []
    for i in range(7):
        due.append(optimizer.statistics_due)
        with optimizer.watching(due[-1]):
            # One sample with a = i + 1 and g = 10: A = (i + 1)^2, G = 100.
            output = module(torch.tensor([[i + 1.0]]))
        if due[-1]:
            optimizer.take_statistics(10 * output.sum())
        module.weight.grad = torch.ones(1, 1)
        optimizer.step()
        state = optimizer.state[module.weight]
        averages.append(state["input_factor"].item())
        values.append(state["input_values"].item())
        assert state["output_factor"].item() == 100
    second = 0.75 * 1 + 0.25 * 9
    third = 0.75 * second + 0.25 * 25
    fourth = 0.75 * third + 0.25 * 49
    assert due == [True, False, True, False, True, False, True]
    assert averages == pytest.approx([1, 1, second, second, third, third, fourth])
    assert values == pytest.approx([1, 1, 1, second, second, second, fourth])


@pytest.mark.parametrize("make", [mlp, convolutions])
def test_with_huge_damping_and_trust_region_the_step_is_a_scaled_gradient(make):
    module, inputs = double(make()), normal(8, *(6,) if make is mlp else (2, 7, 4))
    optimizer = KFAC(module, lr=3e5, momentum=0.9, kl_clip=1e30, damping=1e9)
    before = [p.detach().clone() for p in module.parameters()]
    step_once(optimizer, module, categorical_nll, inputs, torch.arange(8) % 3)
    for p, b in zip(module.parameters(), before, strict=True):
        torch.testing.assert_close(b - p, 3e5 * 0.1 / 1e9 * p.grad, rtol=1e-5, atol=1e-12)


def test_what_is_no_layer_of_the_kinds_known_takes_its_plain_gradient():
    module = double(
        nn.Sequential(nn.Conv2d(2, 4, 2, groups=2), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 3))
    )
    inputs, targets = normal(6, 2, 3, 3), torch.arange(6) % 3
    optimizer = KFAC(module, lr=0.1, momentum=0.0, kl_clip=1e9)
    before = [p.detach().clone() for p in module.parameters()]
    step_once(optimizer, module, categorical_nll, inputs, targets)
    moved = [b - p.detach() for p, b in zip(module.parameters(), before, strict=True)]
    plain = [0.1 * p.grad for p in module.parameters()]
    for change, gradient in list(zip(moved, plain, strict=True))[:4]:
        torch.testing.assert_close(change, gradient)
    assert not torch.allclose(moved[4], plain[4], rtol=0.1)


@pytest.mark.parametrize(
    "module", [nn.Conv2d(1, 1, 3, padding="same"), nn.Conv2d(1, 1, 3, padding_mode="reflect", padding=1)]
)
def test_padding_that_patches_do_not_have_is_left_alone(module):
    assert not kfac.has_factors(module)


# ---------------------------------------------------------------- what can go wrong


def state_of(optimizer):
    return {
        (i, name): value.clone()
        for i, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }


def test_statistics_that_are_not_finite_are_not_taken_in():
    module, inputs = double(mlp()), normal(8, 6)
    optimizer = KFAC(module, lr=1e-9, inversion_interval=1)
    targets = torch.arange(8) % 3
    step_once(optimizer, module, categorical_nll, inputs, targets)
    assert optimizer.report.statistics_refused == 0
    before = state_of(optimizer)
    poisoned = inputs.clone()
    poisoned[3, 2] = torch.nan
    observe(optimizer, module, categorical_nll, poisoned, targets)
    optimizer.step()
    # All three layers: the first one's input, and through it the others' inputs and derivatives.
    assert optimizer.report.statistics_refused == 3
    after = state_of(optimizer)
    for key, value in before.items():
        assert "factor" not in key[1] or value.equal(after[key])
        assert after[key].isfinite().all()
    assert all(p.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("how", ["raises", "not finite"])
def test_an_eigendecomposition_that_fails_keeps_the_last_good_basis(monkeypatch, how):
    module, inputs, targets = double(mlp()), normal(8, 6), torch.arange(8) % 3
    optimizer = KFAC(module, lr=1e-3, inversion_interval=1)
    step_once(optimizer, module, categorical_nll, inputs, targets)
    good = state_of(optimizer)
    eigh = torch.linalg.eigh

    def broken(factor):
        if how == "raises":
            raise torch.linalg.LinAlgError("did not converge")
        values, vectors = eigh(factor)
        return values * torch.nan, vectors

    monkeypatch.setattr(torch.linalg, "eigh", broken)
    before = vector(module.parameters())
    step_once(optimizer, module, categorical_nll, 3 * inputs, targets)
    assert optimizer.report.eigh_failures == 6
    now = state_of(optimizer)
    bases = [key for key in now if key[1].endswith(("values", "vectors"))]
    assert len(bases) == 3 * 4
    assert all(good[key].equal(now[key]) for key in bases)
    assert not before.equal(vector(module.parameters())), "the step is taken all the same"
    monkeypatch.undo()
    step_once(optimizer, module, categorical_nll, 3 * inputs, targets)
    assert optimizer.report.eigh_failures == 0
    assert not any(good[key].equal(state_of(optimizer)[key]) for key in bases)


def test_without_any_good_basis_the_plain_gradient_is_taken(monkeypatch):
    def broken(factor):
        raise torch.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(torch.linalg, "eigh", broken)
    module = double(nn.Linear(4, 3))
    optimizer = KFAC(module, lr=0.1, momentum=0.0, kl_clip=1e9)
    before = module.weight.detach().clone()
    step_once(optimizer, module, categorical_nll, normal(5, 4), torch.arange(5) % 3)
    torch.testing.assert_close(before - module.weight, 0.1 * module.weight.grad)


def test_a_natural_gradient_that_overflows_moves_nothing():
    module = nn.Linear(2, 2)
    optimizer = KFAC(module, damping=1e-30)
    before = vector(module.parameters())
    for p in module.parameters():
        p.grad = torch.full_like(p, 1e25)
    optimizer.step()
    assert optimizer.report.trust_region_scale == 0
    assert before.equal(vector(module.parameters()))
    assert all(value.isfinite().all() for value in state_of(optimizer).values())


def test_a_gradient_of_zero_is_a_step_of_zero():
    module = nn.Linear(2, 2)
    optimizer = KFAC(module)
    before = vector(module.parameters())
    for p in module.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert optimizer.report.trust_region_scale == 1
    assert before.equal(vector(module.parameters()))


# ---------------------------------------------------------------- a Torch optimiser


def train(optimizer, module, seed, steps=7):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        inputs = torch.from_numpy(rng.normal(size=(8, 6)))
        with optimizer.watching(optimizer.statistics_due):
            outputs = module(inputs)
        optimizer.take_statistics(categorical_nll(outputs, torch.arange(8) % 3).mean())
        optimizer.zero_grad()
        outputs.square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("how", ["state_dict", "deepcopy"])
def test_a_copy_goes_on_as_the_original_to_the_bit(how):
    options = {"stats_interval": 2, "inversion_interval": 3}
    module = double(mlp())
    optimizer = KFAC(module, **options)
    train(optimizer, module, 0)
    if how == "deepcopy":
        other_module, other = copy.deepcopy((module, optimizer))
    else:
        other_module = copy.deepcopy(module)
        other = KFAC(other_module, lr=123.0)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(optimizer, module, 1)
    train(other, other_module, 1)
    assert vector(module.parameters()).equal(vector(other_module.parameters()))
    mine, theirs = state_of(optimizer), state_of(other)
    assert mine.keys() == theirs.keys()
    assert all(mine[key].equal(theirs[key]) for key in mine)


def test_a_closure_is_evaluated():
    module = nn.Linear(2, 1)
    optimizer = KFAC(module)

    def closure():
        optimizer.zero_grad()
        loss = module(torch.ones(3, 2)).square().mean()
        loss.backward()
        return loss

    first = optimizer.step(closure).item()
    assert optimizer.step(closure).item() < first
