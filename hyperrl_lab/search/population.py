"""PBT and PB2: a population of agents that train side by side on Ray, by Ray Tune."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune
from ray.tune.search import BasicVariantGenerator
from sklearn.exceptions import ConvergenceWarning

from hyperrl_env.checks import check_at_least
from hyperrl_lab.cluster import connected
from hyperrl_lab.config import RunConfig
from hyperrl_lab.search.member import Member
from hyperrl_lab.search.ranges import Range, check_choosable
from hyperrl_lab.search.record import search_folder, write_results
from hyperrl_lab.search.schedulers import MEMBER, RecordedPB2, RecordedPBT, domain

MEMBERS, RAY = "members", "ray"
_STATE = "member.zip"
# "0": Ray Tune's older output, which knows silence.
_OUTPUT = "RAY_AIR_NEW_OUTPUT"
# A member whose process dies is started again from its last checkpoint, so often.
_RESTARTS = 3
# A member that copied another one starts again from the other's checkpoint, so some older ones stay.
_KEPT = 4
# Of both papers' experiments; Ray's own defaults are the same.
_QUANTILE, _RESAMPLE = 0.25, 0.25


class MemberError(RuntimeError):
    """A member of a population failed; the message says why."""


class MemberTrainable(tune.Trainable):  # type: ignore[misc]
    """A member for Ray Tune: an iteration is one interval between perturbations."""

    def setup(self, config: dict[str, Any]) -> None:
        """See Ray's `Trainable`."""
        self._member = Member(*self._read(config))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """See Ray's `Trainable`; the process takes on another member, or other hyperparameters."""
        self._member.restart(*self._read(new_config))
        return True

    def step(self) -> dict[str, Any]:
        """See Ray's `Trainable`."""
        self._member.advance(self._perturb_every * (self.iteration + 1))
        return {
            "env_steps": self._member.progress.env_steps,
            "score": self._member.score,
            "done": self._member.finished,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """See Ray's `Trainable`."""
        # Ray pauses a member without counting a second save that is under way, which another member may copy,
        # and would write the next one over it.
        taken = Path(self._storage.trial_fs_path).glob("checkpoint_*")
        self._storage.current_checkpoint_index = max((int(path.name[-6:]) for path in taken), default=-1)
        self._member.save(Path(checkpoint_dir) / _STATE)

    def load_checkpoint(self, checkpoint: Any) -> None:
        """See Ray's `Trainable`."""
        self._member.load(Path(checkpoint) / _STATE)

    def cleanup(self) -> None:
        """See Ray's `Trainable`."""
        self._member.close()

    def _read(self, config: Mapping[str, Any]) -> tuple[RunConfig, dict[str, float]]:
        run = RunConfig(**config["run"])
        self._perturb_every = run.agent_kwargs["perturb_every"]
        return member_config(run, config[MEMBER]), {name: config[name] for name in config["names"]}


def member_config(config: RunConfig, member: int) -> RunConfig:
    """The run of a member: the population's, with a seed of its own."""
    seed = int(np.random.SeedSequence([config.seed, member]).generate_state(1)[0])
    return replace(config, seed=seed, agent_kwargs={**config.agent_kwargs, MEMBER: member})


def scheduler(config: RunConfig, choices: Mapping[str, Range]) -> RecordedPBT | RecordedPB2:
    """Ray Tune's scheduler for a population."""
    if config.agent == "pb2":
        return RecordedPB2(choices, config.seed, quantile_fraction=_QUANTILE)
    return RecordedPBT(choices, config.seed, quantile_fraction=_QUANTILE, resample_probability=_RESAMPLE)


def run_population(
    config: RunConfig,
    folder: Path,
    choices: Mapping[str, Range],
    *,
    address: str | None = None,
    workers: int | None = None,
    on_interval: Callable[[Mapping[str, Any]], None] = lambda result: None,
    pictures: bool = True,
) -> dict[str, Any]:
    """Trains a population to the end of its budget.

    Args:
        config: The search: its `agent` is the method, `total_env_steps` the budget of each member, its
            `agent_kwargs` are `population`, the number of members, and `perturb_every`, environment steps
            of a member between perturbations.
        folder: A new or empty folder; on a cluster of several machines, one that all of them reach.
        choices: The range of each hyperparameter.
        address: See `hyperrl_lab.cluster.connect`.
        workers: Its `cores`.
        on_interval: Called with a member's result after each interval: `member`, `env_steps`, `score`.
        pictures: Whether to draw the members' pictures.

    Returns:
        The content of `summary.json`. Its score is that of the best member, its `env_steps` are the whole
        population's.

    Raises:
        ValueError: Settings that are impossible, or hyperparameters without a range.
        FileExistsError: See `search_folder`; a population is not continued.
        ConnectionError: No cluster answers at `address`.
        MemberError: A member failed, more often than it is restarted.
    """
    members = config.agent_kwargs["population"]
    check_at_least("population", members, 2)
    check_at_least("perturb_every", config.agent_kwargs["perturb_every"], 1)
    check_choosable(config.agent, choices)
    started = time.perf_counter()
    with connected(address, workers), search_folder(config, folder) as (files, begun):
        if begun:
            raise FileExistsError(f"{folder} already holds a population. Give a new folder.")
        plan = scheduler(config, choices)
        with _quiet():
            results = _tuner(config, folder, choices, plan, on_interval).fit()
        if results.errors:
            raise MemberError(f"A member of the population failed: {results.errors[0]}")
        runs = [
            _write_member(config, folder, result, plan, pictures)
            for result in sorted(results, key=lambda result: int(result.config[MEMBER]))
            # Interrupted in its first interval, a member has nothing yet.
            if result.checkpoint is not None
        ]
        finished = len(runs) == members and all(run["status"] != "interrupted" for run in runs)
        status = "finished" if finished else "interrupted"
        return write_results(config, files, runs, status, time.perf_counter() - started)


def _tuner(
    config: RunConfig,
    folder: Path,
    choices: Mapping[str, Range],
    plan: RecordedPBT | RecordedPB2,
    on_interval: Callable[[Mapping[str, Any]], None],
) -> Any:
    return tune.Tuner(
        MemberTrainable,
        param_space={
            **{name: domain(range_) for name, range_ in choices.items()},
            MEMBER: tune.grid_search(list(range(config.agent_kwargs["population"]))),
            "run": asdict(config),
            "names": list(choices),
        },
        tune_config=tune.TuneConfig(
            metric="score",
            mode="max",
            scheduler=plan,
            search_alg=BasicVariantGenerator(random_state=config.seed),
            reuse_actors=True,
            trial_name_creator=_ray_name,
            trial_dirname_creator=_ray_name,
        ),
        run_config=tune.RunConfig(
            name=RAY,
            storage_path=str(folder.resolve()),
            failure_config=tune.FailureConfig(max_failures=_RESTARTS),
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=1, checkpoint_at_end=True, num_to_keep=_KEPT
            ),
            callbacks=[_Report(on_interval)],
            verbose=0,
        ),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Ray Tune, and the regression that PB2 fits, from writing to the terminal in the block."""
    logger, before = logging.getLogger("ray"), os.environ.get(_OUTPUT)
    level = logger.level
    os.environ[_OUTPUT] = "0"
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Of a few points the kernel's best parameters often lie at their bounds.
            warnings.simplefilter("ignore", ConvergenceWarning)
            yield
    finally:
        logger.setLevel(level)
        if before is None:
            del os.environ[_OUTPUT]
        else:
            os.environ[_OUTPUT] = before


class _Report(tune.Callback):  # type: ignore[misc]
    """Passes results on."""

    def __init__(self, on_interval: Callable[[Mapping[str, Any]], None]) -> None:
        self._on_interval = on_interval

    def __getstate__(self) -> dict[str, Any]:
        # Ray Tune keeps its callbacks in a file; a terminal has no place there.
        return {}

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._on_interval(
            {
                MEMBER: trial.config[MEMBER],
                "env_steps": result["env_steps"],
                "score": result["score"],
            }
        )


def _ray_name(trial: Any) -> str:
    return f"member-{trial.config[MEMBER]}"


def _write_member(
    config: RunConfig, folder: Path, result: Any, plan: RecordedPBT | RecordedPB2, pictures: bool
) -> dict[str, Any]:
    """Writes the run of a member from its last checkpoint; returns its entry in `search.json`."""
    number = int(result.config[MEMBER])
    course = [entry for entry in plan.course if entry[MEMBER] == number]
    name = f"{MEMBERS}/{number}"
    with result.checkpoint.as_directory() as checkpoint:
        member = Member(member_config(config, number), course[-1]["hyperparameters"])
        try:
            member.load(Path(checkpoint) / _STATE)
            summary = member.write(folder / name, pictures=pictures)
        finally:
            member.close()
    return {
        "folder": name,
        "status": summary["status"],
        "score": summary["mean_return"],
        "env_steps": summary["env_steps"],
        "hyperparameters": course[-1]["hyperparameters"],
        "intervals": [{key: value for key, value in entry.items() if key != MEMBER} for entry in course],
    }
