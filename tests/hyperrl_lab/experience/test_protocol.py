"""The studies of the training runs and of the evaluation are what the protocol says."""

import tomllib
from pathlib import Path

import pytest

from hyperrl_lab.ids import id_kwargs
from hyperrl_lab.studies.declaration import parse_seeds

ROOT = Path(__file__).parents[3]
TRAINING = {"HalfCheetah", "Hopper", "Walker2d", "LunarLanderContinuous"}
HELD_OUT = {"InvertedDoublePendulum", "Swimmer", "BipedalWalker", "Ant"}
LEARNED_FROM = ("league", "experience-1", "experience-2", "experience-3", "controller")
EVALUATIONS = {"evaluation-training-tasks": TRAINING, "evaluation-held-out-tasks": HELD_OUT}


def declared(name):
    """A study's file as it is: one whose methods need other files cannot be read as a study without them."""
    return tomllib.loads((ROOT / "studies" / f"{name}.toml").read_text())


def tasks(found):
    return {id_kwargs(task["id"])["task"] for task in found["tasks"]}


@pytest.mark.parametrize("name", LEARNED_FROM)
def test_nothing_is_learned_on_a_held_out_task_or_a_seed_of_the_evaluation(name):
    found = declared(name)
    assert tasks(found) == TRAINING
    assert not set(parse_seeds(found["seeds"])) & set(range(10, 20))


@pytest.mark.parametrize("name", EVALUATIONS)
def test_the_evaluation_has_new_seeds_and_every_control(name):
    found = declared(name)
    assert tasks(found) == EVALUATIONS[name]
    assert set(parse_seeds(found["seeds"])) == set(range(10, 15))
    assert found["baseline"] == "default"
    methods = [(method["agent"], method.get("settings", {})) for method in found["methods"]]
    agents = {agent for agent, _ in methods}
    assert agents == {"fixed", "random", "epgt", "adaptive_kl", "prior", "controller"}
    names = {method.get("name") for method in found["methods"]}
    assert {"prior without slopes", "controller, shuffled", "EPGT with carried memory"} <= names
    # What is evaluated is the file that ships.
    assert not any("experience" in settings for agent, settings in methods if agent == "prior")


def test_a_round_draws_from_the_file_that_the_round_before_left():
    for number in (2, 3):
        (method,) = declared(f"experience-{number}")["methods"]
        assert method["agent"] == "prior"
        assert method["settings"] == {"sample": True, "experience": f"runs/experience-{number - 1}.parquet"}


def test_the_page_has_the_tasks_and_the_command_of_every_study():
    page = (ROOT / "docs" / "experience.md").read_text()
    assert all(task in page for task in TRAINING | HELD_OUT)
    assert all(f"studies/{name}.toml" in page for name in (*LEARNED_FROM, *EVALUATIONS))
