"""Every phase of a run in `phases.parquet`; its diagnostics, index by index, from the run's other files."""

import csv

import numpy as np
import pytest

from hyperrl_env import DIAGNOSTICS
from hyperrl_lab.config import RunConfig
from hyperrl_lab.phase_log import PhaseLog
from hyperrl_lab.results import read_actions, read_episodes, read_phases
from hyperrl_lab.run import TrainingRun

BUDGET = 900
# Where the hyperparameters start from: Stable-Baselines3's defaults, but for what the runs set.
PPO_START = {
    **{"learning_rate": 3e-3, "clip_range": 0.2, "batch_size": 16, "n_epochs": 2, "n_steps": 32},
    **{"ent_coef": 0.0, "vf_coef": 0.5, "max_grad_norm": 0.5, "gae_lambda": 0.95, "gamma": 0.99},
}
A2C_START = {
    **{"learning_rate": 7e-4, "n_steps": 5, "ent_coef": 0.0, "vf_coef": 0.5, "max_grad_norm": 0.5},
    **{"gae_lambda": 1.0, "gamma": 0.99},
}
ACKTR_START = {
    **{"learning_rate": 0.25, "n_steps": 20, "ent_coef": 0.01, "vf_coef": 0.5, "kl_clip": 0.001},
    **{"gae_lambda": 1.0, "gamma": 0.99},
}
RUNS = {
    # Phases of 8, 16 and 32 steps, so that in some of them no inner episode ends.
    "PPO": (
        PPO_START,
        {
            "learner_kwargs": {
                name: PPO_START[name] for name in ("learning_rate", "n_steps", "batch_size", "n_epochs")
            },
            "search_space": list(PPO_START),
            "action_mode": "multi_discrete",
            "env_id": "CartPole-v1",
        },
    ),
    "A2C": (A2C_START, {"n_envs": 2, "env_id": "CartPole-v1", "observation": "diagnostics"}),
    # Gaussian actions of six dimensions; episodes are cut by a wrapper of Gymnasium's own.
    "ACKTR": (
        ACKTR_START,
        {
            "n_envs": 1,
            "env_id": "HalfCheetah-v5",
            "env_kwargs": {"max_episode_steps": 50},
            "observation": "both",
        },
    ),
}


@pytest.fixture(scope="module", params=RUNS)
def folder(request, tmp_path_factory):
    """A finished run, and where its hyperparameters started from."""
    start, kwargs = RUNS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    run = TrainingRun(
        RunConfig(f"HyperRL-{request.param}-v0", "random", 2, BUDGET, kwargs, log_interval=1), folder
    )
    run.train(pictures=False)
    return folder, start


def log_lines(folder):
    """What `progress.csv` says of every update phase, as numbers."""
    with open(folder / "progress.csv", newline="") as file:
        return [{k: float(v) for k, v in line.items() if v} for line in csv.DictReader(file)]


def phase_ends(actions):
    """Environment steps at the end of every phase, that of the first environment phase first."""
    first = np.unique(actions["phase"], return_index=True)[1]
    ends = actions["env_steps"][first].tolist()
    return np.array([*ends, ends[-1]])


def episodes_by_phase(episodes, ends):
    """(mean return, mean length) of every environment phase; None if no inner episode ended in it."""
    found, before = [], 0
    for end in ends:
        inside = (episodes["env_steps"] > before) & (episodes["env_steps"] <= end)
        found.append(
            (episodes["return"][inside].mean(), episodes["length"][inside].mean()) if inside.any() else None
        )
        before = end
    return found


def followed(numbers, steps, part):
    """The running mean as one weighted sum, whose weights say how often each number was moved away from."""
    gaps = np.diff([0, *steps]) / BUDGET
    weights = [min(max(1 / (i + 1), gap / part), 1) for i, gap in enumerate(gaps)]
    return sum(
        w * x * np.prod([1 - later for later in weights[i + 1 :]])
        for i, (w, x) in enumerate(zip(weights, numbers, strict=True))
    )


def of_returns(episodes, ends, phase):
    """recent_return, return_slope, log_episode_length and improvement at the end of a phase."""
    so_far = episodes_by_phase(episodes, ends)[: phase + 1]
    steps = [end for end, found in zip(ends, so_far, strict=False) if found]
    if not steps:
        return 0, 0, 0, 0
    returns, lengths = np.array([found for found in so_far if found]).T
    spread = returns.std()
    recent, older = followed(returns, steps, 0.05), followed(returns, steps, 0.2)
    in_spreads = (lambda x: x / spread) if spread else (lambda x: 0)
    return (
        in_spreads(recent - returns[0]),
        in_spreads(recent - older),
        np.log(followed(lengths, steps, 0.05) / lengths[0]),
        in_spreads(returns[-1] - returns[-2]) if so_far[-1] and len(returns) > 1 else 0,
    )


def to_geometric_mean(values):
    return np.log(values[-1] / np.exp(np.mean(np.log(values))))


