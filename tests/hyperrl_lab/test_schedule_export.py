"""Schedules taken from runs: replayed they give the same run, and plain Stable-Baselines3 runs them."""

import io
import json
import zipfile
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env

import agents
from agents.replay import Course, Schedule, read_schedule
from hyperrl_lab.assignments import configure
from hyperrl_lab.cli import main
from hyperrl_lab.config import RunConfig
from hyperrl_lab.results import read_actions
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.schedule_export import _smooth, export_schedule, python_code

# The learning rate falls, so that its multiples mean another value at every phase.
LEARNER = {
    "n_steps": 64,
    "batch_size": 32,
    "n_epochs": 2,
    "learning_rate": 1e-3,
    "ent_coef": 0.01,
}
SPACE = {"learning_rate": {"multipliers": [0.3, 1, 1.7]}, "clip_range": {}, "gae_lambda": {}}
RUN = RunConfig(
    "HyperRL-PPO-v0",
    "random",
    3,
    64 * 7,
    {
        "env_id": "CartPole-v1",
        "backend": "eager",
        "decision": "phase",
        "search_space": SPACE,
        "learner_kwargs": LEARNER,
    },
)
UPDATES = replace(
    RUN, env_kwargs={**RUN.env_kwargs, "decision": "update", "search_space": {**SPACE, "batch_size": {}}}
)
FALLING = RunConfig(
    "HyperRL-PPO-Pendulum-v0",
    "random",
    3,
    64 * 5,
    {"backend": "eager", "search_space": SPACE, "learner_kwargs": {**LEARNER, "n_steps": 64}},
)
FALLING.env_kwargs["learner_kwargs"].pop("learning_rate")


def train(config, folder):
    TrainingRun(config, folder).train(pictures=False)
    return folder


def weights(folder):
    with zipfile.ZipFile(folder / "model.zip") as model:
        return torch.load(io.BytesIO(model.read("policy.pth")), weights_only=True)


def replayed(config, schedule, folder, **changes):
    kwargs = {k: v for k, v in config.env_kwargs.items() if k != "search_space"}
    path = folder.with_suffix(".json")
    path.write_text(schedule.to_json())
    pairs = [*{**kwargs, **changes}.items(), ("schedule", str(path))]
    return train(
        configure(config.id, "replay", pairs, seed=config.seed, total_env_steps=config.total_env_steps),
        folder,
    )


@pytest.mark.parametrize(
    ("config", "options"),
    [(RUN, {"smoothing": 1}), (UPDATES, {"exact": True}), (FALLING, {"exact": True})],
    ids=["phase", "update", "falling"],
)
def test_replayed_with_the_same_seed_it_is_the_same_run(config, options, tmp_path):
    folder = train(config, tmp_path / "run")
    again = replayed(config, export_schedule([folder], **options), tmp_path / "again")
    ours, theirs = read_actions(again), read_actions(folder)
    for name in config.env_kwargs["search_space"]:
        assert ours[name].tobytes() == theirs[name].tobytes(), name
    assert ours["hyper_reward"].tobytes() == theirs["hyper_reward"].tobytes()
    for name, tensor in weights(folder).items():
        assert torch.equal(weights(again)[name], tensor)


def test_a_replay_is_repeated_and_resumed_with_its_own_schedule_only(tmp_path, capsys):
    path, values = tmp_path / "s.json", [0.1, 0.3]
    path.write_text(Schedule("PPO", [], {"clip_range": Course(values, False, values)}).to_json())
    pairs = [("env_id", "CartPole-v1"), *LEARNER.items(), ("schedule", str(path))]
    config = configure("HyperRL-PPO-v0", "replay", pairs, total_env_steps=64 * 4)
    run = TrainingRun(config, tmp_path / "run")
    run.train(stop=lambda: run.progress.hyper_steps == 2, pictures=False)
    content = path.read_text()
    # The same values, so the same search space, in another order.
    path.write_text(Schedule("PPO", [], {"clip_range": Course(values[::-1], False, values)}).to_json())
    again = ["train", "--config", str(tmp_path / "run" / "config.json"), "--out", str(tmp_path / "again")]
    for command in (again, ["resume", str(tmp_path / "run")]):
        assert main(command) == 2
        assert "is not the one that this run began with" in capsys.readouterr().err
    assert configure("HyperRL-PPO-v0", "replay", pairs, total_env_steps=64 * 4) != config
    # A run that has not kept the hash takes the file as it is.
    earlier = replace(config, agent_kwargs={"schedule": str(path)})
    assert TrainingRun(earlier, tmp_path / "earlier").train(pictures=False)["status"] == "finished"
    path.write_text(content)
    assert main(["resume", str(tmp_path / "run")]) == 0
    assert main(again) == 0
    actions = [read_actions(tmp_path / name)["clip_range"].tolist() for name in ("run", "again")]
    assert actions[0] == actions[1] == [0.1] * 8 + [0.3] * 8


