"""The study of the training runs is what the protocol says."""

from pathlib import Path

import pytest

from hyperrl_env.settings import get_settings
from hyperrl_lab.ids import id_kwargs
from hyperrl_lab.studies.declaration import read_study

ROOT = Path(__file__).parents[3]
HELD_OUT = ("InvertedDoublePendulum", "Swimmer", "BipedalWalker", "Ant")
TRAINING = (
    *("HalfCheetah", "Hopper", "Walker2d", "LunarLanderContinuous", "Pendulum"),
    *("Acrobot-v1", "InvertedPendulum-v5"),
)


@pytest.fixture(scope="module")
def configs():
    return [run.config for run in read_study(ROOT / "studies" / "experience-training.toml").runs()]


def trained(config):
    return id_kwargs(config.id).get("task") or config.env_kwargs["env_id"]


def test_tasks_budgets_and_seeds(configs):
    assert {trained(config) for config in configs} == set(TRAINING)
    assert {config.total_env_steps for config in configs} == {100_000, 300_000, 1_000_000}
    assert {config.seed for config in configs} == set(range(100, 110))
    assert {config.agent for config in configs} == {"random_schedule"}


def test_every_task_has_both_shorter_budgets_from_every_starting_point(configs):
    for task in TRAINING:
        starts = {"paper", "sb3"} if task in TRAINING[:5] else {"paper"}
        for budget in (100_000, 300_000):
            same = [c for c in configs if (trained(c), c.total_env_steps) == (task, budget)]
            assert {c.env_kwargs.get("settings", "paper") for c in same} == starts
            assert len(same) == 10 * len(starts)
            for config in same:
                point = config.env_kwargs.get("settings", "paper")
                get_settings("PPO", id_kwargs(config.id).get("task"), point)


def test_the_page_names_what_the_study_has():
    page = (ROOT / "docs" / "experience.md").read_text()
    assert all(task in page for task in (*TRAINING, *HELD_OUT))
    assert "100 to 109" in page
