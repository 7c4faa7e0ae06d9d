"""Pictures of a run: its learning curve and the hyperparameter schedule so far."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, DPI = 800, 600, 100


class Renderer(ABC):
    """Collects what a run does phase by phase, and shows it.

    Args:
        title: What is trained.
        names: The hyperparameters whose schedule is shown.
    """

    def __init__(self, title: str, names: Sequence[str]) -> None:
        self.title = title
        self.names = tuple(names)
        self.env_steps: list[int] = []
        self.returns: list[float] = []
        self.values: dict[str, list[float]] = {name: [] for name in names}

    def record(self, env_steps: int, episode_returns: Sequence[float], values: Mapping[str, float]) -> None:
        """Adds a phase: steps so far, returns of the episodes that ended, values in force."""
        self.env_steps.append(env_steps)
        self.returns.append(float(np.mean(episode_returns)) if episode_returns else np.nan)
        for name in self.names:
            self.values[name].append(values[name])

    def state_dict(self) -> dict[str, Any]:
        """What has been recorded."""
        return {"env_steps": self.env_steps, "returns": self.returns, "values": self.values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` returned, which becomes the renderer's own."""
        self.env_steps, self.returns = state["env_steps"], state["returns"]
        self.values = {name: state["values"][name] for name in self.names}

    def start_again(self, env_steps: int, values: Mapping[str, float]) -> None:
        """Forgets what has been recorded, and begins with a run that has already started."""
        self.env_steps, self.returns = [], []
        self.values = {name: [] for name in self.names}
        self.record(env_steps, [], values)

    @abstractmethod
    def render(self) -> Any:
        """Shows the run so far."""

    def close(self) -> None:  # noqa: B027 - most renderers open nothing
        """Closes what was opened."""


class AnsiRenderer(Renderer):
    """One line of text."""

    def render(self) -> str:
        """The run so far in one line."""
        known = [value for value in self.returns if not np.isnan(value)]
        returns = f"{known[-1]:.1f}" if known else "-"
        values = ", ".join(f"{name} {self.values[name][-1]:.4g}" for name in self.names)
        return f"{self.title}: {self.env_steps[-1]:,} env steps, return {returns}, {values}"


class ImageRenderer(Renderer):
    """A picture: the learning curve above, one panel per hyperparameter below."""

    def render(self) -> NDArray[np.uint8]:
        """The run so far as an (H, W, 3) uint8 array."""
        # Matplotlib takes long to import, and few environments are rendered.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        rows = 1 + len(self.names)
        axes = figure.subplots(rows, 1, sharex=True, squeeze=False, height_ratios=[3] + [1] * (rows - 1))[
            :, 0
        ]
        axes[0].set_title(self.title)
        axes[0].plot(self.env_steps, self.returns, marker=".", color="tab:blue")
        axes[0].set_ylabel("episode return")
        for axis, name in zip(axes[1:], self.names, strict=True):
            axis.plot(self.env_steps, self.values[name], drawstyle="steps-pre", color="tab:orange")
            axis.set_ylabel(name, rotation=0, ha="right", va="center")
        for axis in axes:
            axis.grid(alpha=0.3)
        axes[-1].set_xlabel("environment steps")
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


class WindowRenderer(ImageRenderer):
    """The same picture in a window, renewed after each phase; Pygame has one window for all."""

    _open: ClassVar[set[int]] = set()

    def render(self) -> None:  # type: ignore[override]
        """Draws the run so far into the window."""
        import pygame

        if not self._open:
            pygame.display.init()
            pygame.display.set_mode((WIDTH, HEIGHT))
        self._open.add(id(self))
        pygame.display.set_caption(self.title)
        picture = pygame.surfarray.make_surface(super().render().swapaxes(0, 1))
        window: Any = pygame.display.get_surface()
        window.blit(picture, (0, 0))
        pygame.event.pump()
        pygame.display.flip()

    def close(self) -> None:
        """Closes the window, unless another run is shown in it."""
        if id(self) in self._open:
            import pygame

            self._open.remove(id(self))
            if not self._open:
                pygame.display.quit()


# By render mode.
RENDERERS: Mapping[str, Callable[[str, Sequence[str]], Renderer]] = {
    "rgb_array": ImageRenderer,
    "human": WindowRenderer,
    "ansi": AnsiRenderer,
}


def make_renderer(render_mode: str | None, title: str, names: Sequence[str]) -> Renderer | None:
    """The renderer of a render mode; None for None."""
    return None if render_mode is None else RENDERERS[render_mode](title, names)
