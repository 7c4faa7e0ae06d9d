"""Evolution of weights by CMA-ES, the covariance matrix adaptation evolution strategy.

Hansen, "The CMA Evolution Strategy: A Tutorial" (arXiv 1604.00772), as the package `cma` carries it out. Its
state is what happened: the same seed and the same fitness give the same members again, so a table of past
generations is all that has to be kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hyperrl_env.checks import check_at_least, check_positive

Floats = NDArray[np.float64]
# With fewer, half of the members that the mean moves to are hardly a choice.
LEAST_POPULATION = 4


@dataclass(frozen=True)
class Generation:
    """What a generation was, and what it earned.

    Attributes:
        members: The weights that were tried, (population, n).
        fitness: Of every member, the larger the better, (population,).
        sigma: The standard deviation that they were drawn with: see `Evolution.sigma`.
    """

    members: Floats
    fitness: Floats
    sigma: float


def shares_beaten(scores: Floats, default: Floats) -> Floats:
    """The fitness of a population: how many of the others a member beats, whatever the scale of a task.

    Args:
        scores: A row per member, a column per task and seed, (population, columns).
        default: The score of the default in every column, (columns,); it is one of the others.

    Returns:
        In [0, 1], (population,): the mean over the columns; a tie is half a win.

    Example:
        >>> shares_beaten(np.array([[1.0, 50.0], [3.0, 70.0], [2.0, 20.0]]), np.array([2.0, 60.0]))
        array([0.16666667, 1.        , 0.25      ])
    """
    everyone = np.vstack([scores, default])
    wins = _wins(scores[:, None], everyone[None]).sum(axis=1)
    # Against itself, a member has half a win.
    return np.asarray(((wins - 0.5) / len(scores)).mean(axis=1))


def shares_above(scores: Floats, default: Floats) -> Floats:
    """On how many tasks and seeds a member beats the default, in [0, 1]; see `shares_beaten`."""
    return np.asarray(_wins(scores, default).mean(axis=1))


def _wins(ours: Floats, theirs: Floats) -> Floats:
    return np.asarray((ours > theirs) + 0.5 * (ours == theirs))


class Evolution:
    """CMA-ES that starts at 0, from which it moves as far as fitness asks for.

    Args:
        n: How many weights there are, at least 2.
        population: Members of a generation.
        sigma: Standard deviation of every weight in the first generation.
        seed: Seeds a generator of its own.

    Attributes:
        generations: What happened so far.

    Raises:
        ValueError: An argument out of range, or the package `cma` is missing.
    """

    def __init__(self, n: int, *, population: int, sigma: float, seed: int) -> None:
        check_at_least("n", n, 2)
        check_at_least("population", population, LEAST_POPULATION)
        check_positive("sigma", sigma)
        check_at_least("seed", seed, 0)
        rng = np.random.default_rng(seed)
        options = {
            "popsize": population,
            "randn": lambda *shape: rng.standard_normal(shape),
            # Of NumPy's global generator: left alone.
            "seed": math.nan,
            "verbose": -9,
        }
        self._cma: Any = _package().CMAEvolutionStrategy(np.zeros(n), sigma, options)
        self._asked: Floats | None = None
        self.generations: list[Generation] = []

    @property
    def mean(self) -> Floats:
        """The mean of the distribution, (n,): what it has found so far."""
        return np.array(self._cma.mean)

    @property
    def sigma(self) -> float:
        """How far members scatter: the root mean square of the weights' standard deviations."""
        return float(np.sqrt(np.mean(np.square(self._cma.stds))))

    def ask(self) -> Floats:
        """The members of the next generation, (population, n); the same ones until `tell`."""
        if self._asked is None:
            with threadpool_limits(1, user_api="blas"):
                self._asked = np.array(self._cma.ask())
        return self._asked.copy()

    def tell(self, fitness: Floats) -> Generation:
        """Ends a generation.

        Args:
            fitness: Of every member that `ask` gave, the larger the better, (population,).

        Raises:
            ValueError: Another number of them, or one that is not finite.
        """
        members, sigma = self.ask(), self.sigma
        if np.shape(fitness) != (len(members),) or not np.isfinite(fitness).all():
            raise ValueError(f"fitness must be {len(members)} finite numbers, not {fitness!r}.")
        # Sums over threads would round differently from run to run.
        with threadpool_limits(1, user_api="blas"):
            self._cma.tell(list(members), [-float(x) for x in fitness])
        self._asked = None
        self.generations.append(Generation(members, np.array(fitness, np.float64), sigma))
        return self.generations[-1]

    def replay(self, past: Iterable[Generation]) -> None:
        """Goes through generations that have been before.

        Raises:
            ValueError: They are not those that these settings lead to.
        """
        for generation in past:
            if not np.array_equal(self.ask(), generation.members):
                raise ValueError(
                    f"generation {len(self.generations)} has other members than its settings lead to here, "
                    "so it is of another seed, or of other versions of cma and NumPy"
                )
            self.tell(generation.fitness)


def _package() -> Any:
    try:
        # An extra, which takes a second to import.
        import cma
    except ImportError as error:
        raise ValueError(
            "Evolution needs an extra: in a checkout of Hyper-RL, run `python -m pip install --constraint "
            "constraints.txt '.[experience]'`."
        ) from error
    return cma