@pytest.mark.parametrize(
    "clips",
    [{}, {"clip_range": 0.2, "clip_range_vf": 0.02}],
    ids=["default", "of the values too"],
)
def test_the_printed_python_trains_plain_sb3_to_the_same_bits(clips, tmp_path):
    learner = {**LEARNER, **clips}
    config = replace(RUN, env_kwargs={**RUN.env_kwargs, "learner_kwargs": learner})
    folder = train(config, tmp_path / "run")
    names = {}
    exec(python_code(export_schedule([folder], smoothing=1)), names)
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1"), seed=3, device="cpu", **learner)
    model.learn(RUN.total_env_steps, callback=names["Schedule"](RUN.total_env_steps))
    ours = weights(folder)
    assert all(torch.equal(ours[name], tensor) for name, tensor in model.policy.state_dict().items())


def test_the_printed_python_sets_every_hyperparameter(tmp_path):
    values = {
        **{"learning_rate": [1e-3, 1e-4], "clip_range": [0.1, 0.4], "gae_lambda": [0.9, 0.8]},
        **{"gamma": [0.95, 0.9], "batch_size": [16.0, 31.6], "n_epochs": [1.0, 3.0], "ent_coef": [0.0, 0.1]},
        **{"vf_coef": [0.5, 1.0], "max_grad_norm": [0.5, 2.0]},
    }
    schedule = Schedule("PPO", ["a run"], {name: Course(v, False, v) for name, v in values.items()})
    names = {}
    exec(python_code(schedule), names)
    seen = []

    class Watching(names["Schedule"]):
        def _on_rollout_end(self):
            model = self.model
            buffer = model.rollout_buffer
            seen.append(
                {
                    **{name: getattr(model, name) for name in values if not callable(getattr(model, name))},
                    "learning_rate": model.lr_schedule(0.5),
                    "clip_range": model.clip_range(0.5),
                }
            )
            assert (buffer.gamma, buffer.gae_lambda) == (model.gamma, model.gae_lambda)

    model = PPO("MlpPolicy", make_vec_env("CartPole-v1"), n_steps=32, batch_size=32, device="cpu")
    model.learn(128, callback=Watching(128))
    expected = [
        {n: round(v[i]) if n in ("batch_size", "n_epochs") else v[i] for n, v in values.items()}
        for i in (0, 0, 1, 1)
    ]
    assert seen == expected


def test_the_printed_python_suits_a2c(tmp_path):
    folder = train(
        RunConfig("HyperRL-A2C-v0", "random", 1, 50, {"env_id": "CartPole-v1", "decision": "phase"}),
        tmp_path / "run",
    )
    names = {}
    exec(python_code(export_schedule([folder], smoothing=1)), names)
    model = A2C("MlpPolicy", make_vec_env("CartPole-v1"), seed=1, device="cpu")
    model.learn(50, callback=names["Schedule"](50))
    ours = weights(folder)
    for name, tensor in model.policy.state_dict().items():
        assert torch.allclose(ours[name], tensor, atol=1e-5)


