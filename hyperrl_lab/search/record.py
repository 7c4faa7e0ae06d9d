"""The folder of a search: what was asked, what came out, and what it cost.

A search's folder is that of a run: `config.json` names the method as its agent, the results are those of
its best run, and `summary.json` counts the environment steps of all runs. `search.json` has the details.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hyperrl_env.saving.files import is_plain_file, whole_file, write_text
from hyperrl_env.saving.identity import as_plain_values, differences
from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config, write_config
from hyperrl_lab.evaluation import EVALUATION_FILE
from hyperrl_lab.folder import RunFolder, check_unused
from hyperrl_lab.lock import FolderLock
from hyperrl_lab.plots import CURVE_FILE, SCHEDULE_FILE
from hyperrl_lab.results import SUMMARY_FILE, read_summary
from hyperrl_lab.run import MODEL_FILE, NORMALIZER_FILE, POLICY_FILE
from hyperrl_lab.tables import TABLES

SEARCH_FILE = "search.json"
# Of the best run; its summary is rewritten with the cost of all.
_BEST = (*TABLES, MODEL_FILE, NORMALIZER_FILE, POLICY_FILE, CURVE_FILE, SCHEDULE_FILE)
_SUMMED = ("episodes", "env_steps", "phases", "hyper_steps", "diverged_steps")


@contextmanager
def search_folder(config: RunConfig, folder: Path) -> Iterator[tuple[RunFolder, bool]]:
    """Locks the folder of a search in its block.

    Args:
        config: The search's; written to a new folder.
        folder: A new or empty folder, or that of the same search.

    Yields:
        The record of its files, and whether the search was begun earlier.

    Raises:
        FileExistsError: The folder holds something else, or another process is using it.
        ValueError: It holds another search; the message says how they differ.
    """
    if begun := (folder / CONFIG_FILE).exists():
        earlier, _ = read_config(folder / CONFIG_FILE)
        if found := differences(as_plain_values(asdict(earlier)), as_plain_values(asdict(config))):
            raise ValueError(f"{folder} holds another search or run: {'; '.join(found)}. Give a new folder.")
    elif folder.exists():
        check_unused(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with FolderLock(folder):
        files = RunFolder(folder)
        files.tidy()
        files.check((SEARCH_FILE, SUMMARY_FILE, *_BEST))
        if not begun:
            write_config(config, folder)
        yield files, begun


def best(runs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The run of the highest score, the earliest of several; None if none has a score.

    Args:
        runs: Each has a `score`, which may be None. One that is not finite, because a reward was not, is
            none.
    """
    scored = [run for run in runs if run["score"] is not None and math.isfinite(run["score"])]
    return max(scored, key=lambda run: run["score"], default=None)


def write_results(
    config: RunConfig,
    files: RunFolder,
    runs: Sequence[Mapping[str, Any]],
    status: str,
    seconds: float,
) -> dict[str, Any]:
    """Writes `search.json` and `summary.json`, and copies the results of the best run.

    Args:
        config: The search's.
        files: The record of the search's folder.
        runs: Each has its `folder` in the search's, its `score` and its `env_steps`.
        status: See `TrainingRun.train`.
        seconds: Of the whole search.

    Returns:
        The content of `summary.json`.
    """
    top = best(runs)
    summaries = [_summary(files.path / run["folder"]) for run in runs]
    env_steps = sum(run["env_steps"] for run in runs)
    summary = {
        "mean_return": None,
        "mean_length": None,
        "score_episodes": 0,
        "extra_env_steps": 0,
        **(_summary(files.path / top["folder"]) if top else {}),
        **{name: sum(one.get(name, 0) for one in summaries) for name in _SUMMED},
        "env_steps": env_steps,
        "seconds": seconds,
        "steps_per_second": env_steps / seconds,
        "runs": len(runs),
        "best": top["folder"] if top else None,
    }
    summary |= {"run": config.name, "status": status}
    if top is not None:
        if EVALUATION_FILE in files.own() and read_summary(files.path).get("best") != top["folder"]:
            # It is of the policy that is now replaced.
            (files.path / EVALUATION_FILE).unlink()
        for name in _BEST:
            if is_plain_file(source := files.path / top["folder"] / name):
                with whole_file(files.claim(name)) as temporary:
                    shutil.copyfile(source, temporary)
    details = {"method": config.agent, "best": top, "env_steps": env_steps, "runs": list(runs)}
    write_text(files.claim(SEARCH_FILE), json.dumps(details, indent=2) + "\n")
    write_text(files.claim(SUMMARY_FILE), json.dumps(summary, indent=2) + "\n")
    return summary


def _summary(folder: Path) -> dict[str, Any]:
    """The `summary.json` of a run; empty before it has written one."""
    try:
        content: dict[str, Any] = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    except OSError:
        return {}
    return content
