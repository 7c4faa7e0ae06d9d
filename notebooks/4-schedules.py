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
# # Schedules
#
# What do different hyper-agents do with the learning rate of one task, and what would other choices have done from the
# same state of training?
#
# The first half follows Figure 2 of the paper: A2C on MountainCarContinuous, with a learning rate between 1/16 and 16
# times the task's own. `SCALE` is the one number to change: at 1 the notebook takes about two minutes and runs 6,000 of
# the paper's 20,000 environment steps.

# %%
import os

SCALE = float(os.environ.get("HYPERRL_NOTEBOOK_SCALE", "1"))

# %%
import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch
from threadpoolctl import threadpool_limits

import agents
import hyperrl_env  # registers the ids

# The matrices are small: threads would mostly wait for each other.
torch.set_num_threads(1)
threadpool_limits(1)

plt.rcParams |= {"figure.dpi": 100, "axes.grid": True, "grid.alpha": 0.25, "axes.axisbelow": True}
plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
# They differ to the colour-blind, and in grey: none is darker than the one before.
COLOURS = ("#000000", "#882255", "#0072b2", "#009e73", "#e69f00", "#56b4e9")

TOTAL_ENV_STEPS = max(500, int(6_000 * SCALE))
SEEDS = range(3)
AGENTS = {
    "episodic control": ("epgt", {}),
    "random": ("random", {}),
    "DQN": ("dqn", {}),
    "fixed, default": ("fixed", {}),
    "fixed, smallest": ("fixed", {"action": "smallest"}),
    "fixed, largest": ("fixed", {"action": "largest"}),
}

# %% [markdown]
# ## Six agents, three seeds each


# %%
def train(agent_name, agent_kwargs, seed):
    """A run's inner episodes (environment steps, return) and multiples of the learning rate per update."""
    env = gym.make("HyperRL-A2C-MountainCarContinuous-v0", total_env_steps=TOTAL_ENV_STEPS)
    agent = agents.make(agent_name, env, seed=seed, **agent_kwargs)
    multiples = env.unwrapped.search_space.bins["learning_rate"]
    episodes, chosen = [], []

    def note(step):
        chosen.append(multiples[agent.search_space.joint_index(step.action)])
        returns = step.next_info["phase_stats"]["returns"]
        episodes.extend((step.next_info["env_steps"], r) for r in returns)

    agents.run(env, agent, seed=seed, callback=note)
    return np.array(episodes).reshape(-1, 2), np.array(chosen)


runs = {name: [train(agent, kwargs, seed) for seed in SEEDS] for name, (agent, kwargs) in AGENTS.items()}

# %%
LINES = ("-", "--", ":", "-.", (0, (1, 3)), (0, (5, 4)))
LOOKS = dict(zip(AGENTS, zip("osD^v<", LINES, COLOURS, strict=True), strict=True))
figure, axes = plt.subplots(figsize=(7.5, 4), layout="constrained")
grid = np.linspace(TOTAL_ENV_STEPS / 10, TOTAL_ENV_STEPS, 40)
for name, (marker, line, colour) in LOOKS.items():
    curves = []
    for episodes, _ in runs[name]:
        steps, returns = episodes.T
        recent = [returns[(steps <= step) & (steps > step - TOTAL_ENV_STEPS / 5)] for step in grid]
        curves.append([part.mean() if len(part) else np.nan for part in recent])
    defined = ~np.isnan(curves).all(axis=0)
    mean = np.nanmean(np.array(curves)[:, defined], axis=0)
    axes.plot(
        grid[defined], mean, linestyle=line, color=colour, marker=marker, markevery=6, linewidth=2, label=name
    )
axes.set(xlabel="environment steps", ylabel="return of the latest inner episodes")
axes.set_title("A2C on MountainCarContinuous, mean of three seeds (the goal is worth 100)", fontsize=10)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
# %%
print("return of the inner episodes that ended in the last third of the run, by seed")
for name, of_seeds in runs.items():
    last = [episodes[episodes[:, 0] > TOTAL_ENV_STEPS * 2 / 3, 1] for episodes, _ in of_seeds]
    print(f"{name:18}", "  ".join(f"{part.mean():7.1f}" if len(part) else "   none" for part in last))

# %% [markdown]
# An episode is up to 999 steps long, so a run has few; a policy that stands still earns 0, one that pushes to no effect
# less, one that reaches the goal nearly 100.
#
# At `SCALE = 1` the task's own learning rate reaches the goal in all three seeds, the smallest in none, the largest in one.
# Between the agents that choose, three seeds decide nothing. One large step at a bad moment loses a policy, and whether it
# comes is luck: another budget gives another order, and so does another machine's rounding. The paper's comparison takes
# ten runs.
#
# ## Their schedules
#
# The share of updates that took each multiple of the learning rate, over the run, all seeds together. The arrow on the
# scale is what chance gives: one in seven.

