"""One inner training, from initial weights to the end of its budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from hyperrl_env.hyper_reward import EnvironmentPhase
from hyperrl_env.inner_envs.make import VecBackend, make_inner_envs
from hyperrl_env.inner_envs.state import envs_state, inner_name, set_envs_state
from hyperrl_env.learners import InnerLearner, TrainingStopped, make_learner
from hyperrl_env.numeric.arrays import SharedArrays
from hyperrl_env.numeric.random_state import RandomState, random_state_of


class InnerEnvError(RuntimeError):
    """An inner environment could not be made or reset, or an environment phase failed.

    The message names the run and, for a phase, the step and the hyperparameters in force; `__cause__` is
    the inner environment's own exception.
    """


class InnerRun:
    """One run: a learner on its inner environments, with random generators of its own.

    Nothing here decides: the caller says when to update, with what, and when to collect. All work
    happens on the run's own random state; the process's global generators stay as they are, unless the run
    was told to draw from them.

    Args:
        learner: The inner learner, on its inner environments.
        random_state: The generators that it draws from.
        seed: What they were seeded with; None: the process's own generators.
        total_env_steps: The budget.
        gradient_order: N_order.
        name: What the inner environments are, if they do not say.
        close: Called when nobody needs the run any more.

    Attributes:
        learner: The inner learner.
        phase: Update phases that are finished.
        seed: The run's seed; None: none of its own.
        close: Ends the run. One that made its inner environments closes them.
        failed: Whether an environment phase failed, so that the run cannot continue.
        weights: W_m^0 of Eq. 2, when called: the policy's parameters as matrices.
    """

    def __init__(
        self,
        learner: InnerLearner,
        random_state: RandomState,
        *,
        seed: int | None,
        total_env_steps: int,
        gradient_order: int,
        name: str,
        close: Callable[[], None],
    ) -> None:
        self.learner = learner
        self.phase = 0
        self.seed = seed
        self.failed = False
        self.close = close
        self._random_state = random_state
        self._total_env_steps = total_env_steps
        self._gradient_order = gradient_order
        self._name = name
        # Those of a model of the user's that it goes on counting from.
        self._steps_before = 0
        self.weights = SharedArrays(learner.policy.parameters())

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
        self._steps_before = self.learner.num_timesteps

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
        # Of the updates before it: a model of the user's collects with its own.
        values = self.learner.values_in_force().items()

        def failure() -> str:
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
        assert self.learner.env is not None
        return inner_name(self.learner.env) or self._name

    @property
    def env_steps(self) -> int:
        """Environment steps collected so far, over all inner environments."""
        return self.learner.num_timesteps - self._steps_before

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
        if (state["seed"] is None) != (self.seed is None):
            self._random_state = random_state_of(state["seed"])
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

    def reseed(self, seed: int) -> None:
        """Draws from generators with this seed from now on."""
        self._random_state.load_state_dict(RandomState(seed).state_dict())

    def own_random_state(self) -> AbstractContextManager[None]:
        """A block in which the global generators are the run's own, as SB3 needs them."""
        return self._random_state.swapped_in()

    @contextmanager
    def _reported(self, failure: Callable[[], str]) -> Iterator[None]:
        """Turns whatever is raised inside the block into an `InnerEnvError`; `failure` says what failed."""
        try:
            yield
        except TrainingStopped:
            raise
        except Exception as error:
            self.failed = True
            raise InnerEnvError(f"{failure()}: {type(error).__name__}: {error}") from error

    @property
    def _named(self) -> str:
        return "the run" if self.seed is None else f"the run with seed {self.seed}"


# Errors of the constructor of an inner environment that say by themselves what is wrong.
_CLEAR = (gym.error.Error, ImportError, OSError, TypeError, ValueError)


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

    # What a run after this one trains, and what is left of this one.
    after_reset: ClassVar[tuple[str, str]] = (
        "a new model",
        "The trained model stays at env.unwrapped.finished_learner.model until another run is finished.",
    )

    def seed_of(self, given: int | None, generator: np.random.Generator) -> int:
        """The seed of a run: the one given, or one that is drawn."""
        return int(generator.integers(2**31)) if given is None else given

    def new_run(self, seed: int | None) -> InnerRun:
        """A run with a fresh learner on inner environments of its own.

        Args:
            seed: Seeds weights, inner environments and action noise as SB3 does.

        Raises:
            InnerEnvError: The constructor of the inner environment raised an exception that does not
                explain itself.
        """
        assert seed is not None
        random_state = RandomState(seed)
        with random_state.swapped_in():
            envs = self._make_envs()
            try:
                learner = make_learner(
                    self.algorithm, self.backend, envs, self.learner_kwargs, seed=seed, device=self.device
                )
            except BaseException:
                envs.close()
                raise
        return InnerRun(
            learner,
            random_state,
            seed=seed,
            total_env_steps=self.total_env_steps,
            gradient_order=self.gradient_order,
            name=str(self.env),
            close=envs.close,
        )

    def _make_envs(self) -> VecEnv:
        try:
            return make_inner_envs(
                self.env,
                env_kwargs=self.env_kwargs,
                n_envs=self.n_envs,
                normalize=self.normalize,
                gamma=self.learner_kwargs.get("gamma", 0.99),
                atari=self.atari,
                vec_backend=self.vec_backend,
            )
        except _CLEAR:
            raise
        # An inner environment can raise anything.
        except Exception as error:
            raise InnerEnvError(
                f"The inner environment could not be made: {type(error).__name__}: {error}"
            ) from error

    def identity(self) -> dict[str, Any]:
        """What two runs of one configuration have in common, but for what a learner knows better."""
        # A callable has no name to go by, and "auto" is not a device.
        return {name: value for name, value in vars(self).items() if name not in ("env", "device")}
