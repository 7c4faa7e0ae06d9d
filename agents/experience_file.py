"""The file of an experience: how it is written and read, and known again by its SHA-256.

It is a Parquet table with a row per run. Its metadata give the format, its version, the inner
algorithm, whose experience is kept apart, and the version of Hyper-RL. The columns:

| column | meaning |
|---|---|
| `run` | hash of the run's configuration and results |
| `inner_env` | the inner environment's id, or the import path of the user's own |
| `start` | the settings that the run started from, as JSON |
| `normalize` | whether observations and rewards are normalised |
| `decays` | whether the task lets the learning rate fall |
| `agent`, `seed` | the hyper-agent, and the run's seed |
| `budget` | environment steps |
| `decision` | how long an action was held: "update", "epoch" or "phase" |
| `score` | mean return of the last 100 training episodes: the outcome |
| `area` | mean over environment steps of the score at each |
| `evaluation` | mean return of deterministic episodes; null if there were none |
| `env_steps` | per phase, as in `phases.parquet`: environment steps at its end; the first is phase 0 |
| `diagnostic.<name>` | per phase: each of `hyperrl_env.DIAGNOSTICS` at its end, float32, to four digits |
| `change.<name>` | per phase: the value in force against the task's own then, on the scale of `CHANGES` |

A change is float32, 0 for the task's own value, and NaN where that is 0 and for hyperparameters that the
algorithm of the file does not offer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from agents.experience import Experience, PastRun
from agents.pinned_file import read_pinned
from hyperrl_env import DIAGNOSTICS, __version__
from hyperrl_env.checks import check_text
from hyperrl_env.diagnostics import CHANGES
from hyperrl_env.learners import LEARNERS
from hyperrl_env.saving.files import whole_file

FORMAT, VERSION = "hyperrl-experience", 1
# Files that ship with the package, by the inner algorithm that each is of.
SHIPPED = Path(__file__).parent / "data"
_PER_RUN: Mapping[str, pa.DataType] = {
    **dict.fromkeys(("run", "inner_env", "start", "agent", "decision"), pa.string()),
    **dict.fromkeys(("normalize", "decays"), pa.bool_()),
    **dict.fromkeys(("seed", "budget"), pa.int64()),
    **dict.fromkeys(("score", "area", "evaluation"), pa.float64()),
}
_NUMBERS = (*(f"diagnostic.{name}" for name in DIAGNOSTICS), *(f"change.{name}" for name in CHANGES))
_COLUMNS: Mapping[str, pa.DataType] = {
    **_PER_RUN,
    "env_steps": pa.list_(pa.int64()),
    **dict.fromkeys(_NUMBERS, pa.list_(pa.float32())),
}


def write_experience(experience: Experience, path: Path) -> None:
    """Writes the file, whole or not at all."""
    columns: dict[str, list[Any]] = {
        **{name: [getattr(run, name) for run in experience.runs] for name in _PER_RUN},
        "env_steps": [run.env_steps for run in experience.runs],
        **{
            f"diagnostic.{name}": [run.diagnostics[:, index] for run in experience.runs]
            for index, name in enumerate(DIAGNOSTICS)
        },
        **{
            f"change.{name}": [
                run.changes.get(name, np.full(len(run.env_steps), np.nan, np.float32))
                for run in experience.runs
            ]
            for name in CHANGES
        },
    }
    about = {"format": FORMAT, "version": str(VERSION), "algorithm": experience.algorithm}
    schema = pa.schema(list(_COLUMNS.items()), {**about, "hyperrl": __version__})
    # Floats compress better byte by byte; PyArrow takes dictionaries for all columns or for those named.
    floats = {f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in _NUMBERS}
    with whole_file(path) as temporary:
        pq.write_table(
            pa.table(columns, schema=schema),
            temporary,
            compression="zstd",
            use_dictionary=False,
            column_encoding=floats,
            write_page_checksum=True,
            write_statistics=False,
        )


def read_experience(path: Path) -> Experience:
    """Reads an experience's file.

    Raises:
        ValueError: The file is missing, empty or damaged, is no experience, or is one of another version.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            metadata = {
                key.decode(): text.decode() for key, text in (file.schema_arrow.metadata or {}).items()
            }
            _check_format(path, metadata, file.schema_arrow)
            table = file.read()
        runs = _past_runs(table)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"The experience {path} cannot be read: {reason}.") from error
    except pa.ArrowException as error:
        raise ValueError(f"{path} is empty or damaged: {error}.") from error
    if not runs:
        raise ValueError(f"{path} is an experience without runs.")
    return Experience(metadata["algorithm"], runs, metadata["hyperrl"])


