"""The evaluation of a run, against Stable-Baselines3's own of the model that it exported."""

import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize

from hyperrl_env import CheckpointError
from hyperrl_lab import evaluation
from hyperrl_lab.cli import main
from hyperrl_lab.config import RunConfig
from hyperrl_lab.evaluation import EVALUATION_FILE, evaluate, evaluation_seed
from hyperrl_lab.folder import RunFolder
from hyperrl_lab.lock import FolderLock
from hyperrl_lab.run import POLICY_FILE, TrainingRun

SMALL_PPO = {"learner_kwargs": {"n_steps": 64, "batch_size": 32, "n_epochs": 2}}
RUNS = {
    "plain": (RunConfig("HyperRL-PPO-v0", "random", 3, 192, {"env_id": "CartPole-v1", **SMALL_PPO}), PPO),
    "normalised": (RunConfig("HyperRL-PPO-Pendulum-v0", "random", 3, 600, SMALL_PPO), PPO),
    "many-envs": (RunConfig("HyperRL-A2C-Pendulum-v0", "random", 3, 600), A2C),
    "gsde": (
        RunConfig(
            "HyperRL-A2C-v0",
            "random",
            3,
            64,
            {"env_id": "Pendulum-v1", "learner_kwargs": {"use_sde": True}, "backend": "eager"},
        ),
        A2C,
    ),
}
TASKS = {
    "plain": "CartPole-v1",
    "normalised": "Pendulum-v1",
    "many-envs": "Pendulum-v1",
    "gsde": "Pendulum-v1",
}


def train(config, folder):
    TrainingRun(config, folder).train(pictures=False)
    return folder


@pytest.fixture(scope="module", params=RUNS)
def trained(request, tmp_path_factory):
    config, algorithm = RUNS[request.param]
    return request.param, train(config, tmp_path_factory.mktemp("run")), algorithm


def sb3_evaluation(envs, model, normalizer, seed):
    """By Stable-Baselines3 alone, from its own files."""
    if normalizer.exists():
        envs = VecNormalize.load(str(normalizer), envs)
        envs.training = envs.norm_reward = False
    envs.seed(seed)
    return evaluate_policy(model, envs, n_eval_episodes=3, return_episode_rewards=True)


def test_it_is_the_evaluation_of_stable_baselines3(trained):
    name, folder, algorithm = trained
    result = evaluate(folder, episodes=3, seed=17)
    model = algorithm.load(folder / "model.zip", device="cpu")
    returns, lengths = sb3_evaluation(make_vec_env(TASKS[name]), model, folder / "vecnormalize.pkl", 17)
    assert (result["returns"], result["lengths"]) == ([float(value) for value in returns], lengths)
    assert result["mean_return"] == pytest.approx(np.mean(returns))
    assert json.loads((folder / EVALUATION_FILE).read_text()) == result
    assert EVALUATION_FILE in RunFolder(folder).own()


def test_on_atari_it_plays_whole_games(tmp_path):
    pytest.importorskip("cv2")
    kwargs = {"n_envs": 1, "learner_kwargs": {"n_steps": 8, "batch_size": 8, "n_epochs": 1}}
    train(RunConfig("HyperRL-PPO-Breakout-v0", "fixed", 0, 8, kwargs), tmp_path)
    result = evaluate(tmp_path, episodes=1, seed=1)
    envs = VecFrameStack(
        make_atari_env(
            "ALE/Breakout-v5", env_kwargs={"frameskip": 1, "repeat_action_probability": 0.0}, seed=1
        ),
        4,
    )
    returns, _ = evaluate_policy(
        PPO.load(tmp_path / "model.zip", device="cpu"),
        envs,
        n_eval_episodes=1,
        return_episode_rewards=True,
    )
    assert result["returns"] == returns


def test_the_seed_is_never_that_of_training(trained):
    _, folder, _ = trained
    assert evaluate(folder, episodes=1)["seed"] == 3 + 2**31
    seeds = np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 1])
    assert all(evaluation_seed(int(seed)) != seed for seed in seeds)
    assert all(0 <= evaluation_seed(int(seed)) < 2**32 for seed in seeds)


