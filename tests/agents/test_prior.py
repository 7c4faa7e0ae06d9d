"""The prior finds the best schedule where it is known, and plays the task's own values where nothing is."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

import agents
from agents.experience import Experience, PastRun
from agents.experience_file import experience_path, load_experience, sha256_of, write_experience
from agents.lines import HYPERPARAMETERS, RANGES, drawn, fitting
from agents.outcome_model import (
    Context,
    OutcomeModel,
    best_lines,
    expected_improvement,
    model_of,
    promising_lines,
)
from hyperrl_env import DIAGNOSTICS
from hyperrl_lab import learn

# Of runs that normalise and let the learning rate fall, and of those that do neither.
PAPERS, SB3S = (True, True), (False, False)
SMALL, LARGE, FAR = 100_000, 1_000_000, 1_000_000_000
NAMES = ("learning_rate", "n_epochs")
# The best level of the learning rate depends on the budget; that of the epochs, and the slopes, do not.
BEST = {
    SMALL: np.array([[1.0, -1.8], [-0.6, 0.3]]),
    LARGE: np.array([[-1.0, -1.8], [-0.6, 0.3]]),
}


def worth(lines, budget):
    """A paraboloid around the best lines of a budget: what a run is worth, but for noise."""
    units = np.array([RANGES[name].high - RANGES[name].low for name in NAMES])[:, None] / 2
    away = ((lines - BEST[budget]) / units) ** 2 * np.array([1.0, 1 / 4])
    return -3.0 * away.sum(axis=(-1, -2))


def known_model(n=60, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    lines, contexts, outcomes = [], [], []
    for budget in (SMALL, LARGE):
        some = drawn(NAMES, n, rng)
        z = worth(some, budget)
        lines.append(some)
        contexts += [Context(budget, True, True)] * n
        outcomes.append((z - z.mean()) / z.std() + noise * rng.normal(size=n))
    return OutcomeModel(NAMES, np.concatenate(lines), contexts, np.concatenate(outcomes))


@pytest.fixture(scope="module")
def model():
    return known_model()


@pytest.mark.parametrize("budget", [SMALL, LARGE])
def test_it_finds_the_known_optimum_of_each_budget(model, budget):
    found = best_lines(model, Context(budget, True, True))
    random = worth(drawn(NAMES, 1000, np.random.default_rng(1)), budget)
    assert worth(found, budget) > np.quantile(random, 0.99)
    assert found[:, 0] == pytest.approx(BEST[budget][:, 0], abs=0.45)
    assert worth(found, budget) > worth(best_lines(model, Context(budget, True, True), slopes=False), budget)


def test_the_optimum_of_one_budget_is_none_of_the_other(model):
    small, large = (best_lines(model, Context(budget, True, True)) for budget in (SMALL, LARGE))
    assert small[0, 0] > 0.5
    assert large[0, 0] < -0.5


def test_far_from_all_experience_it_plays_the_tasks_own_values(model):
    assert not best_lines(model, Context(FAR, True, True)).any()
    assert best_lines(model, Context(FAR, True, True), caution=0.0).any()


def test_without_slopes_there_are_none(model):
    found = best_lines(model, Context(SMALL, True, True), slopes=False)
    assert not found[:, 1].any()
    assert found[:, 0] == pytest.approx(BEST[SMALL][:, 0], abs=0.45)


def test_what_runs_do_not_agree_on_is_not_played():
    rng = np.random.default_rng(0)
    lines, contexts = drawn(NAMES, 40, rng), [Context(SMALL, True, True)] * 40
    noise = OutcomeModel(NAMES, lines, contexts, rng.normal(size=40))
    assert not best_lines(noise, contexts[0], caution=2.0).any()


def test_the_task_s_own_values_are_worth_nothing_to_themselves(model):
    own = np.zeros((1, 2, 2))
    lines = np.concatenate([drawn(NAMES, 100, np.random.default_rng(3)), own])
    mean, spread = model.differences(lines, Context(300_000, True, True))
    assert (mean[-1], spread[-1]) == (0.0, 0.0)
    assert (spread[:-1] > 0).all()


def test_expected_improvement_is_the_mean_of_draws():
    draws = np.random.default_rng(0).normal(0.3, 0.8, 400_000)
    expected = np.maximum(draws - 0.5, 0).mean()
    found = expected_improvement(np.array([0.3]), np.array([0.8]), 0.5)
    assert found == pytest.approx(expected, abs=2e-3)
    certain = expected_improvement(np.array([1.0, 0.0]), np.zeros(2), 0.5)
    assert certain.tolist() == [0.5, 0.0]


def test_runs_that_are_drawn_teach_it_where_the_optimum_is():
    """From six runs on, each drawn by its expected improvement: the loop that `sample` is for."""
    rng = np.random.default_rng(5)
    context = Context(SMALL, True, True)
    lines = drawn(NAMES, 6, rng)
    for _ in range(10):
        z = worth(lines, SMALL)
        taught = OutcomeModel(NAMES, lines, [context] * len(lines), (z - z.mean()) / z.std())
        lines = np.concatenate([lines, promising_lines(taught, context, rng)[None]])
    assert worth(lines[6:], SMALL).max() > worth(lines[:6], SMALL).max()
    random = worth(drawn(NAMES, 1000, np.random.default_rng(1)), SMALL)
    assert worth(lines, SMALL).max() > np.quantile(random, 0.97)


def past_run(number, line, score, budget=320, **changes):
    progress = np.arange(1, 6) / 5
    return PastRun(
        run=str(number),
        inner_env="Pendulum-v1",
        start='{"settings": "paper"}',
        normalize=True,
        decays=True,
        agent="random_schedule",
        seed=number,
        budget=budget,
        decision="phase",
        score=score,
        area=score,
        evaluation=None,
        env_steps=np.array([64, 128, 192, 256, 320, 320]),
        diagnostics=np.zeros((6, len(DIAGNOSTICS)), np.float32),
        changes={
            name: np.concatenate([[0], level + slope * (progress - 0.5)]).astype(np.float32)
            for name, (level, slope) in {**dict(zip(HYPERPARAMETERS, line, strict=True)), **changes}.items()
        },
    )


def runs(n=40, **changes):
    rng = np.random.default_rng(0)
    lines = drawn(HYPERPARAMETERS, n, rng)
    # Few epochs are better, whatever else.
    return [past_run(i, line, -line[4, 0], **changes) for i, line in enumerate(lines)]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "experience.parquet"
    write_experience(Experience("PPO", runs()), path)
    return str(path)


def make_pendulum():
    return gym.make("Pendulum-v1")


def make(make_env, file, total_env_steps=320, settings="paper", **kwargs):
    learner = {"n_steps": 64, "batch_size": 16}
    env = make_env(
        "HyperRL-PPO-Pendulum-v0",
        total_env_steps=total_env_steps,
        settings=settings,
        learner_kwargs=learner,
        **agents.env_kwargs("prior", experience=file),
    )
    return agents.make("prior", env, experience=file, **kwargs)


def test_the_agent_plays_what_the_model_likes(make_env, file):
    agent = make(make_env, file)
    epochs, model = [], model_of(agent.learned, PAPERS)
    agents.run(
        agent.env, agent, seed=0, callback=lambda s: epochs.append(s.next_info["hyperparameters"]["n_epochs"])
    )
    assert len(epochs) == 5
    assert max(epochs) <= 5  # of 10
    assert np.array_equal(agent.lines, best_lines(model, Context(320, True, True, "Pendulum-v1")))
    assert model_of(make(make_env, file, seed=7).learned, PAPERS) is model  # fitted once


def test_it_knows_its_context(make_env, file):
    agent = make(make_env, file)
    agent.env.reset(seed=0)
    assert Context.of(agent.env) == Context(320, True, True, "Pendulum-v1")
    other = make_env("PPO", **agents.env_kwargs("prior", experience=file))
    other.reset(seed=0)
    assert Context.of(other) == Context(48, False, False, "CartPole-v1")
    own = make_env("PPO", env_fn=make_pendulum, **agents.env_kwargs("prior", experience=file))
    own.reset(seed=0)
    assert Context.of(own).task == f"{__name__}:make_pendulum"
    # Two lambdas of a module would have one name.
    nameless = make_env("PPO", env_fn=lambda: make_pendulum(), **agents.env_kwargs("prior", experience=file))
    nameless.reset(seed=0)
    assert Context.of(nameless).task is None


def test_a_task_s_own_runs_count_and_a_new_task_gets_what_all_agree_on():
    """On one task few epochs are better and on the other many; on both a large clip range is."""
    rng = np.random.default_rng(0)
    few_runs = []
    for sign, task in ((-1.0, "Few-v0"), (1.0, "Many-v0")):
        for i, line in enumerate(drawn(HYPERPARAMETERS, 40, rng)):
            run = past_run(f"{task}{i}", line, sign * 2 * line[4, 0] + line[1, 0])
            few_runs.append(replace(run, inner_env=task))
    model = model_of(Experience("PPO", few_runs), PAPERS)
    clip, epochs = (model.names.index(name) for name in ("clip_range", "n_epochs"))
    few, many, new = (
        best_lines(model, Context(320, True, True, task))[:, 0] for task in ("Few-v0", "Many-v0", "New-v0")
    )
    assert few[epochs] < -0.8
    assert many[epochs] > 0.4
    assert few[epochs] + 0.5 < new[epochs] < many[epochs]
    assert min(few[clip], many[clip], new[clip]) > 0.3


def test_runs_of_one_kind_teach_nothing_about_another(make_env, file, tmp_path):
    """What is better than a task's own values depends on what these are."""
    agent = make(make_env, file)
    others = [
        replace(run, normalize=False, decays=False, run=f"other {run.run}", start="{}", score=-run.score)
        for run in agent.learned.runs
    ]
    both = Experience("PPO", [*agent.learned.runs, *others])
    assert model_of(agent.learned, SB3S) is None
    context = Context(320, True, True, "Pendulum-v1")
    alone, beside = (
        best_lines(model_of(experience, PAPERS), context) for experience in (agent.learned, both)
    )
    assert np.array_equal(alone, beside)
    opposite = best_lines(model_of(both, SB3S), replace(context, normalize=False, decays=False))
    assert alone.any()
    assert opposite.any()
    assert not np.allclose(alone, opposite, atol=0.1)

    unknown = make(make_env, file, settings="sb3")
    with pytest.warns(UserWarning, match="too little about runs of .* from such settings"):
        unknown.act(*unknown.env.reset(seed=0))
    assert not unknown.lines.any()
    drawing = make(make_env, file, settings="sb3", sample=True, slopes=False)
    drawing.act(*drawing.env.reset(seed=0))
    assert drawing.lines[:, 0].all()
    assert not drawing.lines[:, 1].any()


