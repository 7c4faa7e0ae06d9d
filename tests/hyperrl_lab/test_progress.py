import io

import pytest
from rich.console import Console

from hyperrl_lab import progress as progress_module
from hyperrl_lab.display import Display
from hyperrl_lab.log import default_interval
from hyperrl_lab.progress import Progress


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1_000.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


def test_speed_and_time_left(clock):
    progress = Progress(1_000)
    assert (progress.steps_per_second, progress.seconds_left, progress.seconds) == (0.0, None, 0.0)
    clock.now += 2
    progress.environment_phase(100, [], [])
    assert progress.steps_per_second == 50
    # 900 steps to collect, and the updates on the 100 at hand.
    assert progress.seconds_left == 20
    clock.now += 1.5
    assert progress.seconds_left == 18.5
    clock.now += 100
    assert progress.seconds_left == 0
    progress.stop()
    clock.now += 5
    assert progress.seconds == 103.5


def test_speed_is_that_of_late(clock):
    progress = Progress(100_000)
    for phase in range(1, 101):
        clock.now += 1 if phase <= 50 else 10
        progress.environment_phase(100 * phase, [], [])
    assert progress.steps_per_second == 10


def test_scores_are_of_the_last_hundred_episodes():
    progress = Progress(1_000)
    progress.environment_phase(10, [1e9, 1.0], [5, 5])
    progress.environment_phase(20, [float(i) for i in range(100)], list(range(100)))
    progress.environment_phase(30, [], [])
    assert (progress.episodes, progress.mean_return, progress.mean_length) == (102, 49.5, 49.5)


def shown(progress, *, terminal, steps=(), finished=True):
    """What is written while the run gets to these environment steps and, if it gets so far, ends."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
    display = Display(console, progress)
    with display.live():
        for env_steps in steps:
            progress.env_steps = env_steps
            display.step(progress)
        progress.finished = finished
        display.step(progress)
    return console.file.getvalue()


def test_a_plain_line_every_five_percent():
    progress = Progress(1_000)
    progress.hyperparameters = {"learning_rate": 3e-4, "batch_size": 64}
    progress.mean_return = 1234.56
    lines = shown(progress, terminal=False, steps=range(0, 1_020, 10)).splitlines()
    assert [int(line.split("%")[0]) for line in lines] == list(range(5, 101, 5))
    assert "50 / 1,000 env steps" in lines[0]
    assert "return 1,234.6" in lines[0]
    assert "learning_rate 0.0003, batch_size 64" in lines[0]


def test_a_phase_that_leaps_over_several_parts_writes_one_line():
    lines = shown(Progress(1_000), terminal=False, steps=[400, 400, 1_200, 1_200]).splitlines()
    assert [line.split("%")[0].strip() for line in lines] == ["40", "100"]
    assert "return -" in lines[0]


def test_the_end_is_the_end():
    """Not the last rollout, whose updates are still to be done; and rollouts go beyond the budget."""
    progress = Progress(1_000)
    assert len(shown(progress, terminal=False, steps=[900, 1_024], finished=False).splitlines()) == 1
    _, line = shown(progress, terminal=False, steps=[900, 1_024]).splitlines()
    assert line.startswith("100 %, 1,000 / 1,000 env steps, ")
    assert "left" not in line
    assert progress.seconds_left == 0


def test_a_run_that_ends_early_is_not_at_100_percent():
    assert "100 %" not in shown(Progress(1_000), terminal=False, steps=[500])


def test_a_terminal_gets_a_bar_and_the_hyperparameters():
    progress = Progress(1_000)
    progress.hyperparameters = {"clip_range": 0.2}
    progress.activity = "training"
    text = shown(progress, terminal=True, steps=[500])
    assert all(part in text for part in ("training", "━", "500 / 1,000 env steps", "clip_range 0.2"))


@pytest.mark.parametrize(("phases", "interval"), [(0.5, 1), (488.3, 1), (4_000, 20), (62_500, 313)])
def test_logging_stays_cheap_in_runs_of_many_phases(phases, interval):
    assert default_interval(phases) == interval
