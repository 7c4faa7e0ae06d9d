"""A Stable-Baselines3 model of the user's as what a learner trains: in place, as its own `learn` would.

The learner is a second view of the model: an object of another class with the very same attributes. What
is trained is therefore the model itself, its policy, optimiser, environments, callbacks and logger, while its
class stays what it is; `docs/decisions/second-view.md` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

from stable_baselines3 import A2C, PPO
from stable_baselines3.common import on_policy_algorithm
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback, EventCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from hyperrl_env.learners.acktr.algorithm import ACKTR
from hyperrl_env.learners.arithmetic import Arithmetic
from hyperrl_env.learners.base import InnerLearner
from hyperrl_env.learners.collecting import Collector
from hyperrl_env.learners.fast.linking import hides_methods
from hyperrl_env.learners.recording import PhaseRecorder, RecordedPhase

ALGORITHMS: dict[str, type[OnPolicyAlgorithm]] = {"PPO": PPO, "A2C": A2C, "ACKTR": ACKTR}
# What a learner does in the place of the model, and what a fast rollout does besides.
_REPLACED = ("learn", "train", "_update_learning_rate")
_OF_ROLLOUTS = ("collect_rollouts", "_update_info_buffer")
# What SB3 calls on a callback at the steps and the end of a rollout, beside `_on_step`.
_AT_ROLLOUTS = ("on_step", "update_locals", "on_rollout_end", "_on_rollout_end")
# `return True`, and nothing else.
_IDLE = EventCallback._on_step.__code__


class TrainingStopped(Exception):  # noqa: N818 - no error
    """A callback has stopped the training, by returning False."""


def algorithm_of(model: object) -> str:
    """The algorithm of a model that can be trained here.

    Raises:
        ValueError: It cannot; the message says what would be right.
    """
    trained = "Hyper-RL trains Stable-Baselines3's PPO and A2C, and its own ACKTR"
    if not isinstance(model, BaseAlgorithm):
        raise ValueError(f"{trained}: give such a model, not {model!r}.")
    kind = type(model).__name__
    if isinstance(model, OffPolicyAlgorithm):
        raise ValueError(
            f"{trained}, not {kind}, which learns off-policy from a replay buffer: it has no rollouts with "
            "a phase of updates after each."
        )
    for algorithm, stock in ALGORITHMS.items():
        if isinstance(model, stock):
            _check_methods(model, stock)
            if model.env is None:
                raise ValueError(
                    "The model has no environment to be trained in: call model.set_env(env) first, or load "
                    f"it with {kind}.load(path, env=env)."
                )
            return algorithm
    raise ValueError(f"{trained}. {kind} is neither of them, nor a subclass.")


def _check_methods(model: BaseAlgorithm, stock: type[OnPolicyAlgorithm]) -> None:
    """Refuses a subclass that trains in a way of its own, which nobody would notice is not taken."""
    own = [name for name in _REPLACED if _is_replaced(model, stock, name)]
    if own:
        raise ValueError(
            f"{type(model).__name__} has its own {' and '.join(own)}(), which would not be called here: "
            f"updates are done one by one, as {stock.__name__} does them. Train it by its own learn(), or "
            f"leave to callbacks, the policy or the environment what it does in {own[0]}()."
        )


def _is_replaced(model: BaseAlgorithm, stock: type[OnPolicyAlgorithm], name: str) -> bool:
    return getattr(type(model), name) is not getattr(stock, name) or name in vars(model)


def as_callback(callback: Any) -> BaseCallback:
    """What SB3 makes of the `callback` of `learn`: None, a function, a callback or a list of callbacks."""
    if isinstance(callback, list):
        return CallbackList(callback)
    return callback if isinstance(callback, BaseCallback) else ConvertCallback(callback)


def looks_at_rollouts(callback: BaseCallback) -> bool:
    """Whether a callback does anything at the steps or the end of a rollout: it may look at what is there."""
    if type(callback) is CallbackList:
        return any(map(looks_at_rollouts, callback.callbacks))
    if type(callback) is ConvertCallback:
        return callback.callback is not None
    kind = type(callback)
    idle = all(getattr(kind, name) is getattr(BaseCallback, name) for name in _AT_ROLLOUTS)
    return not (idle and _returns_true(kind._on_step)) or hides_methods(callback)


def _returns_true(function: Callable[..., Any]) -> bool:
    code = getattr(function, "__code__", None)
    return code is not None and code.co_code == _IDLE.co_code and code.co_consts[-1] is True


def _count_steps(callback: BaseCallback, n_steps: int) -> None:
    """What so many calls of `on_step` leave behind in a callback that does nothing then."""
    callback.n_calls += n_steps
    callback.num_timesteps = callback.model.num_timesteps
    for child in callback.callbacks if isinstance(callback, CallbackList) else ():
        _count_steps(child, n_steps)


@dataclass(frozen=True)
class LearnCall:
    """A call of `model.learn` that is carried out update by update.

    Attributes:
        model: The model.
        callback: As `as_callback` makes it.
        log_interval: Shown to callbacks, as are `tb_log_name` and `progress_bar`; who calls also logs.
        tb_log_name: Name of the TensorBoard run.
        reset_num_timesteps: Whether the count of steps starts anew.
        progress_bar: Whether one is shown.
    """

    model: OnPolicyAlgorithm
    callback: BaseCallback
    log_interval: int | None
    tb_log_name: str
    reset_num_timesteps: bool = True
    progress_bar: bool = False

    @classmethod
    def plain(cls, model: OnPolicyAlgorithm) -> LearnCall:
        """`model.learn` without further arguments."""
        defaults = signature(model.learn).parameters
        log_interval, name = (defaults[name].default for name in ("log_interval", "tb_log_name"))
        return cls(model, as_callback(None), log_interval, name)

    def begin(self, total_timesteps: int) -> None:
        """Does what `learn` does before the first rollout."""
        total_timesteps, callback = self.model._setup_learn(
            total_timesteps, self.callback, self.reset_num_timesteps, self.tb_log_name
        )
        seen = {"self": self.model, "total_timesteps": total_timesteps, "callback": callback}
        seen |= {name: getattr(self, name) for name in ("log_interval", "tb_log_name")}
        seen |= {name: getattr(self, name) for name in ("reset_num_timesteps", "progress_bar")}
        callback.on_training_start({**seen, "iteration": 0}, vars(on_policy_algorithm))


class _Both(BaseCallback):
    """A callback of the user's, which sees what it sees under SB3's `learn`, and the recorder after it."""

    def __init__(self, callback: BaseCallback, recorder: PhaseRecorder) -> None:
        super().__init__()
        self._callback, self._recorder = callback, recorder

    def on_rollout_start(self) -> None:
        self._callback.on_rollout_start()
        self._recorder.on_rollout_start()

    def update_locals(self, locals_: dict[str, Any]) -> None:
        self._callback.update_locals({**locals_, "callback": self._callback})
        self._recorder.update_locals(locals_)

    def on_step(self) -> bool:
        goes_on = self._callback.on_step()
        return self._recorder.on_step() and goes_on

    def _on_step(self) -> bool:
        return True

    def on_rollout_end(self) -> None:
        self._callback.on_rollout_end()


class UserModelCollector(Collector):
    """Collects with a model of the user's, and calls the callbacks as the model's own `learn` would.

    During rollouts, where others may look at the model or save it, its own settings are in force. Only the
    number of steps is that chosen, and the targets of the updates are computed anew.

    Args:
        learner: The learner that shares the model's attributes.
        call: What is to be done.
    """

    def __init__(self, learner: InnerLearner, call: LearnCall) -> None:
        super().__init__(learner)
        self.model = call.model
        self._call = call
        self._begun = False
        # Of the rollout under way, in each environment.
        self._n_steps = learner.n_steps
        stock = InnerLearner if isinstance(call.model, InnerLearner) else OnPolicyAlgorithm
        own_rollouts = any(_is_replaced(call.model, stock, name) for name in _OF_ROLLOUTS)
        self._stepwise = own_rollouts or looks_at_rollouts(call.callback)

    def start(self, total_env_steps: int) -> None:
        """See `Collector.start`."""
        self._recorder = PhaseRecorder()
        self._recorder.init_callback(self.model)
        self._call.begin(total_env_steps)
        self.learner.adopt_settings()
        self._begun = True

    @contextmanager
    def settings_of_rollouts(self) -> Iterator[None]:
        """The context of an environment phase: the model's own settings are in force."""
        learner = self.learner
        chosen, self._n_steps = learner.values_in_force(), learner.n_steps
        learner.put_back_settings()
        try:
            yield
        finally:
            # Callbacks may have changed them, and have stopped the training then.
            learner.adopt_settings()
        learner.apply(chosen)

    def collect(self) -> RecordedPhase:
        """Fills the rollout buffer.

        Raises:
            TrainingStopped: A callback has returned False.
        """
        fast = None if self._stepwise else self.learner.linked()
        if fast is not None and fast.can_collect():
            return self._collect_fast(fast)
        learner, model = self.learner, self.model
        buffer, n_steps = model.rollout_buffer, self._n_steps
        if model._last_obs is None:
            # `set_env` leaves it to `learn` to reset the new environments.
            learner.restart_inner_episodes()
        buffer.buffer_size = n_steps
        assert model.env is not None
        both = _Both(self._call.callback, self._recorder)
        if not model.collect_rollouts(model.env, both, buffer, n_rollout_steps=n_steps):
            raise TrainingStopped
        return self._recorder.recorded(buffer.values)

    def _collect_fast(self, fast: Arithmetic) -> RecordedPhase:
        callback, learner = self._call.callback, self.learner
        callback.on_rollout_start()
        own, learner.n_steps = learner.n_steps, self._n_steps
        try:
            recorded = fast.collect()
        finally:
            learner.n_steps = own
        _count_steps(callback, self._n_steps)
        return recorded

    def end(self) -> None:
        """See `InnerLearner.end_run`: the model's own settings are in force again."""
        if not self._begun:
            return
        self._begun = False
        learner, buffer = self.learner, self.learner.rollout_buffer
        learner.put_back_settings()
        if buffer.buffer_size != learner.n_steps:
            # Laid out for another number of steps: SB3 takes its size for granted.
            buffer.buffer_size = learner.n_steps
            buffer.reset()
