"""`--set key=value`: keywords of the environment, the agent and the inner learner."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import agents
from hyperrl_env import HyperRLEnv
from hyperrl_env.checks import suggestion
from hyperrl_env.learners import learner_class
from hyperrl_lab.config import RunConfig
from hyperrl_lab.ids import id_kwargs, resolve_id
from hyperrl_lab.importing import load_agent

# The id sets algorithm and task, --total-env-steps the budget.
_NOT_OF_ENV = ("self", "algorithm", "task", "total_env_steps")
# The environment sets these.
_NOT_OF_LEARNER = ("self", "env", "seed", "device", "_init_setup_model")
_OPTIONS = {"seed": "--seed", "total_env_steps": "--total-env-steps", "agent": "--agent", "id": "ID"}


@dataclass
class Keywords:
    """Constructor keywords by their owner.

    Attributes:
        env: The environment's; its `learner_kwargs` holds the inner learner's.
        agent: The agent's.
    """

    env: dict[str, Any] = field(default_factory=dict)
    agent: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """The keywords that a constructor takes.

    Attributes:
        names: Their names.
        open: Whether it passes further keywords to a constructor that checks them.
    """

    names: tuple[str, ...]
    open: bool = False


def known_keywords(id_: str, agent: str) -> dict[str, Known]:
    """The keywords of "env", "agent" and "learner", in the order in which a key is looked up.

    Args:
        id_: The environment's id.
        agent: The agent's name or import path.

    Raises:
        ValueError: Unknown id or agent, or an import path that names no agent.
    """
    learner = learner_class(_algorithm(id_))
    factory = load_agent(agent)
    return {
        "env": Known(_parameters(HyperRLEnv, _NOT_OF_ENV)),
        "agent": Known(tuple(agents.keywords(factory)), agents.takes_any_keyword(factory)),
        "learner": Known(_parameters(learner, _NOT_OF_LEARNER)),
    }


def parse_assignment(assignment: str) -> tuple[str, Any]:
    """Reads `key=value`; the value is JSON, or else a string.

    Raises:
        ValueError: No "=", or no key.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not key:
        raise ValueError(f"--set takes key=value, not {assignment!r}.")
    return key, _value(text)


def assigned(pairs: Iterable[tuple[str, Any]], known: Mapping[str, Known]) -> Keywords:
    """Sorts pairs of key and value by their owner.

    A key belongs to the first of environment, agent and learner that knows it; `env.key`, `agent.key` and
    `learner.key` name the owner. A later pair overrides an earlier one.

    Args:
        pairs: The pairs.
        known: The result of `known_keywords`.

    Raises:
        ValueError: An unknown key; the message lists the valid keys.
    """
    keywords = Keywords()
    for key, value in pairs:
        owner, name = _owner(key, known)
        if owner == "agent":
            keywords.agent[name] = value
        elif owner == "learner":
            keywords.env["learner_kwargs"] = {**keywords.env.get("learner_kwargs", {}), name: value}
        elif name == "learner_kwargs":
            if not isinstance(value, Mapping):
                raise ValueError(f"learner_kwargs must be a JSON object of keywords, not {value!r}.")
            keywords.env[name] = {**keywords.env.get(name, {}), **value}
        else:
            keywords.env[name] = value
    return keywords


def configure(
    id_: str,
    agent: str,
    pairs: Iterable[tuple[str, Any]],
    *,
    seed: int = 0,
    total_env_steps: int | None = None,
    threads: int = 1,
    log_interval: int | None = None,
) -> RunConfig:
    """The configuration of a run, with what its agent needs of the environment.

    Args:
        id_: The environment's id, as users type it.
        agent: The agent's name or import path.
        pairs: Keywords as for `--set`, as pairs of key and value.
        seed: See `RunConfig`; so are the others.
        total_env_steps: Budget.
        threads: Threads.
        log_interval: Update phases per line of the log.

    Raises:
        ValueError: An unknown id, agent or key, or impossible values.
    """
    keywords, factory = assigned(pairs, known_keywords(id_, agent)), load_agent(agent)
    agents.check_algorithm(factory, _algorithm(id_), **keywords.agent)
    needed = agents.env_kwargs(factory, **keywords.agent)
    return RunConfig(
        id=resolve_id(id_),
        agent=agent,
        seed=seed,
        total_env_steps=total_env_steps,
        env_kwargs={**needed, **keywords.env},
        agent_kwargs=agents.recorded_kwargs(factory, **keywords.agent),
        threads=threads,
        log_interval=log_interval,
    )


def _algorithm(id_: str) -> str:
    return str(id_kwargs(id_).get("algorithm", "PPO"))


def _parameters(constructor: Callable[..., Any], but: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in signature(constructor).parameters if name not in but)


def _owner(key: str, known: Mapping[str, Known]) -> tuple[str, str]:
    prefix, dot, name = key.partition(".")
    if dot and prefix in known:
        if name in known[prefix].names or (name and known[prefix].open):
            return prefix, name
    else:
        for owner, keywords in known.items():
            if key in keywords.names:
                return owner, key
    if key in _OPTIONS:
        raise ValueError(f"--set does not take {key!r}: give {_OPTIONS[key]}.")
    listed = "; ".join(
        f"{owner}: {', '.join(keywords.names) or 'none'}{' and more' * keywords.open}"
        for owner, keywords in known.items()
    )
    full_names = [f"{owner}.{name}" for owner, keywords in known.items() for name in keywords.names]
    names = full_names if dot else [full_name.partition(".")[2] for full_name in full_names]
    raise ValueError(f"Unknown key {key!r}.{suggestion(key, names)} Valid keys: {listed}.")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
