"""A study of tiny runs: half of its names would be markup if they were not escaped."""

import json

import pytest

from hyperrl_lab.config import RunConfig
from hyperrl_lab.report.data import gather
from hyperrl_lab.report.page import render
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.studies.record import RECORD_FILE
from tests.hyperrl_lab.conftest import PPO_KWARGS
from tests.hyperrl_lab.studies.conftest import leave_run, leave_study  # noqa: F401 - fixtures

HOSTILE = "</script><img src=x onerror=alert(1)>"
TASKS = ("CartPole", "<b>Pendulum</b> & %{x}")
METHODS = ("EPGT", HOSTILE, "default")
PENDULUM = {"env_id": "Pendulum-v1", "learner_kwargs": PPO_KWARGS["learner_kwargs"]}


def runs():
    """The runs of the study: folder, task, method, configuration."""
    agents = (("epgt", {"write_interval": 1}), ("random", {}), ("fixed", {}))
    inner = ((TASKS[0], PPO_KWARGS, 512), (TASKS[1], PENDULUM, 704))
    for number, (task, env_kwargs, steps) in enumerate(inner):
        for method, (agent, agent_kwargs) in zip(METHODS, agents, strict=True):
            for seed in (0, 1):
                config = RunConfig("HyperRL-PPO-v0", agent, seed, steps, env_kwargs, agent_kwargs)
                yield f"<i>run {number}-{agent}-{seed}", task, method, config


@pytest.fixture(scope="session")
def tiny_study(tmp_path_factory):
    """The folder of the study. It is only to be read."""
    folder = tmp_path_factory.mktemp("study")
    for name, *_, config in runs():
        TrainingRun(config, folder / name).train(pictures=False)
    record = {
        "title": f"A study {HOSTILE}",
        "baseline": "default",
        "runs": [
            {"folder": name, "task": task, "method": method, "seed": config.seed}
            for name, task, method, config in runs()
        ],
    }
    (folder / RECORD_FILE).write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="session")
def tiny_data(tiny_study):
    """What is gathered from it."""
    return gather(tiny_study)


@pytest.fixture(scope="session")
def tiny_page(tiny_data):
    """Its page, as text."""
    return render(tiny_data)
