"""How long reports of many runs take to write, how large they are, and how long a browser takes to open them.

What stands in the logs is made up; there are as many numbers as in short real ones.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import Table, UnavailableError, at_most, duration, spread
from hyperrl_lab.config import RunConfig, write_config
from hyperrl_lab.report.page import write_report
from hyperrl_lab.results import ACTIONS_FILE, EPISODES_FILE, SUMMARY_FILE, ColumnLog

TASKS = ("Hopper", "Swimmer", "Walker2d", "HalfCheetah")
AGENTS = ("epgt", "random", "fixed", "dqn", "sb3")
EPISODES, PHASES, UPDATES, PHASE_STEPS = 500, 100, 20, 2_048
BINS = {"learning_rate": (0.5, 1.0, 2.0), "clip_range": (0.5, 1.0, 1.5), "batch_size": (0.5, 1.0, 2.0)}
OWN = {"learning_rate": 3e-4, "clip_range": 0.2, "batch_size": 64.0}
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
)


def table(quick: bool = False) -> Table:
    """A row per number of runs."""
    rows = []
    for runs in (1,) if quick else (1, 100, 1_000):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "runs"
            for number in range(runs):
                make_run(folder, number)
            start = time.perf_counter()
            page = write_report(folder, Path(name) / "report.html")
            written = time.perf_counter() - start
            times = opening_times(page, 1 if quick else 5)
            size = f"{page.stat().st_size / 1e6:.1f} MB"
        rows.append(
            [f"{runs:,}", duration(written), size, spread(times, duration), at_most(5.0, times, "5 s")]
        )
    return Table(
        "Reports",
        f"Runs of {EPISODES} episodes. Headless Chromium opens the page: wall-clock time from the request to "
        "the last picture.",
        ["runs", "written in", "size", "opened in", "aim"],
        rows,
    )


def make_run(folder: Path, number: int) -> None:
    """A run's folder: its configuration, logs and summary."""
    rng = np.random.default_rng(number)
    task, agent = TASKS[number % len(TASKS)], AGENTS[number // len(TASKS) % len(AGENTS)]
    seed, steps = number // (len(TASKS) * len(AGENTS)), PHASES * PHASE_STEPS
    path = folder / f"{task}-{agent}-{seed}"
    path.mkdir(parents=True)
    write_config(RunConfig(f"HyperRL-PPO-{task}-v0", agent, seed, steps), path)
    returns = np.cumsum(rng.normal(1.0, 20.0, EPISODES))
    ends = np.linspace(0, steps, EPISODES + 1)[1:].astype(int)
    write(path / EPISODES_FILE, {"env_steps": ends, "return": returns, "length": np.diff(ends, prepend=0)})
    phase = np.repeat(np.arange(PHASES), UPDATES)
    left = 1 - phase / PHASES
    own = {name: value * (left if name == "learning_rate" else 1) for name, value in OWN.items()}
    chosen = {name: own[name] * rng.choice(bins, len(phase)) for name, bins in BINS.items()}
    defaults = {f"default.{name}": np.broadcast_to(value, len(phase)) for name, value in own.items()}
    write(path / ACTIONS_FILE, {"env_steps": PHASE_STEPS * (phase + 1), "phase": phase, **chosen, **defaults})
    summary = {"status": "finished", "env_steps": steps, "diverged_steps": 0}
    summary |= {"seconds": 40.0, "steps_per_second": steps / 40.0}
    (path / SUMMARY_FILE).write_text(json.dumps(summary), encoding="utf-8")


def write(path: Path, columns: Mapping[str, Any]) -> None:
    """Writes columns as a run does."""
    log = ColumnLog(
        {name: "q" if np.asarray(column).dtype.kind == "i" else "d" for name, column in columns.items()}
    )
    for row in zip(*columns.values(), strict=True):
        log.append(row)
    log.write(path)


def opening_times(page: Path, repetitions: int) -> list[float]:
    """Seconds until the page has opened and has drawn its pictures, one after another."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        raise UnavailableError("Selenium is not installed.") from None
    if chromium is None or driver is None:
        raise UnavailableError("Chromium is not installed.")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        browser = webdriver.Chrome(options=options, service=Service(driver))
        try:
            return [_open(browser, page.as_uri()) for _ in range(repetitions)]
        finally:
            browser.quit()


def _open(browser: Any, address: str) -> float:
    start = time.perf_counter()
    # It returns after the page's script, which draws every picture, and the script after the next frame.
    browser.get(address)
    browser.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0]))")
    return time.perf_counter() - start
