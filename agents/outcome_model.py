"""A model of a run's outcome as a function of its schedule, and the schedule that it likes best.

The model is a Gaussian process (`agents.gaussian_process`) over whole runs. Its input x is a run's schedule,
a line per hyperparameter (`agents.lines`), and the context c, the budget. Its output is the run's outcome,
standardised among the runs with the same task, settings and budget. A line is a change against the task's own
values, so a model is of runs whose own values are of one kind: that normalise or do not, and let the learning
rate fall or do not. What a schedule is worth at a context is told from the *difference* to the task's own
training, the line 0,

    d(x) = f(x, c) - f(0, c),   mean m(x),   standard deviation s(x),

which is 0 for certain at x = 0. Half of f is a function that all tasks share, and half is the task's own; on
a task that no run was on, f is what is shared. Played is the x with the largest m(x) - caution * s(x). Where
nothing is known s is large, and this is largest at 0: then the task's own values are played.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from agents.experience import Experience
from agents.gaussian_process import GaussianProcess
from agents.lines import RANGES, Floats, drawn, fitting
from hyperrl_env import HyperRLEnv
from hyperrl_env.inner_run import InnerRunConfig

# Lines that are compared, and rounds in which the best are varied, less and less.
_CANDIDATES, _ROUNDS, _VARIATIONS = 1024, 12, 128
# Lines that are compared if one is to be drawn.
_DRAWN = 512
# A context that differs by one unit is as far away as a change by half of a hyperparameter's range. What is
# best with a budget can be bad with three times as much: such budgets have to be nearly strangers.
_BUDGETS_PER_UNIT = 1.5


def one_thread() -> Any:
    """Sums over several threads round differently; on such small matrices threads mostly wait, too."""
    return threadpool_limits(1, user_api="blas")


@dataclass(frozen=True)
class Context:
    """What the outcome of a schedule depends on, beside the schedule.

    Attributes:
        budget: Environment steps.
        normalize: Whether observations and rewards are normalised.
        decays: Whether the task lets the learning rate fall.
        task: What is trained on, as in `PastRun.inner_env`. None: any.
    """

    budget: int
    normalize: bool
    decays: bool
    task: str | None = None

    @classmethod
    def of(cls, env: HyperRLEnv) -> Context:
        """That of an environment's present run."""
        model = env.learner.model
        normalize, run = model.get_vec_normalize_env() is not None, env.inner_run_config
        # A model of the user's own has no name to go by.
        task = _name(run.env) if isinstance(run, InnerRunConfig) else None
        return cls(env.total_env_steps, normalize, callable(model.learning_rate), task)

    @property
    def kind(self) -> tuple[bool, bool]:
        """What the task's own values are: whether it normalises, and whether its learning rate falls."""
        return self.normalize, self.decays

    @property
    def feature(self) -> float:
        """The budget on a scale on which a factor of 1.5 is one unit."""
        return math.log(self.budget, _BUDGETS_PER_UNIT)


def _name(env: str | Callable[..., Any]) -> str | None:
    """An id, or the import path of what makes the inner environment; None if it has none, as a lambda."""
    if isinstance(env, str):
        return env
    name = getattr(env, "__qualname__", "<")
    return None if "<" in name else f"{env.__module__}:{name}"


def line_features(names: Sequence[str], lines: Floats) -> Floats:
    """Lines as numbers whose distance is that of the schedules.

    The squared distance of two lines, integrated over the progress, is that of their levels and 1/12 of
    that of their slopes. The unit is half of the hyperparameter's range.

    Args:
        names: The hyperparameters.
        lines: (n, hyperparameters, 2).

    Returns:
        (n, 2 * hyperparameters): all levels, then all slopes.

    Example:
        >>> line_features(["gae_lambda"], np.array([[[1.5, 3.0]]])).round(3).tolist()
        [[1.0, 0.577]]
    """
    units = np.array([(RANGES[name].high - RANGES[name].low) / 2 for name in names])
    return np.concatenate([lines[..., 0] / units, lines[..., 1] / units / math.sqrt(12.0)], axis=-1)


def expected_improvement(mean: Floats, spread: Floats, best: float) -> Floats:
    """E[max(d - best, 0)] of normal d (Jones, Schonlau and Welch 1998, Eq. 15), elementwise.

    Example:
        >>> expected_improvement(np.array([0.0, 2.0]), np.array([1.0, 0.0]), best=0.5).round(4).tolist()
        [0.1978, 1.5]
    """
    gain = mean - best
    with np.errstate(divide="ignore", invalid="ignore"):
        z = gain / spread
    cumulative = np.array([0.5 * (1.0 + math.erf(x / math.sqrt(2.0))) for x in np.nan_to_num(z)])
    density = np.exp(-0.5 * np.nan_to_num(z, posinf=0.0, neginf=0.0) ** 2) / math.sqrt(2.0 * math.pi)
    return np.where(spread > 0, gain * cumulative + spread * density, np.maximum(gain, 0.0))


