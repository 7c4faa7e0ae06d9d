"""`learn`: hyperparameter control in a training script of the user's, in one line."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

from rich.console import Console
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback

import agents
from hyperrl_env import HyperRLEnv, InnerEnvError, SearchSpace
from hyperrl_env.checks import check_at_least
from hyperrl_env.configuration import Decision
from hyperrl_env.learners import LearnCall, TrainingStopped, algorithm_of
from hyperrl_env.learners.user_model import as_callback
from hyperrl_env.search_space import Offered
from hyperrl_lab.display import Display
from hyperrl_lab.log import record_values
from hyperrl_lab.progress import Progress

Model = TypeVar("Model", bound=OnPolicyAlgorithm)


def learn(
    model: Model,
    total_timesteps: int,
    agent: agents.Agent = "epgt",
    callback: MaybeCallback | list[BaseCallback] = None,
    *,
    backend: str = "auto",
    search_space: str | Offered | SearchSpace | None = None,
    decision: Decision | None = None,
    agent_kwargs: Mapping[str, Any] | None = None,
    seed: int = 0,
    log_interval: int | None = None,
    tb_log_name: str | None = None,
    reset_num_timesteps: bool = True,
    progress_bar: bool = False,
) -> Model:
    """Trains a Stable-Baselines3 model while a hyper-agent chooses its hyperparameters.

    It takes the place of `model.learn(total_timesteps)` and trains that very object: its policy, optimiser,
    environments and logger, with its callbacks. What nobody chooses is as the model has it, schedules
    included, and afterwards all its settings are its own again, so that it is used, saved and trained further
    as ever. Random numbers come from the process's global generators, as under `model.learn`; the hyper-agent
    has a generator of its own. With `agent="fixed"` and `backend="eager"` the model ends with the same bits.

    Args:
        model: A PPO or A2C of Stable-Baselines3's, or an ACKTR of this project's, with an environment.
        total_timesteps: Environment steps to train for, at least one rollout; as in `model.learn`, the last
            rollout is always completed.
        agent: A name as for `agents.make`, a class of yours, or a function that makes an agent.
        callback: As in `model.learn`. Callbacks see what they see there. They may stop the training, by
            returning False.
        backend: "auto", "fast" or "eager", as for `HyperRLEnv`. If a callback looks at steps, or at the end
            of rollouts, these are collected step by step as in Stable-Baselines3, with a warning.
        search_space: What the agent chooses, as for `HyperRLEnv`. None: what the agent needs, or else what is
            usual for the algorithm.
        decision: "update", "epoch" or "phase": how long a choice holds. None: what the agent needs, or else
            "update".
        agent_kwargs: The agent's keywords.
        seed: Seeds the agent, and nothing else.
        log_interval: Rollouts between two logs, with `hyper/*` beside what `model.learn` logs. None: as
            `model.learn` has it, 1 for PPO, 100 for A2C and ACKTR.
        tb_log_name: Name of the TensorBoard run. None: as `model.learn` has it.
        reset_num_timesteps: Whether steps and schedules start anew, as in `model.learn`.
        progress_bar: Whether to show the progress, and what is chosen.

    Returns:
        The model that was given.

    Raises:
        ValueError: A model that cannot be trained here, or an argument that is unknown or impossible; the
            message says what would be right.

    Example:
        >>> from stable_baselines3 import PPO
        >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=256, seed=0, device="cpu")
        >>> model = learn(model, total_timesteps=1_000)  # instead of model.learn(total_timesteps=1_000)
        >>> model.num_timesteps
        1024
    """
    algorithm = algorithm_of(model)
    check_at_least("total_timesteps", total_timesteps, model.n_steps * model.n_envs, "n_steps * n_envs")
    call = LearnCall.plain(model)
    call = replace(
        call,
        callback=as_callback(callback),
        log_interval=call.log_interval if log_interval is None else log_interval,
        tb_log_name=call.tb_log_name if tb_log_name is None else tb_log_name,
        reset_num_timesteps=reset_num_timesteps,
        progress_bar=progress_bar,
    )
    agent_kwargs = dict(agent_kwargs or {})
    agents.check_algorithm(agent, algorithm, **agent_kwargs)
    given = {"search_space": search_space, "decision": decision}
    env_kwargs = agents.env_kwargs(agent, **agent_kwargs) | {k: v for k, v in given.items() if v is not None}
    env = HyperRLEnv(None, model=call, total_env_steps=total_timesteps, backend=backend, **env_kwargs)
    hyper_agent = agents.make(agent, env, seed=seed, **agent_kwargs)
    with closing(env), _errors_of_their_own():
        _train(env, hyper_agent, call)
    call.callback.on_training_end()
    return model


def _train(env: HyperRLEnv, agent: agents.HyperAgent, call: LearnCall) -> None:
    """A run, to the end of its budget or until a callback stops it."""
    progress = Progress(env.total_env_steps)
    display = Display(Console(), progress) if call.progress_bar else None
    logger = _Logger(env, call, progress)
    with nullcontext() if display is None else display.live():
        try:
            obs, info = env.reset()
            logger.phase(info)
            for step in agents.steps(env, agent, obs, info):
                logger.hyper_step(step)
                if display is not None:
                    display.step(progress)
        except TrainingStopped:
            return
    if env.learner.updates_refused == env.learner.update_step:
        warnings.warn(
            f"Training ended after {progress.env_steps:,} environment steps: every update of a phase was "
            "refused, as loss, gradient or observations were not finite. The model has its last good state.",
            stacklevel=4,
        )


class _Logger:
    """Logs what and when `model.learn` does, to the same logger, and `hyper/*`; counts the progress."""

    def __init__(self, env: HyperRLEnv, call: LearnCall, progress: Progress) -> None:
        self._env, self._call, self._progress = env, call, progress
        self._iteration = 0

    def hyper_step(self, step: agents.Step) -> None:
        """Takes in a hyper-step, and the phase that it ended, if it did."""
        info, progress, logger = step.next_info, self._progress, self._call.model.logger
        names = self._env.search_space.names
        progress.hyperparameters = {name: info["hyperparameters"][name] for name in names}
        progress.finished = info["run_finished"]
        record_values(logger, progress.hyperparameters)
        if "phase_stats" in info and not info["run_finished"]:
            logger.record_mean("hyper/reward", step.reward)
            self.phase(info)

    def phase(self, info: Mapping[str, Any]) -> None:
        """Takes in an environment phase."""
        statistics, interval = info["phase_stats"], self._call.log_interval
        self._progress.phase = info["phase"]
        self._progress.environment_phase(info["env_steps"], statistics["returns"], statistics["lengths"])
        self._iteration += 1
        if interval is not None and self._iteration % interval == 0:
            self._call.model.dump_logs(self._iteration)


@contextmanager
def _errors_of_their_own() -> Iterator[None]:
    """Raises what environments and callbacks raise as `model.learn` does, with a note about the run."""
    try:
        yield
        return
    except InnerEnvError as error:
        cause, note = error.__cause__, str(error)
    assert cause is not None
    cause.add_note(note)
    raise cause
