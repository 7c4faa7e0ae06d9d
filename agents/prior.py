"""The schedule that earlier runs say ends best."""

from __future__ import annotations

import math
import warnings
from typing import Any

import gymnasium as gym

from agents.experience_file import load_experience, pinned
from agents.lines import Floats, LineAgent, drawn, env_kwargs
from agents.outcome_model import Context, best_lines, model_of, one_thread, played, promising_lines
from hyperrl_env.checks import check_bool, is_number


class PriorAgent(LineAgent):
    """Plays the schedule that, by the experience of earlier runs, ends best with this budget.

    Where the experience says too little, on another budget for instance, it plays the task's own values, and
    a warning says so. What the run shows meanwhile changes nothing: add it to the experience, and the next
    run knows it.

    Args:
        env: See `LineAgent`.
        seed: See `LineAgent`; nothing is drawn unless `sample` is true.
        experience: The file of the experience, as `hyperrl experience build` writes it; "PPO": the one that
            ships with the package.
        experience_sha256: The SHA-256 that the file must have; the command line and studies fill it in.
        sample: Whether to play what improves on earlier runs most in expectation, of schedules that the
            seed draws, so that the run teaches something.
        slopes: Whether values change over the run, relative to the task's own.
        caution: How many standard deviations count against what is not known.

    Attributes:
        learned: The experience.

    Raises:
        ValueError: The experience is missing, damaged, of another version or algorithm, or teaches nothing;
            or the search space is another.
    """

    name = "prior"

    def __init__(
        self,
        env: gym.Env[Any, Any],
        seed: int = 0,
        *,
        experience: str = "PPO",
        experience_sha256: str | None = None,
        sample: bool = False,
        slopes: bool = True,
        caution: float = 1.0,
    ) -> None:
        check_bool("sample", sample)
        check_bool("slopes", slopes)
        if not is_number(caution) or not 0 <= caution < math.inf:
            raise ValueError(f"caution must be a finite number of at least 0, not {caution!r}.")
        self.learned = load_experience(experience, experience_sha256)
        super().__init__(env, seed, played(self.learned))
        self.learned.check_algorithm(self.env.inner_run_config.algorithm)
        self.learned.comparable()
        self._experience = experience
        self._sample, self._slopes, self._caution = sample, slopes, caution

    @classmethod
    def env_kwargs(cls, *, experience: str = "PPO", **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.env_kwargs`: the ranges of what earlier runs changed, and decisions per phase."""
        return env_kwargs(played(load_experience(experience)))

    @classmethod
    def recorded_kwargs(cls, *, experience: str = "PPO", **kwargs: Any) -> dict[str, Any]:
        """See `HyperAgent.recorded_kwargs`: with the hash of the experience."""
        return pinned(experience, kwargs)

    @classmethod
    def check_algorithm(cls, algorithm: str, /, *, experience: str = "PPO", **kwargs: Any) -> None:
        """See `HyperAgent.check_algorithm`: that of the experience."""
        load_experience(experience).check_algorithm(algorithm)

    def choose(self) -> Floats:
        """See `LineAgent.choose`."""
        context = Context.of(self.env)
        with one_thread():
            lines = self._chosen(context)
        if not lines.any():
            warnings.warn(
                f"The experience says too little about runs of {context.budget:,} environment steps from "
                "such settings, so agent 'prior' plays the task's own values. "
                f"`hyperrl experience show {self._experience}` lists what it is of.",
                stacklevel=2,
            )
        return lines

    def _chosen(self, context: Context) -> Floats:
        model = model_of(self.learned, context.kind)
        if model is None:
            return (
                drawn(self.names, 1, self.rng)[0] * [1.0, self._slopes] if self._sample else self.lines * 0.0
            )
        if self._sample:
            return promising_lines(model, context, self.rng, slopes=self._slopes)
        return best_lines(model, context, caution=self._caution, slopes=self._slopes)
