"""Reads the declaration of a study from a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from hyperrl_env.checks import check_at_least, check_keywords, check_text, is_whole, unknown
from hyperrl_lab.studies.study import Method, Study, StudyTask

# `[settings] agent.action = "largest"` is a table in TOML, and the key "agent.action" of `--set`.
_OWNERS = ("env", "agent", "learner")
# Of a study; what is meant to be a few seeds can be mistyped as a range that would fill the memory.
_MOST_SEEDS = 10_000
_RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


def read_study(path: Path) -> Study:
    """Reads a study.

    The keys are the fields of `Study`; `[[tasks]]` and `[[methods]]` have those of `StudyTask` and `Method`,
    or are strings, the id or the agent alone. `title` is by default the file's name.

    Raises:
        ValueError: The file cannot be read, is not TOML, or has a key that is unknown or of the wrong type;
            the message says what would be right.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{path} is not TOML: {error}.") from error
    try:
        return study_of({"title": path.stem, **content})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def study_of(content: Mapping[str, Any], assignments: Sequence[tuple[str, Any]] = ()) -> Study:
    """The study of a table as TOML files have it.

    Args:
        content: The table.
        assignments: Further settings of every run, as pairs of key and value.

    Raises:
        ValueError: See `read_study`.
    """
    values = _values("", content, Study, required=("title", "tasks", "methods", "seeds"))
    study = Study(**values)
    if assignments:
        study = replace(study, settings=[*values.get("settings", {}).items(), *assignments])
    methods = [method.name or method.agent for method in study.methods]
    if study.baseline is not None and study.baseline not in methods:
        raise ValueError(unknown("baseline", study.baseline, methods))
    study.runs()
    return study


def parse_seeds(text: str) -> list[int]:
    """Seeds as in "0-9" or "0,1,5-7", at most 10,000.

    Raises:
        ValueError: Anything else.

    Example:
        >>> parse_seeds("0-2,7")
        [0, 1, 2, 7]
    """
    ranges: list[range] = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if found is None or (found[2] is not None and int(found[2]) < int(found[1])):
            raise ValueError(f'seeds must be like "0-9" or "0,1,5-7", not {text!r}.')
        ranges.append(range(int(found[1]), int(found[2] or found[1]) + 1))
    if (number := sum(part.stop - part.start for part in ranges)) > _MOST_SEEDS:
        raise ValueError(f"seeds must be at most {_MOST_SEEDS:,}, not the {number:,} of {text!r}.")
    return [seed for part in ranges for seed in part]


def _values(place: str, content: Mapping[str, Any], cls: type, *, required: Sequence[str]) -> dict[str, Any]:
    """The fields of a class from a table, checked; `place` is before a key's name in errors."""
    known = [item.name for item in fields(cls)]
    for key in content:
        if key not in known:
            raise ValueError(place + unknown("key", key, known))
    if missing := [name for name in required if name not in content]:
        raise ValueError(f"{place}missing keys: {', '.join(missing)}.")
    return {key: _READERS[key](place + key, value) for key, value in content.items()}


def _text(name: str, value: Any) -> str:
    check_text(name, value)
    return str(value)


def _count(least: int) -> Callable[[str, Any], int]:
    def read(name: str, value: Any) -> int:
        # In TOML 1e6 is not an integer.
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        check_at_least(name, whole, least)
        return int(whole)

    return read


def _settings(name: str, value: Any) -> dict[str, Any]:
    check_keywords(name, value)
    settings: dict[str, Any] = {}
    for key, item in value.items():
        if key in _OWNERS and isinstance(item, Mapping):
            settings |= {f"{key}.{inner}": inner_item for inner, inner_item in item.items()}
        else:
            settings[key] = item
    return settings


def _seeds(name: str, value: Any) -> list[int]:
    if isinstance(value, str):
        return parse_seeds(value)
    if not isinstance(value, list) or not value or not all(is_whole(seed) for seed in value):
        raise ValueError(f'{name} must be a list of whole numbers, or a range like "0-9", not {value!r}.')
    return value


def _rows(cls: type, short: str) -> Callable[[str, Any], list[Any]]:
    """Reads `[[tasks]]` or `[[methods]]`; a string stands for the field `short` alone."""

    def read(name: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or not value or not all(isinstance(row, str | dict) for row in value):
            raise ValueError(f"{name} must be tables [[{name}]] or a list of strings, not {value!r}.")
        rows = [{short: row} if isinstance(row, str) else row for row in value]
        return [
            cls(**_values(f"{name}[{index}]: ", row, cls, required=(short,)))
            for index, row in enumerate(rows)
        ]

    return read


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(("title", "baseline", "id", "agent", "name"), _text),
    **dict.fromkeys(("total_env_steps", "threads", "log_interval"), _count(1)),
    "evaluate_episodes": _count(0),
    "settings": _settings,
    "seeds": _seeds,
    "tasks": _rows(StudyTask, "id"),
    "methods": _rows(Method, "agent"),
}
