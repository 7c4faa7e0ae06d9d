"""What two environments must have in common for one to continue from the other's state."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hyperrl_env.saving.checkpoint import CheckpointError

_DEEPEST = 6
# So many differences are named when a state is refused.
_NAMED = 5


def check_identity(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Raises CheckpointError if a state's environment differs from the one it is to continue in.

    Args:
        theirs: The identity that the state was saved with.
        ours: That of the environment at hand.
    """
    if found := differences(theirs, ours):
        more = "" if len(found) <= _NAMED else f"; and {len(found) - _NAMED} more"
        named = "; ".join(found[:_NAMED])
        raise CheckpointError(f"The state is that of another environment: {named}{more}.")


def as_plain_values(value: Any, depth: int = 0) -> Any:
    """A setting as plain values, equal in every process if the setting is.

    Objects are identified by their class and attributes, functions and classes by their name: two
    functions of one name count as one.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): as_plain_values(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [as_plain_values(item, depth + 1) for item in value]
        return sorted(items, key=str) if isinstance(value, set | frozenset) else items
    if isinstance(value, np.ndarray | torch.Tensor):
        return str(value)
    if isinstance(value, functools.partial):
        return [as_plain_values(value.func), as_plain_values(value.args), as_plain_values(value.keywords)]
    if isinstance(value, type) or not hasattr(value, "__dict__") or callable(getattr(value, "__get__", None)):
        return getattr(value, "__name__", type(value).__name__)
    attributes = as_plain_values(vars(value), depth + 1) if depth < _DEEPEST else "..."
    return {type(value).__name__: attributes}


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What differs between two settings as plain values, in words."""
    found = []
    for name in {**ours, **theirs}:
        there, here = theirs.get(name), ours.get(name)
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            found += differences(there, here, f"{prefix}{name}.")
        elif there != here:
            found.append(f"{prefix}{name} is {there!r} there and {here!r} here")
    return found
