"""The studies of the training runs and of the evaluation are what the protocol says."""

import tomllib
from pathlib import Path

import pytest

from hyperrl_lab.ids import id_kwargs
from hyperrl_lab.studies.declaration import parse_seeds

ROOT = Path(__file__).parents[3]
TRAINING = {"HalfCheetah", "Hopper", "Walker2d", "LunarLanderContinuous"}
HELD_OUT = {"InvertedDoublePendulum", "Swimmer", "BipedalWalker", "Ant"}
# From Stable-Baselines3's settings there are three more tasks.
FROM_SB3 = TRAINING | {"Pendulum", "Acrobot-v1", "InvertedPendulum-v5"}
LEARNED_FROM = {
    **dict.fromkeys(("league", "controller"), TRAINING),
    **dict.fromkeys([f"experience-{number}" for number in (1, 2, 3, 6, 7, *range(10, 14))], TRAINING),
    **dict.fromkeys(("experience-4", "experience-5"), FROM_SB3),
    **dict.fromkeys(("experience-8", "experience-9"), TRAINING | {"Pendulum", "CartPole", "Humanoid"}),
    "league-a2c": TRAINING,
}
EVALUATIONS = {"evaluation-training-tasks": TRAINING, "evaluation-held-out-tasks": HELD_OUT}
# From Stable-Baselines3's settings, with the larger budget, the agent knows next to nothing of a new task.
ELSEWHERE = {
    "evaluation-sb3-100k": (100_000, TRAINING | HELD_OUT, range(10, 20), 5),
    "evaluation-sb3-300k": (300_000, TRAINING, range(10, 15), 5),
    "evaluation-100k": (100_000, TRAINING | HELD_OUT, range(10, 20), 9),
}


def declared(name):
    """A study's file as it is: one whose methods need other files cannot be read as a study without them."""
    return tomllib.loads((ROOT / "studies" / f"{name}.toml").read_text())


def tasks(found):
    """Their names, or the inner environments of generic ids."""
    return {id_kwargs(task["id"]).get("task") or task["settings"]["env_id"] for task in found["tasks"]}


@pytest.mark.parametrize("name", LEARNED_FROM)
def test_nothing_is_learned_on_a_held_out_task_or_a_seed_of_the_evaluation(name):
    found = declared(name)
    assert tasks(found) == LEARNED_FROM[name]
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


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_learned_elsewhere_has_new_seeds_and_the_control_that_matters_most(name):
    found, (budget, evaluated, seeds, last) = declared(name), ELSEWHERE[name]
    assert tasks(found) == evaluated
    assert parse_seeds(found["seeds"]) == list(seeds)
    assert found["total_env_steps"] == budget
    assert found.get("settings") == ({"settings": "sb3"} if "sb3" in name else None)
    assert {id_kwargs(task["id"])["algorithm"] for task in found["tasks"]} == {"PPO"}
    *controls, prior = found["methods"]
    assert [method["name"] for method in controls][:2] == ["default", "learning_rate 2x"]
    # The round that learned last left the file that is evaluated.
    assert prior == {"agent": "prior", "settings": {"experience": f"runs/experience-{last}.parquet"}}


def test_the_further_seeds_are_of_the_same_tasks_and_methods():
    found = declared("evaluation-further-seeds")
    assert tasks(found) == TRAINING | HELD_OUT
    assert parse_seeds(found["seeds"]) == list(range(15, 20))
    for name in EVALUATIONS:
        first = declared(name)
        assert [method for method in first["methods"] if method in found["methods"]] == found["methods"]
        assert all(first[key] == found[key] for key in ("total_env_steps", "evaluate_episodes", "baseline"))


def test_a_round_draws_from_the_file_that_the_round_before_left():
    for number in (2, 3, 5, 7, 9, 11, 13):
        (method,) = declared(f"experience-{number}")["methods"]
        assert method["agent"] == "prior"
        assert method["settings"] == {"sample": True, "experience": f"runs/experience-{number - 1}.parquet"}


def test_the_page_has_the_tasks_and_the_command_of_every_study():
    page = (ROOT / "docs" / "experience.md").read_text()
    assert all(task in page for task in TRAINING | HELD_OUT)
    assert all(
        f"studies/{name}.toml" in page
        for name in (*LEARNED_FROM, *EVALUATIONS, *ELSEWHERE, "evaluation-further-seeds")
    )
