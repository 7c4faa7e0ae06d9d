"""Trains the weights of the agent `controller` over whole runs: every generation is a study.

A member runs on every task of the study, with the seeds of its generation, and so does the method that it is
compared with. `training.parquet` keeps a row per member:

| column | meaning |
|---|---|
| `generation`, `member` | numbers from 0 |
| `fitness` | how many of the others (the members and the default) it beat, in [0, 1] |
| `above_default` | on how many tasks and seeds it beat the default, in [0, 1] |
| `sigma` | the standard deviation that it was drawn with: see `Evolution.sigma` |
| `<hyperparameter>.<feature>` | its weights |
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from agents.controller_weights import (
    FEATURES,
    HYPERPARAMETERS,
    N_WEIGHTS,
    ControllerWeights,
    weights_file,
)
from hyperrl_env.checks import check_at_least
from hyperrl_env.saving.files import write_text
from hyperrl_env.saving.identity import as_plain_values, differences
from hyperrl_lab.evolution import Evolution, Floats, Generation, shares_above, shares_beaten
from hyperrl_lab.figure import DARK, LIGHT, OWN, new_figure
from hyperrl_lab.folder import RunFolder, check_unused
from hyperrl_lab.lock import FolderLock
from hyperrl_lab.results import SUMMARY_FILE, ColumnLog, outcome, read_columns
from hyperrl_lab.studies.study import Method, Study

SETTINGS_FILE, TABLE_FILE = "training.json", "training.parquet"
PICTURE_FILE, WEIGHTS_FILE = "training.png", "controller.json"
_RESULTS = (TABLE_FILE, PICTURE_FILE, WEIGHTS_FILE)
RUNS = "runs"
GENERATIONS, POPULATION, SIGMA = 20, 16, 0.3
_WEIGHTS = tuple(f"{name}.{feature}" for name in HYPERPARAMETERS for feature in FEATURES)


class ControllerTraining:
    """A training in a folder, begun or continued; it locks the folder until it is closed.

    Its runs are carried out by whoever uses it:

        with ControllerTraining(study, folder) as training:
            while (generation := training.next_study()) is not None:
                sweep(generation, training.runs)
                training.take()

    Args:
        study: The tasks with their budgets, the seeds, and one method, which members are compared with:
            `fixed`, the task's own settings. Every generation takes the next of the seeds; after the last,
            the first.
        folder: Gets the results, and `runs/`. A new one, or that of the same training.
        generations: How many there are to be, those before included.
        population: Members of a generation.
        sigma: Standard deviation of every weight in the first generation.
        seed: Seeds what members are drawn with; runs have the seeds of the study.
        seeds_per_generation: How many seeds a generation takes, with a run per member, task and seed.

    Attributes:
        runs: The folder of the runs.
        evolution: The state of the evolution.

    Raises:
        ValueError: Impossible arguments, a folder of another training, or one that is damaged.
        FileExistsError: The folder holds something else, or another process is using it.
    """

    def __init__(
        self,
        study: Study,
        folder: Path,
        *,
        generations: int = GENERATIONS,
        population: int = POPULATION,
        sigma: float = SIGMA,
        seed: int = 0,
        seeds_per_generation: int = 1,
    ) -> None:
        check_at_least("generations", generations, 1)
        check_at_least("seeds_per_generation", seeds_per_generation, 1)
        if len(study.methods) != 1:
            raise ValueError(
                "The study of a training has one method, which the controller is compared with, as "
                f'methods = ["fixed"], not {len(study.methods)}.'
            )
        if seeds_per_generation > len(study.seeds):
            raise ValueError(f"A generation cannot take {seeds_per_generation} of {len(study.seeds)} seeds.")
        self._study, self._generations = study, generations
        self._seeds_per_generation = seeds_per_generation
        self._settings: dict[str, Any] = {"population": population, "sigma": sigma, "seed": seed}
        self.evolution = Evolution(N_WEIGHTS, **self._settings)
        self.runs = folder / RUNS
        # `shares_above` of every generation.
        self._above: list[Floats] = []
        # A folder in which nothing can be trained would be held by a study that is to be mended.
        if (first := self.next_study()) is not None:
            first.runs()
        with ExitStack() as stack:
            self._open(folder, stack)
            self._held = stack.pop_all()

    def __enter__(self) -> ControllerTraining:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Releases the folder."""
        self._held.close()

    def _open(self, folder: Path, stack: ExitStack) -> None:
        if folder.exists() and not (folder / SETTINGS_FILE).exists():
            check_unused(folder)
        folder.mkdir(parents=True, exist_ok=True)
        stack.enter_context(FolderLock(folder))
        self._files = RunFolder(folder)
        self._files.check(_RESULTS)
        self._files.tidy()
        self._settle(folder / SETTINGS_FILE)
        self._table = ColumnLog(
            {
                **dict.fromkeys(("generation", "member"), "q"),
                **dict.fromkeys(("fitness", "above_default", "sigma", *_WEIGHTS), "d"),
            }
        )
        if (folder / TABLE_FILE).exists():
            self._replay(folder / TABLE_FILE)

    def _settle(self, path: Path) -> None:
        """Writes the settings, or compares them with those that are there."""
        study = {**asdict(self._study), "seeds": list(self._study.seeds)}
        ours = as_plain_values(
            {**self._settings, "seeds_per_generation": self._seeds_per_generation, "study": study}
        )
        if path.exists():
            try:
                theirs = json.loads(path.read_text(encoding="utf-8"))
                found = differences(theirs, ours)
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"{path} does not hold the settings of a training: {error}.") from error
            if found:
                raise ValueError(
                    f"{path.parent} holds another training: {'; '.join(found)}. Give another folder."
                )
        else:
            write_text(path, json.dumps(ours, indent=2) + "\n")

    def _replay(self, path: Path) -> None:
        try:
            past = _generations(path)
            self.evolution.replay(generation for generation, _ in past)
        except (ValueError, LookupError, pa.ArrowException) as error:
            raise ValueError(f"{path} is not the table of this training: {error}.") from error
        for number, (generation, above) in enumerate(past):
            self._add(number, generation, above)
        self._write_results()

    def next_study(self) -> Study | None:
        """The runs of the next generation as a study; None if there have been enough."""
        number = len(self.evolution.generations)
        if number >= self._generations:
            return None
        method = self._study.methods[0]
        members = [
            Method("controller", f"g{number:03d}-m{member:02d}", {"agent.weights": weights.tolist()})
            for member, weights in enumerate(self.evolution.ask())
        ]
        first = number * self._seeds_per_generation
        seeds = [
            self._study.seeds[i % len(self._study.seeds)]
            for i in range(first, first + self._seeds_per_generation)
        ]
        return replace(self._study, methods=[method, *members], seeds=seeds)

    def take(self) -> None:
        """Ends the generation whose runs are finished, and writes all results.

        Raises:
            ValueError: A run of it has no outcome yet; or there is no generation left.
        """
        study = self.next_study()
        if study is None:
            raise ValueError("There is no generation left to take: give more generations.")
        scores = np.array([_score(self.runs / run.folder) for run in study.runs()])
        # Runs are in the order of seeds, tasks and methods, of which the first is the default.
        table = scores.reshape(-1, len(study.methods)).T
        above = shares_above(table[1:], table[0])
        generation = self.evolution.tell(shares_beaten(table[1:], table[0]))
        self._add(len(self.evolution.generations) - 1, generation, above)
        # The table first: all other files follow from it.
        self._table.write(self._files.claim(TABLE_FILE))
        self._write_results()

    def _add(self, number: int, generation: Generation, above: Floats) -> None:
        for member, weights in enumerate(generation.members):
            numbers = (generation.fitness[member], above[member], generation.sigma, *weights)
            self._table.append((number, member, *map(float, numbers)))
        self._above.append(above)

    def _write_results(self) -> None:
        done = len(self.evolution.generations)
        training = {
            "title": self._study.title,
            "tasks": [
                {"id": task.id, "total_env_steps": task.total_env_steps or self._study.total_env_steps}
                for task in self._study.tasks
            ],
            "generations": done,
            **self._settings,
            "seeds_per_generation": self._seeds_per_generation,
        }
        weights = ControllerWeights(tuple(self.evolution.mean.tolist()), training)
        write_text(self._files.claim(WEIGHTS_FILE), weights_file(weights))
        draw_training(
            self.evolution.generations, self._above, self._study.title, self._files.claim(PICTURE_FILE)
        )


