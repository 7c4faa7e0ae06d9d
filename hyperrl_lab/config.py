"""The configuration of a run, and its `config.json`."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hyperrl_env import __version__
from hyperrl_env.checks import check_at_least, check_between, check_keywords, unknown
from hyperrl_env.saving.files import write_text

CONFIG_FILE = "config.json"
# The results of a run depend on these versions too, to the bit.
_PACKAGES = (
    "stable-baselines3",
    "torch",
    "gymnasium",
    "numpy",
    "mujoco",
    "box2d",
    "ale-py",
    "opencv-python-headless",
    "envpool",
    "faiss-cpu",
)


@dataclass(frozen=True)
class RunConfig:
    """One run of a hyper-agent on a Hyper-RL environment; equal configurations give equal runs, to the bit.

    Attributes:
        id: The environment's id.
        agent: The hyper-agent's name, or the import path (`my_module:MyAgent`) of your own.
        seed: Seeds the inner run and the agent, in [0, 2**32).
        total_env_steps: Budget in inner environment steps. None: the task's default.
        env_kwargs: Constructor keywords of the environment, without the budget; `env_fn` and your own
            `hyper_reward` as import paths.
        agent_kwargs: Constructor keywords of the agent.
        threads: Threads of Torch, whose number affects the order of sums, and of EnvPool.
        log_interval: Update phases per line of `progress.csv`. None: 1, or enough to give about 200 lines
            in a run of very many phases.

    Raises:
        ValueError: A field of the wrong type or out of range.
    """

    id: str
    agent: str
    seed: int = 0
    total_env_steps: int | None = None
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    agent_kwargs: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    log_interval: int | None = None

    def __post_init__(self) -> None:
        for name in ("id", "agent"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a name, not {getattr(self, name)!r}.")
        check_between("seed", self.seed, 0, 2**32 - 1)
        check_at_least("threads", self.threads, 1)
        for name in ("total_env_steps", "log_interval"):
            if (value := getattr(self, name)) is not None:
                check_at_least(name, value, 1)
        for name in ("env_kwargs", "agent_kwargs"):
            check_keywords(name, getattr(self, name))

    @property
    def name(self) -> str:
        """The run in a few words, for titles."""
        return f"{self.id}, agent {self.agent}, seed {self.seed}"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect the results of a run."""
    found = {"python": platform.python_version(), "hyperrl": __version__}
    for name in _PACKAGES:
        # Simulators are extras.
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def write_config(config: RunConfig, folder: Path) -> None:
    """Writes `config.json`, with the versions in use, into a folder.

    Raises:
        ValueError: A value that JSON cannot hold.
    """
    try:
        text = json.dumps({"run": asdict(config), "versions": versions()}, indent=2)
    except TypeError as error:
        raise ValueError(f"The configuration cannot be written as JSON: {error}.") from error
    write_text(folder / CONFIG_FILE, text + "\n")


def read_config(path: Path) -> tuple[RunConfig, dict[str, str]]:
    """Reads a `config.json`.

    Returns:
        The configuration, and the versions that made the run.

    Raises:
        ValueError: The file is missing, or is not a complete and valid configuration.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict) or not isinstance(content.get("run"), dict):
        raise ValueError(f"{path} is not the configuration of a run: it has no object 'run'.")
    run, known = content["run"], [item.name for item in fields(RunConfig)]
    for key in run:
        if key not in known:
            raise ValueError(f"{path}: {unknown('key', key, known)}")
    if missing := [name for name in known if name not in run]:
        raise ValueError(f"{path}: missing keys: {', '.join(missing)}.")
    made_with = content.get("versions", {})
    if not isinstance(made_with, dict):
        raise ValueError(f"{path}: 'versions' must be an object.")
    try:
        return RunConfig(**run), made_with
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
