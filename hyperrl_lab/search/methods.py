"""The methods of a search, and the configuration of one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from hyperrl_env import HyperRLEnv
from hyperrl_env.checks import check_choice
from hyperrl_lab.config import RunConfig
from hyperrl_lab.importing import check_extra
from hyperrl_lab.run import CHECKPOINT_MINUTES, make_env
from hyperrl_lab.search.ranges import Range, check_choosable, ranges, run_keywords

POPULATIONS, TRIALS = ("pbt", "pb2"), ("grid", "random_search", "bayes")
METHODS = POPULATIONS + TRIALS
# Of both papers' experiments.
POPULATION, PERTURB_EVERY = 4, 50_000


def search_config(
    config: RunConfig,
    method: str,
    *,
    population: int | None = None,
    perturb_every: int | None = None,
    trials: int | None = None,
    prune: bool = False,
) -> tuple[RunConfig, dict[str, Range]]:
    """The configuration of a search, and what it chooses from.

    Args:
        config: Of its runs: id, seed, budget and keywords of the environment.
        method: One of `METHODS`; it becomes the agent.
        population: Members of a population. None: 4.
        perturb_every: Environment steps of a member between perturbations. None: 50,000.
        trials: How many runs. None: every point of a grid.
        prune: Whether trials that do worse than the median are stopped early.

    Returns:
        The search's configuration, with the budget filled in, and the range of each hyperparameter.

    Raises:
        ValueError: An unknown method, an option of another method, a missing extra, or hyperparameters that
            the method cannot choose.
        gymnasium.error.Error: Gymnasium cannot make the environment.
    """
    check_choice("method", method, METHODS)
    given = {"population": population, "perturb_every": perturb_every, "trials": trials}
    options = {name: value for name, value in given.items() if value is not None}
    options |= {"prune": True} if prune else {}
    valid = ("population", "perturb_every") if method in POPULATIONS else ("trials", "prune")
    if foreign := [name for name in options if name not in valid]:
        raise ValueError(f"{method} takes {' and '.join(valid)}, not {', '.join(foreign)}.")
    if method in POPULATIONS:
        check_extra("ray", "ray", method)
        check_extra("ray.tune", "ray", method)
    else:
        check_extra("optuna", "search", method)
    with closing(make_env(replace(config, env_kwargs=run_keywords(config.env_kwargs)))) as env:
        inner = env.unwrapped
        assert isinstance(inner, HyperRLEnv)
        choices, budget = ranges(inner.search_space), inner.total_env_steps
    if method != "grid":
        check_choosable(method, choices)
    if method in POPULATIONS:
        options = {"population": POPULATION, "perturb_every": PERTURB_EVERY, **options}
    else:
        options = {"trials": _trials(method, trials, choices), "prune": prune}
    return replace(config, agent=method, agent_kwargs=options, total_env_steps=budget), choices


def run_search(
    config: RunConfig,
    folder: Path,
    choices: Mapping[str, Range],
    *,
    on_result: Callable[[Mapping[str, Any]], None] = lambda result: None,
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = lambda message: None,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    address: str | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Runs a search: see `trials.run_trials` and `population.run_population`.

    Args:
        config: The first result of `search_config`.
        folder: Folder of the search.
        choices: The second result of `search_config`.
        on_result: Called with every result of a member, or with every trial.
        stop: For trials, called before every hyper-step; True interrupts the search.
        warn: See `TrainingRun`.
        checkpoint_minutes: See `TrainingRun`.
        address: Of a Ray cluster, for a population.
        workers: Processors of the Ray that is started here, for a population.

    Returns:
        The content of `summary.json`.

    Raises:
        ValueError: `address` or `workers` for trials, which run one after the other; or see the functions.
    """
    if config.agent in POPULATIONS:
        from hyperrl_lab.search.population import run_population

        return run_population(
            config, folder, choices, address=address, workers=workers, on_interval=on_result
        )
    if address is not None or workers is not None:
        raise ValueError(
            f"{config.agent} runs one trial after the other: --address and --workers are for "
            f"{' and '.join(POPULATIONS)}."
        )
    from hyperrl_lab.search.trials import run_trials

    return run_trials(
        config,
        folder,
        choices,
        on_trial=on_result,
        stop=stop,
        warn=warn,
        checkpoint_minutes=checkpoint_minutes,
    )


def _trials(method: str, trials: int | None, choices: Mapping[str, Range]) -> int:
    """How many trials a search has."""
    if method != "grid":
        if trials is None:
            raise ValueError(f"{method} needs the number of trials.")
        return trials
    points = math.prod(len(range_.values) for range_ in choices.values())
    if trials not in (None, points):
        raise ValueError(
            f"This grid has {points:,} points and takes a trial for each. Leave out the number of trials, or "
            "offer fewer values in the search space."
        )
    return points
