"""The environment phase without overhead: the policy is frozen, so most of it is done at once.

Step by step there is only what has to be: the actor's forward pass, the simulators, and the
statistics that normalise the next observation. Noise is drawn before; values, log-probabilities,
bootstraps, rewards' normalisation and advantages are computed after, for the whole phase. The
rollout buffer, VecNormalize and the algorithm's counters end as SB3's `collect_rollouts` leaves
them.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_normalize

from hyperrl_env.learners.fast.actor_critic import ActorCritic
from hyperrl_env.learners.fast.linking import hides_methods
from hyperrl_env.learners.fast.stepping import make_stepper
from hyperrl_env.learners.recording import RecordedPhase, replace_nonfinite
from hyperrl_env.learners.rollout_targets import CollectedRollout, Discounts, Targets
from hyperrl_env.numeric.arrays import Floats
from hyperrl_env.numeric.discounted_sums import discounted_sums


def can_collect_fast(env: VecEnv) -> bool:
    """Whether the inner environments are of the kind that `collect_fast` steps."""
    inner: Any = env.venv if type(env) is VecNormalize and env.norm_obs_keys is None else env
    return (
        isinstance(inner.observation_space, spaces.Box)
        and unwrap_vec_normalize(inner) is None
        and not (hides_methods(env) or hides_methods(inner))
    )


class _ObservationStatistics:
    """VecNormalize's running mean and variance of observations, updated without copies.

    Chan et al. 1979's update, as in SB3's RunningMeanStd.
    """

    def __init__(self, normalizer: VecNormalize, n_envs: int) -> None:
        self._rms, self._normalizer = cast(RunningMeanStd, normalizer.obs_rms), normalizer
        # Arrays of their own, which nobody else holds.
        self._mean = self._rms.mean = np.array(self._rms.mean, np.float64)
        self._var = self._rms.var = np.array(self._rms.var, np.float64)
        self._count, self._n = self._rms.count, n_envs
        self._delta, self._scratch = np.empty_like(self._mean), np.empty_like(self._mean)
        self._deviation = np.sqrt(self._var + normalizer.epsilon)

    def update(self, observations: NDArray[Any]) -> None:
        """Takes in one observation of every environment, (N, ...), where VecNormalize trains."""
        if not self._normalizer.training:
            return
        n, count = self._n, self._count
        total = count + n
        delta, scratch = self._delta, self._scratch
        if n == 1:
            np.subtract(observations[0], self._mean, out=delta)
            spread: Any = 0.0
        else:
            centre = observations.mean(axis=0)
            spread = observations.var(axis=0) * n
            np.subtract(centre, self._mean, out=delta)
        np.multiply(delta, delta, out=scratch)
        np.multiply(scratch, count * n / total, out=scratch)
        np.multiply(self._var, count, out=self._var)
        np.add(self._var, scratch, out=self._var)
        if n > 1:
            np.add(self._var, spread, out=self._var)
        np.multiply(self._var, 1 / total, out=self._var)
        np.multiply(delta, n / total, out=delta)
        np.add(self._mean, delta, out=self._mean)
        self._count = self._rms.count = total
        self._deviation = np.sqrt(np.add(self._var, self._normalizer.epsilon, out=scratch), out=scratch)

    def normalise(self, observations: NDArray[Any]) -> Floats:
        """As `VecNormalize.normalize_obs` does; (N, ...) or (...)."""
        clip = self._normalizer.clip_obs
        normalised = np.asarray((observations - self._mean) / self._deviation)
        np.maximum(normalised, -clip, out=normalised)
        np.minimum(normalised, clip, out=normalised)
        return normalised.astype(np.float32)


def normalise_rewards(normalizer: VecNormalize, rewards: Floats, dones: NDArray[np.bool_]) -> Floats:
    """What VecNormalize makes of the raw rewards (T, N) of a phase, its statistics moved on if it trains.

    The running variance after every step is needed: it comes from cumulative sums of the
    discounted returns' deviations.
    """
    if normalizer.training:
        variances = _move_on(normalizer, rewards, dones)
    else:
        variances = np.full((1, 1), normalizer.ret_rms.var)
        normalizer.returns = np.where(dones.any(axis=0), 0.0, normalizer.returns)
    if not normalizer.norm_reward:
        return rewards
    scaled: NDArray[np.float64] = rewards / np.sqrt(variances + normalizer.epsilon)
    return scaled.clip(-normalizer.clip_reward, normalizer.clip_reward).astype(np.float32)


def _move_on(normalizer: VecNormalize, rewards: Floats, dones: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Takes a phase's rewards into the statistics of returns; their variance after each step, (T, 1)."""
    rms, gamma = normalizer.ret_rms, normalizer.gamma
    carried = np.concatenate([np.ones_like(dones[:1]), ~dones[:-1]]) * gamma
    terms = rewards.astype(np.float64)
    terms[0] += gamma * normalizer.returns
    # The recursion runs forward in time: y_t = r_t + gamma (1 - done_{t-1}) y_{t-1}.
    returns = discounted_sums(terms[::-1], carried[::-1])[::-1]
    n = rewards.shape[1]
    counts = rms.count + n * np.arange(1, len(rewards) + 1)
    deviations = returns - rms.mean
    drift = np.cumsum(deviations.sum(axis=1)) / counts
    squares = rms.var * rms.count + np.cumsum(np.square(deviations).sum(axis=1))
    variances: NDArray[np.float64] = squares / counts - np.square(drift)
    rms.mean, rms.var, rms.count = rms.mean + drift[-1], variances[-1], float(counts[-1])
    normalizer.returns = returns[-1] * ~dones[-1]
    return variances[:, None]


