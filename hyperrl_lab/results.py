"""The results of a run: how it ended, and every hyper-action, phase and inner episode as columns.

`actions.parquet` has one row per hyper-step. `env_steps`, `phase` and `update_step` give the time of the
choice (environment steps collected, update phases finished, updates done in this phase); the other
columns are:

| column | meaning |
|---|---|
| `action` | the joint action; in the other action modes its components, `action.<hyperparameter>` |
| `<hyperparameter>` | the value in force in the update, for each hyperparameter that the algorithm offers |
| `default.<hyperparameter>` | the task's own value then, for each hyperparameter of the search space |
| `hyper_reward` | the step's hyper-reward |
| `diverged` | whether its update was refused |

A learning rate that falls to 0 is 0 in the last update phase, as in Stable-Baselines3. Multiples of it are
0 too, so no choice there has an effect: `acting` finds the other rows. Nor does the last phase earn a
hyper-reward: no environment phase follows it.

`phases.parquet` has one row per update phase, written after the environment phase that follows it; before
them, as phase 0, a row of the first environment phase:

| column | meaning |
|---|---|
| `env_steps`, `phase` | environment steps collected and update phases finished, at the end |
| `<hyperparameter>` | mean of the values in force over the phase's hyper-steps, for each one offered |
| `default.<hyperparameter>` | the task's own value in the phase |
| `diagnostic.<name>` | each of `hyperrl_env.DIAGNOSTICS` at the end, before the next phase's choices |
| `hyper_reward` | the phase's hyper-reward; 0 in phase 0 |
| `discounted_return` and so on | every hyper-reward of the project |
| `loss`, `grad_norm`, `approx_kl` and so on | means over the phase's updates, by Stable-Baselines3's names |
| `episodes` | how many inner episodes ended in the environment phase |
| `mean_return`, `mean_length` | their mean return and length |
| `diverged` | whether an update of the phase was refused |

What is not defined is NaN.

`memory.parquet`, of an agent with an episodic memory, has one row per entry at the end of the run, the
earliest added first: `key_0` and so on (the key's components), `action` (the joint action) and `value`.

`episodes.parquet` has one row per inner episode in the order of their ends: `env_steps` at its end (with
several inner environments: at the end of the environment phase in which it ended), `return`
(undiscounted, of raw rewards) and `length`.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from gymnasium import spaces
from numpy.typing import NDArray

from hyperrl_env.saving.files import whole_file
from hyperrl_env.search_space import BoundSearchSpace

ACTIONS_FILE, EPISODES_FILE, SUMMARY_FILE = "actions.parquet", "episodes.parquet", "summary.json"
PHASES_FILE, ENTRIES_FILE = "phases.parquet", "memory.parquet"
_ENDED = ("finished", "diverged")
Columns = Mapping[str, NDArray[Any]]


class ColumnLog:
    """A growing table that stays small in memory: full chunks are compressed.

    Args:
        columns: Column names and their types, one of Python's `array` codes ("q": int64, "f": float32, "d":
            float64) or "?" for truth values.
        chunk_rows: Rows per chunk; a row group of the file.
    """

    def __init__(self, columns: Mapping[str, str], chunk_rows: int = 16_384) -> None:
        types = {"q": pa.int64(), "f": pa.float32(), "d": pa.float64(), "?": pa.bool_()}
        self._schema = pa.schema([(name, types[code]) for name, code in columns.items()])
        self._codes = ["b" if code == "?" else code for code in columns.values()]
        self._chunk_rows = chunk_rows
        self._sealed: list[pa.Buffer] = []
        self._columns: list[array[Any]]
        self._open_chunk()

    def __len__(self) -> int:
        return len(self._sealed) * self._chunk_rows + len(self._columns[0])

    def append(self, row: Sequence[float]) -> None:
        """Adds a row: one number per column, in order."""
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        if len(self._columns[0]) == self._chunk_rows:
            self._seal()

    def write(self, path: Path) -> None:
        """Writes all rows so far to a Parquet file, completely or not at all."""
        with (
            whole_file(path) as temporary,
            pq.ParquetWriter(temporary, self._schema, compression="zstd") as file,
        ):
            for sealed in self._sealed:
                file.write_batch(pa.ipc.open_stream(sealed).read_next_batch())
            if len(self._columns[0]) or not self._sealed:
                file.write_batch(self._batch())

    def state_dict(self) -> dict[str, Any]:
        """All rows so far; a copy."""
        return {
            "sealed": [sealed.to_pybytes() for sealed in self._sealed],
            "columns": [np.array(column) for column in self._columns],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a result of `state_dict` of a table with the same columns."""
        self._sealed = [pa.py_buffer(sealed) for sealed in state["sealed"]]
        self._columns = [
            array(code, column.tobytes()) for code, column in zip(self._codes, state["columns"], strict=True)
        ]

    def _open_chunk(self) -> None:
        self._columns = [array(code) for code in self._codes]

    def _batch(self) -> pa.RecordBatch:
        arrays = [
            # A copy: the array keeps growing.
            pa.array(np.array(column), type=field.type)
            for column, field in zip(self._columns, self._schema, strict=True)
        ]
        return pa.record_batch(arrays, schema=self._schema)

    def _seal(self) -> None:
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.ipc.new_stream(sink, self._schema, options=options) as stream:
            stream.write_batch(self._batch())
        self._sealed.append(sink.getvalue())
        self._open_chunk()


