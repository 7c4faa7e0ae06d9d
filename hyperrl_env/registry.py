"""Things by name: the project's own, those that a program registers, those that installed packages offer."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from hyperrl_env.checks import unknown

T = TypeVar("T")
_NAME = re.compile(r"\w[\w.-]*")


class Registry(Mapping[str, T], Generic[T]):
    """Things by name. An installed package offers more by entry points, which are loaded when asked for.

    The project's own names come first, then those registered, then those of packages: none hides another.

    Args:
        what: What the things are, for errors.
        group: The entry points' group.
        own: The project's own.
        check: Raises ValueError unless an object is such a thing.
    """

    def __init__(self, what: str, group: str, own: Mapping[str, T], check: Callable[[object], None]) -> None:
        self._what = what
        self._group = group
        self._known = dict(own)
        self._check = check

    def register(self, name: str, thing: T) -> None:
        """Gives a thing a name.

        Raises:
            ValueError: Not a name of letters, digits and "_.-", a name that means something else, or
                something of another kind.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"A name must consist of letters, digits, '_', '.' and '-', not {name!r}.")
        self._check(thing)
        if name in self._offered() or self._known.get(name, thing) is not thing:
            raise ValueError(f"The {self._what} {name!r} exists already: choose another name.")
        self._known[name] = thing

    @property
    def known(self) -> Mapping[str, T]:
        """What needs no package: the project's own, those registered, those asked for before."""
        return self._known

    def find(self, name: object) -> T:
        """The thing of this name.

        Raises:
            ValueError: Nothing has it (the message lists the names), or the package that offers it does not
                load.
        """
        if isinstance(name, str) and name in self:
            return self[name]
        raise ValueError(
            f"{unknown(self._what, name, list(self))} Installed packages offer more by the entry point "
            f"{self._group!r}."
        )

    def __getitem__(self, name: str) -> T:
        """The thing of this name; KeyError if there is none, ValueError if its package does not load."""
        if name not in self._known:
            self._known[name] = self._loaded(self._offered()[name])
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        """All names; loads nothing."""
        return iter(dict.fromkeys((*self._known, *self._offered())))

    def __len__(self) -> int:
        """How many names there are."""
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        """Whether something has this name; loads nothing."""
        return name in self._known or name in self._offered()

    def _offered(self) -> Mapping[str, EntryPoint]:
        return _entry_points(self._group)

    def _loaded(self, entry_point: EntryPoint) -> T:
        package = "an installed package" if entry_point.dist is None else entry_point.dist.name
        try:
            thing: T = entry_point.load()
            self._check(thing)
        # Another package's code can raise anything.
        except Exception as error:
            raise ValueError(
                f"The {self._what} {entry_point.name!r} of {package} ({entry_point.value}) cannot be used: "
                f"{type(error).__name__}: {error}"
            ) from error
        return thing


@functools.cache
def _entry_points(group: str) -> Mapping[str, EntryPoint]:
    return {entry_point.name: entry_point for entry_point in entry_points(group=group)}
