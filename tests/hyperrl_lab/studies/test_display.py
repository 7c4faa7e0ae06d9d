import io
from pathlib import Path

from rich.console import Console

from hyperrl_lab.config import RunConfig
from hyperrl_lab.studies.board import Board, Failure, Outcome
from hyperrl_lab.studies.display import SweepDisplay
from hyperrl_lab.studies.job import Ending, Job, Snapshot


def job(name, steps=1_000):
    config = RunConfig("HyperRL-PPO-v0", "random", total_env_steps=steps)
    return Job(name, Path(name), Path(f"{name}.log"), config, 0, 5.0)


def board():
    board = Board([job(name) for name in ("done", "first", "second", "held", "broken", "later")])
    board.take("done", Ending("finished"))
    for name in ("first", "second"):
        board.take(name, Ending("running"))
    board.take("held", Ending("in use", "it is in use by process 7 on host"))
    board.take("broken", Ending("failed", "ValueError: [no] markup"))
    board.take("first", Snapshot("training", 400, 12.34, 50.0, 12.0))
    return board


def shown(terminal):
    """What is shown of the board, at the beginning and as runs go on."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, color_system=None, legacy_windows=False)
    with SweepDisplay(console) as display:
        display.begin(board())
    return out.getvalue()


def test_a_terminal_shows_what_runs_what_failed_and_the_time_left():
    out = shown(True)
    row = next(line for line in out.splitlines() if "first" in line)
    assert [text for text in ("training", "400 / 1,000", "12.3", "50", "0:00:12") if text not in row] == []
    assert "starting" in next(line for line in out.splitlines() if "second" in line)
    assert "elsewhere" in next(line for line in out.splitlines() if "held" in line)
    assert "failed broken: ValueError: [no] markup" in out
    # 600 + 1,000 + 1,000 steps at 50 per second.
    assert "1 finished, 2 running, 1 waiting, 1 elsewhere, 1 failed, 0:00:52 left" in out


def test_elsewhere_there_is_a_line_per_event():
    lines = shown(False).splitlines()
    assert lines == ["6 runs, of which 1 is finished", "2/6 broken: failed: ValueError: [no] markup"]


def test_the_end_counts_and_names_logs():
    out = io.StringIO()
    display = SweepDisplay(Console(file=out, width=60))
    display.end(Outcome(("a", "b"), (Failure("c", "it broke", Path("c.log")), Failure("d", "no", None)), ()))
    *_, counts, first, second = out.getvalue().splitlines()
    assert counts.split() == ["4", "2", "2", "0"]
    assert (first, second) == ("c: it broke (log: c.log)", "d: no")