class ActionLog(ColumnLog):
    """Every hyper-action of a run.

    Args:
        search_space: The environment's.
        offered: Names of all hyperparameters that the algorithm offers.
    """

    def __init__(self, search_space: BoundSearchSpace, offered: Sequence[str]) -> None:
        self._chosen, self._offered = search_space.names, tuple(offered)
        self._joint = search_space.action_mode == "discrete"
        code = "d" if isinstance(search_space.action_space, spaces.Box) else "q"
        components = ["action"] if self._joint else [f"action.{name}" for name in self._chosen]
        super().__init__(
            {
                **dict.fromkeys(("env_steps", "phase", "update_step"), "q"),
                **dict.fromkeys(components, code),
                **dict.fromkeys(self._offered, "d"),
                **{f"default.{name}": "d" for name in self._chosen},
                "hyper_reward": "d",
                "diverged": "?",
            }
        )

    def record(
        self,
        before: Mapping[str, Any],
        action: Any,
        defaults: Mapping[str, float],
        reward: float,
        after: Mapping[str, Any],
    ) -> None:
        """Adds a hyper-step.

        Args:
            before: The info before the step.
            action: The hyper-action.
            defaults: The task's own values at that time.
            reward: The hyper-reward.
            after: The info after the step.
        """
        values = after["hyperparameters"]
        self.append(
            (
                before["env_steps"],
                before["phase"],
                before["update_step"],
                *((int(action),) if self._joint else np.asarray(action).tolist()),
                *(values[name] for name in self._offered),
                *(defaults[name] for name in self._chosen),
                reward,
                after["diverged"],
            )
        )


class EpisodeLog(ColumnLog):
    """Every inner episode of a run.

    Args:
        n_envs: Number of inner environments. With one, the lengths give the exact end of each episode.
    """

    def __init__(self, n_envs: int) -> None:
        super().__init__({"env_steps": "q", "return": "d", "length": "q"})
        self._single = n_envs == 1
        self._ended = 0

    def state_dict(self) -> dict[str, Any]:
        """See `ColumnLog.state_dict`."""
        return {**super().state_dict(), "ended": self._ended}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `ColumnLog.load_state_dict`."""
        super().load_state_dict(state)
        self._ended = state["ended"]

    def restart(self, env_steps: int) -> None:
        """Records that the current episode was given up and another one starts at `env_steps`."""
        self._ended = env_steps

    def record(self, env_steps: int, returns: Sequence[float], lengths: Sequence[int]) -> None:
        """Adds the episodes that ended in an environment phase; `env_steps` is at its end."""
        for episode_return, length in zip(returns, lengths, strict=True):
            # With some wrappers the learner takes fewer steps than the episode has.
            self._ended = min(self._ended + length, env_steps) if self._single else env_steps
            self.append((self._ended, episode_return, length))


def write_entries(memory: Any, path: Path) -> None:
    """Writes the entries of an episodic memory to `memory.parquet`, completely or not at all.

    Args:
        memory: Has `keys` (n, d), `actions` (n,) and `values` (n,), the earliest added first.
        path: The file.
    """
    columns = {f"key_{i}": pa.array(column) for i, column in enumerate(np.asarray(memory.keys).T)}
    columns |= {"action": pa.array(memory.actions), "value": pa.array(memory.values)}
    with whole_file(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def read_summary(folder: Path) -> dict[str, Any]:
    """The content of a run's `summary.json`; empty if it is missing or damaged."""
    try:
        content = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def outcome(folder: Path) -> str | None:
    """How a run ended: "finished" or "diverged"; None if it can be resumed."""
    status = read_summary(folder).get("status")
    return status if status in _ENDED else None


def read_actions(folder: Path) -> Columns:
    """The hyper-actions of a run, as arrays by column name, all of one length.

    Raises:
        FileNotFoundError: The folder has no `actions.parquet`.
    """
    return read_columns(folder / ACTIONS_FILE)


def read_episodes(folder: Path) -> Columns:
    """The inner episodes of a run, as arrays by column name, all of one length.

    Raises:
        FileNotFoundError: The folder has no `episodes.parquet`.
    """
    return read_columns(folder / EPISODES_FILE)


def read_phases(folder: Path) -> Columns:
    """The phases of a run, as arrays by column name, all of one length.

    Raises:
        FileNotFoundError: The folder has no `phases.parquet`.
    """
    return read_columns(folder / PHASES_FILE)


def acting(actions: Columns) -> NDArray[np.bool_]:
    """Which hyper-actions of `read_actions` could have an effect: all but those at a learning rate of 0.

    Returns:
        One truth value per hyper-action: False if the learning rate in force and the task's own were 0.
    """
    rates = [actions[n] for n in ("learning_rate", "default.learning_rate") if n in actions]
    return np.any(rates, axis=0) if rates else np.ones(len(actions["phase"]), bool)


def read_columns(path: Path) -> Columns:
    """A Parquet file as arrays by column name."""
    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


def chosen_hyperparameters(actions: Columns) -> list[str]:
    """Names of the hyperparameters that the hyper-actions of `read_actions` set."""
    return [name.removeprefix("default.") for name in actions if name.startswith("default.")]
