# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Plug in your own agent, and your own environment
#
# Three ways to control a training run, from the loosest to the closest: a bare Gymnasium loop, a Stable-Baselines3
# algorithm, and a hyper-agent of thirty lines. All of them on an inner environment that is made here.
#
# `SCALE` is the one number to change: 1 takes about a minute.

# %%
import os

SCALE = float(os.environ.get("HYPERRL_NOTEBOOK_SCALE", "1"))

# %%
import warnings

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import stable_baselines3 as sb3
import torch
from threadpoolctl import threadpool_limits

import agents
import hyperrl_env  # registers the ids

# The matrices are small: threads would mostly wait for each other.
torch.set_num_threads(1)
threadpool_limits(1)

plt.rcParams |= {"figure.dpi": 100, "axes.grid": True, "grid.alpha": 0.25, "axes.axisbelow": True}
plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}

TOTAL_ENV_STEPS = max(4_096, int(40_960 * SCALE))

# %% [markdown]
# ## Your own inner environment
#
# Any Gymnasium environment will do. In this one a point on a plane is to come near a target and stay there; it costs
# what it is away from it.


# %%
class Reach(gym.Env):
    """Move a point to a target; 50 steps."""

    observation_space = gym.spaces.Box(-2.0, 2.0, (4,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.point, self.target = self.np_random.uniform(-1, 1, (2, 2))
        self.steps_left = 50
        return self._observation(), {}

    def step(self, action):
        self.point = np.clip(self.point + 0.1 * np.clip(action, -1, 1), -2, 2)
        self.steps_left -= 1
        return self._observation(), -np.linalg.norm(self.point - self.target), False, self.steps_left == 0, {}

    def _observation(self):
        return np.concatenate([self.point, self.target]).astype(np.float32)


# %% [markdown]
# The generic ids take it as it is. They start from Stable-Baselines3's own defaults; here the rollouts are shorter, the
# learning rate may be up to ten times smaller or larger, and one decision holds for a whole update phase.

# %%
LEARNING_RATES = hyperrl_env.SearchSpace(
    [hyperrl_env.Hyperparameter("learning_rate", multipliers=(0.1, 0.3, 1, 3, 10))]
)


def make_env(**kwargs):
    return gym.make(
        "HyperRL-PPO-v0",
        env_fn=Reach,
        n_envs=4,
        total_env_steps=TOTAL_ENV_STEPS,
        decision="phase",
        learner_kwargs={"n_steps": 128, "batch_size": 64, "n_epochs": 4},
        **({"search_space": LEARNING_RATES} | kwargs),
    )


# %% [markdown]
# ## A bare loop
#
# Nothing of this project but the environment: a rule that takes the largest learning rate for the first third of the
# run, then the default, then the smallest.

# %%
env = make_env()
space = env.unwrapped.search_space
default = space.values(env.unwrapped.default_action)["learning_rate"]
plan = [space.action({"learning_rate": multiple * default}) for multiple in (10, 1, 0.1)]
rewards = []
obs, info = env.reset(seed=0)
while not info["run_finished"]:
    progress = info["env_steps"] / TOTAL_ENV_STEPS
    obs, reward, terminated, truncated, info = env.step(plan[min(int(3 * progress), 2)])
    rewards.append(reward)
    if (terminated or truncated) and not info["run_finished"]:
        obs, info = env.reset()
rewards = rewards[:-1]  # the last update phase has no rollout after it, hence no reward
print(f"{len(rewards)} phases; hyper-reward at first {rewards[0]:.2f}, at last {rewards[-1]:.2f}")

# %% [markdown]
# ## A Stable-Baselines3 algorithm
#
# DQN takes the discrete actions; PPO, SAC or TD3 the continuous ones of `action_mode="box"`, here of two hyperparameters.
# To them it is an environment like any other. At the end of the run Stable-Baselines3 resets it, which starts a new run and
# warns of it once; the policy that was trained stays at hand as `finished_learner.model`.

# %%
warnings.filterwarnings("ignore", message=".*The run is finished, so reset")
phases = TOTAL_ENV_STEPS // 512
dqn = sb3.DQN("MlpPolicy", make_env(), buffer_size=1_000, learning_starts=8, train_freq=1, seed=0).learn(
    phases
)
ppo = sb3.PPO("MlpPolicy", make_env(search_space=["learning_rate", "clip_range"], action_mode="box"),
              n_steps=8, batch_size=8, seed=0).learn(phases)  # fmt: skip
print(
    "trained by DQN's choices:", dqn.env.envs[0].unwrapped.finished_learner.num_timesteps, "environment steps"
)
obs, _ = ppo.env.envs[0].reset(seed=1)
values = ppo.env.envs[0].unwrapped.search_space.values(ppo.predict(obs)[0])
print("PPO would now choose", {name: float(f"{value:.3g}") for name, value in values.items()})

# %% [markdown]
# (Inside `agents/`, `agents.make("sb3", env, algorithm="PPO")` drives the same algorithms step by step, so that they run
# wherever the built-in agents do, the command line included.)
#
# ## A hyper-agent of thirty lines
#
# A subclass of `HyperAgent` runs wherever the built-in ones do. This one is a bandit: it takes the learning rate with the
# highest upper confidence bound (Auer et al. 2002) on the *gain* in hyper-reward from one phase to the next, because the
# reward itself rises whatever one does.


# %%
class UpperConfidenceBound(agents.HyperAgent):
    """Takes the arm with the largest mean gain + c sqrt(ln t / n)."""

    def __init__(self, env, seed=0, *, c=0.2, discount=0.95):
        super().__init__(env, seed)
        self.c, self.discount = c, discount
        self.gains, self.counts = np.zeros((2, self.search_space.n_actions))
        self.last_reward, self.scale = None, 1e-6

    def act(self, obs, info):
        if (self.counts < 0.5).any():
            return self.search_space.joint_action(self.counts.argmin())
        bonus = self.c * np.sqrt(np.log(self.counts.sum()) / self.counts)
        return self.search_space.joint_action((self.gains / self.counts / self.scale + bonus).argmax())

    def observe(self, obs, action, reward, next_obs, terminated, truncated, info):
        if not terminated:
            return
        if self.last_reward is not None:
            arm = self.search_space.joint_index(action)
            gain = reward - self.last_reward
            self.scale = max(self.scale, abs(gain))
            self.gains *= self.discount  # what was good early need not be good late
            self.counts *= self.discount
            self.gains[arm] += gain
            self.counts[arm] += 1
        self.last_reward = reward

    def state_dict(self):
        own = {name: np.array(getattr(self, name)) for name in ("gains", "counts", "scale")}
        return super().state_dict() | own | {"last_reward": self.last_reward}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.gains, self.counts, self.scale = (np.array(state[name]) for name in ("gains", "counts", "scale"))
        self.last_reward = state["last_reward"]


# %% [markdown]
# One function drives any of them. Three seeds each, beside episodic control, the random agent and the fixed default:


# %%
def train(make_agent, seed):
    """Hyper-rewards of a run, and the multiple of the learning rate that each was earned with."""
    env = make_env()
    agent, multiples = make_agent(env, seed), env.unwrapped.search_space.bins["learning_rate"]
    rewards, chosen = [], []

    def note(step):
        if not step.truncated:
            rewards.append(step.reward)
            chosen.append(multiples[agent.search_space.joint_index(step.action)])

    agents.run(env, agent, seed=seed, callback=note)
    return rewards, chosen


SEEDS = range(3)
AGENTS = {
    "the bandit above": UpperConfidenceBound,
    "episodic control": lambda env, seed: agents.make("epgt", env, seed=seed),
    "random": lambda env, seed: agents.make("random", env, seed=seed),
    "fixed default": lambda env, seed: agents.make("fixed", env, seed=seed),
}
runs = {name: [train(make_agent, seed) for seed in SEEDS] for name, make_agent in AGENTS.items()}

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
lines = zip(["-", "--", ":", "-."], ["o", "s", "^", "D"], plt.cm.viridis([0.0, 0.35, 0.6, 0.85]), strict=True)
for (name, of_seeds), (line, marker, colour) in zip(runs.items(), lines, strict=True):
    rewards = np.array([rewards for rewards, _ in of_seeds])
    steps = 512 * (2 + np.arange(rewards.shape[1]))
    mean, low, high = rewards.mean(0), rewards.min(0), rewards.max(0)
    left.fill_between(steps, low, high, color=colour, alpha=0.12, linewidth=0)
    left.plot(steps, mean, line, color=colour, marker=marker, markevery=0.15, label=name)
left.set(xlabel="environment steps", ylabel="hyper-reward (mean discounted return)")
left.set_title("Mean of three seeds; bands from the least to the most", fontsize=10)
left.legend()
multiples = [0.1, 0.3, 1, 3, 10]
share = np.zeros((len(multiples), 10))
for _, chosen in runs["the bandit above"]:
    window = np.arange(len(chosen)) * 10 // len(chosen)
    np.add.at(share, (np.searchsorted(multiples, chosen), window), 1)
share /= np.maximum(share.sum(axis=0), 1)
image = right.pcolormesh(np.linspace(0, TOTAL_ENV_STEPS, 11), np.arange(6), share, cmap="cividis_r", vmin=0)
figure.colorbar(image, ax=right, label="share of the update phases")
right.set_yticks(np.arange(5) + 0.5, [f"{value:g}" for value in multiples])
right.set(xlabel="environment steps", ylabel="learning rate, multiples of the default")
right.set_title("What the bandit chose (all seeds)", fontsize=10)
right.grid(False)
plt.show()

# %% [markdown]
# Three seeds on a toy are no comparison of methods; they show that everything is plugged in. To use an agent from the
# command line, with logs, records and pictures, put it in a module: `hyperrl train ID --agent my_module:UpperConfidenceBound`.
# An entry point of a package of yours gives it a name there, `agents.register` in your own program.
