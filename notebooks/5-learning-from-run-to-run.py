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
# # Learning from run to run
#
# Within one run nobody can tell what a single choice of a hyperparameter was worth. What a whole run was trained with is
# plain to see in its score, so there is something to learn from run to run. The package ships what some 400 runs of PPO
# did and how they ended. This notebook looks at what the agent `prior` makes of it: which schedules it plays, and where it leaves
# the task's own settings alone because it does not know better.
#
# At the end one run with it stands beside one without. `SCALE` is the number to change: at 1 the notebook takes about a
# minute.

# %%
import os

SCALE = float(os.environ.get("HYPERRL_NOTEBOOK_SCALE", "1"))

# %%
from collections import defaultdict

import gymnasium as gym
import matplotlib.pyplot as plt
import numpy as np
import torch
from threadpoolctl import threadpool_limits

import agents
import hyperrl_env  # registers the ids
from agents.experience_file import load_experience
from agents.lines import Line
from agents.outcome_model import Context, best_lines, model_of

torch.set_num_threads(1)
threadpool_limits(1)

plt.rcParams |= {"figure.dpi": 100, "axes.grid": True, "grid.alpha": 0.25, "axes.axisbelow": True}
plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
# They differ to the colour-blind, and in grey.
COLOURS = ("#000000", "#882255", "#0072b2", "#009e73", "#e69f00", "#56b4e9", "#999999", "#d55e00")

# %% [markdown]
# ## What the file holds
#
# A row per run: the task, the budget, the agent, the score, and phase by phase the diagnostics and how far each
# hyperparameter was from the task's own value then. A run's schedule of a hyperparameter is summed up by the line that is
# nearest to it: a level and a slope over the run, on a scale where 0 is the task's own value and, for the learning rate, a
# difference of 1 is a factor of e.

# %%
experience = load_experience("PPO")
tasks = defaultdict(list)
for run in experience.runs:
    tasks[run.inner_env, run.budget].append(run.score)
for (task, budget), scores in tasks.items():
    print(
        f"{task:26} {budget:,} steps, {len(scores)} runs, score {np.mean(scores):7.1f} ± {np.std(scores):.1f}"
    )

# %% [markdown]
# Scores of different tasks do not compare, so a run's outcome is its score against the other runs on its task, in standard
# deviations. Here it is by the agent that made the choices: `fixed` has the task's own settings and five others,
# `random_schedule` draws a schedule per run, and `prior` are runs that were made to learn from, each with the schedule that
# promised most at the time.

# %%
by_agent = defaultdict(list)
for run, outcome in zip(experience.runs, experience.standardised(), strict=True):
    by_agent[run.agent].append(outcome)
order = sorted(by_agent, key=lambda name: np.mean(by_agent[name]))

figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
for place, name in enumerate(order):
    axes.plot(
        by_agent[name], np.full(len(by_agent[name]), place), "o", color=COLOURS[2], alpha=0.25, markersize=4
    )
    axes.plot(np.mean(by_agent[name]), place, "|", color=COLOURS[0], markersize=14, markeredgewidth=2)
axes.set_yticks(range(len(order)), order)
axes.set_xlabel("outcome of a run, in standard deviations of its task (bar: mean)")
plt.show()

# %% [markdown]
# The spread within an agent is larger than the differences between them: one run tells little, many tell something.
#
# ## What the model believes
#
# `prior` fits a Gaussian process to the outcome as a function of the schedule and of the budget, for runs from settings of one kind:
# all of these normalise, and let the learning rate fall. What counts is the
# *difference* to the task's own settings, which is 0 for certain where nothing is changed. It plays the schedule with the
# largest mean less one standard deviation, so a change has to be better by more than what is not known. Half of the function
# is shared by all tasks, and half is the task's own. This is the shared half, all that is known of a new task:

# %%
model = model_of(experience, kind=(True, True))
levels = np.linspace(-1.5, 2.5, 81)
lines = np.zeros((len(levels), len(model.names), 2))
lines[:, model.names.index("learning_rate"), 0] = levels

figure, panels = plt.subplots(1, 3, figsize=(9, 3), sharey=True, layout="constrained")
for axes, budget in zip(panels, (100_000, 300_000, 1_000_000), strict=True):
    mean, spread = model.differences(lines, Context(budget, normalize=True, decays=True))
    axes.fill_between(np.exp(levels), mean - spread, mean + spread, color=COLOURS[2], alpha=0.2, linewidth=0)
    axes.plot(np.exp(levels), mean, color=COLOURS[2])
    axes.axhline(0, color=COLOURS[0], linewidth=0.8)
    axes.set_xscale("log", base=2)
    axes.set(title=f"{budget:,} steps", xlabel="multiple of the learning rate")
panels[0].set_ylabel("difference to the task's own,\nin standard deviations")
plt.show()

