"""Small studies, and what a sweep of them must leave."""

import json
import time

import pytest

from hyperrl_lab.evaluation import evaluate
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.studies.study import Method, Study, StudyTask

CARTPOLE = {"env_id": "CartPole-v1", "n_steps": 64, "batch_size": 32, "n_epochs": 2}
SECONDS = 300
CLOCKS = ("seconds", "steps_per_second")


def table(folder, runs):
    """What the runs in a sweep's folder say, bit for bit, but for the time that they took."""
    found = {}
    for run in runs:
        files = {name: (folder / run / name).read_bytes() for name in ("actions.parquet", "episodes.parquet")}
        summary = json.loads((folder / run / "summary.json").read_text())
        files["summary"] = {key: value for key, value in summary.items() if key not in CLOCKS}
        files["evaluation"] = json.loads((folder / run / "evaluation.json").read_text())
        found[run] = files
    return found


def wait_for(condition):
    until = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def as_toml(study, path):
    def value(of):
        if isinstance(of, dict):
            return "{ " + ", ".join(f'"{key}" = {value(item)}' for key, item in of.items()) + " }"
        return json.dumps(of)

    def settings(of):
        return f"settings = {value(dict(of.settings))}"

    lines = [f"seeds = {study.seeds}", f"total_env_steps = {study.total_env_steps}"]
    lines += [f"title = {study.title!r}", f"evaluate_episodes = {study.evaluate_episodes}"]
    for task in study.tasks:
        lines += ["[[tasks]]", f"id = {task.id!r}", f"name = {task.name!r}", settings(task)]
        lines += [f"total_env_steps = {task.total_env_steps}"] if task.total_env_steps else []
    for method in study.methods:
        lines += ["[[methods]]", f"agent = {method.agent!r}", settings(method)]
        lines += [f"name = {method.name!r}"] if method.name else []
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(name="wait_for")
def _wait_for():
    """`wait_for(condition)`: what the condition returns once it is true."""
    return wait_for


@pytest.fixture(name="as_toml")
def _as_toml():
    """`as_toml(study, path)`: writes it to the file, and returns the path."""
    return as_toml


@pytest.fixture
def one_study():
    """`one_study(**fields)`: one task, one method, one seed."""

    def make(**fields):
        task = StudyTask("HyperRL-PPO-v0", "cart", settings=CARTPOLE)
        values = {"title": "one", "tasks": [task], "methods": [Method("random")], "seeds": [0]}
        return Study(**{**values, "total_env_steps": 192, **fields})

    return make


@pytest.fixture
def two_by_three_by_three(one_study):
    """2 ids x 3 agents x 3 seeds."""
    return one_study(
        title="2 x 3 x 3",
        total_env_steps=128,
        tasks=[
            StudyTask("HyperRL-PPO-v0", "cart", settings=CARTPOLE),
            StudyTask("HyperRL-A2C-v0", "pole", 40, {"env_id": "CartPole-v1"}),
        ],
        methods=[
            Method("epgt"),
            Method("random"),
            Method("fixed", "largest", {"agent.action": "largest"}),
        ],
        seeds=[0, 1, 2],
        evaluate_episodes=1,
    )


@pytest.fixture
def table_of():
    return table


@pytest.fixture
def undisturbed(tmp_path):
    """`undisturbed(study)`: the table of its runs, each trained alone and at one go."""

    def train(study):
        folder = tmp_path / "undisturbed"
        for run in study.runs():
            TrainingRun(run.config, folder / run.folder).train(pictures=False)
            evaluate(folder / run.folder, study.evaluate_episodes)
        return table(folder, [run.folder for run in study.runs()])

    return train
