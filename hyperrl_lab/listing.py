"""What there is: ids, tasks, agents, hyperparameters, presets and hyper-rewards as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import Parameter, getdoc
from typing import Any

from rich.table import Table
from stable_baselines3.common.utils import LinearSchedule

import agents
from hyperrl_env import DEFINITIONS, HYPER_REWARDS, PRESETS, SETTINGS, TASKS, Hyperparameter, SearchSpace
from hyperrl_env.learners import LEARNERS
from hyperrl_env.tasks import GENERIC_SETTINGS, Settings


def tables() -> Iterator[Table]:
    """All tables, in the order in which a newcomer needs them."""
    yield _ids()
    yield _games()
    yield _settings()
    yield _agents()
    yield _hyperparameters()
    yield _presets()
    yield _hyper_rewards()


def _ids() -> Table:
    columns = ("id", "inner environment", "env steps", "envs", "normalised", "search space", "source")
    table = _table("Environments", *columns)
    for algorithm, settings in GENERIC_SETTINGS.items():
        _add_id(table, f"HyperRL-{algorithm}-v0", "yours: env_id", settings)
    games: dict[str, Settings] = {}
    for (algorithm, task), settings in SETTINGS.items():
        if settings.family == "atari":
            games[algorithm] = settings
        else:
            _add_id(table, f"HyperRL-{algorithm}-{task}-v0", TASKS[task].env_id, settings)
    for algorithm, settings in games.items():
        _add_id(table, f"HyperRL-{algorithm}-{{Game}}-v0", "ALE/{Game}-v5", settings)
    return table


def _games() -> Table:
    table = Table("every {Game}", title="Atari", title_justify="left")
    table.add_row(", ".join(name for name, task in TASKS.items() if task.family == "atari"))
    return table


def _add_id(table: Table, id_: str, inner: str, settings: Settings) -> None:
    table.add_row(
        id_,
        inner,
        f"{settings.total_env_steps:,}",
        str(settings.n_envs),
        "yes" if settings.normalize else "no",
        _preset_name(settings.search_space),
        settings.source,
    )


def _settings() -> Table:
    """The inner learners' settings; tasks that share them share a row."""
    table = _table("Settings of the inner learner (over Stable-Baselines3's defaults)", "tasks")
    table.add_column("settings")
    shared: dict[tuple[str, str], list[str]] = {}
    for (algorithm, task), settings in SETTINGS.items():
        shared.setdefault((algorithm, _keywords(settings.learner_kwargs)), []).append(task)
    for (algorithm, settings_text), tasks in shared.items():
        table.add_row(f"{algorithm}, {_group(tasks)}", settings_text or "none")
    return table


def _group(tasks: list[str]) -> str:
    """Tasks in a few words: by their families, where all of a family are among them."""
    if len(tasks) == len(TASKS):
        return "all tasks"
    names = []
    for family in dict.fromkeys(TASKS[task].family for task in tasks):
        members = [task for task in tasks if TASKS[task].family == family]
        whole = len(members) == sum(task.family == family for task in TASKS.values())
        names += [f"all of {family}"] if whole else members
    return ", ".join(names)


def _agents() -> Table:
    table = _table("Agents", "agent")
    table.add_column("what it does")
    table.add_column("keywords (--set agent.keyword=value)")
    for name, factory in agents.AGENTS.items():
        table.add_row(name, _first_line(factory), _keywords(agents.keywords(name)) or "none")
    return table


def _hyperparameters() -> Table:
    table = _table("Hyperparameters", "name", "scope", "standard bins", "domain", "offered by")
    table.add_column("effect")
    for name, definition in DEFINITIONS.items():
        offered_by = dict.fromkeys(
            algorithm for (algorithm, _), learner in LEARNERS.items() if name in learner.offered
        )
        table.add_row(
            name,
            definition.scope,
            _bins(Hyperparameter(name)),
            definition.domain,
            ", ".join(offered_by) or "-",
            definition.effect,
        )
    return table


def _presets() -> Table:
    table = _table("Search space presets (--set search_space=preset)", "preset")
    table.add_column("hyperparameters and their bins")
    for name, space in PRESETS.items():
        table.add_row(name, "; ".join(f"{h.name} {_bins(h)}" for h in space.hyperparameters))
    return table


def _hyper_rewards() -> Table:
    table = _table("Hyper-rewards (--set hyper_reward=name)", "name")
    table.add_column("meaning")
    for name, function in HYPER_REWARDS.items():
        table.add_row(name, _first_line(function))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        # Names that can be typed stay in one piece.
        table.add_column(column, no_wrap=number == 0, style="cyan" if number == 0 else None)
    return table


def _preset_name(space: SearchSpace) -> str:
    return next((name for name, preset in PRESETS.items() if preset is space), ", ".join(space.names))


def _bins(hyperparameter: Hyperparameter) -> str:
    if hyperparameter.relative:
        return ", ".join(f"{value:.3g}x" for value in hyperparameter.bins)
    return ", ".join(f"{value:g}" for value in hyperparameter.bins)


def _keywords(keywords: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} (required)" if value is Parameter.empty else f"{name}={_text(value)}"
        for name, value in keywords.items()
    )


def _text(value: Any) -> str:
    if isinstance(value, LinearSchedule):
        return f"{value.start:g} falling linearly to {value.end:g}"
    return repr(value)


def _first_line(item: Any) -> str:
    return (getdoc(item) or "").partition("\n")[0]