def is_experience(path: Path) -> bool:
    """Whether a file is an experience, of whichever version."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return False
    return bool(metadata.get(b"format") == FORMAT.encode())


def _check_format(path: Path, metadata: Mapping[str, str], schema: pa.Schema) -> None:
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not an experience: `hyperrl experience build RUNS... --out {path.name}` writes one."
        )
    made_with = metadata.get("hyperrl")
    if metadata.get("version") != str(VERSION) or not schema.equals(pa.schema(list(_COLUMNS.items()))):
        raise ValueError(
            f"{path} is an experience of version {metadata.get('version')} of Hyper-RL {made_with}, and "
            f"{__version__} reads version {VERSION} with its own diagnostics: build it anew from the runs."
        )
    if made_with is None or metadata.get("algorithm") not in LEARNERS:
        raise ValueError(f"{path} is damaged: it does not say of which algorithm and version it is.")


def _past_runs(table: pa.Table) -> list[PastRun]:
    per_run = {name: table[name].to_pylist() for name in _PER_RUN}
    phases = {name: _numbers(table[name].combine_chunks()) for name in ("env_steps", *_NUMBERS)}
    env_steps, ends = phases["env_steps"]
    if not all(np.array_equal(ends, others) for _, others in phases.values()):
        raise pa.ArrowInvalid("the columns of a run differ in length")
    # Of all runs together: stacking those of each run by itself takes three times as long.
    diagnostics = np.stack([phases[f"diagnostic.{name}"][0] for name in DIAGNOSTICS], axis=1)
    changes = {name: phases[f"change.{name}"][0] for name in CHANGES}
    return [
        PastRun(
            **{name: values[row] for name, values in per_run.items()},
            env_steps=env_steps[start:end],
            diagnostics=diagnostics[start:end],
            changes={
                name: change[start:end]
                for name, change in changes.items()
                if np.isfinite(change[start:end]).any()
            },
        )
        for row, (start, end) in enumerate(pairwise(ends))
    ]


def _numbers(values: pa.Array) -> tuple[Any, Any]:
    """The numbers of all runs one after the other, and where each run's begin and end, (runs + 1,)."""
    if values.null_count or values.values.null_count:
        raise pa.ArrowInvalid("numbers are missing")
    # Not `to_numpy`, which loads Pandas.
    return np.from_dlpack(values.flatten()), np.from_dlpack(values.offsets)


def experience_path(name: str) -> Path:
    """The file of an experience: one that ships with the package, or the user's own.

    Args:
        name: "PPO", "A2C" or "ACKTR", or a path.

    Raises:
        ValueError: None ships for the algorithm.
    """
    if name not in LEARNERS:
        return Path(name)
    path = SHIPPED / f"{name}.parquet"
    if not path.is_file():
        raise ValueError(
            f"No experience ships for {name}. Build one, `hyperrl experience build RUNS... --out FILE`, and "
            "give experience=FILE."
        )
    return path


def sha256_of(path: Path) -> str:
    """The SHA-256 of an experience's file, in hexadecimal digits.

    Raises:
        ValueError: It cannot be read.
    """
    return read_pinned("experience", path).sha256


def load_experience(name: str, sha256: str | None = None) -> Experience:
    """What an agent was told to learn from; kept in memory for the process's further agents.

    Args:
        name: See `experience_path`.
        sha256: What the file must hash to; None: anything.

    Raises:
        ValueError: A file that has changed, or one that cannot be read.
    """
    check_text("experience", name)
    path = experience_path(name)
    return _read(path, read_pinned("experience", path, sha256).sha256)


def pinned(name: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """An agent's keywords with its experience and the SHA-256 that the file has now, unless one is given.

    Args:
        name: See `experience_path`.
        kwargs: The agent's other keywords.

    Raises:
        ValueError: See `experience_path` and `sha256_of`.
    """
    check_text("experience", name)
    # A hash of None would let any file pass.
    given = {key: value for key, value in kwargs.items() if value is not None or key != "experience_sha256"}
    return {"experience": name, "experience_sha256": sha256_of(experience_path(name)), **given}


@functools.lru_cache(maxsize=4)
def _read(path: Path, sha256: str) -> Experience:
    return read_experience(path)
