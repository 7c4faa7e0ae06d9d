import csv
import io
import json
import zipfile

import gymnasium as gym
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from stable_baselines3 import A2C, PPO
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

import agents
from hyperrl_env import Hyperparameter
from hyperrl_lab import run as run_module
from hyperrl_lab.cli import main
from hyperrl_lab.config import CONFIG_FILE, RunConfig, read_config
from hyperrl_lab.log import _CSV
from hyperrl_lab.results import acting, chosen_hyperparameters, read_actions, read_episodes
from hyperrl_lab.run import TrainingRun, make_env
from hyperrl_lab.summaries import shares


def weights(folder):
    """Everything in the policy file of the saved model, as bytes by name."""
    with zipfile.ZipFile(folder / "model.zip") as model:
        state = torch.load(io.BytesIO(model.read("policy.pth")), weights_only=True)
    return {name: tensor.numpy().tobytes() for name, tensor in state.items()}


def train(config, folder, **kwargs):
    run = TrainingRun(config, folder)
    return run, run.train(**{"pictures": False, **kwargs})


def replay(config):
    """The same run by a plain loop: (info before, action, reward, info after) per step, phase infos."""
    env = gym.make(config.id, total_env_steps=config.total_env_steps, **config.env_kwargs)
    agent = agents.make(config.agent, env, seed=config.seed, **config.agent_kwargs)
    obs, info = env.reset(seed=config.seed)
    steps, phases = [], [info]
    while not info["run_finished"]:
        action = agent.act(obs, info)
        next_obs, reward, terminated, truncated, next_info = env.step(action)
        agent.observe(obs, action, reward, next_obs, terminated, truncated, next_info)
        steps.append((info, action, reward, next_info))
        if "phase_stats" in next_info:
            phases.append(next_info)
        obs, info = next_obs, next_info
        if (terminated or truncated) and not info["run_finished"]:
            obs, info = env.reset()
    env.close()
    return steps, phases


@pytest.mark.parametrize("name", ["ppo", "epgt", "dqn", "a2c", "box", "multi", "phase"])
def test_the_files_hold_what_was_stepped(name, small, tmp_path):
    config = small[name]
    _, summary = train(config, tmp_path)
    steps, phases = replay(config)
    columns = read_actions(tmp_path)
    assert len(columns["phase"]) == summary["hyper_steps"] == len(steps)
    actions = [column for column in columns if column.startswith("action")]
    np.testing.assert_array_equal(
        np.stack([columns[column] for column in actions], axis=-1),
        np.reshape([action for _, action, _, _ in steps], (len(steps), -1)),
    )
    for column in ("env_steps", "phase", "update_step"):
        assert columns[column].tolist() == [before[column] for before, _, _, _ in steps]
    for column in steps[0][3]["hyperparameters"]:
        assert columns[column].tolist() == [after["hyperparameters"][column] for *_, after in steps]
    assert columns["hyper_reward"].tolist() == [reward for _, _, reward, _ in steps]
    assert columns["diverged"].tolist() == [after["diverged"] for *_, after in steps]

    episodes = read_episodes(tmp_path)
    returns = [r for info in phases for r in info["phase_stats"]["returns"]]
    assert episodes["return"].tolist() == returns
    assert episodes["length"].tolist() == [n for info in phases for n in info["phase_stats"]["lengths"]]
    assert (np.diff(episodes["env_steps"]) >= 0).all()
    assert summary["episodes"] == len(returns)
    assert summary["mean_return"] == pytest.approx(np.mean(returns[-100:]))
    assert (summary["env_steps"], summary["phases"]) == (phases[-1]["env_steps"], phases[-1]["phase"])


