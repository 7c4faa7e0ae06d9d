"""Tables of the page, and how their cells are written."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Format = Callable[[float], str]


@dataclass(frozen=True)
class Table:
    """What a benchmark found.

    Attributes:
        title: A heading.
        text: What was compared, in a sentence or two of Markdown.
        header: A name per column.
        rows: A cell per column each.
    """

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Heading, text and table."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return f"## {self.title}\n\n{self.text}\n\n{table}\n"


class UnavailableError(Exception):
    """A benchmark cannot run here; the message says what is missing."""


def duration(seconds: float) -> str:
    """A time in its own unit.

    Example:
        >>> duration(0.000123), duration(0.0456), duration(7.89)
        ('123 µs', '45.6 ms', '7.89 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * size:
            return f"{number(seconds / size)} {unit}"
    return f"{number(seconds / 1e-6)} µs"


def number(value: float) -> str:
    """Three significant digits, or all before the point.

    Example:
        >>> number(1234.5), number(56.78), number(0.1)
        ('1,234', '56.8', '0.100')
    """
    digits = next((n for n, least in ((0, 99.95), (1, 9.995), (2, 0.9995)) if abs(value) >= least), 3)
    return f"{value:,.{digits}f}"


def percent(value: float) -> str:
    """A share, or a change, to a tenth of a percent."""
    return f"{value:.1%}".replace("%", " %")


def median(values: Sequence[float], form: Format) -> str:
    """The median alone."""
    return form(statistics.median(values))


def spread(values: Sequence[float], form: Format = number) -> str:
    """The median, and the range in brackets.

    Example:
        >>> spread([3.0, 1.0, 2.5]), spread([0.002, 0.003], duration)
        ('2.50 (1.00 to 3.00)', '2.50 ms (2.00 to 3.00 ms)')
    """
    high = form(max(values))
    low = form(min(values)).removesuffix(f" {high.partition(' ')[2]}")
    return f"{median(values, form)} ({low} to {high})"


def at_least(aim: float, values: Sequence[float], text: str = "") -> str:
    """The aim of a median that should be large, as `text` says it, and whether it is met."""
    return f"at least {text or f'{aim:g}'}: {_met(statistics.median(values) >= aim)}"


def at_most(aim: float, values: Sequence[float], text: str = "") -> str:
    """The aim of a median that should be small, as `text` says it, and whether it is met.

    Example:
        >>> at_most(0.2, [0.1, 0.3, 0.15], "20 %")
        'at most 20 %: met'
    """
    return f"at most {text or f'{aim:g}'}: {_met(statistics.median(values) <= aim)}"


def _met(is_met: bool) -> str:
    return "met" if is_met else "not met"
