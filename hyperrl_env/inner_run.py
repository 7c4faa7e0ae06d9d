"""One inner training, from initial weights to the end of its budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from hyperrl_env.hyper_reward import EnvironmentPhase
from hyperrl_env.inner_envs.make import VecBackend, make_inner_envs
from hyperrl_env.inner_envs.state import envs_state, inner_name, set_envs_state
from hyperrl_env.learners import make_learner
from hyperrl_env.numeric.arrays import SharedArrays
from hyperrl_env.numeric.random_state import RandomState


@dataclass(frozen=True)
class InnerRunConfig:
    """What two runs of one Hyper-RL environment have in common; only the seed differs.

    Attributes:
        algorithm: Of the inner learner.
        backend: What does its rollouts and updates.
        learner_kwargs: SB3's constructor arguments.
        env: Gymnasium id of the inner environment, or a callable that makes it.
        env_kwargs: Its keyword arguments.
        atari: Whether it is an Atari game to preprocess.
        vec_backend: What steps the inner environments.
        n_envs: Inner environments side by side.
        normalize: Whether observations and rewards are normalised.
        total_env_steps: The budget.
        gradient_order: N_order.
        device: Torch device.
    """

    algorithm: str
    backend: str
    learner_kwargs: Mapping[str, Any]
    env: str | Callable[..., gym.Env[Any, Any]]
    env_kwargs: Mapping[str, Any]
    atari: bool
    vec_backend: VecBackend
    n_envs: int
    normalize: bool
    total_env_steps: int
    gradient_order: int
    device: str


class InnerEnvError(RuntimeError):
    """An inner environment could not be made or reset, or an environment phase failed.

    The message names the run and, for a phase, the step and the hyperparameters in force; `__cause__` is
    the inner environment's own exception.
    """


# Errors of the constructor of an inner environment that say by themselves what is wrong.
_CLEAR = (gym.error.Error, ImportError, OSError, TypeError, ValueError)


class InnerRun:
    """One run: a learner on its inner environments, with random generators of its own.

    Nothing here decides: the caller says when to update, with what, and when to collect. All work
    happens on the run's own random state; the process's global generators stay as they are.

    Args:
        config: What the run does.
        seed: Seeds weights, inner environments and action noise as SB3 does.

    Raises:
        InnerEnvError: The constructor of the inner environment raised an exception that does not
            explain itself.

    Attributes:
        learner: The inner learner.
        phase: Update phases that are finished.
        seed: The run's seed.
        failed: Whether an environment phase failed, so that the run cannot continue.
        weights: W_m^0 of Eq. 2, when called: the policy's parameters as matrices.
    """

    def __init__(self, config: InnerRunConfig, seed: int) -> None:
        self.phase = 0
        self.seed = seed
        self.failed = False
        self._env = config.env
        self._total_env_steps = config.total_env_steps
        self._random_state = RandomState(seed)
        with self._random_state.swapped_in():
            try:
                self._envs = make_inner_envs(
                    config.env,
                    env_kwargs=config.env_kwargs,
                    n_envs=config.n_envs,
                    normalize=config.normalize,
                    gamma=config.learner_kwargs.get("gamma", 0.99),
                    atari=config.atari,
                    vec_backend=config.vec_backend,
                )
            except _CLEAR:
                raise
            # An inner environment can raise anything.
            except Exception as error:
                raise InnerEnvError(
                    f"The inner environment could not be made: {type(error).__name__}: {error}"
                ) from error
            try:
                self.learner = make_learner(
                    config.algorithm,
                    config.backend,
                    self._envs,
                    config.learner_kwargs,
                    seed=seed,
                    device=config.device,
                )
            except BaseException:
                self._envs.close()
                raise
        self._gradient_order = config.gradient_order
        self.weights = SharedArrays(self.learner.policy.parameters())

    def start(self) -> EnvironmentPhase:
        """Resets the inner environments and collects the first environment phase."""
        self.prepare()
        return self.collect()

    def prepare(self) -> None:
        """Resets the inner environments: what `start` does first, or what a state is then loaded over.

        Raises:
            InnerEnvError: The reset failed.
        """
        failed = f"The first reset failed in {self._named}"
        with self._reported(lambda: failed), self._random_state.swapped_in():
            self.learner.start_run(self._total_env_steps, self._gradient_order)

    def update(self, values: Mapping[str, float]) -> None:
        """Does one policy update with these hyperparameters."""
        if self.learner.update_step == 0:
            # Between two phases users may have replaced layers of the policy.
            self.weights = SharedArrays(self.learner.policy.parameters())
        # Only if needed: changing the global random state to and fro takes as long as half a fast update.
        self.learner.policy_update(values, self._random_state.swapped_in)
        if self.learner.update_phase_finished:
            self.phase += 1

    def collect(self) -> EnvironmentPhase:
        """Runs an environment phase; the next update phase can begin.

        Raises:
            InnerEnvError: The phase failed.
        """

        def failure() -> str:
            values = self.learner.values_in_force().items()
            return (
                f"The environment phase failed in environment step {self.env_steps + 1:,} of {self._named}, "
                f"after update phase {self.phase}, with "
                + ", ".join(f"{name} {value:.6g}" for name, value in values)
            )

        with self._reported(failure), self._random_state.swapped_in():
            return self.learner.environment_phase()

    @property
    def inner_name(self) -> str:
        """What the inner environments are: an id, or a class."""
        return inner_name(self._envs) or str(self._env)

    @property
    def env_steps(self) -> int:
        """Environment steps collected so far, over all inner environments."""
        return self.learner.num_timesteps

    @property
    def budget_spent(self) -> bool:
        """Whether the budget leaves no further environment phase."""
        return self.env_steps >= self._total_env_steps

    @property
    def wholly_refused(self) -> bool:
        """Whether every update of this phase so far was refused."""
        return self.learner.updates_refused == self.learner.update_step

    def matrices(self) -> list[NDArray[np.float32]]:
        """W_m^n of Eq. 2, orders outermost: all weights, all latest gradients, the ones before them.

        They share memory with the learner, whose next update changes them.
        """
        return self.weights() + self.learner.gradient_history.matrices()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the run needs to continue; it shares memory with the run."""
        assert self.learner.env is not None
        return {
            "seed": self.seed,
            "phase": self.phase,
            "random_state": self._random_state.state_dict(),
            "learner": self.learner.state_dict(),
            "envs": envs_state(self.learner.env),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> bool:
        """Restores what `state_dict` of a run of the same configuration returned, after `prepare`.

        Args:
            state: Becomes the run's own: pass a copy to keep it.

        Returns:
            Whether new inner episodes had to start, because the simulator cannot be restored.

        Raises:
            InnerEnvError: They had to, and their reset failed.
        """
        assert self.learner.env is not None
        self.seed, self.phase = state["seed"], state["phase"]
        self._random_state.load_state_dict(state["random_state"])
        with self._random_state.swapped_in():
            self.learner.load_state_dict(state["learner"])
            continued = set_envs_state(self.learner.env, state["envs"])
            if not continued:
                failed = f"The reset that starts new inner episodes failed in {self._named}"
                with self._reported(lambda: failed):
                    self.learner.restart_inner_episodes()
        self.failed = False
        return not continued

    def own_random_state(self) -> AbstractContextManager[None]:
        """A block in which the global generators are the run's own, as SB3 needs them."""
        return self._random_state.swapped_in()

    def close(self) -> None:
        """Closes the inner environments."""
        self._envs.close()

    @contextmanager
    def _reported(self, failure: Callable[[], str]) -> Iterator[None]:
        """Turns whatever is raised inside the block into an `InnerEnvError`; `failure` says what failed."""
        try:
            yield
        except Exception as error:
            self.failed = True
            raise InnerEnvError(f"{failure()}: {type(error).__name__}: {error}") from error

    @property
    def _named(self) -> str:
        return f"the run with seed {self.seed}"
