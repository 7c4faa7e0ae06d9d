"""The populations of a study of a paper: a population per task and seed, beside the study's single runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hyperrl_lab.config import CONFIG_FILE
from hyperrl_lab.evaluation import evaluate
from hyperrl_lab.importing import check_extra
from hyperrl_lab.lock import is_held
from hyperrl_lab.results import outcome
from hyperrl_lab.search.methods import run_search, search_config
from hyperrl_lab.studies.job import is_done
from hyperrl_lab.studies.study import Study, StudyRun


def populations_exist() -> bool:
    """Whether populations can be trained here, which takes the extra `ray`."""
    try:
        check_extra("ray", "ray", "a population")
        check_extra("ray.tune", "ray", "a population")
    except ValueError:
        return False
    return True


def train_population(
    run: StudyRun,
    study: Study,
    folder: Path,
    *,
    address: str | None = None,
    workers: int | None = None,
    begin: Callable[[], None] = lambda: None,
) -> str:
    """Does what is left of a population: trains it, and evaluates its best member as the study says.

    Args:
        run: The population, of `PublishedStudy.populations`.
        study: The study.
        folder: The study's folder.
        address: See `hyperrl_lab.cluster.connect`.
        workers: Its `cores`.
        begin: Called before the training, if there is any to do.

    Returns:
        Its status, as in `summary.json`.

    Raises:
        FileExistsError: The population was cut, and cannot be continued.
        ValueError: The folder holds another run, or settings are impossible.
        RuntimeError: A member failed.
    """
    path = folder / run.folder
    if not is_done(path, run.config, study.evaluate_episodes):
        if outcome(path) is None:
            if (path / CONFIG_FILE).exists() and not is_held(path):
                raise FileExistsError(
                    f"{path} holds a population that was cut, which cannot be continued. Move that folder "
                    "elsewhere and give the same command again."
                )
            begin()
            config, choices = search_config(run.config, run.config.agent, **run.config.agent_kwargs)
            summary = run_search(config, path, choices, address=address, workers=workers)
            if summary["status"] == "interrupted":
                return "interrupted"
        if study.evaluate_episodes:
            evaluate(path, study.evaluate_episodes)
    return str(outcome(path))