# %%
adaptive = ("episodic control", "random", "DQN")
multiples = np.unique(np.concatenate([chosen for _, chosen in runs["random"]]))
shares = {}
for name in adaptive:
    counts = np.zeros((len(multiples), 10))
    for _, chosen in runs[name]:
        window = np.arange(len(chosen)) * 10 // len(chosen)
        np.add.at(counts, (np.searchsorted(multiples, chosen), window), 1)
    shares[name] = counts / counts.sum(axis=0)

figure, panels = plt.subplots(1, 3, figsize=(9, 3), sharey=True, layout="constrained")
edges, rows = np.linspace(0, TOTAL_ENV_STEPS, 11), np.arange(len(multiples) + 1)
for axes, name in zip(panels, adaptive, strict=True):
    most = max(share.max() for share in shares.values())
    image = axes.pcolormesh(edges, rows, shares[name], cmap="Blues", vmin=0, vmax=most, edgecolors="white")
    axes.set_yticks(rows[:-1] + 0.5, [f"{value:.3g}" for value in multiples])
    axes.set_xticks(edges[[0, 5]])
    axes.set_title(name, fontsize=10)
    axes.set_xlabel("environment steps")
    axes.grid(False)
panels[0].set_ylabel("learning rate, multiples\nof the task's own")
scale = figure.colorbar(image, ax=panels, label="share of updates")
scale.ax.plot(0, 1 / len(multiples), ">", color="#d55e00", markersize=7, clip_on=False)
plt.show()
# %% [markdown]
# The random agent is even up to chance. What to look for in the others: does the choice move with the state of training,
# or settle on one value? (The paper finds that DQN tends to the extremes.)
#
# ## What other actions would have done
#
# `snapshot()` copies everything that the environment continues from: weights, optimiser, simulators, random state.
# `restore` brings it back, any number of times. So from one state of training every learning rate can be tried, with the
# same noise, and what follows compared: here PPO on HalfCheetah, each learning rate held for two update phases.

# %%
MULTIPLES = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
space = hyperrl_env.SearchSpace([hyperrl_env.Hyperparameter("learning_rate", multipliers=MULTIPLES)])
env = gym.make("HyperRL-PPO-HalfCheetah-v0", search_space=space, decision="phase", total_env_steps=1_000_000)
hyper_rl, trunk_phases, held = env.unwrapped, max(2, int(24 * SCALE)), 2


def hold(action, phases):
    """Repeats an action; the mean hyper-reward that it earned."""
    rewards = []
    for _ in range(phases):
        _, reward, *_ = env.step(action)
        rewards.append(reward)
        env.reset()
    return np.mean(rewards)


env.reset(seed=0)
branch_points, gains = [], []
for phase in range(trunk_phases):
    if phase % max(1, trunk_phases // 4) == trunk_phases // 8:
        state = hyper_rl.snapshot()
        earned = []
        for action in range(len(MULTIPLES)):
            hyper_rl.restore(state)
            earned.append(hold(action, held))
        hyper_rl.restore(state)
        branch_points.append(hyper_rl.learner.num_timesteps)
        gains.append(np.array(earned) - np.mean(earned))
    hold(env.unwrapped.default_action, 1)

# %%
figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
colours = COLOURS[:2] + COLOURS[3:5]
for steps, gain, marker, line, colour in zip(branch_points, gains, "osD^", LINES, colours, strict=False):
    axes.semilogx(MULTIPLES, gain, marker=marker, linestyle=line, color=colour, label=f"{steps:,}")
    best = int(np.argmax(gain))
    axes.plot(MULTIPLES[best], gain[best], marker, color=colour, markersize=12, fillstyle="none")
axes.axhline(0, color="0.5", linewidth=1)
axes.set_xticks(MULTIPLES, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
axes.minorticks_off()
axes.set(
    xlabel="learning rate, multiples of the task's own", ylabel="hyper-reward, less the mean\nof the seven"
)
axes.set_title("PPO on HalfCheetah: the same state, other learning rates (best one ringed)", fontsize=10)
axes.legend(title="branched after\n(environment steps)", loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()
# %%
for steps, gain in zip(branch_points, gains, strict=True):
    print(
        f"after {steps:6,} steps: best {MULTIPLES[int(np.argmax(gain))]:g} x, gain over the mean {max(gain):.2f}"
    )

# %% [markdown]
# If the curves had one shape and one peak, a constant multiple would do. Here the peak moves: what is best does seem to
# depend on the state of training, which is what a hyper-agent has to see. But each point is one draw, curves with two peaks
# are a sign of noise, and two phases are a short horizon: what pays at once need not pay in the end. To tell noise from
# effect, branch from runs of several seeds.