def test_a_budget_three_times_as_large_is_nearly_a_stranger():
    """Half of a hyperparameter's range away is one unit, and so is a budget half as large again."""
    budgets = [Context(budget, True, True).feature for budget in (200_000, 300_000, 900_000)]
    assert np.diff(budgets) == pytest.approx([1.0, math.log(3) / math.log(1.5)])


def test_far_from_its_experience_the_agent_trains_as_the_task_does(make_env, file):
    """To the bit: the actions are the task's own."""
    agent = make(make_env, file, total_env_steps=10**9)
    obs, info = agent.env.reset(seed=0)
    with pytest.warns(UserWarning, match=r"too little about runs of 1,000,000,000 .*the task's own"):
        action = agent.act(obs, info)
    for _ in range(3):
        assert np.array_equal(action, agent.env.default_action)
        obs, *_, info = agent.env.step(action)
        agent.env.reset()
        action = agent.act(obs, info)


def test_samples_differ_by_seed_and_repeat_with_it(make_env, file):
    found = []
    for seed in (0, 1, 0):
        agent = make(make_env, file, seed=seed, sample=True)
        agent.act(*agent.env.reset(seed=0))
        found.append(agent.lines)
    assert np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])
    flat = make(make_env, file, sample=True, slopes=False)
    flat.act(*flat.env.reset(seed=0))
    assert not flat.lines[:, 1].any()