def test_the_diagnostics_are_what_the_log_says(folder):
    folder, start = folder
    actions, episodes, phases = read_actions(folder), read_episodes(folder), read_phases(folder)
    lines, ends = log_lines(folder), phase_ends(actions)
    dimensions = 6 if "HalfCheetah" in (folder / "config.json").read_text() else 1
    assert phases["phase"].tolist() == list(range(len(ends)))
    assert phases["env_steps"].tolist() == ends.tolist()
    assert len(lines) == len(ends) - 1
    for phase, end in enumerate(ends):
        last = phase == len(ends) - 1
        # Of the choices before the end of the phase the last one is in force.
        chosen = np.flatnonzero(actions["phase"] < phase)
        in_force = {name: actions[name][chosen[-1]] if len(chosen) else start[name] for name in start}
        relative = {name: np.log((in_force[name] or 1) / (start[name] or 1)) for name in start}
        expected = [
            min(end / BUDGET, 1),
            np.log10(BUDGET / 1e6),
            float(last),
            relative["learning_rate"],
            relative.get("clip_range", 0),
            relative.get("kl_clip", 0),
            relative.get("batch_size", 0),
            relative.get("n_epochs", 0),
            relative["n_steps"],
            np.log((in_force["ent_coef"] + 1e-3) / (start["ent_coef"] + 1e-3)),
            relative["vf_coef"],
            relative.get("max_grad_norm", 0),
            np.log((1.001 - start["gae_lambda"]) / (1.001 - in_force["gae_lambda"])),
            np.log((1.001 - start["gamma"]) / (1.001 - in_force["gamma"])),
        ]
        if phase == 0:
            expected += [0] * 7
        else:
            line, so_far = lines[phase - 1], lines[:phase]
            loss = "train/policy_gradient_loss" if "train/approx_kl" in line else "train/policy_loss"
            kl = max(line.get("train/approx_kl", 0.01), 1e-6)
            expected += [
                np.log(kl / 0.01),
                line.get("train/clip_fraction", 0),
                max(line.get("train/explained_variance", 0), -1),
                (lines[0]["train/entropy_loss"] - line["train/entropy_loss"]) / dimensions,
                to_geometric_mean([before["train/grad_norm"] for before in so_far]),
                line[loss] / np.sqrt(np.mean([before[loss] ** 2 for before in so_far])),
                to_geometric_mean([before["train/value_loss"] for before in so_far]),
            ]
        *of_episodes, improvement = of_returns(episodes, ends, phase)
        expected += of_episodes
        found = [phases[f"diagnostic.{name}"][phase] for name in DIAGNOSTICS]
        for (name, about), number, oracle in zip(DIAGNOSTICS.items(), found, expected, strict=True):
            limited = np.clip(oracle, about.low, about.high)
            assert number == pytest.approx(limited, rel=1e-5, abs=2e-6), (phase, name)
        if not last:
            assert phases["improvement"][phase] == pytest.approx(improvement, rel=1e-6, abs=1e-9)
    # A test of numbers that never move would show nothing.
    moving = {name for name in DIAGNOSTICS if len(set(phases[f"diagnostic.{name}"])) > 2}
    assert {"progress", "log_learning_rate", "entropy", "policy_loss", "recent_return"} <= moving
    if "clip_range" in start:
        assert set(DIAGNOSTICS) - moving == {"log_budget", "position", "log_kl_clip"}
        assert None in episodes_by_phase(episodes, ends)


def test_the_other_columns_are_what_the_other_files_say(folder):
    folder, start = folder
    actions, episodes, phases = read_actions(folder), read_episodes(folder), read_phases(folder)
    lines, ends = log_lines(folder), phase_ends(actions)
    for phase, found in enumerate(episodes_by_phase(episodes, ends)):
        row = {name: column[phase] for name, column in phases.items()}
        mean_return, mean_length = found or (np.nan, np.nan)
        assert row["mean_return"] == pytest.approx(mean_return, nan_ok=True)
        assert row["mean_length"] == pytest.approx(mean_length, nan_ok=True)
        steps = actions["phase"] == phase - 1
        for name, value in start.items():
            assert row[name] == pytest.approx(actions[name][steps].mean() if phase else value)
            assert row[f"default.{name}"] == value
        if phase:
            assert row["hyper_reward"] == actions["hyper_reward"][steps].sum()
            for name, value in lines[phase - 1].items():
                if (column := name.removeprefix("train/")) in row and name != column and column not in start:
                    assert row[column] == value, name
        assert row["discounted_return"] == pytest.approx(
            row["hyper_reward"] if 0 < phase < len(ends) - 1 else row["discounted_return"], nan_ok=True
        )
    assert phases["episodes"].sum() == len(episodes["return"])
    assert np.isnan(phases["loss"][0])
    assert not np.isnan(phases["loss"][1:]).any()
    assert np.isnan(phases["discounted_return"]).tolist() == [False] * (len(ends) - 1) + [True]
    assert not phases["diverged"].any()


def test_a_phase_in_which_an_update_was_refused_says_so(tmp_path):
    """A learning rate that ruins the policy at once: nothing of it is in the diagnostics."""
    kwargs = {
        "env_id": "CartPole-v1",
        "learner_kwargs": {"n_steps": 16, "batch_size": 8, "n_epochs": 1},
        "search_space": {"learning_rate": [1e38, 1e37]},
    }
    config = RunConfig("HyperRL-PPO-v0", "random", 0, 64, kwargs)
    assert TrainingRun(config, tmp_path).train(pictures=False)["status"] == "diverged"
    phases = read_phases(tmp_path)
    assert phases["diverged"].tolist() == [False, True]
    assert np.isfinite([phases[f"diagnostic.{name}"] for name in DIAGNOSTICS]).all()
    assert np.isnan(phases["loss"]).all()


def test_means_of_equal_values_are_that_value():
    class Learner:
        offered, reported = ("learning_rate",), ("loss",)

    log = PhaseLog(Learner())
    end = {"phase_stats": {"returns": [], "lengths": []}, "diagnostics": dict.fromkeys(DIAGNOSTICS, 0.0)}
    for step in range(13):
        info = {"hyperparameters": {"learning_rate": 0.1}, "diverged": step == 3, "env_steps": 1, "phase": 1}
        log.record(info | (end if step == 12 else {}), {"learning_rate": 0.1}, 0.0)
    assert [column[0] for column in log.state_dict()["columns"][2:4]] == [0.1, 0.1]
    assert log.state_dict()["columns"][-1].tolist() == [True]
