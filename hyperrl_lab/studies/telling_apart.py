"""Names of tasks and methods that tell runs apart, where several studies have one name for two things."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Characters of a value in a method's name.
_LONGEST = 60
Row = dict[str, Any]


def tell_apart(rows: Sequence[Row]) -> None:
    """Adds to the names of tasks and methods, in place, what else tells their runs apart.

    Args:
        rows: Of the table of runs. Those without an id, which are damaged, stay as they are.
    """
    readable = [(row, json.loads(row["settings"])) for row in rows if row.get("id") is not None]
    _tell_tasks_apart(readable)
    _tell_methods_apart(readable)


def inner(env_kwargs: Mapping[str, Any]) -> str:
    """The end of a task's name: the generic ids leave the inner environment to a keyword.

    Args:
        env_kwargs: The environment's keywords.
    """
    name = env_kwargs.get("env_id") or env_kwargs.get("env_fn")
    return f"-{name}" if name else ""


def _tell_tasks_apart(runs: Sequence[tuple[Row, Mapping[str, Any]]]) -> None:
    """Adds the environment to the name of a task that runs of several environments have."""
    alike: dict[str, list[tuple[Row, str]]] = {}
    for row, settings in runs:
        alike.setdefault(row["task"], []).append((row, row["id"] + inner(settings["env_kwargs"])))
    for same in alike.values():
        if len({environment for _, environment in same}) > 1:
            for row, environment in same:
                row["task"] += f" ({environment})"


def _tell_methods_apart(runs: Sequence[tuple[Row, Mapping[str, Any]]]) -> None:
    """Adds to the name of a method the settings in which its runs on one task differ.

    A study can change between two sweeps, too. What differs between tasks alone tells no methods apart, for
    tasks have settings of their own.
    """
    told = [(row, {key: _short(value) for key, value in _keys(row, settings)}) for row, settings in runs]
    alike: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row, values in told:
        alike.setdefault((row["method"], row["task"]), []).append(values)
    differing: dict[str, set[str]] = {}
    for (method, _), same in alike.items():
        differing.setdefault(method, set()).update(_differing(same))
    for row, values in told:
        keys = sorted(differing[row["method"]] & values.keys())
        if keys:
            row["method"] += f" ({', '.join(f'{key}={values[key]}' for key in keys)})"


def _differing(same: Sequence[Mapping[str, str]]) -> set[str]:
    keys = {key for values in same for key in values}
    return {key for key in keys if len({values.get(key) for values in same}) > 1}


def _keys(row: Row, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What tells methods apart, by the keys of `--set`."""
    yield "agent", row["agent"]
    env_kwargs = settings["env_kwargs"]
    for name, value in env_kwargs.items():
        if name != "learner_kwargs":
            yield name, value
    for owner, kwargs in (
        ("learner", env_kwargs.get("learner_kwargs", {})),
        ("agent", settings["agent_kwargs"]),
    ):
        for name, value in kwargs.items():
            yield f"{owner}.{name}", value


def _short(value: Any) -> str:
    """A value in a method's name: of a long one, as the weights of a controller, the beginning of a hash."""
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= _LONGEST else f"#{hashlib.sha256(text.encode()).hexdigest()[:8]}"
