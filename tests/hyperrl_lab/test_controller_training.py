"""A training of the controller on runs that are known functions of the weights, and on real ones."""

import json
from dataclasses import replace

import numpy as np
import pytest

import agents
from agents.controller_weights import FEATURES, HYPERPARAMETERS, N_WEIGHTS, read_weights
from hyperrl_lab.cli import main
from hyperrl_lab.config import read_config
from hyperrl_lab.controller_training import ControllerTraining
from hyperrl_lab.lock import InUseError
from hyperrl_lab.results import read_columns
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.studies.study import Method, Study, StudyTask

CARTPOLE = {"env_id": "CartPole-v1", "n_steps": 64, "batch_size": 32, "n_epochs": 1}
STUDY = Study(
    title="small",
    tasks=[StudyTask("HyperRL-PPO-v0", "cart", settings=CARTPOLE)],
    methods=[Method("fixed", "default")],
    seeds=[5, 6, 7],
    total_env_steps=128,
)
TWO_TASKS = replace(STUDY, tasks=[*STUDY.tasks, StudyTask("HyperRL-PPO-v0", "small", settings=CARTPOLE)])
# The best weights of a toy task.
BEST = np.random.default_rng(0).normal(size=N_WEIGHTS)


def score_of(run):
    """The toy: the nearer to the best weights, the better, on any scale; seeds and tasks add noise."""
    weights = run.config.agent_kwargs.get("weights", np.zeros(N_WEIGHTS))
    rng = np.random.default_rng([run.config.seed, run.task == "cart", int(abs(weights[0]) * 1e9)])
    score = -np.sum((BEST - weights) ** 2) + rng.normal()
    return float(score * (1000 if run.task == "cart" else 1))


def toy(study, folder, runs=None):
    for run in study.runs()[:runs]:
        (folder / run.folder).mkdir(parents=True, exist_ok=True)
        summary = {"status": "finished", "mean_return": score_of(run)}
        (folder / run.folder / "summary.json").write_text(json.dumps(summary))


def real(study, folder, runs=None):
    for run in study.runs()[:runs]:
        if not (folder / run.folder / "summary.json").exists():
            TrainingRun(run.config, folder / run.folder).train(pictures=False)


def train(folder, carry_out, study=STUDY, **kwargs):
    with ControllerTraining(study, folder, **{"generations": 2, "population": 4, **kwargs}) as training:
        while (generation := training.next_study()) is not None:
            carry_out(generation, training.runs)
            training.take()
        return training


def left_by(folder):
    return {name: (folder / name).read_bytes() for name in ("training.parquet", "controller.json")}


def test_it_moves_to_the_best_weights_of_a_toy(tmp_path):
    training = train(tmp_path, toy, TWO_TASKS, generations=8, population=16)
    weights = read_weights(str(tmp_path / "controller.json"))
    assert weights.weights == tuple(training.evolution.mean)
    assert np.linalg.norm(BEST - weights.weights) < 0.9 * np.linalg.norm(BEST)
    table = read_columns(tmp_path / "training.parquet")
    curve = [table["above_default"][table["generation"] == number].mean() for number in range(8)]
    assert curve[0] < 0.6
    assert curve[-1] == 1.0
    assert (tmp_path / "training.png").stat().st_size > 0
    assert weights.training["generations"] == 8
    assert weights.training["tasks"] == 2 * [{"id": "HyperRL-PPO-v0", "total_env_steps": 128}]


