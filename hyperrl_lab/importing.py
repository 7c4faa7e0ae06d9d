"""Import paths such as `my_module:make_env`: how a configuration names the user's own code."""

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
        path: `module:name`; the module is imported in the usual way.

    Raises:
        ValueError: Not an import path, no such module or name, or not callable.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise ValueError(f"An import path must be module:name, like my_module:make_env, not {path!r}.")
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
        ValueError: The module does not exist, or its code raises an exception.
    """
    try:
        return import_module(name)
    # A module's code can raise anything.
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            advice = "Run the command in the folder that holds it, or add that folder to PYTHONPATH"
            raise ValueError(f"No module named {name!r}. {advice}.") from error
        raise ValueError(f"Importing {name!r} failed: {type(error).__name__}: {error}") from error


def check_extra(package: str, extra: str, what: str) -> None:
    """Checks that the package of an extra is installed.

    Args:
        package: The package's name in Python.
        extra: The extra's name.
        what: What needs it, for the message.

    Raises:
        ValueError: It cannot be imported; the message says how to install it.
    """
    try:
        import_module(package)
    except ImportError as error:
        raise ValueError(
            f"{what} needs {package}, which is an extra: pip install 'hyperrl[{extra}]' ({error})."
        ) from error


def load_agent(name: str) -> agents.Agent:
    """The agent for `agents.make`: a name as it is, an import path as its class or function.

    Raises:
        ValueError: As for `load`.
    """
    return load(name) if ":" in name else name


def load_env_kwargs(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The environment's keywords, with the import paths of `env_fn` and `hyper_reward` loaded.

    Raises:
        ValueError: As for `load`.
    """
    loaded = dict(kwargs)
    if (env_fn := kwargs.get("env_fn")) is not None:
        if not isinstance(env_fn, str):
            raise ValueError(f"env_fn must be an import path like my_module:make_env, not {env_fn!r}.")
        loaded["env_fn"] = load(env_fn)
    if isinstance(hyper_reward := kwargs.get("hyper_reward"), str) and ":" in hyper_reward:
        loaded["hyper_reward"] = load(hyper_reward)
    return loaded


def _place(module: ModuleType) -> str:
    return f"module {module.__name__!r} ({getattr(module, '__file__', None) or 'built in'})"
