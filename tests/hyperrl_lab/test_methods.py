"""Methods to compare with, from the command line, on a task of the league."""

import itertools

import pytest

from hyperrl_lab.cli import main
from hyperrl_lab.config import read_config
from hyperrl_lab.run import TrainingRun

TABLES = ("actions.parquet", "episodes.parquet", "phases.parquet")
# Environment steps: a few phases, of 2,048 steps with PPO on Hopper, of 80 with A2C on HalfCheetah.
PPO, A2C = ("HyperRL-PPO-Hopper-v0", "6144"), ("HyperRL-A2C-HalfCheetah-v0", "2400")
METHODS = {
    **dict.fromkeys(("adaptive_kl", "constant", "linear_decay", "ultho", "hypercontroller", "prior"), PPO),
    **dict.fromkeys(("hoof", "tmg", "lrrl"), A2C),
}
# With so few steps the shipped experience says nothing: what improves on it is drawn at random.
OPTIONS = {"hoof": ["--set", "agent.candidates=5"], "prior": ["--set", "agent.sample=true"]}


def tables(folder):
    return {name: (folder / name).read_bytes() for name in TABLES}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_repeats_by_seed_and_resumes_to_the_same_result(method, tmp_path, capsys):
    id_, steps = METHODS[method]
    command = ["train", id_, "--agent", method, "--total-env-steps", steps, *OPTIONS.get(method, [])]
    once, other, cut = (tmp_path / name for name in ("once", "other", "cut"))
    assert main([*command, "--seed", "3", "--out", str(once)]) == 0
    assert (once / "schedule.png").stat().st_size > 10_000
    config, _ = read_config(once / "config.json")
    assert len(tables(once)) == len(TABLES)
    count = itertools.count()
    run = TrainingRun(config, cut, checkpoint_minutes=0)
    assert run.train(stop=lambda: next(count) == 2, pictures=False)["status"] == "interrupted"
    assert main(["resume", str(cut)]) == 0
    assert tables(cut) == tables(once)
    assert main([*command, "--seed", "4", "--out", str(other)]) == 0
    assert tables(other)["phases.parquet"] != tables(once)["phases.parquet"]
