"""Inner learners whose update phase is one update on the whole rollout."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from hyperrl_env.learners.base import InnerLearner


class WholeRolloutLearner(InnerLearner):
    """One update in each update phase; a subclass says what it does with the rollout."""

    _run_attributes: ClassVar[tuple[str, ...]] = (*InnerLearner._run_attributes, "_updated")
    _state_attributes: ClassVar[tuple[str, ...]] = ("_updated",)

    @abstractmethod
    def _update_on_rollout(self) -> None:
        """The update."""

    def _begin_update_phase(self) -> None:
        self._updated = False

    @property
    def update_phase_finished(self) -> bool:
        """See `InnerLearner.update_phase_finished`."""
        return self._updated

    @property
    def update_position(self) -> float:
        """See `InnerLearner.update_position`."""
        return float(self._updated)

    def _update(self) -> None:
        self._updated = True
        self._n_updates += 1
        self._update_on_rollout()
