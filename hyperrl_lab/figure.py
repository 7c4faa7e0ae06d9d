"""Shared by all pictures of a run: style, time axis, number format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from hyperrl_env.saving.files import whole_file

# Readable in print at one column's width, and in grey: light points and bands, dark lines.
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "savefig.dpi": 200,
}
DARK, LIGHT = "#0b3c6f", "#7fb0dc"
# The task's own settings.
OWN = "#c44500"


@contextmanager
def new_figure(path: Path, size: tuple[float, float]) -> Iterator[Figure]:
    """A figure that is saved at the end; made without pyplot, which would leave global state."""
    with rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        with whole_file(path) as temporary:
            figure.savefig(temporary, format="png")


def environment_steps(axes: Axes) -> None:
    """Labels the horizontal axis, once everything is drawn."""
    last = axes.get_xlim()[1]
    unit, name = (1e6, "M") if last >= 1e6 else (1e3, "k") if last >= 1e4 else (1, "")
    axes.set_xlabel("environment steps")
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / unit:g}{name}" if x else "0"))


def shared_legend(figure: Figure, panels: Iterable[Axes]) -> None:
    """One legend for all panels, below them; none if nothing in them has a name."""
    legend = dict[str, Any]()
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        legend |= zip(labels, handles, strict=True)
    if legend:
        figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=3)


def say(axes: Axes, text: str) -> None:
    """Shows a text in place of a plot."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="gray")
    axes.set(xticks=[], yticks=[])


def tick_labels(values: Iterable[float], unit: str = "") -> list[str]:
    r"""Formats numbers alike: all plain, or all with powers of ten if one of them needs it.

    Example:
        >>> tick_labels([0.5, 64, 0.0001])
        ['0.5', '64', '0.0001']
        >>> tick_labels([0, 3e-5])
        ['0', '$3\\times10^{-5}$']
    """
    numbers = [float(value) for value in values]
    for digits in (4, 6, 9):
        texts = [f"{number:.0f}" if number == round(number) else f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(set(numbers)):
            break
    # Half the digits of a small number are zeros.
    if any("e" in text or (text.startswith("0.00") and len(text) > 7) for text in texts):
        texts = [_with_power_of_ten(number) if number else "0" for number in numbers]
    return [text + unit for text in texts]


def _with_power_of_ten(number: float) -> str:
    digits, exponent = f"{number:.3e}".split("e")
    return rf"${float(digits):g}\times10^{{{int(exponent)}}}$"
