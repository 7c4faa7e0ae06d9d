"""Which runs in a folder are a study's own.

A folder outlives a change of its study's settings, and can hold the runs of several studies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hyperrl_lab.studies.job import is_begun
from hyperrl_lab.studies.record import record_of
from hyperrl_lab.studies.study import Study, StudyRun
from hyperrl_lab.studies.table import runs_table


@dataclass(frozen=True)
class OwnRuns:
    """The runs of a study in a folder.

    Attributes:
        table: Those with the very configurations that the study says, as in `runs_table`.
        declared: Number of the runs that the study declares.
        replaced: Number of those in whose place there is another run, or a damaged configuration.
        foreign: Number of the runs in the folder that are not in the table.
    """

    table: pa.Table
    declared: int
    replaced: int
    foreign: int

    @property
    def missing(self) -> int:
        """Number of the declared runs in whose place there is nothing."""
        return self.declared - int(self.table.num_rows) - self.replaced


def own_runs(folder: Path, study: Study, populations: Sequence[StudyRun] = ()) -> OwnRuns:
    """Reads the runs of a study.

    Args:
        folder: Holds the runs' folders. It is only read.
        study: The study.
        populations: See `record_of`.

    Raises:
        ValueError: There is no run in the folder.
        NotADirectoryError: It is not a folder.
    """
    table = runs_table(folder, record_of(study, populations))
    declared = {run.folder: run for run in (*study.runs(), *populations)}
    found = [declared.get(name) for name in table["folder"].to_pylist()]
    own = [run is not None and _is_own(folder, run) for run in found]
    return OwnRuns(
        table=table.filter(pa.array(own)),
        declared=len(declared),
        replaced=sum(run is not None for run in found) - sum(own),
        foreign=len(own) - sum(own),
    )


def _is_own(folder: Path, run: StudyRun) -> bool:
    try:
        return is_begun(folder / run.folder, run.config)
    except ValueError:
        return False
