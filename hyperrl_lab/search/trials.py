"""Grid search, random search and Bayesian optimisation by Optuna: a run with fixed hyperparameters per trial.

The trials are in `study.db`, Optuna's storage, which `optuna-dashboard` shows. Every trial is an ordinary run
in `trials/`. All runs have the search's seed, so only their hyperparameters differ.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from hyperrl_env.checks import check_at_least, check_bool
from hyperrl_lab.config import CONFIG_FILE, RunConfig
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.progress import Progress
from hyperrl_lab.results import SUMMARY_FILE, outcome
from hyperrl_lab.run import CHECKPOINT_MINUTES, TrainingRun, draw_missing
from hyperrl_lab.search.ranges import Range, run_keywords
from hyperrl_lab.search.record import search_folder, write_results

STUDY_FILE, TRIALS = "study.db", "trials"
# How often a trial is compared with the others, if trials are pruned.
_PRUNINGS = 20


def run_trials(
    config: RunConfig,
    folder: Path,
    choices: Mapping[str, Range],
    *,
    on_trial: Callable[[Mapping[str, Any]], None] = lambda trial: None,
    stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = lambda message: None,
    checkpoint_minutes: float = CHECKPOINT_MINUTES,
    pictures: bool = True,
) -> dict[str, Any]:
    """Runs the trials that a search still needs, one after the other.

    In the folder of the same search, finished trials are kept and an unfinished one continues from its run's
    last checkpoint; the results are those of an uninterrupted search.

    Args:
        config: The search: its `agent` is the method, its `agent_kwargs` are `trials` and `prune`.
        folder: Folder of the search.
        choices: The range of each hyperparameter.
        on_trial: Called after each trial with its entry in `search.json`.
        stop: Called before every hyper-step; True interrupts the search.
        warn: See `TrainingRun`.
        checkpoint_minutes: See `TrainingRun`.
        pictures: See `TrainingRun.train`.

    Returns:
        The content of `summary.json`; `status` is "finished" or "interrupted".

    Raises:
        ValueError: Settings that are impossible, or another search in the folder.
        FileExistsError: See `search_folder`.
    """
    trials, prune = config.agent_kwargs["trials"], config.agent_kwargs["prune"]
    check_at_least("trials", trials, 1)
    check_bool("prune", prune)
    with search_folder(config, folder) as (files, _), _study(config, files, prune) as study:
        while (unfinished := _unfinished(study)) or len(study.trials) < trials:
            number = unfinished.number if unfinished else len(study.trials)
            study.sampler = sampler(config, choices, number)
            unfinished = unfinished or _frozen(study, study.ask())
            # The way back from a trial in the storage to one that can be asked for values.
            trial = Trial(study, unfinished._trial_id)
            _catch_up(study, trial, choices)
            values = {name: _suggest(trial, name, range_) for name, range_ in choices.items()}
            run = trial_config(config, values)
            path = folder / TRIALS / f"{trial.number:04d}"
            summary = outcome(path) and json.loads((path / SUMMARY_FILE).read_text(encoding="utf-8"))
            if not summary:
                begun = (path / CONFIG_FILE).exists()
                training = TrainingRun(
                    run, path, checkpoint_minutes=checkpoint_minutes, resume=begun, warn=warn
                )
                pruning = _Pruning(trial, unfinished, prune, stop)
                summary = training.train(on_step=pruning.report, stop=pruning.stop, pictures=pictures)
                if summary["status"] == "interrupted" and not pruning.pruned:
                    break
            else:
                draw_missing(path)
            _tell(study, trial, summary)
            on_trial(_entry(study.trials[trial.number]))
        done = [_entry(trial) for trial in study.trials if trial.state.is_finished()]
        status = "finished" if len(done) >= trials else "interrupted"
        seconds = sum(_seconds(folder / entry["folder"]) for entry in done)
        return write_results(config, files, done, status, max(seconds, 1e-9))


def trial_config(config: RunConfig, values: Mapping[str, float]) -> RunConfig:
    """The run of a trial."""
    return replace(
        config,
        agent="fixed",
        agent_kwargs={"action": dict(values)},
        env_kwargs=run_keywords(config.env_kwargs),
    )


def sampler(config: RunConfig, choices: Mapping[str, Range], number: int) -> optuna.samplers.BaseSampler:
    """What proposes the values of a trial.

    Every trial has a sampler of its own, with a seed from the search's and the trial's number: a search that
    is continued goes on as if it had not been interrupted.

    Args:
        config: The search's.
        choices: The range of each hyperparameter.
        number: The trial's.
    """
    seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
    match config.agent:
        case "grid":
            grid = {name: list(range_.values) for name, range_ in choices.items()}
            # Its seed is also that of the order in which it numbers the points.
            return optuna.samplers.GridSampler(grid, seed=config.seed)
        case "random_search":
            return optuna.samplers.RandomSampler(seed=seed)
        case _:
            return optuna.samplers.TPESampler(seed=seed)


@contextmanager
def _study(config: RunConfig, files: RunFolder, prune: bool) -> Iterator[optuna.Study]:
    """The search's study in its storage."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # The path is not in the URL, where characters that a folder's name can have mean something else.
    database = files.claim(STUDY_FILE).resolve()
    storage = optuna.storages.RDBStorage(
        "sqlite:///" + STUDY_FILE, engine_kwargs={"creator": lambda: sqlite3.connect(database)}
    )
    try:
        yield optuna.create_study(
            storage=storage,
            study_name=config.name,
            direction="maximize",
            pruner=optuna.pruners.MedianPruner() if prune else optuna.pruners.NopPruner(),
            load_if_exists=True,
        )
    finally:
        storage.remove_session()
        storage.engine.dispose()
        optuna.logging.set_verbosity(verbosity)