def test_a_member_has_the_scores_of_its_own_runs(tmp_path):
    with ControllerTraining(TWO_TASKS, tmp_path, population=4, seeds_per_generation=2) as training:
        study = training.next_study()
        assert study.seeds == [5, 6]
        toy(study, training.runs)
        training.take()
        assert training.next_study().seeds == [7, 5]
    table = read_columns(tmp_path / "training.parquet")
    runs = study.runs()
    assert len(runs) == 2 * 2 * 5
    for member in range(4):
        own = [run for run in runs if run.method == f"g000-m{member:02d}"]
        weights = [table[f"{name}.{feature}"][member] for name in HYPERPARAMETERS for feature in FEATURES]
        assert all(run.config.agent_kwargs["weights"] == weights for run in own)
        wins, above = 0, 0
        for run in own:
            same = [r for r in runs if (r.task, r.config.seed) == (run.task, run.config.seed)]
            wins += sum(score_of(run) > score_of(other) for other in same)
            above += score_of(run) > score_of(next(r for r in same if r.method == "default"))
        assert table["fitness"][member] == pytest.approx(wins / 4 / 4)
        assert table["above_default"][member] == above / 4


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a training at one go."""
    folder = tmp_path_factory.mktemp("training") / "whole"
    train(folder, real)
    return folder


@pytest.mark.parametrize(("generations", "runs"), [(0, 3), (1, 0), (1, None)])
def test_real_runs_cut_and_continued_are_the_undisturbed_training_to_the_bit(
    generations, runs, undisturbed, tmp_path
):
    """Cut within a generation, between two, and before the results of one are taken."""
    with ControllerTraining(STUDY, tmp_path / "cut", generations=2, population=4) as training:
        for _ in range(generations):
            real(training.next_study(), training.runs)
            training.take()
        real(training.next_study(), training.runs, runs)
    train(tmp_path / "cut", real)
    assert left_by(tmp_path / "cut") == left_by(undisturbed)


def test_what_came_out_can_be_used_and_the_run_does_not_depend_on_its_file(undisturbed, tmp_path):
    path = undisturbed / "controller.json"
    run = replace(STUDY, methods=[Method("controller", settings={"weights": str(path)})], seeds=[0]).runs()[0]
    TrainingRun(run.config, tmp_path / "run").train(pictures=False)
    recorded, _ = read_config(tmp_path / "run" / "config.json")
    assert recorded.agent_kwargs["weights"] == json.loads(path.read_text())


def test_with_more_generations_it_goes_on_and_with_enough_it_restores_its_files(tmp_path):
    train(tmp_path / "whole", toy, generations=3)
    train(tmp_path / "parts", toy, generations=1)
    train(tmp_path / "parts", toy, generations=3)
    assert left_by(tmp_path / "parts") == left_by(tmp_path / "whole")
    (tmp_path / "parts" / "controller.json").unlink()
    train(tmp_path / "parts", toy, generations=3)
    assert left_by(tmp_path / "parts") == left_by(tmp_path / "whole")


def test_a_run_without_an_episode_is_the_worst(tmp_path):
    with ControllerTraining(STUDY, tmp_path, population=4) as training:
        study = training.next_study()
        toy(study, training.runs)
        file = training.runs / study.runs()[2].folder / "summary.json"
        file.write_text(json.dumps({"status": "diverged", "mean_return": None}))
        training.take()
        assert training.evolution.generations[0].fitness[1] == 0.0


def test_runs_without_an_outcome_are_named(tmp_path):
    with ControllerTraining(STUDY, tmp_path, population=4) as training:
        toy(training.next_study(), training.runs, runs=4)
        with pytest.raises(ValueError, match=r"cart-g000-m03-5 has no outcome yet"):
            training.take()
    assert not (tmp_path / "training.parquet").exists()


@pytest.mark.parametrize(
    ("study", "kwargs", "message"),
    [
        (STUDY, {"seed": 1}, "another training: seed"),
        (STUDY, {"population": 5}, "another training: population"),
        (STUDY, {"seeds_per_generation": 2}, "another training: seeds_per_generation"),
        (replace(STUDY, total_env_steps=256), {}, "another training: study.total_env_steps"),
    ],
)
def test_the_folder_of_another_training_is_refused(study, kwargs, message, tmp_path):
    train(tmp_path, toy, generations=1)
    before = left_by(tmp_path)
    with pytest.raises(ValueError, match=message):
        train(tmp_path, toy, study, **kwargs)
    assert left_by(tmp_path) == before


def test_what_is_not_its_own_is_left_alone(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        ControllerTraining(STUDY, tmp_path / "full")
    with ControllerTraining(STUDY, tmp_path / "own", population=4):
        (tmp_path / "own" / "controller.json").write_text("mine")
        with pytest.raises(InUseError):
            ControllerTraining(STUDY, tmp_path / "own", population=4)
    with pytest.raises(FileExistsError, match=r"'controller.json', which this run did not write"):
        ControllerTraining(STUDY, tmp_path / "own", population=4)
    assert (tmp_path / "own" / "controller.json").read_text() == "mine"


@pytest.mark.parametrize("name", ["training.json", "training.parquet"])
@pytest.mark.parametrize("content", [b"", b"[]", b"PAR1"])
def test_damaged_files_are_named(name, content, tmp_path):
    train(tmp_path, toy, generations=1)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} (does not hold|is not the table)"):
        train(tmp_path, toy)


@pytest.mark.parametrize(
    ("study", "kwargs", "message"),
    [
        (replace(STUDY, methods=[Method("fixed"), Method("random")]), {}, r'methods = \["fixed"\], not 2'),
        (STUDY, {"seeds_per_generation": 4}, "cannot take 4 of 3 seeds"),
        (STUDY, {"generations": 0}, "generations must be a whole number of at least 1"),
        (STUDY, {"population": 2}, "population must be a whole number of at least 4"),
        (replace(STUDY, tasks=[StudyTask("HyperRL-A2C-CartPole-v0")]), {}, "PPO, not A2C"),
    ],
)
def test_impossible_trainings_are_refused(study, kwargs, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ControllerTraining(study, tmp_path / "new", **kwargs)
    assert not (tmp_path / "new").exists()


def test_errors_on_the_command_line(tmp_path, capsys):
    path = tmp_path / "study.toml"
    path.write_text('tasks = ["HyperRL-PPO-CartPole-v0"]\nseeds = "0-1"\nmethods = ["fixed", "random"]\n')
    assert main(["evolve", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "one method" in capsys.readouterr().err
    arguments = ["train", "HyperRL-PPO-CartPole-v0", "--agent", "controller", "--out", str(tmp_path / "run")]
    assert main([*arguments, "--set", "weights=nowhere.json"]) == 2
    assert "nowhere.json cannot be read" in capsys.readouterr().err
    arguments[1] = "HyperRL-A2C-CartPole-v0"
    assert main(arguments) == 2
    assert "Agent 'controller' can handle PPO, not A2C." in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert "controller" in agents.AGENTS