def draw_training(generations: Sequence[Generation], above: Sequence[Floats], title: str, path: Path) -> None:
    """Draws the training curve: how often members beat the default, and how far they scatter.

    Args:
        generations: All of them so far.
        above: `shares_above` of each.
        title: Names the training.
        path: The picture.
    """
    numbers = np.arange(1, len(generations) + 1)
    with new_figure(path, (6.0, 4.2)) as figure:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        axes.plot(numbers, [max(shares) for shares in above], "o", color=LIGHT, label="the best member")
        axes.plot(numbers, [shares.mean() for shares in above], "-o", color=DARK, label="all members")
        axes.axhline(0.5, color=OWN, linewidth=1, linestyle="--", label="as good as the default")
        axes.set(ylim=(-0.03, 1.03), ylabel="share of the default's\nruns that are beaten")
        sigmas = [generation.sigma for generation in generations]
        below.plot(numbers, sigmas, "-o", color=DARK, markersize=3)
        below.set(xlabel="generation", ylabel="standard\ndeviation", ylim=(0, 1.1 * max(sigmas)))
        below.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(loc="outside lower center", ncols=3)
        figure.suptitle(title, fontsize=10)


def _score(folder: Path) -> float:
    """The score of a run; without an inner episode, or not finite, it is the worst."""
    if outcome(folder) is None:
        raise ValueError(f"The run in {folder} has no outcome yet: sweep the study of its generation first.")
    score = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))["mean_return"]
    return -math.inf if score is None or not math.isfinite(score) else float(score)


def _generations(path: Path) -> list[tuple[Generation, Floats]]:
    """The generations of a table, and how often their members beat the default."""
    columns = read_columns(path)
    weights = np.stack([columns[name] for name in _WEIGHTS], axis=1)
    found = []
    for number in range(int(columns["generation"].max()) + 1):
        rows = columns["generation"] == number
        generation = Generation(weights[rows], columns["fitness"][rows], float(columns["sigma"][rows][0]))
        found.append((generation, columns["above_default"][rows]))
    return found