# %% [markdown]
# Only at 100,000 and 300,000 steps, the budgets of these runs, does the model know anything. At 1,000,000 the mean goes to 0
# and the spread does not: what is best with one budget need not be best with another.
#
# ## What is played
#
# At the budgets of the runs, the changes against the task's own values over a run: on a task that no run was on, and on
# those that there are runs of. Where a task has no line of its own, its runs say too little, and its own values are played.

# %%
progress = np.linspace(0, 0.98, 50)
colours = dict(zip([None, *dict.fromkeys(run.inner_env for run in experience.runs)], COLOURS, strict=True))

figure, rows = plt.subplots(
    2, len(model.names), figsize=(9, 5.4), sharex=True, sharey=True, layout="constrained"
)
for panels, budget in zip(rows, (100_000, 300_000), strict=True):
    of_budget = {run.inner_env for run in experience.runs if run.budget == budget}
    for task, colour in colours.items():
        played = best_lines(model, Context(budget, normalize=True, decays=True, task=task))
        if not played.any() or (task and task not in of_budget):
            continue
        for axes, (level, slope) in zip(panels, played, strict=True):
            changes = [Line(level, slope).change(p) for p in progress]
            axes.plot(
                progress, changes, color=colour, linewidth=1 if task else 2.5, label=task or "a new task"
            )
    for axes in panels:
        axes.axhline(0, color="grey", linewidth=0.8)
    panels[0].set_ylabel(f"change with {budget:,} steps\n(0: the task's own)")
for top, bottom, name in zip(*rows, model.names, strict=True):
    top.set_title(name)
    bottom.set_xlabel("progress")
handles = {
    label: handle
    for axes in rows[:, 0]
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
}
figure.legend(handles.values(), handles, loc="outside lower center", ncols=4)
plt.show()

# %% [markdown]
# The learning rate on a new task, in multiples of where it starts, for several budgets. The task's own falls to 0.

# %%
own = 1 - progress

figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
axes.plot(progress, own, color=COLOURS[0], linewidth=2, label="the task's own")
for budget, colour in zip((30_000, 100_000, 270_000, 300_000, 1_000_000), COLOURS[1:], strict=False):
    played = best_lines(model, Context(budget, normalize=True, decays=True))
    line = Line(*played[model.names.index("learning_rate")])
    axes.plot(
        progress,
        own * np.exp([line.change(p) for p in progress]),
        "--",
        color=colour,
        label=f"{budget:,} steps",
    )
axes.set(xlabel="progress of the run", ylabel="multiple of the first learning rate", ylim=(0, None))
axes.legend()
plt.show()

# %% [markdown]
# Near 100,000 and 300,000 steps it keeps the learning rate up for longer than the task would. Elsewhere the lines lie on the
# task's own: then a run with `prior` is the run without it, to the bit.
#
# ## One run beside another
#
# Walker2d, one of the tasks of the experience, with a seed that is not in it. A single pair of runs says nothing about
# which is better; `hyperrl sweep` runs many.

# %%
TOTAL_ENV_STEPS = max(4_096, int(300_000 * SCALE))


def train(name):
    """Returns of a run's inner episodes, with the environment steps at which they ended, and its learning rates."""
    env = gym.make("HyperRL-PPO-Walker2d-v0", total_env_steps=TOTAL_ENV_STEPS, **agents.env_kwargs(name))
    agent = agents.make(name, env)
    returns, rates = [], []

    def note(step):
        info = step.next_info
        rates.append((info["env_steps"], info["hyperparameters"]["learning_rate"]))
        returns.extend(
            (info["env_steps"], value) for value in info.get("phase_stats", {"returns": []})["returns"]
        )

    agents.run(env, agent, seed=10, callback=note)
    env.close()
    return np.array(returns), np.array(rates)


figure, (curves, schedules) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for name, colour in (("fixed", COLOURS[0]), ("prior", COLOURS[2])):
    returns, rates = train(name)
    window = min(100, len(returns))
    means = np.convolve(returns[:, 1], np.ones(window) / window, "valid")
    curves.plot(returns[window - 1 :, 0] / 1_000, means, color=colour, label=name)
    schedules.plot(rates[:, 0] / 1_000, rates[:, 1], color=colour, label=name)
curves.set(xlabel="thousand environment steps", ylabel="mean return of 100 episodes")
schedules.set(xlabel="thousand environment steps", ylabel="learning rate")
curves.legend()
plt.show()

# %% [markdown]
# ## Where it helps, and where it does not
#
# - In the pair above, at `SCALE` 1, the run with `prior` is ahead for two thirds of the time, and ends far behind. What it changes
#   most on Walker2d is the clip range.
# - What these runs say, they say about seven tasks and two budgets. How much of it holds with other seeds, and on tasks that
#   nothing was learned on, is [measured](../experience.md#protocol) beside rules and random choices.
# - At other budgets, and from settings that do not normalise, the agent does not know better than the task and leaves it
#   alone.
# - Your own runs can teach it more: `hyperrl experience build` adds them to a file, and `--set sample=true` makes runs that
#   are worth adding.
