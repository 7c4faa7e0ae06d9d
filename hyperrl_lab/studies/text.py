"""How the numbers of tables are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hyperrl_lab.studies.statistics import Estimate

NONE = "-"


def number(value: float | None) -> str:
    """A score in the digits that matter.

    Example:
        >>> number(3253.4), number(282.06), number(-0.1234), number(None)
        ('3,253', '282.1', '-0.12', '-')
    """
    if value is None:
        return NONE
    digits = 0 if abs(value) >= 999.5 else 1 if abs(value) >= 9.95 else 2
    return f"{value:,.{digits}f}"


def with_interval(found: Estimate | None, form: Callable[[float | None], str] = number) -> str:
    """A statistic and its interval, or a dash.

    Example:
        >>> with_interval(Estimate(2156.0, 1900.0, 2400.0, seeds=10))
        '2,156 [1,900 to 2,400]'
        >>> with_interval(Estimate(2156.0, None, None, seeds=3))
        '2,156'
    """
    if found is None:
        return NONE
    if found.low is None:
        return form(found.value)
    return f"{form(found.value)} [{form(found.low)} to {form(found.high)}]"


def share(value: float | None) -> str:
    """A probability in whole percents.

    Example:
        >>> share(0.876)
        '88 %'
    """
    return NONE if value is None else f"{100 * value:.0f} %"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown. A bar in a cell stays in the cell.

    Example:
        >>> print(markdown_table(["a", "b"], [["1", "2"]]))
        | a | b |
        | --- | --- |
        | 1 | 2 |
    """
    lines = [header, ["---"] * len(header), *rows]
    escaped = [[cell.replace("|", r"\|") for cell in cells] for cells in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in escaped)
