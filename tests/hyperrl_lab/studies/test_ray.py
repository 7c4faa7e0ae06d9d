"""A sweep on a Ray cluster of two nodes, of which one dies, does what the same sweep does on one machine."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

import pytest

from hyperrl_lab.cli import main
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.studies.ray_cluster import RayCluster
from hyperrl_lab.studies.shipping import pack, unpack
from hyperrl_lab.studies.sweep import LOGS, sweep

SECONDS = 600
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes on this machine, joined by the address of the first, with a core each."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    # Nodes find the package as this process does.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    # The paths of sockets are short.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "temp_dir": folder})
        try:
            cluster.second = cluster.add_node(**NODE)
            yield cluster
        finally:
            cluster.shutdown()


def shipped(folder):
    """Runs that have sent a checkpoint, and not yet their results."""
    runs = {path.parents[1].name for path in folder.glob("*/checkpoints/step-*")}
    return runs - {path.parent.name for path in folder.glob("*/summary.json")}


def test_a_node_that_dies_changes_nothing(
    cluster, two_by_three_by_three, undisturbed, table_of, as_toml, wait_for, tmp_path
):
    cart, pole = two_by_three_by_three.tasks
    # Long enough to be seen at work.
    tasks = [replace(cart, total_env_steps=4_096), replace(pole, total_env_steps=200)]
    study, folder = replace(two_by_three_by_three, tasks=tasks), tmp_path / "sweep"
    file = as_toml(study, tmp_path / "study.toml")
    options = ["--backend", "ray", "--address", cluster.address, "--checkpoint-minutes", "0"]
    with subprocess.Popen(
        [sys.executable, "-m", "hyperrl_lab", "sweep", str(file), "--out", str(folder), *options],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as sweep:
        try:
            # Each of the nodes has one of the two.
            wait_for(lambda: len(shipped(folder)) == 2)
            cluster.remove_node(cluster.second, allow_graceful=False)
            out, _ = sweep.communicate(timeout=SECONDS)
        finally:
            if sweep.poll() is None:
                os.killpg(sweep.pid, signal.SIGKILL)
    assert out.split()[-4:] == ["18", "18", "0", "0"]
    runs = [run.folder for run in study.runs()]
    assert table_of(folder, runs) == undisturbed(study)
    # Only what ran on the dead node was begun twice, the second time from its checkpoint.
    logs = [(folder / LOGS / f"{run}.log").read_text() for run in runs]
    assert sorted(log.count(", seed ") for log in logs) == [1] * 17 + [2]
    assert "".join(logs).count("continuing after ") == 1


def test_a_run_with_more_threads_than_a_node_has_cores_fails_at_once(cluster, one_study, tmp_path):
    # Two nodes of one core have two together, which no run can have.
    until = time.monotonic() + SECONDS / 10
    executor = RayCluster(cluster.address)
    study = one_study(threads=2)
    outcome = sweep(study, tmp_path, executor=executor, stop=lambda: time.monotonic() > until)
    assert outcome.interrupted == ()
    (failure,) = outcome.failed
    assert "cart-random-0 has 2 threads, and the largest node of the Ray cluster has 1 core" in failure.error


def test_what_is_shipped_goes_on_where_it_was_cut(small, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    run = TrainingRun(small["ppo"], first, checkpoint_minutes=0)
    (first / "notes.txt").write_text("mine")
    run.train(stop=lambda: run.progress.hyper_steps >= 5, pictures=False)
    files = pack(first)
    assert "notes.txt" not in files
    assert len([name for name in files if name.startswith("checkpoints/")]) == 1
    unpack(files, second)
    assert pack(second) == files
    TrainingRun(small["ppo"], second, resume=True).train(pictures=False)
    unpack(pack(second), first)
    TrainingRun(small["ppo"], tmp_path / "whole").train(pictures=False)
    for name in ("actions.parquet", "episodes.parquet"):
        assert (first / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert (first / "notes.txt").read_text() == "mine"
    assert pack(tmp_path / "nothing") == {}


def test_a_file_of_the_users_is_not_replaced_by_a_result(small, tmp_path):
    TrainingRun(small["ppo"], tmp_path / "run").train(pictures=False)
    here = tmp_path / "here"
    here.mkdir()
    (here / "summary.json").write_text("mine")
    with pytest.raises(FileExistsError, match=r"summary\.json"):
        unpack(pack(tmp_path / "run"), here)
    assert (here / "summary.json").read_text() == "mine"


ARGUMENTS = ["--id", "HyperRL-PPO-CartPole-v0", "--total-env-steps", "2048", "--backend", "ray"]


def test_an_address_where_nobody_answers_is_an_error(tmp_path, capsys):
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    assert main(["sweep", *ARGUMENTS, "--address", address, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert f"No Ray cluster answers at '{address}': " in error
    assert "ray start --head" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_something_else_that_answers_is_an_error(tmp_path, capsys, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr("hyperrl_lab.cluster._CONNECT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        assert main(["sweep", *ARGUMENTS, "--address", address, "--out", str(tmp_path / "out")]) == 2
    assert f"No Ray cluster answers at '{address}'. Start one" in capsys.readouterr().err


def test_without_ray_the_error_names_the_extra(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["sweep", *ARGUMENTS, "--out", str(tmp_path / "out")]) == 2
    assert "A cluster needs ray, which is an extra: pip install 'hyperrl[ray]'" in capsys.readouterr().err


def test_an_address_needs_the_backend(tmp_path, capsys):
    arguments = [*ARGUMENTS[:4], "--address", "127.0.0.1:6379", "--out", str(tmp_path / "out")]
    assert main(["sweep", *arguments]) == 2
    assert "add --backend ray" in capsys.readouterr().err


def test_ray_is_not_imported_without_need():
    code = "import sys, hyperrl_lab.cli, hyperrl_lab.studies.ray_cluster; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
