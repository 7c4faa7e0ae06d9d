"""Videos of what runs have trained."""

import json
import shutil

import numpy as np
import pytest

from hyperrl_env import CheckpointError
from hyperrl_lab.cli import main
from hyperrl_lab.config import RunConfig
from hyperrl_lab.evaluation import evaluate
from hyperrl_lab.recording import watch
from hyperrl_lab.run import TrainingRun

pytest.importorskip("moviepy")
# Gymnasium's recorder leaves closing the file to Python, and moviepy is not young.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::SyntaxWarning", "ignore::DeprecationWarning"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched") / "run"
    kwargs = {"env_id": "CartPole-v1", "normalize": True, "learner_kwargs": {"n_steps": 64}}
    TrainingRun(RunConfig("HyperRL-PPO-v0", "fixed", 0, 64, kwargs), folder).train(pictures=False)
    return folder


def frames(video):
    import imageio.v3

    return list(imageio.v3.imiter(video))


def test_the_videos_show_the_episodes_of_the_evaluation(folder, tmp_path):
    expected = evaluate(folder, episodes=2)
    returns, videos = watch(folder, tmp_path / "videos", episodes=2)
    assert returns == expected["returns"]
    assert [video.name for video in videos] == ["episode-1.mp4", "episode-2.mp4"]
    assert {path.name for path in (tmp_path / "videos").iterdir()} == {video.name for video in videos}
    for video, length in zip(videos, expected["lengths"], strict=True):
        pictures = frames(video)
        # One per step, and the first observation; encoders may repeat or drop the last.
        assert abs(len(pictures) - (length + 1)) <= 2
        assert pictures[0].shape == (400, 600, 3)
        # The pole falls: the pictures differ.
        assert np.abs(pictures[0].astype(int) - pictures[-1]).max() > 50


def test_on_atari_a_video_shows_the_whole_game_in_its_own_picture(tmp_path):
    pytest.importorskip("cv2")
    kwargs = {"n_envs": 1, "learner_kwargs": {"n_steps": 8, "batch_size": 8, "n_epochs": 1}}
    run = tmp_path / "run"
    TrainingRun(RunConfig("HyperRL-PPO-Breakout-v0", "fixed", 0, 8, kwargs), run).train(pictures=False)
    result = evaluate(run, episodes=1)
    returns, (video,) = watch(run, tmp_path / "videos")
    assert returns == result["returns"]
    pictures = frames(video)
    assert abs(len(pictures) - result["lengths"][0]) <= 40
    assert pictures[0].shape[2] == 3


def test_a_video_is_never_overwritten(folder, tmp_path):
    (tmp_path / "episode-1.mp4").write_text("mine")
    with pytest.raises(FileExistsError, match="not overwritten"):
        watch(folder, tmp_path)
    assert (tmp_path / "episode-1.mp4").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_shown_says_why(folder, tmp_path, capsys):
    assert main(["watch", str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["watch", str(folder), "--window", "--out", str(tmp_path)]) == 2
    assert "--window records nothing" in capsys.readouterr().err
    assert main(["watch", str(folder), "--episodes", "0"]) == 2
    assert "episodes must be" in capsys.readouterr().err
    fresh = shutil.copytree(folder, tmp_path / "fresh")
    (fresh / "policy.zip").unlink()
    with pytest.raises(CheckpointError, match="no results yet"):
        watch(fresh, tmp_path / "videos")


def test_an_environment_without_pictures_says_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "plain_envs.py").write_text(
        "import gymnasium as gym\n\ndef make(**kwargs):\n    kwargs.pop('render_mode', None)\n"
        "    return gym.make('CartPole-v1', **kwargs)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    kwargs = {"env_fn": "plain_envs:make", "learner_kwargs": {"n_steps": 64}}
    TrainingRun(RunConfig("HyperRL-PPO-v0", "fixed", 0, 64, kwargs), tmp_path / "run").train(pictures=False)
    assert main(["watch", str(tmp_path / "run")]) == 2
    assert "cannot be recorded" in capsys.readouterr().err


def test_the_command_says_where_the_video_is(folder, capsys):
    assert main(["watch", str(folder)]) == 0
    video = folder.with_name("run-videos") / "episode-1.mp4"
    assert f"return {evaluate(folder, episodes=1)['returns'][0]:,.1f}: {video}" in capsys.readouterr().out
    assert video.exists()


def test_the_folder_may_be_the_working_folder(folder, monkeypatch, capsys):
    shutil.rmtree(folder.with_name("run-videos"), ignore_errors=True)
    monkeypatch.chdir(folder)
    assert main(["watch", "."]) == 0
    assert (folder.with_name("run-videos") / "episode-1.mp4").exists()
    monkeypatch.chdir("/")
    assert main(["watch", "."]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_show_is_the_run_on_one_screen(folder, small, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    evaluate(folder, episodes=2)
    assert main(["show", str(folder)]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= 40
    assert max(map(len, out.splitlines())) <= 80
    flat = " ".join(out.split())
    summary = json.loads((folder / "summary.json").read_text())
    for part in ("HyperRL-PPO-v0", "fixed", "64 env steps", "finished", "of 2 deterministic episodes"):
        assert part in flat
    assert f"{summary['mean_return']:,.1f}, mean return of the last" in flat
    # One update phase, and the task's own values in it.
    assert "learning_rate 0.0003 0.0003 (0.0003 to - - 0.0003)" in flat
    # A run without results yet, and a folder without a run.
    TrainingRun(small["ppo"], tmp_path / "new").close()
    assert main(["show", str(tmp_path / "new")]) == 0
    assert "no results yet" in capsys.readouterr().out
    # A run that was stopped before its first choice.
    TrainingRun(small["ppo"], tmp_path / "stopped").train(stop=lambda: True, pictures=False)
    assert main(["show", str(tmp_path / "stopped")]) == 0
    flat = " ".join(capsys.readouterr().out.split())
    assert all(part in flat for part in ("interrupted", "0 hyper-actions", "actions.parquet"))
    assert "choices" not in flat
    assert main(["show", str(tmp_path)]) == 2
    assert "config.json cannot be read" in capsys.readouterr().err