def test_the_lines_are_those_that_the_runs_played():
    experience = Experience("PPO", runs(5))
    lines = drawn(HYPERPARAMETERS, 5, np.random.default_rng(0))
    model = model_of(experience, PAPERS)
    order = [list(HYPERPARAMETERS).index(name) for name in model.names]
    assert model.lines == pytest.approx(lines[:, order], abs=1e-5)
    assert fitting(model.names, model.lines) == pytest.approx(model.lines, abs=1e-5)


def test_experience_of_another_search_space_or_that_teaches_nothing():
    with pytest.raises(ValueError, match=r"runs that changed gamma.*can handle learning_rate"):
        model_of(Experience("PPO", runs(5, gamma=(0.3, 0.0))), PAPERS)
    with pytest.raises(ValueError, match="none of its runs changed a hyperparameter"):
        model_of(Experience("PPO", [past_run(0, np.zeros((5, 2)), 1.0)]), PAPERS)
    apart = [replace(run, budget=400 + i) for i, run in enumerate(runs(3))]
    with pytest.raises(ValueError, match="no two of its runs"):
        model_of(Experience("PPO", apart), PAPERS)


def test_another_algorithm(make_env, tmp_path):
    path = str(tmp_path / "acktr.parquet")
    names = ("learning_rate", "gae_lambda")
    few = [replace(run, changes={name: run.changes[name] for name in names}) for run in runs(6)]
    write_experience(Experience("ACKTR", few), Path(path))
    env = make_env("A2C", **agents.env_kwargs("prior", experience=path))
    for refused in (
        lambda: agents.make("prior", env, experience=path),
        # On the command line before an environment misses what the algorithm does not offer.
        lambda: agents.check_algorithm("prior", "A2C", experience=path),
    ):
        with pytest.raises(ValueError, match="is of ACKTR, and this environment trains A2C"):
            refused()


