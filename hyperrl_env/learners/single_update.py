"""Inner learners whose update phase is one update on the whole rollout."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from hyperrl_env.learners.arithmetic import Arithmetic
from hyperrl_env.learners.base import InnerLearner
from hyperrl_env.learners.objective import Objective


class SingleUpdateLearner(InnerLearner):
    """One update in each update phase; a subclass says what it does with the rollout."""

    reported: ClassVar[tuple[str, ...]] = (*Objective._fields, "grad_norm", "explained_variance")

    @abstractmethod
    def _update_on_rollout(self) -> None:
        """The update, in SB3's arithmetic."""

    def _update(self, fast: Arithmetic | None) -> None:
        self.update_phase.finished = True
        self._n_updates += 1
        if fast is None:
            self._update_on_rollout()
        else:
            fast.update()
