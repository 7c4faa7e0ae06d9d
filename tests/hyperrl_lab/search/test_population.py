"""Populations on one small Ray instance, started here; another process joins it by its address."""

import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import ray
from ray import cloudpickle

import hyperrl_lab.search.population
from hyperrl_env.saving.checkpoint import read_checkpoint
from hyperrl_lab.cluster import connected
from hyperrl_lab.evaluation import evaluate
from hyperrl_lab.search.member import Member
from hyperrl_lab.search.methods import search_config
from hyperrl_lab.search.population import MemberTrainable, member_config, run_population

# Of the optimiser in Ray's PB2.
pytestmark = pytest.mark.filterwarnings("ignore:.*`disp` and `iprint` options:DeprecationWarning")

ROOT = Path(__file__).parents[3]
SECONDS = 600
SPACE = {"learning_rate": {"low": 1e-4, "high": 1e-2}, "batch_size": {"low": 8, "high": 64}}
TOTAL, EVERY = 1_536, 512


@pytest.fixture(scope="module")
def _instance():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Twice as many cores as members: Ray can lose that of a killed process for good.
        ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


@pytest.fixture
def population(_instance, run_config, tmp_path):
    """`population(method, name, total_env_steps)`: its folder and summary."""

    def run(method, name="population", total_env_steps=TOTAL, **kwargs):
        folder = tmp_path / name
        config, choices = search_config(
            run_config(SPACE, total_env_steps), method, population=2, perturb_every=EVERY
        )
        return folder, run_population(config, folder, choices, pictures=False, **kwargs)

    return run


def details(folder):
    return json.loads((folder / "search.json").read_text())


def checkpoints(folder, member):
    """The states of a member after its intervals, as far as Ray has kept them."""
    return sorted((folder / "ray" / f"member-{member}").glob("checkpoint_*/member.zip"))


def kill_a_worker_at_work(folder, killed):
    """Kills a process of the population in a later interval, while it trains."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and not killed:
        if list(folder.glob("ray/member-*/checkpoint_*")):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    # Ray names its processes after what they do.
                    if "MemberTrainable.train" in " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)
                        break
        time.sleep(0.005)


def test_a_population_and_one_whose_worker_is_killed(population, run_config, tmp_path):
    told = []
    folder, summary = population("pbt", on_interval=told.append)
    assert (summary["status"], summary["runs"]) == ("finished", 2)
    # Each member has the budget; the cost is that of both.
    assert summary["env_steps"] == 2 * TOTAL
    assert len(told) == 2 * TOTAL / EVERY
    runs = details(folder)["runs"]
    assert summary["mean_return"] == max(run["score"] for run in runs)
    assert [run["intervals"][0]["copied_from"] for run in runs] == [None, None]
    copies = [
        (number, run["intervals"][k])
        for number, run in enumerate(runs)
        for k in range(len(run["intervals"]))
        if run["intervals"][k]["copied_from"] is not None
    ]
    # Of two members, the worse one copies the better one after every interval but the last.
    assert len(copies) == TOTAL / EVERY - 1
    assert all(interval["copied_from"] == 1 - number for number, interval in copies)
    assert all(
        SPACE[name]["low"] <= value <= SPACE[name]["high"]
        for run in runs
        for interval in run["intervals"]
        for name, value in interval["hyperparameters"].items()
    )
    # The folder is that of a run: its policy is that of the best member.
    assert evaluate(folder, episodes=1)["env_steps"] == TOTAL

    killed = []
    killer = threading.Thread(target=kill_a_worker_at_work, args=(tmp_path / "killed", killed))
    killer.start()
    again, same = population("pbt", "killed")
    killer.join(SECONDS)
    assert killed
    assert list(again.glob("ray/member-*/error.txt")), "no member failed"
    assert same["env_steps"] == summary["env_steps"]
    assert details(again) == details(folder)


def test_what_follows_a_copy_follows_from_the_donors_checkpoint(population, run_config, bits_of):
    folder, _ = population("pb2", total_env_steps=2 * EVERY)
    runs = details(folder)["runs"]
    number = next(n for n, run in enumerate(runs) if run["intervals"][1]["copied_from"] is not None)
    config, _ = search_config(run_config(SPACE, 2 * EVERY), "pb2", population=2, perturb_every=EVERY)
    values = runs[number]["intervals"][1]["hyperparameters"]
    states = []
    for start in (checkpoints(folder, 1 - number)[0], checkpoints(folder, number)[-1]):
        member = Member(member_config(config, number), values)
        member.load(start)
        if not member.finished:
            assert member.progress.env_steps == EVERY
            member.advance(2 * EVERY)
        states.append(bits_of(member._inner.learner) | {"score": member.score})
        member.close()
    assert states[0] == states[1]


class SlowToSave(MemberTrainable):
    """Member 1 is the better one, and is being saved while member 0 is done with its first interval."""

    def step(self):
        result, number = super().step(), self._member.config.agent_kwargs["member"]
        deadline = time.monotonic() + 60
        while number == 0 and not self._saving().exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return result | {"score": number}

    def save_checkpoint(self, checkpoint_dir):
        super().save_checkpoint(checkpoint_dir)
        self._saving().touch()
        # Nothing tells a member that another one's result has arrived.
        time.sleep(3)

    def _saving(self):
        return Path(self._storage.experiment_fs_path) / "saving"


def test_what_a_member_copied_is_not_written_over(population, monkeypatch):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(hyperrl_lab.search.population, "MemberTrainable", SlowToSave)
    folder, _ = population("pbt", total_env_steps=2 * EVERY)
    assert details(folder)["runs"][0]["intervals"][1]["copied_from"] == 1
    # Saved once to be paused, and once, while that went on, to be copied.
    steps = [read_checkpoint(path)["info"]["env_steps"] for path in checkpoints(folder, 1)]
    assert steps == [EVERY, EVERY, 2 * EVERY]


@pytest.mark.usefixtures("_instance")
def test_another_process_joins_by_address(tmp_path):
    address = ray.get_runtime_context().gcs_address
    arguments = [
        *("search", "HyperRL-PPO", "--method", "pb2", "--population", "2", "--perturb-every", "128"),
        *("--set", "env_id=CartPole-v1", "--set", "n_steps=64", "--set", "batch_size=32"),
        *("--total-env-steps", "256", "--address", address, "--out", str(tmp_path / "joined")),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "hyperrl_lab", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "finished after 512 env steps in 2 runs" in done.stdout
    assert details(tmp_path / "joined")["env_steps"] == 512


def test_a_population_is_not_continued(population):
    population("pbt", total_env_steps=128)
    with pytest.raises(FileExistsError, match="already holds a population"):
        population("pbt", total_env_steps=128)


@pytest.mark.usefixtures("_instance")
def test_a_connection_that_is_there_is_used_and_stays():
    with connected("127.0.0.1:1"):
        assert ray.is_initialized()
    assert ray.is_initialized()


def test_a_cluster_has_its_own_workers():
    with pytest.raises(ValueError, match="not both"), connected("auto", cores=2):
        pass