def test_the_file_that_ships_knows_its_budgets_and_falls_back_elsewhere():
    assert experience_path("PPO").stat().st_size < 2_000_000
    experience = load_experience("PPO")
    assert len(experience.runs) >= 300
    model = model_of(experience, PAPERS)
    tasks = ("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "LunarLanderContinuous-v3", "New-v0")
    known = [(300_000, task) for task in tasks]
    # On LunarLanderContinuous nothing is known to be better with this budget.
    known += [(100_000, task) for task in tasks if task != "LunarLanderContinuous-v3"]
    for budget, task in known:
        context = Context(budget, *PAPERS, task)
        changed = best_lines(model, context)
        assert changed.any()
        mean, spread = model.differences(changed[None], context)
        assert mean[0] > spread[0]
        for other in (10_000, 1_000_000, 300_000_000):
            assert not best_lines(model, replace(context, budget=other)).any()
    assert model_of(experience, SB3S) is None


def test_without_a_keyword_the_agent_learns_from_the_file_that_ships(make_env):
    env = make_env("PPO", **agents.env_kwargs("prior"))
    agent = agents.make("prior", env)
    # 48 environment steps are far from everything that it has seen.
    with pytest.warns(UserWarning, match="experience show PPO"):
        agent.act(*env.reset(seed=0))
    assert not agent.lines.any()
    kept = agents.recorded_kwargs("prior")
    assert kept["experience_sha256"] == sha256_of(experience_path("PPO"))


def test_without_a_file_that_ships(make_env, monkeypatch, tmp_path):
    monkeypatch.setattr("agents.experience_file.SHIPPED", tmp_path)
    with pytest.raises(ValueError, match="No experience ships for PPO"):
        agents.env_kwargs("prior")


def test_the_hash_is_kept_and_held(make_env, file):
    kept = agents.recorded_kwargs("prior", experience=file, sample=True)
    assert kept == {"experience": file, "experience_sha256": sha256_of(Path(file)), "sample": True}
    assert agents.recorded_kwargs("prior", experience=file, sample=True, experience_sha256=None) == kept
    with pytest.raises(ValueError, match="not the one that this run began with"):
        make(make_env, file, experience_sha256="0" * 64)


@pytest.mark.parametrize("wrong", [{"caution": -1}, {"caution": "much"}, {"sample": 1}, {"slopes": "no"}])
def test_bad_keywords(make_env, file, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        make(make_env, file, **wrong)


def test_a_model_of_the_users_own(file):
    model = PPO(
        *("MlpPolicy", VecNormalize(make_vec_env("Pendulum-v1", seed=0))),
        **{
            "learning_rate": lambda left: 3e-4 * left,
            "n_steps": 64,
            "batch_size": 16,
            "seed": 0,
            "device": "cpu",
        },
    )
    learn(model, total_timesteps=320, agent="prior", agent_kwargs={"experience": file})
    assert model.num_timesteps == 320
    assert model._n_updates < 5 * 8  # epochs, of 5 * 10


def test_no_slow_library_is_loaded_for_it():
    code = (
        "import sys, hyperrl_lab.cli, hyperrl_lab.studies.worker; "
        "from agents.experience_file import load_experience; "
        "from agents.outcome_model import model_of; model_of(load_experience('PPO'), (True, True)); "
        "sys.exit(not {'sklearn', 'scipy', 'pandas'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