def test_the_printed_python_leaves_out_the_length_of_rollouts(tmp_path, capsys):
    space = {"n_steps": {"multipliers": [0.5, 1]}, "clip_range": {"values": [0.1, 0.3]}}
    run = train(replace(RUN, env_kwargs={**RUN.env_kwargs, "search_space": space}), tmp_path / "run")
    path, names = tmp_path / "s.json", {}
    assert main(["schedule", str(run), "--out", str(path)]) == 0
    told = capsys.readouterr()
    assert "warning: in the Python, n_steps is left out" in told.err
    assert "# n_steps is left out" in told.out
    assert set(read_schedule(path).courses) == set(space)
    exec(told.out, names)
    assert set(names["VALUES"]) == {"clip_range"}
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1"), seed=3, device="cpu", **LEARNER)
    model.learn(64 * 4, callback=names["Schedule"](64 * 4))
    assert model.num_timesteps == 64 * 4
    # In the last of four phases.
    clip_ranges = names["VALUES"]["clip_range"]
    assert model.clip_range(0.25) == clip_ranges[3 * len(clip_ranges) // 4]


def test_windows_are_medians_over_runs_and_updates(tmp_path, monkeypatch):
    """Worked out by hand: two runs of four phases, in two windows."""
    from hyperrl_lab import schedule_export

    clip = {"a": [0.1, 0.1, 0.3, 0.5], "b": [0.2, 0.2, 0.2, 0.4]}
    for name in clip:
        config = replace(
            RUN, total_env_steps=64 * 4, env_kwargs={**RUN.env_kwargs, "search_space": ["clip_range"]}
        )
        TrainingRun(config, tmp_path / name).close()

    def actions(folder):
        column = np.repeat(clip[folder.name], 3)
        return {"phase": np.repeat(range(4), 3), "clip_range": column, "default.clip_range": np.full(12, 0.2)}

    monkeypatch.setattr(schedule_export, "read_actions", actions)
    schedule = export_schedule([tmp_path / "a", tmp_path / "b"], windows=2, smoothing=1)
    # First windows: six times 0.1, six times 0.2. Second ones: 0.2, 0.3, 0.4, 0.5, three times each.
    assert schedule.courses["clip_range"].windows == pytest.approx([0.15, 0.35])
    smooth = export_schedule([tmp_path / "a"], windows=4, smoothing=3).courses["clip_range"].windows
    assert smooth == pytest.approx([0.1, 0.5 / 3, 0.3, (0.3 + 0.5) / 2], rel=1e-5)


def test_choices_at_a_learning_rate_of_0_had_no_effect_and_do_not_count(tmp_path, monkeypatch):
    from hyperrl_lab import schedule_export

    space = {"learning_rate": {"multipliers": [0.5, 1]}, "clip_range": {}}
    config = replace(FALLING, env_kwargs={**FALLING.env_kwargs, "search_space": space})
    TrainingRun(config, tmp_path / "run").close()
    own = np.array([3e-4, 2e-4, 1e-4, 0.0])
    columns = {
        "phase": np.arange(4),
        "learning_rate": own / 2,
        "default.learning_rate": own,
        "clip_range": np.array([0.2, 0.1, 0.1, 0.5]),
        "default.clip_range": np.full(4, 0.2),
    }
    monkeypatch.setattr(schedule_export, "read_actions", lambda folder: columns)
    courses = export_schedule([tmp_path / "run"], smoothing=1).courses
    assert courses["learning_rate"].windows == [0.5] * 4
    assert courses["learning_rate"].values == pytest.approx(own / 2)
    assert courses["clip_range"].windows == [0.2, 0.1, 0.1, 0.1]
    smooth = export_schedule([tmp_path / "run"], smoothing=3).courses
    assert smooth["learning_rate"].windows == [0.5] * 4
    assert smooth["clip_range"].windows == pytest.approx([0.15, 0.4 / 3, 0.1, 0.1], rel=1e-5)
    # A replay of the run repeats all that it did.
    exact = export_schedule([tmp_path / "run"], exact=True).courses
    assert exact["clip_range"].windows == [[0.2], [0.1], [0.1], [0.5]]


def test_smoothing_takes_fewer_windows_at_both_ends_alike():
    rising = np.arange(1.0, 7.0)
    assert _smooth(rising, 5, "linear").tolist() == [2, 2.5, 3, 4, 4.5, 5]
    assert _smooth(rising[::-1], 5, "linear").tolist() == [5, 4.5, 4, 3, 2.5, 2]
    # An even number takes the window after more than before; more windows than there are give the mean.
    assert _smooth(rising, 2, "linear").tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6]
    assert _smooth(rising, 20, "linear").tolist() == [3.5] * 6


