"""Tables of ids, games, tasks, settings, agents, hyperparameters, presets and hyper-rewards."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import Parameter, getdoc
from typing import Any

from rich import box
from rich.table import Table
from stable_baselines3.common.utils import LinearSchedule

import agents
from hyperrl_env import (
    DEFINITIONS,
    DIAGNOSTICS,
    HYPER_REWARDS,
    PRESETS,
    SETTINGS,
    TASKS,
    Hyperparameter,
    SearchSpace,
)
from hyperrl_env.learners import LEARNERS
from hyperrl_env.settings import GENERIC_SETTINGS, ZOO, Settings, get_settings

Row = tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """One table.

    Attributes:
        title: Its title.
        columns: The columns' headers.
        rows: Its rows.
        details: The rows to search instead of `rows`, if those group many names into one row.
        named: Whether the first column holds names to type, which are never wrapped.
    """

    title: str
    columns: Row
    rows: Callable[[], Iterator[Row]]
    details: Callable[[], Iterator[Row]] | None = None
    named: bool = True

    def table(self, contains: str = "") -> Table:
        """The table, or only the rows with a cell that contains a text; case does not matter."""
        source = self.details if contains and self.details else self.rows
        rows = [row for row in source() if any(contains.lower() in cell.lower() for cell in row)]
        table = Table(title=self.title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
        table.padding = (0, 1, 0, 0)
        for number, header in enumerate(self.columns):
            words = " ".join([header, *(row[number] for row in rows)]).split()
            name = number == 0 and self.named
            table.add_column(
                header,
                no_wrap=name,
                style="cyan" if name else None,
                overflow="fold",
                # Words are never split.
                min_width=max(map(len, words)),
            )
        for row in rows:
            table.add_row(*row)
        return table


def overview() -> Table:
    """A table of the commands that show the tables."""

    def rows() -> Iterator[Row]:
        for name, listing in LISTINGS.items():
            yield f"hyperrl list {name}", listing.title

    table = Listing("Tables", ("command", "shows"), rows).table()
    table.caption = "`hyperrl list ids cheetah` shows only the rows that contain this text."
    table.caption_justify = "left"
    return table


def _id_row(id_: str, inner: str, settings: Settings) -> Row:
    return id_, inner, f"{settings.total_env_steps:,}"


def _generic_ids() -> Iterator[Row]:
    for algorithm, settings in GENERIC_SETTINGS.items():
        yield _id_row(f"HyperRL-{algorithm}-v0", "yours: env_id, env_fn", settings)


def _ids() -> Iterator[Row]:
    """Every id; the Atari games share one row per algorithm."""
    yield from _generic_ids()
    games: dict[str, Settings] = {}
    for (algorithm, task), settings in SETTINGS.items():
        if settings.family == "atari":
            games[algorithm] = settings
        else:
            yield _id_row(f"HyperRL-{algorithm}-{task}-v0", TASKS[task].env_id, settings)
    for algorithm, settings in games.items():
        yield _id_row(f"HyperRL-{algorithm}-{{Game}}-v0", "ALE/{Game}-v5", settings)


def _all_ids() -> Iterator[Row]:
    yield from _generic_ids()
    for (algorithm, task), settings in SETTINGS.items():
        yield _id_row(f"HyperRL-{algorithm}-{task}-v0", TASKS[task].env_id, settings)


def _games() -> Iterator[Row]:
    yield (", ".join(name for (name,) in _all_games()),)


def _all_games() -> Iterator[Row]:
    for name, task in TASKS.items():
        if task.family == "atari":
            yield (name,)


def _tasks() -> Iterator[Row]:
    def row(settings: Settings) -> Row:
        normalized = "yes" if settings.normalize else "no"
        return str(settings.n_envs), normalized, _preset_name(settings.search_space), settings.source

    for algorithm, settings in GENERIC_SETTINGS.items():
        yield f"{algorithm}, your own", *row(settings)
    yield from _shared(row)


def _settings_row(starting_point: str, settings: Settings) -> Row:
    envs = "1 env" if settings.n_envs == 1 else f"{settings.n_envs} envs"
    normalized = "normalised" if settings.normalize else "not normalised"
    kwargs = _keywords(settings.learner_kwargs)
    return (
        starting_point,
        f"{settings.total_env_steps:,} env steps, {envs}, {normalized}" + f"; {kwargs}" * bool(kwargs),
    )


def _starting_points() -> Iterator[tuple[str, Mapping[tuple[str, str], Settings]]]:
    yield "paper", SETTINGS
    yield "zoo", ZOO
    yield "sb3", {key: get_settings(*key, "sb3") for key in SETTINGS}


def _settings() -> Iterator[Row]:
    for starting_point, table in _starting_points():
        yield from _shared(functools.partial(_settings_row, starting_point), table)


def _all_settings() -> Iterator[Row]:
    """The starting points of every task, one below the other."""
    tables = dict(_starting_points())
    for algorithm, task in dict.fromkeys(key for table in tables.values() for key in table):
        for starting_point, table in tables.items():
            if (settings := table.get((algorithm, task))) is not None:
                yield f"{algorithm}, {task}", *_settings_row(starting_point, settings)


def _shared(
    row: Callable[[Settings], Row], table: Mapping[tuple[str, str], Settings] = SETTINGS
) -> Iterator[Row]:
    """The settings of every task; tasks with the same settings share a row."""
    shared: dict[tuple[str, Row], list[str]] = {}
    for (algorithm, task), settings in table.items():
        shared.setdefault((algorithm, row(settings)), []).append(task)
    for (algorithm, cells), tasks in shared.items():
        yield f"{algorithm}, {_group(tasks)}", *cells


def _group(tasks: list[str]) -> str:
    """Tasks by name, or by family if all tasks of the family are among them."""
    if len(tasks) == len(TASKS):
        return "all tasks"
    names = []
    families = {task: TASKS[task].family if task in TASKS else None for task in tasks}
    for family in dict.fromkeys(families.values()):
        members = [task for task in tasks if families[task] == family]
        whole = len(members) == sum(task.family == family for task in TASKS.values())
        names += [f"all of {family}"] if whole else members
    return ", ".join(names)


def _agents() -> Iterator[Row]:
    for name in agents.AGENTS:
        try:
            yield name, _first_line(agents.AGENTS[name]), _keywords(agents.keywords(name)) or "none"
        except ValueError as error:
            yield name, str(error), "-"


def _hyperparameters() -> Iterator[Row]:
    for name, definition in DEFINITIONS.items():
        offered_by = dict.fromkeys(
            algorithm for algorithm, learner in LEARNERS.items() if name in learner.offered
        )
        yield (
            name,
            definition.scope,
            f"{_bins(Hyperparameter(name))}; {definition.domain}",
            ", ".join(offered_by) or "-",
            definition.effect,
        )


def _presets() -> Iterator[Row]:
    for name, space in PRESETS.items():
        yield name, "; ".join(f"{h.name} {_bins(h)}" for h in space.hyperparameters)


def _hyper_rewards() -> Iterator[Row]:
    for name in HYPER_REWARDS:
        try:
            yield name, _first_line(HYPER_REWARDS[name])
        except ValueError as error:
            yield name, str(error)


def _diagnostics() -> Iterator[Row]:
    for index, (name, diagnostic) in enumerate(DIAGNOSTICS.items()):
        yield name, str(index), diagnostic.meaning, f"[{diagnostic.low:g}, {diagnostic.high:g}]"


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
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, Mapping):
        # Words of their own, so that narrow columns can wrap them.
        return f"{{ {_keywords(value)} }}"
    if isinstance(value, tuple | list):
        return f"[ {', '.join(map(_text, value))} ]"
    return repr(value)


def _first_line(item: Any) -> str:
    return (getdoc(item) or "").partition("\n")[0]


# By the argument of `hyperrl list`, in the order in which a newcomer needs them.
LISTINGS: Mapping[str, Listing] = {
    "ids": Listing(
        "Environments, with the default budget of a run",
        ("id", "inner environment", "env steps"),
        _ids,
        _all_ids,
    ),
    "games": Listing("Atari games", ("every {Game}",), _games, _all_games, named=False),
    "tasks": Listing(
        "Tasks (envs: inner environments; norm.: observations and rewards normalised)",
        ("tasks", "envs", "norm.", "search space", "source"),
        _tasks,
        named=False,
    ),
    "settings": Listing(
        "Starting points (--set settings=NAME), over Stable-Baselines3's defaults",
        ("tasks", "settings", "budget, environments, learner"),
        _settings,
        _all_settings,
        named=False,
    ),
    "agents": Listing("Agents", ("agent", "what it does", "keywords (--set agent.keyword=value)"), _agents),
    "hyperparameters": Listing(
        "Hyperparameters",
        ("name", "scope", "standard bins; domain", "offered by", "effect"),
        _hyperparameters,
    ),
    "presets": Listing(
        "Search space presets (--set search_space=preset)",
        ("preset", "hyperparameters and their bins"),
        _presets,
    ),
    "diagnostics": Listing(
        "Diagnostics (--set observation=diagnostics)", ("name", "index", "value", "range"), _diagnostics
    ),
    "hyper-rewards": Listing("Hyper-rewards (--set hyper_reward=name)", ("name", "meaning"), _hyper_rewards),
}
