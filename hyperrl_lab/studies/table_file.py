"""A table of runs as a Parquet file, from which comparisons can be repeated without the runs.

Its columns are those of `hyperrl_lab.studies.table`. Its metadata give the format, its version, and the
method that the others are compared with.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hyperrl_env.saving.files import whole_file
from hyperrl_lab.studies.table import SCHEMA

FORMAT, VERSION = "hyperrl-runs", "1"


def write_runs(runs: pa.Table, baseline: str | None, path: Path) -> None:
    """Writes the file, whole or not at all.

    Args:
        runs: Columns as in `SCHEMA`.
        baseline: The method that the others are compared with, if there is one.
        path: The file.
    """
    about = {"format": FORMAT, "version": VERSION} | ({} if baseline is None else {"baseline": baseline})
    with whole_file(path) as temporary:
        pq.write_table(
            runs.replace_schema_metadata(about), temporary, compression="zstd", write_page_checksum=True
        )


def read_runs(path: Path) -> tuple[pa.Table, str | None]:
    """Reads a file of `write_runs`.

    Returns:
        The runs, and the baseline.

    Raises:
        ValueError: The file is damaged, is no table of runs, or is one of another version.
        OSError: It cannot be read.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            about = {key.decode(): text.decode() for key, text in (file.schema_arrow.metadata or {}).items()}
            _check_format(path, about, file.schema_arrow)
            runs = file.read().replace_schema_metadata()
    except pa.ArrowException as error:
        raise ValueError(f"{path} is no table of runs, or damaged: {error}.") from error
    return runs, about.get("baseline")


def _check_format(path: Path, about: dict[str, str], schema: pa.Schema) -> None:
    if about.get("format") != FORMAT:
        raise ValueError(
            f"{path} is no table of runs: `hyperrl results DIR --parquet {path.name}` writes one."
        )
    if about.get("version") != VERSION or not schema.equals(SCHEMA):
        raise ValueError(
            f"{path} is a table of runs of version {about.get('version')}, and this Hyper-RL reads version "
            f"{VERSION} with its own columns: write it anew from the runs."
        )