def collect_fast(model: OnPolicyAlgorithm, policy: ActorCritic) -> RecordedPhase:
    """Collects `n_steps` steps of every inner environment into the model's rollout buffer.

    Args:
        model: After `_setup_learn`, on environments for which `can_collect_fast`.
        policy: The model's policy.

    Returns:
        What SB3's buffer does not keep.
    """
    normalizer = model.env if isinstance(model.env, VecNormalize) else None
    inner: Any = model.env if normalizer is None else normalizer.venv
    statistics = None
    if normalizer is not None and normalizer.norm_obs:
        statistics = _ObservationStatistics(normalizer, model.n_envs)
    n_steps, n_envs, action_space = model.n_steps, model.n_envs, model.action_space
    box = action_space if isinstance(action_space, spaces.Box) else None
    # Normalised observations are fractions, whatever the space says: the buffer alone takes its type.
    dtype = policy.features.dtype if statistics is None else np.dtype(np.float32)
    current = np.asarray(model._last_obs, dtype)
    observations, features = np.empty((n_steps, *current.shape), dtype), []
    actions = np.empty((n_steps, n_envs, 1 if box is None else math.prod(box.shape)), np.float32)
    envs = make_stepper(inner, n_steps)
    time_limits: list[tuple[int, int, NDArray[Any]]] = []
    finite = replace_nonfinite(current)
    model.policy.set_training_mode(False)

    noise = policy.distribution.noise(n_steps, n_envs)
    for t in range(n_steps):
        observations[t] = current
        features.append(policy.features(current))
        action = policy.distribution.sample(policy.policy_output(features[t]), noise[t])
        actions[t] = action
        if box is None:
            cut = envs.step(t, action[:, 0].astype(np.int64))
        else:
            shaped = action.reshape(n_envs, *box.shape)
            cut = envs.step(t, np.minimum(np.maximum(shaped, box.low), box.high))
        model.num_timesteps += n_envs
        if statistics is None:
            current = envs.observations.astype(dtype)
            time_limits += [(t, i, np.array(last, dtype)) for i, last in cut]
        else:
            statistics.update(envs.observations)
            current = statistics.normalise(envs.observations)
            time_limits += [(t, i, statistics.normalise(last)) for i, last in cut]
        # A sum takes half the time of looking at every number; that of huge ones can overflow.
        if not math.isfinite(current.sum()):
            finite &= replace_nonfinite(current)

    rewards, dones = envs.rewards.copy(), envs.dones
    if normalizer is not None:
        normalizer.old_obs, normalizer.old_reward = envs.observations.copy(), rewards[-1]
        rewards = normalise_rewards(normalizer, rewards, dones)
    time_limit_values = np.zeros_like(rewards)
    for t, i, last in time_limits:
        time_limit_values[t, i] = policy.values(policy.features(last[None]))[0]
    every_feature = np.concatenate(features)
    rollout = CollectedRollout(
        rewards=rewards,
        dones=dones,
        values=policy.values(every_feature).reshape(rewards.shape),
        time_limit_values=time_limit_values,
        last_values=policy.values(policy.features(current)),
    )
    _fill_buffer(model, policy, observations, every_feature, actions, rollout)
    model._last_obs, model._last_episode_starts = current, dones[-1]
    assert model.ep_info_buffer is not None
    assert model.ep_success_buffer is not None
    model.ep_info_buffer.extend(envs.episodes)
    model.ep_success_buffer.extend(envs.successes)
    return RecordedPhase(
        envs.raw_rewards,
        dones,
        [float(episode["r"]) for episode in envs.episodes],
        [int(episode["l"]) for episode in envs.episodes],
        finite,
        rollout,
    )


