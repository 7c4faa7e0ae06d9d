"""Every hyperparameter offered acts: on the weights, and on the live object that holds it."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.utils import LinearSchedule
from torch.nn import functional

from hyperrl_env import DEFINITIONS, Hyperparameter
from hyperrl_env.learners import A2CLearner, ACKTRLearner, PPOLearner
from hyperrl_env.learners.ppo import minibatch_stop

LEARNERS = {"PPO": PPOLearner, "A2C": A2CLearner, "ACKTR": ACKTRLearner}
KWARGS = {
    "PPO": {"max_grad_norm": 1.0, "learning_rate": 3e-3, "n_steps": 32, "batch_size": 8, "n_epochs": 2},
    "A2C": {"max_grad_norm": 1.0, "learning_rate": 1e-3, "n_steps": 8, "gae_lambda": 0.9},
    "ACKTR": {
        "learning_rate": 5e-3,
        "n_steps": 8,
        "gae_lambda": 0.9,
        "weight_decay": 0.1,
        "stats_interval": 2,
        "inversion_interval": 2,
    },
}
# A value below every default of KWARGS and one above it: the first and the last bin.
VALUES = {
    "learning_rate": (1e-4, 1e-2),
    "clip_range": (0.01, 0.9),
    "gae_lambda": (0.5, 1.0),
    "gamma": (0.5, 1.0),
    "batch_size": (4, 16),
    "n_epochs": (1, 4),
    "n_steps": (6, 48),
    "ent_coef": (0.0, 0.5),
    "vf_coef": (0.1, 2.0),
    "max_grad_norm": (0.01, 5.0),
    "kl_clip": (1e-5, 0.1),
    "damping": (1e-3, 1.0),
    "momentum": (0.0, 0.99),
    "weight_decay": (0.0, 1.0),
    "stats_interval": (1, 4),
    "inversion_interval": (1, 4),
}
# Into the second update phase: at a later step, and for PPO in the middle of an epoch.
COMMON = {"ent_coef": 0.01, "vf_coef": 0.5}
STEPS_BEFORE = {"PPO": 8 + 6, "A2C": 3, "ACKTR": 4}
MODES = ["discrete", "multi_discrete", "box"]
EXTREMES = {
    "discrete": lambda space: (0, space.n - 1),
    "multi_discrete": lambda space: (np.array([0]), np.array([space.nvec[0] - 1])),
    "box": lambda space: (np.float32([-1]), np.float32([1])),
}
OFFERED = [(algorithm, name) for algorithm, learner in LEARNERS.items() for name in learner.offered]
UPDATE_SCOPE = [(a, name) for a, name in OFFERED if DEFINITIONS[name].scope == "update"]
PHASE_SCOPE = [(a, name) for a, name in OFFERED if DEFINITIONS[name].scope == "phase"]


def test_the_scopes_are_the_promised_ones():
    assert {name for _, name in PHASE_SCOPE} == {"n_steps"}
    assert {name for _, name in UPDATE_SCOPE} == {
        "gamma",
        "gae_lambda",
        "n_epochs",
        "learning_rate",
        "clip_range",
        "batch_size",
        "ent_coef",
        "vf_coef",
        "max_grad_norm",
        "kl_clip",
        "damping",
        "momentum",
        "weight_decay",
        "stats_interval",
        "inversion_interval",
    }


@pytest.fixture
def trained(make_env, take_default_steps):
    """`trained(algorithm, names)`: an environment that has made some updates, always the same ones."""

    def build(algorithm, names, action_mode="discrete", **kwargs):
        names = [names] if isinstance(names, str) else names
        env = make_env(
            algorithm,
            learner_kwargs=COMMON | KWARGS[algorithm] | kwargs.pop("learner_kwargs", {}),
            total_env_steps=10_000,
            search_space=[Hyperparameter(name, values=VALUES[name]) for name in names],
            action_mode=action_mode,
            **kwargs,
        )
        env.reset(seed=5)
        take_default_steps(env, STEPS_BEFORE[algorithm])
        return env

    return build


def step(env, action):
    """One step, and the reset after it where the learning episode is over."""
    *_, terminated, truncated, info = env.step(action)
    if terminated or truncated:
        env.reset()
    return info


def hold_until_next_phase(env, action):
    """Steps with one action to the end of the update phase, and the environment phase after it."""
    while "phase_stats" not in step(env, action):
        pass


def same(weights, others):
    return all(a.equal(b) for a, b in zip(weights, others, strict=True))


@pytest.mark.parametrize("action_mode", MODES)
@pytest.mark.parametrize(("algorithm", "name"), [pair for pair in UPDATE_SCOPE if pair[1] != "n_epochs"])
def test_two_values_make_two_learners_at_once(trained, weights_of, bits_of, algorithm, name, action_mode):
    low, high, again = (trained(algorithm, name, action_mode) for _ in range(3))
    assert bits_of(low.learner) == bits_of(high.learner), "the states before must be identical"
    smallest, largest = EXTREMES[action_mode](low.action_space)
    infos = [step(low, smallest), step(high, largest), step(again, smallest)]
    assert not same(weights_of(low), weights_of(high))
    assert bits_of(low.learner) == bits_of(again.learner)
    for info, value in zip(infos, (*VALUES[name], VALUES[name][0]), strict=True):
        assert info["hyperparameters"][name] == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("action_mode", MODES)
@pytest.mark.parametrize(("algorithm", "name"), PHASE_SCOPE)
def test_two_values_make_two_learners_from_the_next_phase_on(
    trained, weights_of, bits_of, algorithm, name, action_mode
):
    environments = low, high, again = [trained(algorithm, name, action_mode) for _ in range(3)]
    smallest, largest = EXTREMES[action_mode](low.action_space)
    actions = (smallest, largest, smallest)
    for env, action in zip(environments, actions, strict=True):
        hold_until_next_phase(env, action)
    assert same(weights_of(low), weights_of(high)), "it acts on the next environment phase, not before"
    for env, action in zip(environments, actions, strict=True):
        hold_until_next_phase(env, action)
    assert not same(weights_of(low), weights_of(high))
    assert bits_of(low.learner) == bits_of(again.learner)


@pytest.mark.parametrize("backend", ["eager", "fast"])
@pytest.mark.parametrize(("algorithm", "name"), OFFERED)
def test_a_choice_can_influence_the_return_that_it_is_credited_with(trained, algorithm, name, backend):
    """One learning episode from one state: two values held, two hyper-rewards."""
    env = trained(algorithm, name, backend=backend, env_id="Pendulum-v1")
    while env.learner.update_step:
        step(env, env.default_action)
    snapshot, rewards = env.snapshot(), []
    for action in EXTREMES["discrete"](env.action_space):
        env.restore(snapshot)
        over = False
        while not over:
            _, reward, over, _, info = env.step(action)
        assert info["hyperparameters"][name] in VALUES[name]
        rewards.append(reward)
    assert rewards[0] != rewards[1]


@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_n_epochs_is_read_where_an_epoch_ends(trained, weights_of, bits_of, backend):
    """Of two epochs the second is at hand: it becomes the last one, or the second of four."""
    low, high, again = (trained("PPO", "n_epochs", backend=backend) for _ in range(3))
    smallest, largest = EXTREMES["discrete"](low.action_space)
    updates = []
    for env, action in ((low, smallest), (high, largest), (again, smallest)):
        assert env.learner.update_step == 6, "two updates of eight are left"
        taken, finished = 0, False
        while not finished:
            *_, finished, _, _ = env.step(action)
            taken += 1
        updates.append(taken)
    assert updates == [2, 2 + 4 + 4, 2]
    assert not same(weights_of(low), weights_of(high))
    assert bits_of(low.learner) == bits_of(again.learner)


@pytest.mark.parametrize(("algorithm", "name"), [pair for pair in PHASE_SCOPE if pair[0] == "PPO"])
def test_of_phase_scope_the_value_chosen_last_counts(trained, weights_of, algorithm, name):
    held, changed = trained(algorithm, name), trained(algorithm, name)
    smallest, largest = EXTREMES["discrete"](held.action_space)
    assert held.learner.update_position == 0.75  # two updates of eight are left
    for env, actions in ((held, [largest, largest]), (changed, [smallest, largest])):
        for action in actions:
            step(env, action)
        hold_until_next_phase(env, env.default_action)
    assert same(weights_of(held), weights_of(changed))


# ---------------------------------------------------------------- the live objects


def spy_on_batches(env):
    """The sample numbers of the minibatch behind every step of the optimiser, as they are made."""
    batches, taken, buffer = [], [], env.learner.rollout_buffer
    get_samples = buffer._get_samples

    def spy(indices, *args):
        taken.append(np.array(indices))
        return get_samples(indices, *args)

    buffer._get_samples = spy
    env.learner.policy.optimizer.register_step_pre_hook(lambda *_: batches.append(taken[-1]))
    return batches


@pytest.mark.parametrize("extreme", [0, 1])
@pytest.mark.parametrize("algorithm", LEARNERS)
def test_the_optimiser_holds_the_learning_rate(trained, algorithm, extreme):
    env = trained(algorithm, "learning_rate")
    step(env, EXTREMES["discrete"](env.action_space)[extreme])
    groups = env.learner.policy.optimizer.param_groups
    assert [group["lr"] for group in groups] == [VALUES["learning_rate"][extreme]] * len(groups)


def test_a_multiple_is_one_of_the_decayed_learning_rate(make_env):
    kwargs = {"n_steps": 16, "batch_size": 8, "n_epochs": 1, "learning_rate": LinearSchedule(4e-3, 0.0, 1.0)}
    env = make_env(
        learner_kwargs=kwargs,
        total_env_steps=64,
        search_space=["learning_rate"],
        learning_episode_phases=None,
    )
    env.reset(seed=0)
    # SB3 decays after each rollout: 3/4, 1/2, 1/4 and 0 of the start.
    for decayed in (3e-3, 2e-3, 1e-3, 0.0):
        for action, multiple in ((0, 0.5), (2, 2.0)):
            *_, terminated, _, info = env.step(action)
            assert env.learner.policy.optimizer.param_groups[0]["lr"] == pytest.approx(decayed * multiple)
            assert info["hyperparameters"]["learning_rate"] == pytest.approx(decayed * multiple)
    assert terminated


def test_the_update_takes_the_batch_size(trained):
    for extreme in (0, 1):
        env = trained("PPO", "batch_size", learner_kwargs={"n_epochs": 3})
        batches = spy_on_batches(env)
        # Of the 32 samples 16 are left in this epoch.
        step(env, EXTREMES["discrete"](env.action_space)[extreme])
        assert [len(batch) for batch in batches] == [VALUES["batch_size"][extreme]]


@pytest.mark.parametrize("algorithm", LEARNERS)
@pytest.mark.parametrize("extreme", [0, 1])
def test_n_steps_sets_the_length_of_the_rollout(trained, algorithm, extreme):
    env = trained(algorithm, "n_steps", n_envs=2)
    before, n_steps = env.learner.num_timesteps, VALUES["n_steps"][extreme]
    hold_until_next_phase(env, EXTREMES["discrete"](env.action_space)[extreme])
    assert env.learner.num_timesteps - before == 2 * n_steps
    assert env.learner.rollout_buffer.buffer_size == n_steps
    batches = spy_on_batches(env)
    hold_until_next_phase(env, env.default_action)
    # Each epoch sees every sample of the rollout once.
    epochs = KWARGS[algorithm].get("n_epochs", 1)
    assert sorted(np.concatenate(batches)) == sorted(list(range(2 * n_steps)) * epochs)


def lambda_returns(buffer, last_value, last_done, gamma, gae_lambda):
    """Generalised advantage estimation as a sum over what follows, for one environment."""
    rewards, values = buffer.rewards.ravel(), buffer.values.ravel()
    goes_on = 1.0 - np.append(buffer.episode_starts.ravel()[1:], last_done)
    deltas = rewards + gamma * goes_on * np.append(values[1:], last_value) - values
    advantages = np.zeros(len(deltas))
    for t in range(len(deltas)):
        weight = 1.0
        for k in range(t, len(deltas)):
            advantages[t] += weight * deltas[k]
            weight *= gamma * gae_lambda * goes_on[k]
    return advantages


@pytest.mark.parametrize("name", ["gamma", "gae_lambda"])
@pytest.mark.parametrize("extreme", [0, 1])
@pytest.mark.parametrize("algorithm", LEARNERS)
def test_the_buffer_computes_advantages_with_gamma_and_lambda(trained, algorithm, name, extreme):
    env = trained(algorithm, name)
    hold_until_next_phase(env, EXTREMES["discrete"](env.action_space)[extreme])
    model, value = env.learner.model, VALUES[name][extreme]
    default = {"gamma": 0.99, "gae_lambda": KWARGS[algorithm].get("gae_lambda", 0.95)}
    used = default | {name: value}
    assert (model.rollout_buffer.gamma, model.rollout_buffer.gae_lambda) == (
        used["gamma"],
        used["gae_lambda"],
    )
    assert (model.gamma, model.gae_lambda) == (used["gamma"], used["gae_lambda"])
    with torch.no_grad():
        last_value = model.policy.predict_values(torch.as_tensor(model._last_obs)).item()
    expected = lambda_returns(
        model.rollout_buffer, last_value, model._last_episode_starts[0], used["gamma"], used["gae_lambda"]
    )
    np.testing.assert_allclose(model.rollout_buffer.advantages.ravel(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", ["eager", "fast"])
@pytest.mark.parametrize("name", ["gamma", "gae_lambda"])
def test_advantages_come_and_go_with_the_discounts(trained, name, backend):
    """Within one update phase: others for each value chosen, then the first ones again, to the bit."""
    env = trained("PPO", name, backend=backend)
    buffer = env.learner.rollout_buffer
    seen = [(buffer.advantages.copy(), buffer.returns.copy())]
    for action in (*EXTREMES["discrete"](env.action_space), env.default_action):
        env.learner.policy_update(env.search_space.values(action))
        np.testing.assert_array_equal(buffer.returns, buffer.advantages + buffer.values)
        seen.append((buffer.advantages.copy(), buffer.returns.copy()))
    assert not np.allclose(seen[0], seen[1])
    assert not np.allclose(seen[1], seen[2])
    np.testing.assert_array_equal(seen[0], seen[3])


def loss_of(algorithm, policy, samples, *, clip_range, ent_coef, vf_coef):
    """The objective as the papers of PPO and A2C have it, on one minibatch."""
    actions = samples.actions.long().flatten()
    values, log_prob, entropy = policy.evaluate_actions(samples.observations, actions)
    advantages = samples.advantages
    if algorithm == "PPO":
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        ratio = (log_prob - samples.old_log_prob).exp()
        bounded = ratio.clamp(1 - clip_range, 1 + clip_range)
        gain = torch.minimum(ratio * advantages, bounded * advantages).mean()
    else:
        gain = (log_prob * advantages).mean()
    value_loss = functional.mse_loss(values.flatten(), samples.returns)
    return -gain - ent_coef * entropy.mean() + vf_coef * value_loss


@pytest.mark.parametrize("extreme", [0, 1])
@pytest.mark.parametrize(
    ("algorithm", "name"), [p for p in UPDATE_SCOPE if p[1] in ("clip_range", "ent_coef", "vf_coef")]
)
def test_the_loss_has_the_value_chosen(trained, monkeypatch, algorithm, name, extreme):
    env = trained(algorithm, name)
    model, value, other = env.learner.model, VALUES[name][extreme], VALUES[name][1 - extreme]
    policy = type(model.policy)(**model.policy._get_constructor_parameters())
    policy.load_state_dict(model.policy.state_dict())
    losses, minibatches = [], []
    get_samples, backward = model.rollout_buffer._get_samples, torch.Tensor.backward
    monkeypatch.setattr(
        model.rollout_buffer,
        "_get_samples",
        lambda *args: minibatches.append(get_samples(*args)) or minibatches[-1],
    )
    monkeypatch.setattr(
        torch.Tensor, "backward", lambda loss, *args, **kw: losses.append(loss.item()) or backward(loss)
    )
    step(env, EXTREMES["discrete"](env.action_space)[extreme])
    coefficients = {"clip_range": 0.2, "ent_coef": 0.01, "vf_coef": 0.5}
    expected, not_expected = (
        loss_of(algorithm, policy, minibatches[0], **(coefficients | {name: v})).item()
        for v in (value, other)
    )
    assert losses[0] == pytest.approx(expected, rel=1e-6)
    assert losses[0] != pytest.approx(not_expected, rel=1e-5), "the two values must not mean the same here"
    if name == "clip_range":
        assert model.clip_range(model._current_progress_remaining) == value
    else:
        assert getattr(model, name) == value


@pytest.mark.parametrize("algorithm", ["PPO", "A2C"])
def test_the_gradient_is_clipped_to_the_norm(trained, algorithm):
    env = trained(algorithm, "max_grad_norm")
    smallest, largest = EXTREMES["discrete"](env.action_space)
    for action, norm in ((smallest, 0.01), (largest, 5.0), (env.default_action, 1.0)):
        before = [g.clone() for g in env.learner.gradient_history[0]]
        step(env, action)
        unclipped = torch.cat([g.flatten() for g in env.learner.gradient_history[0]]).norm().item()
        clipped = torch.cat([p.grad.flatten() for p in env.learner.policy.parameters()]).norm().item()
        assert not same(before, env.learner.gradient_history[0])
        assert clipped == pytest.approx(min(unclipped, norm), rel=1e-4)
        assert unclipped > 1.0, "this gradient tests no clipping"


@pytest.mark.parametrize("extreme", [0, 1])
@pytest.mark.parametrize(
    "name", ["kl_clip", "damping", "momentum", "weight_decay", "stats_interval", "inversion_interval"]
)
def test_kfac_holds_the_value_chosen(trained, name, extreme):
    env = trained("ACKTR", name)
    step(env, EXTREMES["discrete"](env.action_space)[extreme])
    (group,) = env.learner.policy.optimizer.param_groups
    assert group[name] == getattr(env.learner.model, name) == VALUES[name][extreme]


@pytest.mark.parametrize("decayed", [False, True])
def test_the_value_clip_keeps_its_ratio_to_the_clip(make_env, decayed):
    start = LinearSchedule(0.1, 0.0, 1.0) if decayed else 0.1
    kwargs = {"n_steps": 16, "batch_size": 8, "n_epochs": 1, "clip_range": 0.2, "clip_range_vf": start}
    env = make_env(learner_kwargs=kwargs, total_env_steps=32, search_space=["clip_range"])
    env.reset(seed=0)
    now = 0.05 if decayed else 0.1  # one rollout of two is done
    for action, ratio in ((4, 2.5), (1, 1.0)):
        step(env, action)
        assert env.learner.clip_range_vf(0.5) == pytest.approx(now * ratio)


# ---------------------------------------------------------------- the walk through an epoch


@given(
    rollout_size=st.integers(1, 300),
    default=st.integers(1, 320),
    choices=st.lists(st.integers(1, 320), min_size=1, max_size=8),
    only_default=st.booleans(),
)
def test_minibatches_cover_an_epoch(rollout_size, default, choices, only_default):
    stops, start = [0], 0
    while start < rollout_size:
        batch = default if only_default else choices[len(stops) % len(choices)]
        stop = minibatch_stop(start, rollout_size, batch, default)
        size, left = stop - start, rollout_size - stop
        assert size >= min(batch, rollout_size - start), "it holds b samples, where there are as many"
        assert size - batch < batch / 2, "what joins is smaller than half a batch"
        assert left == 0 or size == batch
        if batch != default:
            assert left == 0 or left >= batch / 2, "no such remainder is left alone"
        stops.append(stop)
        start = stop
    assert stops[-1] == rollout_size
    assert all(a < b for a, b in pairwise(stops))
    if only_default:
        assert stops == [*range(0, rollout_size, default), rollout_size]


@pytest.mark.parametrize(
    ("start", "batch", "default", "stop"),
    [
        (0, 64, 64, 64),  # SB3's own grid: the remainder of 36 stays
        (64, 64, 64, 100),
        (0, 90, 90, 90),  # SB3's own grid again: even one of 10 stays
        (90, 90, 90, 100),
        (0, 90, 64, 100),  # a remainder of 10 is smaller than 45: it joins
        (0, 60, 64, 60),  # one of 40 is not smaller than 30
        (60, 60, 64, 100),
        (0, 50, 64, 50),
        (25, 50, 64, 75),  # exactly half a batch is not smaller than half a batch
        (26, 50, 64, 100),
        (10, 64, 64, 100),  # off the grid the default batch joins like any other
        (0, 1000, 64, 100),
    ],
)
def test_the_remainder_rule_by_hand(start, batch, default, stop):
    assert minibatch_stop(start, 100, batch, default) == stop


@pytest.mark.parametrize("seed", range(4))
def test_every_epoch_sees_every_sample_once_whatever_the_batches(make_env, seed):
    kwargs = {"n_steps": 25, "batch_size": 10, "n_epochs": 3}
    sizes = Hyperparameter("batch_size", values=(3, 7, 10, 16, 25, 50))
    env = make_env(learner_kwargs=kwargs, n_envs=2, total_env_steps=100, search_space=[sizes])
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    batches, chosen, over = spy_on_batches(env), [], False
    while not over:
        action = rng.integers(env.action_space.n)
        chosen.append(env.search_space.values(action)["batch_size"])
        *_, over, _, _ = env.step(action)
    assert len(batches) == len(chosen)
    for epoch in np.concatenate(batches).reshape(3, 50):
        assert sorted(epoch) == list(range(50))
    for batch, size in zip(batches, chosen, strict=True):
        assert len(batch) < 1.5 * size


def test_box_actions_between_bins_act_too(make_env, weights_of, take_default_steps):
    found = []
    for x in (0.1, 0.1001):
        env = make_env(search_space=["learning_rate"], action_mode="box")
        assert isinstance(env.action_space, spaces.Box)
        env.reset(seed=0)
        take_default_steps(env, 2)
        step(env, np.float32([x]))
        found.append(weights_of(env))
    assert not same(*found)


def test_values_in_force_are_plain_numbers_whatever_a_user_has_set(make_env):
    env = make_env("PPO")
    env.reset(seed=0)
    env.learner.n_epochs, env.learner.ent_coef = np.float64(3), np.float32(0.5)
    found = env.learner.values_in_force()
    assert (found["n_epochs"], found["ent_coef"]) == (3, 0.5)
    assert {type(value) for value in found.values()} == {int, float}
