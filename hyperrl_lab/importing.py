"""Import paths, as `my_module:make_env`: how a configuration names what the user has written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import agents
from hyperrl_env.checks import suggestion


def load(path: str) -> Callable[..., Any]:
    """The function or class that an import path names.

    Args:
        path: `module:name`. The module is imported as Python would import it.

    Raises:
        ValueError: Not an import path, no such module or name, or nothing that can be called.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise ValueError(f"An import path is module:name, as my_module:make_env, not {path!r}.")
    found = load_module(module)
    if not hasattr(found, name):
        raise ValueError(f"{path!r}: {_place(found)} has no {name!r}.{suggestion(name, dir(found))}")
    value = getattr(found, name)
    if not callable(value):
        raise ValueError(f"{path!r} must be a function or a class, not {value!r}.")
    return value  # type: ignore[no-any-return]


def load_module(name: str) -> ModuleType:
    """Imports a module of the user's.

    Raises:
        ValueError: There is none of that name, or its own code fails.
    """
    try:
        return import_module(name)
    # A module can raise whatever its author likes.
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            advice = "run the command in the folder that holds it, or put that folder on PYTHONPATH"
            raise ValueError(f"There is no module {name!r}: {advice}.") from error
        raise ValueError(f"Module {name!r} fails: {type(error).__name__}: {error}") from error


def load_agent(name: str) -> agents.Agent:
    """An agent's name as it is; the class or function that an import path names.

    Raises:
        ValueError: As for `load`.
    """
    return load(name) if ":" in name else name


def load_env_kwargs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The environment's keywords, with what their import paths (`env_fn`, `hyper_reward`) name.

    Raises:
        ValueError: As for `load`.
    """
    loaded = dict(kwargs)
    if (env_fn := kwargs.get("env_fn")) is not None:
        if not isinstance(env_fn, str):
            raise ValueError(f"env_fn of a run is an import path, as my_module:make_env, not {env_fn!r}.")
        loaded["env_fn"] = load(env_fn)
    if isinstance(hyper_reward := kwargs.get("hyper_reward"), str) and ":" in hyper_reward:
        loaded["hyper_reward"] = load(hyper_reward)
    return loaded


def _place(module: ModuleType) -> str:
    return f"module {module.__name__!r} ({getattr(module, '__file__', None) or 'built in'})"
