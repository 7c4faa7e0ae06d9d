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
# # Quickstart
#
# What the Hyper-RL is, in ten minutes: make the environment, look at its spaces, step it, let episodic control choose
# the hyperparameters of a whole run, and look at what it chose.
#
# `SCALE` is the one number to change: 1 takes about a minute, 10 is the paper's budget for this task.

# %%
import os

SCALE = float(os.environ.get("HYPERRL_NOTEBOOK_SCALE", "1"))

# %%
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

TOTAL_ENV_STEPS = max(4_096, int(100_000 * SCALE))

# %% [markdown]
# ## An ordinary Gymnasium environment
#
# Inside it, PPO trains a policy on HalfCheetah. Every step of *our* environment is one policy update of that training.

# %%
env = gym.make("HyperRL-PPO-HalfCheetah-v0", total_env_steps=TOTAL_ENV_STEPS)
hyper_rl = env.unwrapped
print("actions:     ", env.action_space)
print("observations:", env.observation_space)

# %% [markdown]
# A **hyper-action** is a joint choice of a value for each hyperparameter. Some are multiples of the task's own value
# (for the learning rate, of the value that it has decayed to by then), others are the values themselves:

# %%
for name, bins in hyper_rl.search_space.bins.items():
    print(f"{name:14}", "  ".join(f"{value:g}" for value in bins))

# %%
print("action 0 means      ", hyper_rl.search_space.values(0))
print("the default", hyper_rl.default_action, "means", hyper_rl.search_space.values(hyper_rl.default_action))

# %% [markdown]
# The **observation** is the hyper-state: all weights and the last two gradients of policy and value network, projected
# to a few thousand numbers; the last one says how much of the update phase is done. `reset` starts a training run and
# collects its first rollout.

# %%
obs, info = env.reset(seed=0)
print("hyper-state:", obs.shape, obs.dtype, "| first:", np.round(obs[:4], 3), "| last:", obs[-1])
print("environment steps so far:", info["env_steps"])

# %% [markdown]
# A step does one update with the hyperparameters that the action means. The **hyper-reward** is 0 until the last update on
# the rollout is done; then the updated policy collects the next rollout, and what it earns there is the reward.

# %%
rng = np.random.default_rng(0)
steps, done = 0, False
while not done:
    obs, hyper_reward, terminated, truncated, info = env.step(rng.integers(env.action_space.n))
    steps, done = steps + 1, terminated or truncated
    if steps <= 3 or done:
        values = "  ".join(f"{k} {info['hyperparameters'][k]:.3g}" for k in hyper_rl.search_space.names)
        print(f"step {steps:3d}: {values:72} hyper-reward {hyper_reward:6.2f}")
print("returns of the inner episodes that ended meanwhile:", np.round(info["phase_stats"]["returns"], 1))

# %% [markdown]
# That was one **learning episode**: one update phase and the rollout after it. `reset()` without a seed continues the
# same run.
#
# ## A whole run
#
# `agents.run` drives any hyper-agent; a callback notes down each step. Two agents on the same seed: episodic control, which
# remembers what worked in which training state, and the task's own fixed settings.


# %%
def train(agent_name):
    """One run; the inner episodes' (environment steps, return), and what was chosen when."""
    env = gym.make("HyperRL-PPO-HalfCheetah-v0", total_env_steps=TOTAL_ENV_STEPS)
    agent = agents.make(agent_name, env, seed=0)
    episodes, choices = [], []

    def note(step):
        choices.append((step.info["env_steps"], env.unwrapped.search_space.joint_index(step.action)))
        if "phase_stats" in step.next_info:
            returns = step.next_info["phase_stats"]["returns"]
            episodes.extend((step.next_info["env_steps"], r) for r in returns)

    agents.run(env, agent, seed=0, callback=note)
    return np.array(episodes), np.array(choices), env.unwrapped


runs = {name: train(name) for name in ("epgt", "fixed")}

# %%
figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
looks = {
    "epgt": ("episodic control", "-", "o", "#0b3c6f"),
    "fixed": ("fixed: the task's own", "--", "s", "#e08a3c"),
}
for name, (episodes, _, _) in runs.items():
    label, line, marker, colour = looks[name]
    steps, returns = episodes.T
    mean = [returns[max(0, i - 9) : i + 1].mean() for i in range(len(returns))]
    axes.plot(steps, returns, marker, color=colour, alpha=0.25, markersize=3)
    axes.plot(steps, mean, line, color=colour, linewidth=2, marker=marker, markevery=0.12, label=label)
axes.set(xlabel="environment steps", ylabel="return of an inner episode")
axes.set_title("HalfCheetah, PPO: episodes (points) and the mean of the last ten (lines)", fontsize=10)
axes.legend()
plt.show()
# %% [markdown]
# One run of each says nothing about which is better: for that, compare several seeds.
#
# What did episodic control choose? Each column of the next picture is one update phase; the darker a cell, the more of the
# phase's updates took that value. At first it explores (ε near 1) and all values are equally frequent; from half of the
# budget on it takes what its memory says.

# %%
_, choices, run_env = runs["epgt"]
space = run_env.search_space
chosen = np.array(np.unravel_index(choices[:, 1], [len(bins) for bins in space.bins.values()]))
phases, phase_of = np.unique(choices[:, 0], return_inverse=True)
figure, panels = plt.subplots(len(space.bins), 1, figsize=(7, 6.4), sharex=True, layout="constrained")
for axes, (name, bins), index in zip(panels, space.bins.items(), chosen, strict=True):
    share = np.zeros((len(bins), len(phases)))
    np.add.at(share, (index, phase_of), 1)
    share /= share.sum(axis=0)
    edges = np.append(phases, 2 * phases[-1] - phases[-2])
    image = axes.pcolormesh(edges, np.arange(len(bins) + 1), share, cmap="cividis_r", vmin=0, vmax=1)
    relative = name in ("learning_rate", "batch_size")
    axes.set_yticks(np.arange(len(bins)) + 0.5, [f"{value:g}{' x' if relative else ''}" for value in bins])
    axes.set_ylabel(name)
    axes.grid(False)
panels[-1].set_xlabel("environment steps")
figure.align_ylabels(panels)
panels[0].set_title("What episodic control chose (x: times the task's own value)", fontsize=10)
figure.colorbar(image, ax=panels, label="share of the phase's updates", aspect=40)
plt.show()
# %% [markdown]
# ## What is left
#
# The trained policy is a Stable-Baselines3 model, with all that it offers:

# %%
model = run_env.learner.model
action, _ = model.predict(np.zeros(model.observation_space.shape, np.float32), deterministic=True)
print(
    f"an SB3 PPO: {isinstance(model, sb3.PPO)}; trained for {model.num_timesteps:,} steps; an action:",
    np.round(action, 2),
)

# %% [markdown]
# A command does all of the above, and keeps every hyper-action, every episode, logs, the model and pictures:
#
# ```sh
# hyperrl train HyperRL-PPO-HalfCheetah-v0 --agent epgt --seed 0 \
#     --total-env-steps 100000 --out runs/quickstart
# ```
#
# Next: what the hyper-state looks like (notebook 2), an agent or an environment of your own (3), what the schedules of
# different agents have in common (4).
