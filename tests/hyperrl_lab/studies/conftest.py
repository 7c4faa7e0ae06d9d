"""Small studies, what a sweep of them must leave, and folders of runs without training."""

import json
import time

import pytest

from hyperrl_lab.config import RunConfig, write_config
from hyperrl_lab.evaluation import evaluate
from hyperrl_lab.results import EPISODES_FILE, SUMMARY_FILE, EpisodeLog
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.studies.record import write_record
from hyperrl_lab.studies.study import Method, Study, StudyTask

CARTPOLE = {"env_id": "CartPole-v1", "n_steps": 64, "batch_size": 32, "n_epochs": 2}
HOPPER = "HyperRL-PPO-Hopper-v0"
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


def _leave(folder, returns, config=None, status="finished", length=10, extra=0):
    """A run's folder: episodes of 10 environment steps with these returns."""
    folder.mkdir(parents=True)
    config = config or RunConfig(HOPPER, "random", 0, length * len(returns))
    write_config(config, folder)
    log = EpisodeLog(n_envs=1)
    for number, value in enumerate(returns):
        log.record(length * (number + 1), [value], [length])
    log.write(folder / EPISODES_FILE)
    if status is not None:
        summary = {
            "status": status,
            "env_steps": length * len(returns),
            "diverged_steps": 1,
            "extra_env_steps": extra,
        }
        summary |= {"seconds": 2.0, "steps_per_second": length * len(returns) / 2}
        (folder / SUMMARY_FILE).write_text(json.dumps(summary))
    return folder


@pytest.fixture
def leave_run():
    """`leave_run(folder, returns, config, status, length)` makes a run's folder; see `_leave`."""
    return _leave


@pytest.fixture
def leave_study():
    """`leave_study(folder, study, score)` makes a study's folder; `score(run)` gives each run's returns."""

    def leave(folder, study, score):
        folder.mkdir(parents=True, exist_ok=True)
        write_record(study, folder)
        for run in study.runs():
            _leave(folder / run.folder, score(run), run.config)
        return folder

    return leave