def _fill_buffer(
    model: OnPolicyAlgorithm,
    policy: ActorCritic,
    observations: NDArray[Any],
    features: Floats,
    actions: Floats,
    rollout: CollectedRollout,
) -> None:
    """The whole phase, with its log-probabilities and targets, into SB3's rollout buffer."""
    buffer = model.rollout_buffer
    shape = rollout.rewards.shape
    buffer.buffer_size = len(rollout.rewards)
    buffer.reset()
    log_probs = policy.distribution.log_prob(
        policy.policy_output(features), actions.reshape(rollout.rewards.size, -1)
    )
    # Those of the model and of the buffer can differ, and SB3 uses each in its place.
    rewards, discounts = rollout.bootstrapped_rewards(model.gamma), Discounts(buffer.gamma, buffer.gae_lambda)
    buffer.observations[:], buffer.actions[:] = observations, actions
    buffer.rewards[:] = rewards
    buffer.values[:], buffer.log_probs[:] = rollout.values, log_probs.reshape(shape)
    buffer.episode_starts[0] = model._last_episode_starts
    buffer.episode_starts[1:] = rollout.dones[:-1]
    buffer.advantages, buffer.returns = _targets(rewards, rollout, discounts)
    buffer.pos, buffer.full = len(rollout.rewards), True


def fast_targets(rollout: CollectedRollout, discounts: Discounts) -> Targets:
    """Advantages and returns, for all steps at once."""
    return _targets(rollout.bootstrapped_rewards(discounts.gamma), rollout, discounts)


def _targets(rewards: NDArray[np.floating], rollout: CollectedRollout, discounts: Discounts) -> Targets:
    found = advantages(rewards, rollout.values, rollout.last_values, rollout.dones, *discounts).astype(
        np.float32
    )
    return Targets(found, found + rollout.values)


def advantages(
    rewards: NDArray[np.floating],
    values: NDArray[np.floating],
    last_values: NDArray[np.floating],
    dones: NDArray[np.bool_],
    gamma: float,
    gae_lambda: float,
) -> NDArray[np.float64]:
    """Generalised advantage estimates (Schulman et al. 2016, Eq. 16), (T, N)."""
    next_values = np.concatenate([values[1:], last_values[None]])
    alive = ~dones
    deltas = rewards + gamma * next_values * alive - values
    return discounted_sums(deltas, gamma * gae_lambda * alive)