def _unfinished(study: optuna.Study) -> FrozenTrial | None:
    """The trial that was cut off, if there is one."""
    return next((trial for trial in study.trials if not trial.state.is_finished()), None)


def _frozen(study: optuna.Study, trial: Trial) -> FrozenTrial:
    return study.trials[trial.number]


def _catch_up(study: optuna.Study, trial: Trial, names: Iterable[str]) -> None:
    """Has the sampler draw again what a trial has from before it was cut off; its next values come after."""
    frozen = _frozen(study, trial)
    for name in names:
        # Values that the sampler draws all together come again by themselves.
        if name in frozen.distributions and name not in trial.relative_params:
            study.sampler.sample_independent(study, frozen, name, frozen.distributions[name])


def _suggest(trial: Trial, name: str, range_: Range) -> float:
    log = range_.scale == "log"
    value: float
    if range_.integer:
        value = trial.suggest_int(name, int(range_.low), int(range_.high), log=log)
    else:
        value = trial.suggest_float(name, range_.low, range_.high, log=log)
    return value


class _Pruning:
    """Reports a trial's score to Optuna while it runs, if trials are pruned."""

    def __init__(self, trial: Trial, frozen: FrozenTrial, wanted: bool, stop: Callable[[], bool]) -> None:
        self._trial, self._wanted, self._stop, self.pruned = trial, wanted, stop, False
        self._next = max(frozen.intermediate_values, default=0) + 1

    def report(self, progress: Progress) -> None:
        """Reports the score if a further twentieth of the budget is done."""
        part = progress.env_steps * _PRUNINGS // progress.total_env_steps
        if self._wanted and part >= self._next and progress.mean_return is not None and not progress.finished:
            self._trial.report(progress.mean_return, part)
            self._next, self.pruned = part + 1, self._trial.should_prune()

    def stop(self) -> bool:
        """Whether the run must stop: the trial is pruned, or the search is interrupted."""
        return self.pruned or self._stop()


def _tell(study: optuna.Study, trial: Trial, summary: Mapping[str, Any]) -> None:
    """Ends a trial: with its score, as pruned, or as failed if it diverged or no inner episode ended."""
    trial.set_user_attr("env_steps", summary["env_steps"])
    trial.set_user_attr("status", summary["status"])
    # The grid's sampler ends the loop of `Study.optimize`, which does not run here.
    study.sampler = optuna.samplers.RandomSampler()
    if summary["status"] == "interrupted":
        study.tell(trial, state=TrialState.PRUNED)
    elif summary["status"] == "diverged" or summary["mean_return"] is None:
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, summary["mean_return"])


def _entry(trial: FrozenTrial) -> dict[str, Any]:
    """A finished trial in `search.json`."""
    return {
        "folder": f"{TRIALS}/{trial.number:04d}",
        "status": "pruned" if trial.state == TrialState.PRUNED else trial.user_attrs["status"],
        "hyperparameters": dict(trial.params),
        "score": trial.value if trial.state == TrialState.COMPLETE else None,
        "env_steps": trial.user_attrs["env_steps"],
    }


def _seconds(folder: Path) -> float:
    return float(json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))["seconds"])