def test_it_is_replayed_on_another_task_at_another_budget(tmp_path):
    schedule = export_schedule([train(UPDATES, tmp_path / "run")], windows=3)
    config = replace(FALLING, total_env_steps=256 * 9, env_kwargs={"learner_kwargs": {"n_steps": 256}})
    actions = read_actions(replayed(config, schedule, tmp_path / "other"))
    windows = schedule.courses["clip_range"].windows
    assert actions["clip_range"].tolist() == pytest.approx([windows[k // 3] for k in actions["phase"]])
    # In the last phase the learning rate is 0, and so are its multiples.
    early = actions["phase"] < 8
    rates = actions["learning_rate"][early] / actions["default.learning_rate"][early]
    multiples = schedule.courses["learning_rate"].windows
    assert rates.tolist() == pytest.approx([multiples[k // 3] for k in actions["phase"][early]])


def test_the_command_writes_a_file_and_prints_python(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = train(RUN, tmp_path / "run")
    assert main(["schedule", str(folder)]) == 0
    told = capsys.readouterr()
    exec(told.out, {})
    assert "--agent replay --set schedule=schedule.json" in told.err
    assert set(read_schedule(tmp_path / "schedule.json").courses) == set(SPACE)
    # Again: a schedule may be replaced, another file may not.
    assert main(["schedule", str(folder), "--exact"]) == 0
    (tmp_path / "mine.json").write_text("{}")
    assert main(["schedule", str(folder), "--out", "mine.json"]) == 2
    assert "is not a schedule: it is not overwritten" in capsys.readouterr().err
    assert (tmp_path / "mine.json").read_text() == "{}"


def test_bad_input_says_what_would_be_right(tmp_path, capsys):
    one = train(RUN, tmp_path / "one")
    other = train(replace(RUN, env_kwargs={**RUN.env_kwargs, "search_space": ["gamma"]}), tmp_path / "other")
    out = ["--out", str(tmp_path / "s.json")]
    for arguments, message in [
        ([one, other], "give runs that chose the same"),
        ([one, one, "--exact"], "give one folder"),
        ([tmp_path / "none"], "cannot be read"),
        ([one, "--windows", 0], "--windows must be at least 1"),
        ([one, "--exact", "--smoothing", 3], "--exact takes every choice as it was: leave out --smoothing"),
    ]:
        assert main(["schedule", *map(str, arguments), *out]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "s.json").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("{}", "is not a schedule"),
        ('{"format": "hyperrl-schedule", "version": 2}', "of version 2"),
        ('{"format": "hyperrl-schedule", "version": 1}', "not a complete schedule"),
    ],
)
def test_a_file_that_is_no_schedule_is_refused(content, message, tmp_path):
    path = tmp_path / "s.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        agents.env_kwargs("replay", schedule=str(path))


@pytest.mark.parametrize(
    "course",
    [
        {"windows": [], "relative": False, "values": []},
        {"windows": [0.1, "a"], "relative": False, "values": [0.1, 0.1]},
        {"windows": [0.1, []], "relative": False, "values": [0.1, 0.1]},
        {"windows": [0.1, 0.2], "relative": False, "values": [0.1]},
        {"windows": 3, "relative": False, "values": [0.1]},
        {"windows": [0.1], "values": [0.1]},
    ],
)
def test_a_half_schedule_is_refused(course, tmp_path):
    path = tmp_path / "s.json"
    head = {"format": "hyperrl-schedule", "version": 1, "algorithm": "PPO", "runs": []}
    path.write_text(json.dumps({**head, "hyperparameters": {"clip_range": course}}))
    with pytest.raises(ValueError, match="not a complete schedule"):
        read_schedule(path)


def test_a_schedule_of_other_hyperparameters_is_refused(tmp_path):
    path = tmp_path / "s.json"
    path.write_text(Schedule("PPO", [], {"clip_range": Course([0.1], False, [0.1])}).to_json())
    env = gym.make("HyperRL-A2C-CartPole-v0", total_env_steps=400)
    with pytest.raises(ValueError, match=r"is of clip_range, and this environment offers learning_rate"):
        agents.make("replay", env, schedule=str(path))
    with pytest.raises(ValueError, match="needs schedule="):
        configure("HyperRL-PPO-v0", "replay", [])
    with pytest.raises(ValueError, match="does not offer 'clip_range'"):
        gym.make("HyperRL-A2C-CartPole-v0", **agents.env_kwargs("replay", schedule=str(path)))