class OutcomeModel:
    """A Gaussian process of a run's standardised outcome over its schedule and context, all of one kind.

    Args:
        names: The hyperparameters whose lines make a schedule.
        lines: Of every run, (runs, hyperparameters, 2).
        contexts: Of every run.
        outcomes: Of every run, (runs,).

    Attributes:
        names: The hyperparameters.
        lines: Of every run.
    """

    def __init__(
        self, names: Sequence[str], lines: Floats, contexts: Sequence[Context], outcomes: Floats
    ) -> None:
        self.names, self.lines = tuple(names), lines
        budgets = np.array([[context.feature] for context in contexts])
        points = np.concatenate([line_features(names, lines), budgets], axis=1)
        self._process = GaussianProcess(points, outcomes, [context.task for context in contexts])

    def differences(self, lines: Floats, context: Context) -> tuple[Floats, Floats]:
        """What lines are worth against the task's own values.

        Args:
            lines: (n, hyperparameters, 2).
            context: Where they are played.

        Returns:
            m and s of the difference d, (n,) each.
        """
        points, own = (self._points(x, context) for x in (lines, np.zeros_like(lines[:1])))
        return self._process.differences(points, own, context.task)

    def _points(self, lines: Floats, context: Context) -> Floats:
        features = line_features(self.names, lines)
        return np.concatenate([features, np.full((len(lines), 1), context.feature)], axis=1)


def best_lines(model: OutcomeModel, context: Context, *, caution: float = 1.0, slopes: bool = True) -> Floats:
    """The lines with the largest m - caution * s, found by trying many and varying the best.

    Args:
        model: Of the outcome.
        context: Where they are played.
        caution: How many standard deviations count against what is not known.
        slopes: Whether lines may have slopes; False: the same change over the whole run.

    Returns:
        (hyperparameters, 2); all 0, the task's own values, if nothing is larger than 0 there.
    """
    # The same model and context have the same answer.
    rng = np.random.default_rng(0)
    names = model.names
    allowed = np.array([1.0, float(slopes)])
    reach = np.array([[RANGES[name].high - RANGES[name].low] for name in names])
    own = np.zeros((1, len(names), 2))
    tried = [own, fitting(names, model.lines), drawn(names, _CANDIDATES, rng)]
    best = _best(model, context, caution, np.concatenate(tried) * allowed)
    for number in range(_ROUNDS):
        steps = rng.normal(size=(_VARIATIONS, len(names), 2)) * reach * 0.25 * 0.7**number
        varied = fitting(names, best + steps) * allowed
        best = _best(model, context, caution, np.concatenate([own, best[None], varied]))
    return best


def _best(model: OutcomeModel, context: Context, caution: float, lines: Floats) -> Floats:
    mean, spread = model.differences(lines, context)
    best: Floats = lines[np.argmax(mean - caution * spread)]
    return best


def promising_lines(
    model: OutcomeModel, context: Context, rng: np.random.Generator, *, slopes: bool = True
) -> Floats:
    """Of random lines those with the largest expected improvement over the best of the runs so far.

    Args:
        model: Of the outcome.
        context: Where they are played.
        rng: Draws the lines.
        slopes: See `best_lines`.

    Returns:
        (hyperparameters, 2).
    """
    best = max(0.0, float(model.differences(fitting(model.names, model.lines), context)[0].max()))
    lines = drawn(model.names, _DRAWN, rng) * np.array([1.0, float(slopes)])
    chosen: Floats = lines[np.argmax(expected_improvement(*model.differences(lines, context), best))]
    return chosen


def played(experience: Experience) -> list[str]:
    """The hyperparameters that the runs of an experience have changed, in the order of `RANGES`.

    Raises:
        ValueError: None, or one that no line can be drawn in.
    """
    changed = {name for run in experience.runs for name in run.changed}
    if foreign := sorted(changed - set(RANGES)):
        raise ValueError(
            f"The experience has runs that changed {', '.join(foreign)}, and agent 'prior' can handle "
            f"{', '.join(RANGES)}: build it without them."
        )
    if not changed:
        raise ValueError(
            "The experience teaches nothing: none of its runs changed a hyperparameter. Add runs of agent "
            "'random_schedule'."
        )
    return [name for name in RANGES if name in changed]


@functools.lru_cache(maxsize=4)
def model_of(experience: Experience, kind: tuple[bool, bool]) -> OutcomeModel | None:
    """The model of the outcomes of an experience's runs of one kind; kept for the process's further agents.

    Args:
        experience: The runs.
        kind: See `Context.kind`.

    Returns:
        None if no run is of the kind.

    Raises:
        ValueError: See `played` and `Experience.comparable`.
    """
    names = played(experience)
    found = [
        (run, Context(run.budget, run.normalize, run.decays, run.inner_env), z)
        for run, z in experience.comparable()
        if (run.normalize, run.decays) == kind
    ]
    if not found:
        return None
    with one_thread():
        return OutcomeModel(
            names,
            np.array([[run.line(name) for name in names] for run, _, _ in found]),
            [context for _, context, _ in found],
            np.array([z for _, _, z in found]),
        )