def test_equal_seeds_give_equal_episodes_and_leave_the_global_generators_alone(trained):
    _, folder, _ = trained
    first = evaluate(folder, episodes=2, seed=5)
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert evaluate(folder, episodes=2, seed=5) == first
    drawn = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    assert drawn == (random.random(), np.random.rand(), torch.rand(1).item())


def test_the_command_tells_every_run_and_goes_on_after_a_bad_one(trained, tmp_path, capsys):
    _, folder, _ = trained
    assert main(["evaluate", str(tmp_path / "none"), str(folder), "--episodes", "2"]) == 2
    told = capsys.readouterr()
    assert f"{folder}: mean return" in told.out
    assert "over 2 episodes, after" in told.out
    assert "config.json cannot be read" in told.err


def test_a_return_that_is_not_finite_is_told_and_leaves_json(small, tmp_path, monkeypatch, capsys):
    train(small["ppo"], tmp_path)
    monkeypatch.setattr(evaluation, "play", lambda *args, **kwargs: ([1.0, float("nan")], [9, 9]))
    assert main(["evaluate", str(tmp_path)]) == 0
    assert "a return is not a finite number" in capsys.readouterr().out

    def refuse(constant):
        raise AssertionError(constant)

    written = json.loads((tmp_path / EVALUATION_FILE).read_text(), parse_constant=refuse)
    assert written["returns"] == [1.0, None]
    assert written["mean_return"] is written["std_return"] is None
    assert main(["show", str(tmp_path)]) == 0
    assert "is not a finite number" in capsys.readouterr().out
    assert main(["results", str(tmp_path), "--metric", "evaluation_mean"]) == 0


def test_a_run_without_results_says_how_to_get_them(small, tmp_path):
    TrainingRun(small["ppo"], tmp_path).close()
    with pytest.raises(CheckpointError, match=r"has written no results yet.*hyperrl resume"):
        evaluate(tmp_path)


def test_a_run_in_progress_is_not_touched(trained):
    _, folder, _ = trained
    with FolderLock(folder), pytest.raises(FileExistsError, match="in use by"):
        evaluate(folder, episodes=1)


def test_a_file_of_another_origin_is_kept(small, tmp_path):
    train(small["ppo"], tmp_path)
    (tmp_path / EVALUATION_FILE).write_text("mine")
    with pytest.raises(FileExistsError, match="will not overwrite"):
        evaluate(tmp_path, episodes=1)
    assert (tmp_path / EVALUATION_FILE).read_text() == "mine"


def test_a_damaged_policy_is_refused(small, tmp_path):
    train(small["ppo"], tmp_path)
    path = tmp_path / POLICY_FILE
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"policy\.zip"):
        evaluate(tmp_path, episodes=1)


@pytest.mark.parametrize("others", ["normalised", "many-envs"])
def test_a_policy_of_another_network_is_refused(others, small, tmp_path):
    folder = train(small["ppo"], tmp_path / "run")
    other = train(RUNS[others][0], tmp_path / "other")
    (folder / POLICY_FILE).write_bytes((other / POLICY_FILE).read_bytes())
    with pytest.raises(CheckpointError, match="another configuration"):
        evaluate(folder, episodes=1)


@pytest.mark.parametrize("options", [["--episodes", "0"], ["--seed", "-1"], ["--seed", str(2**32)]])
def test_numbers_out_of_range_are_refused(options, trained, capsys):
    _, folder, _ = trained
    assert main(["evaluate", str(folder), *options]) == 2
    assert options[0].strip("-") in capsys.readouterr().err


def test_a_memory_is_kept_entry_by_entry(small, tmp_path):
    run = TrainingRun(small["epgt"], tmp_path)
    run.train(pictures=False)
    memory, table = run._agent.memory, pq.read_table(tmp_path / "memory.parquet")
    keys = np.stack([table[f"key_{i}"].to_numpy() for i in range(memory.keys.shape[1])], axis=1)
    assert len(memory) > 5
    assert keys.tobytes() == np.ascontiguousarray(memory.keys).tobytes()
    assert table["action"].to_pylist() == memory.actions.tolist()
    assert table["value"].to_pylist() == memory.values.tolist()