@pytest.mark.parametrize("name", ["epgt", "dqn", "a2c", "box"])
def test_the_same_configuration_gives_the_same_bits(name, small, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train(small[name], first)
    # What others draw must not matter.
    np.random.seed(1)
    torch.manual_seed(1)
    repeated, _ = read_config(first / CONFIG_FILE)
    train(repeated, second)
    for file in ("actions.parquet", "episodes.parquet", CONFIG_FILE):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    assert weights(first) == weights(second)


def test_another_seed_gives_another_run(small, tmp_path):
    config = small["ppo"]
    train(config, tmp_path / "first")
    train(
        RunConfig(config.id, config.agent, 4, config.total_env_steps, config.env_kwargs), tmp_path / "second"
    )
    assert weights(tmp_path / "first") != weights(tmp_path / "second")


def test_the_folder_holds_everything(small, tmp_path):
    folder = tmp_path / "new" / "folder"
    run, summary = train(small["epgt"], folder, pictures=True)
    files = {path.name for path in folder.iterdir() if not path.name.startswith("events.out.tfevents")}
    assert files == {
        *("config.json", "summary.json", "actions.parquet", "episodes.parquet", "progress.csv"),
        *("model.zip", "policy.zip", "memory.parquet", "phases.parquet", "checkpoints", "files.json"),
        *("learning_curve.png", "schedule.png", "memory.png"),
    }
    assert len(list(folder.glob("events.out.tfevents*"))) == 1
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert summary["status"] == "finished"
    assert summary["env_steps"] == summary["phases"] * 64 == 512
    assert summary["diverged_steps"] == 0
    assert summary["seconds"] > 0
    assert summary["steps_per_second"] == pytest.approx(512 / summary["seconds"])
    assert read_config(folder / CONFIG_FILE)[0] == run.config


def test_what_an_agent_spends_beside_the_run_is_reported(small, tmp_path, capsys):
    """Two trials of 5 steps in 8 environments before each update but the last, which no phase follows."""
    summary = TrainingRun(small["lookahead"], tmp_path).train(pictures=False)
    assert summary["env_steps"] == 400
    assert (
        summary["extra_env_steps"] == json.loads((tmp_path / "summary.json").read_text())["extra_env_steps"]
    )
    assert summary["extra_env_steps"] == 9 * 2 * 40
    assert main(["show", str(tmp_path)]) == 0
    assert "400 env steps and 720 of the agent" in capsys.readouterr().out


def test_the_configuration_is_kept_in_full(tmp_path):
    run = TrainingRun(RunConfig("HyperRL-A2C-MountainCar", "fixed"), tmp_path)
    assert read_config(tmp_path / CONFIG_FILE)[0] == run.config
    assert (run.config.id, run.config.total_env_steps) == ("HyperRL-A2C-MountainCar-v0", 20_000)


@pytest.mark.parametrize(("name", "cls"), [("ppo", PPO), ("a2c", A2C)])
def test_the_model_is_stable_baselines3s(name, cls, small, tmp_path):
    run, _ = train(small[name], tmp_path)
    model = cls.load(tmp_path / "model.zip", device="cpu")
    observation = model.observation_space.sample()
    action, _ = model.predict(observation, deterministic=True)
    assert model.action_space.contains(action)
    assert model.num_timesteps == run.progress.env_steps
    assert (tmp_path / "vecnormalize.pkl").exists() == (name == "a2c")


@pytest.mark.parametrize(("interval", "phases"), [(None, [1, 2, 3]), (2, [1, 3]), (100, [1, 3])])
def test_progress_has_a_line_per_interval_and_one_for_the_end(interval, phases, small, tmp_path):
    config = small["ppo"]
    config = RunConfig(config.id, "epgt", 3, config.total_env_steps, config.env_kwargs, log_interval=interval)
    train(config, tmp_path)
    with open(tmp_path / "progress.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["time/phases"]) for line in lines] == phases
    assert [int(line["time/total_timesteps"]) for line in lines][-1] == 192
    assert {
        *("rollout/ep_rew_mean", "rollout/ep_len_mean", "time/fps", "time/time_elapsed"),
        *("hyper/reward", "hyper/epsilon", "hyper/learning_rate", "hyper/clip_range"),
        *("train/loss", "train/approx_kl", "train/learning_rate"),
    } <= set(lines[0])
    columns = read_actions(tmp_path)
    first = columns["phase"] < phases[0]
    assert float(lines[0]["hyper/clip_range"]) == pytest.approx(columns["clip_range"][first].mean())
    rewards = columns["hyper_reward"][columns["hyper_reward"] != 0]
    assert float(lines[0]["hyper/reward"]) == pytest.approx(rewards[0])


def test_stop_ends_at_the_next_hyper_step_with_what_there_is(small, tmp_path):
    steps = []
    _, summary = train(
        small["ppo"], tmp_path, on_step=lambda progress: steps.append(progress), stop=lambda: len(steps) == 5
    )
    assert summary["status"] == "interrupted"
    assert len(read_actions(tmp_path)["phase"]) == summary["hyper_steps"] == len(steps) == 5
    assert {"model.zip", "episodes.parquet", "summary.json"} <= {path.name for path in tmp_path.iterdir()}


def test_an_error_in_the_loop_leaves_what_there_is(small, tmp_path):
    def fail(progress):
        if progress.hyper_steps == 5:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(small["ppo"], tmp_path, on_step=fail)
    assert json.loads((tmp_path / "summary.json").read_text())["status"] == "failed"
    assert len(read_actions(tmp_path)["phase"]) == 5


def test_the_columns_are_written_in_between(small, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "_SECONDS_BETWEEN_WRITES", 0.0)
    written = []

    def look(progress):
        if progress.phase > len(written):
            written.append(len(read_actions(tmp_path)["phase"]))

    _, summary = train(small["phase"], tmp_path, on_step=look)
    assert written == [1, 2, 3]
    assert summary["hyper_steps"] == 3


def test_a_run_whose_updates_are_all_refused_says_so(small, tmp_path):
    config = small["ppo"]
    learner = {**config.env_kwargs["learner_kwargs"], "vf_coef": 1e39}
    env_kwargs = {**config.env_kwargs, "learner_kwargs": learner, "search_space": ["clip_range"]}
    _, summary = train(RunConfig(config.id, "fixed", 0, 192, env_kwargs), tmp_path)
    assert summary["status"] == "diverged"
    assert summary["diverged_steps"] == summary["hyper_steps"] > 0
    assert read_actions(tmp_path)["diverged"].all()


def test_a_run_whose_last_phase_is_refused_has_diverged_too(small, tmp_path):
    """Its budget is spent by then, as that of a run that finishes well."""
    config = small["ppo"]
    learner = {**config.env_kwargs["learner_kwargs"], "vf_coef": 1e39}
    env_kwargs = {**config.env_kwargs, "learner_kwargs": learner, "search_space": ["clip_range"]}
    _, summary = train(RunConfig(config.id, "fixed", 0, 64, env_kwargs), tmp_path)
    assert (summary["env_steps"], summary["phases"]) == (64, 1)
    assert summary["diverged_steps"] == summary["hyper_steps"] == 4
    assert summary["status"] == "diverged"


DECAYING = {
    "HyperRL-PPO-CartPole-v0": {"learner_kwargs": {"n_steps": 64, "batch_size": 32, "n_epochs": 2}},
    "HyperRL-A2C-Pendulum-v0": {},
    "HyperRL-ACKTR-Pendulum-v0": {"n_envs": 2},
}


@pytest.mark.parametrize("id_", DECAYING)
def test_the_records_say_which_choices_could_not_act(id_, tmp_path):
    """The tasks' learning rate is 0 in the last update phase."""
    train(RunConfig(id_, "random", 3, 192, DECAYING[id_]), tmp_path)
    columns = read_actions(tmp_path)
    last = columns["phase"] == columns["phase"].max()
    np.testing.assert_array_equal(acting(columns), ~last)
    for name in chosen_hyperparameters(columns):
        # A schedule's picture ends with the last phase that could learn.
        assert shares(columns, name).edges[-1] == columns["env_steps"][~last].max()


@pytest.mark.parametrize("id_", DECAYING)
def test_in_the_last_phase_and_only_there_all_choices_are_one(id_):
    kwargs = {**DECAYING[id_], "learning_episode_phases": None, "decision": "phase"}
    env = make_env(RunConfig(id_, "random", 3, 192, kwargs)).unwrapped
    *_, info = env.reset(seed=0)
    acted = []
    while not info["run_finished"]:
        now, weights = env.snapshot(), []
        for action in (0, env.search_space.n_actions - 1):
            env.restore(now)
            *_, info = env.step(action)
            weights.append(torch.cat([p.detach().flatten() for p in env.learner.policy.parameters()]))
        acted.append(not torch.equal(*weights))
    assert acted == [True] * (len(acted) - 1) + [False]
    assert len(acted) > 1
    env.close()


class Scored(gym.Env):
    """The k-th episode of the process takes two steps and returns k."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    episodes = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        if self.t < 2:
            return np.zeros(1, np.float32), 0.0, False, False, {}
        Scored.episodes += 1
        return np.zeros(1, np.float32), float(Scored.episodes), True, False, {}


@pytest.mark.parametrize(("steps", "expected", "episodes"), [(512, 206.5, 100), (64, 16.5, 32)])
def test_there_is_one_score(steps, expected, episodes, registered, tmp_path, capsys, monkeypatch):
    """Episodes 1, 2, ..., 256: the last hundred return 206.5 on average. Of fewer, all count."""
    monkeypatch.setattr(Scored, "episodes", 0)
    registered("Scored-v0", Scored)
    plot, lines = Axes.plot, {}

    def plot_and_note(axes, x, y, *arguments, **keywords):
        lines[keywords.get("label")] = y
        return plot(axes, x, y, *arguments, **keywords)

    monkeypatch.setattr(Axes, "plot", plot_and_note)
    sets = ["env_id=Scored-v0", "n_steps=64", "batch_size=32", "n_epochs=1"]
    arguments = [argument for item in sets for argument in ("--set", item)]
    command = ["train", "HyperRL-PPO", "--agent", "fixed", "--total-env-steps", str(steps), *arguments]
    assert main([*command, "--out", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())  # lines are folded where COLUMNS says so
    assert f"mean return {expected:.1f} over the last {episodes} inner episodes" in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["mean_return"] == pytest.approx(expected)
    assert (summary["score_episodes"], summary["mean_length"]) == (episodes, 2)
    assert lines[f"mean of the last {episodes}"][-1] == pytest.approx(expected)
    with open(tmp_path / "progress.csv", newline="") as file:
        assert float(list(csv.DictReader(file))[-1]["rollout/ep_rew_mean"]) == pytest.approx(expected)


def test_progress_stands_at_the_steps_that_were_trained_on_each_once(registered, tmp_path, monkeypatch):
    """As SB3's `learn()` logs them: after 64 steps the 32 episodes in them have ended, and so on."""
    monkeypatch.setattr(Scored, "episodes", 0)
    registered("Scored-v0", Scored)
    kwargs = {"env_id": "Scored-v0", "learner_kwargs": {"n_steps": 64, "batch_size": 32, "n_epochs": 1}}
    train(RunConfig("HyperRL-PPO-v0", "fixed", 0, 192, kwargs), tmp_path)
    with open(tmp_path / "progress.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["time/total_timesteps"]) for line in lines] == [64, 128, 192]
    assert [float(line["rollout/ep_rew_mean"]) for line in lines] == pytest.approx([16.5, 32.5, 48.5])
    (path,) = tmp_path.glob("events.out.tfevents*")
    steps = {}
    for event in EventFileLoader(str(path)).Load():
        for value in event.summary.value:
            steps.setdefault(value.tag, []).append(event.step)
    # The last phase earns no hyper-reward.
    assert steps.pop("hyper/reward") == [64, 128]
    assert {tuple(found) for found in steps.values()} == {(64, 128, 192)}


@pytest.mark.parametrize("name", ["ppo", "epgt"])
def test_the_columns_of_progress_are_in_order(name, small, tmp_path):
    train(small[name], tmp_path)
    with open(tmp_path / "progress.csv", newline="") as file:
        header = next(csv.reader(file))
    epsilon = ["hyper/epsilon"] if name == "epgt" else []
    first = [
        *("time/total_timesteps", "time/phases", "time/time_elapsed", "time/fps"),
        *("rollout/ep_rew_mean", "rollout/ep_len_mean", "hyper/reward", *epsilon),
    ]
    assert header[: len(first)] == first
    rest = header[len(first) :]
    assert rest == sorted(rest)
    assert {column.split("/")[0] for column in rest} == {"hyper", "train"}


def test_a_column_that_comes_late_takes_its_place_too(tmp_path):
    log = _CSV(str(tmp_path / "progress.csv"))
    none = {"train/a": None, "time/fps": None}
    log.write({"train/a": 1.0}, none)
    log.write({"train/a": 2.0, "time/fps": 3}, none)
    log.write({"train/a": 4.0, "hidden": 5}, {"train/a": None, "hidden": ("csv",)})
    log.close()
    assert (tmp_path / "progress.csv").read_text() == "time/fps,train/a\n,1.0\n3,2.0\n,4.0\n"


def test_no_inner_episode_may_end(tmp_path):
    config = RunConfig("HyperRL-A2C-MountainCarContinuous", "fixed", 0, 50)
    _, summary = train(config, tmp_path, pictures=True)
    assert (summary["mean_return"], summary["mean_length"], summary["episodes"]) == (None, None, 0)
    assert (tmp_path / "learning_curve.png").exists()


def test_a_folder_with_a_run_is_refused_and_left_alone(small, tmp_path):
    TrainingRun(small["a2c"], tmp_path).close()
    content = (tmp_path / CONFIG_FILE).read_bytes()
    with pytest.raises(FileExistsError, match="already holds a run"):
        TrainingRun(small["ppo"], tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [(CONFIG_FILE, content)]


@pytest.mark.parametrize(
    "change",
    [
        {"env_kwargs": {"env_id": "CartPole-v1", "n_envs": 0}},
        {"agent_kwargs": {"nonsense": 1}},
        {"agent": "nobody"},
        {"id": "HyperRL-PPO-Nothing-v0"},
    ],
)
def test_an_impossible_run_leaves_no_folder(change, tmp_path):
    config = RunConfig(
        **{"id": "HyperRL-PPO-v0", "agent": "random", "env_kwargs": {"env_id": "CartPole-v1"}} | change
    )
    with pytest.raises(ValueError, match=r"\w"):
        TrainingRun(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_search_space_can_be_written_as_json():
    space = [
        "clip_range",
        {"name": "learning_rate", "values": [1e-4, 1e-3]},
        {"name": "gamma", "low": 0.9, "high": 1},
    ]
    config = RunConfig("HyperRL-PPO-v0", "epgt", env_kwargs={"env_id": "CartPole-v1", "search_space": space})
    env = make_env(config)
    assert env.unwrapped.search_space.hyperparameters == (
        Hyperparameter("clip_range"),
        Hyperparameter("learning_rate", values=(1e-4, 1e-3)),
        Hyperparameter("gamma", low=0.9, high=1),
    )
    env.close()


@pytest.mark.parametrize(
    ("item", "message"),
    [({"name": "clip_range", "bins": [1]}, "Did you mean 'n_bins'"), ({"values": [1]}, "with a 'name'")],
)
def test_a_misspelt_hyperparameter_is_refused(item, message):
    kwargs = {"env_id": "CartPole-v1", "search_space": [item]}
    with pytest.raises(ValueError, match=message):
        make_env(RunConfig("HyperRL-PPO-v0", "epgt", env_kwargs=kwargs))
