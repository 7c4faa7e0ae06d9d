"""Experience from the folders of runs: what it holds, each run once, and what it is refused for."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agents.experience import Experience
from agents.experience_file import load_experience, read_experience, write_experience
from hyperrl_env import DIAGNOSTICS
from hyperrl_lab.assignments import configure
from hyperrl_lab.cli import main
from hyperrl_lab.config import RunConfig
from hyperrl_lab.evaluation import evaluate
from hyperrl_lab.experience.build import build_experience, run_folders
from hyperrl_lab.results import read_actions, read_episodes, read_phases
from hyperrl_lab.run import TrainingRun

SMALL = {"env_id": "CartPole-v1", "n_steps": 64, "batch_size": 16, "n_epochs": 5}


def train(config, folder):
    TrainingRun(config, folder).train(pictures=False)
    return folder


def config_of(agent, seed, id_="HyperRL-PPO-v0", **settings):
    pairs = {**SMALL, **settings} if id_ == "HyperRL-PPO-v0" else settings
    return configure(id_, agent, pairs.items(), seed=seed, total_env_steps=256)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with the runs "line-0", "line-1", "fixed" and, elsewhere, "a2c" and "begun"."""
    root = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        train(config_of("random_schedule", seed), root / "ppo" / f"line-{seed}")
    train(config_of("fixed", 0), root / "ppo" / "fixed")
    a2c = RunConfig("HyperRL-A2C-Pendulum-v0", "fixed", 0, 400, {"n_envs": 2})
    train(a2c, root / "a2c")
    begun = TrainingRun(config_of("fixed", 5), root / "begun")
    begun.train(stop=lambda: begun.progress.env_steps > 0, pictures=False)
    evaluate(root / "ppo" / "fixed", episodes=2)
    return root


def test_it_holds_what_the_runs_recorded(runs, tmp_path, capsys):
    out = tmp_path / "ppo.parquet"
    assert main(["experience", "build", str(runs / "ppo"), "--out", str(out)]) == 0
    assert "3 runs of PPO" in capsys.readouterr().out
    found = read_experience(out)
    fixed, line, _ = found.runs
    folder = runs / "ppo" / "line-0"
    phases, actions = read_phases(folder), read_actions(folder)
    assert found.algorithm == "PPO"
    assert [run.agent for run in found.runs] == ["fixed", "random_schedule", "random_schedule"]
    assert (line.inner_env, line.seed, line.budget, line.decision) == ("CartPole-v1", 0, 256, "phase")
    assert json.loads(line.start) == {
        "settings": "sb3",
        "learner_kwargs": {"n_steps": 64, "batch_size": 16, "n_epochs": 5},
    }
    assert (line.normalize, line.decays) == (False, False)
    assert line.score == np.mean(read_episodes(folder)["return"][-100:])
    assert line.env_steps.tolist() == phases["env_steps"].tolist()
    for index, name in enumerate(DIAGNOSTICS):
        # As in the run, to four digits.
        np.testing.assert_allclose(line.diagnostics[:, index], phases[f"diagnostic.{name}"], rtol=2.0**-15)
    # One decision per phase: the action's own table has the values.
    rates = np.log(actions["learning_rate"] / actions["default.learning_rate"])
    assert line.changes["learning_rate"][1:] == pytest.approx(rates, abs=1e-6)
    horizons = np.log((1.001 - actions["default.gae_lambda"]) / (1.001 - actions["gae_lambda"]))
    assert line.changes["gae_lambda"][1:] == pytest.approx(horizons, abs=1e-6)
    assert fixed.evaluation == json.loads((runs / "ppo/fixed/evaluation.json").read_text())["mean_return"]
    assert line.evaluation is None
    assert fixed.changed == []
    assert {"learning_rate", "gae_lambda", "clip_range"} <= set(line.changed)


def test_written_and_read_it_is_the_same_to_the_bit(runs, tmp_path):
    built = build_experience([runs / "ppo"])
    write_experience(built, tmp_path / "a.parquet")
    read = read_experience(tmp_path / "a.parquet")
    write_experience(read, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    for ours, theirs in zip(built.runs, read.runs, strict=True):
        assert ours.diagnostics.tobytes() == theirs.diagnostics.tobytes()
        assert ours.changes["clip_range"].tobytes() == theirs.changes["clip_range"].tobytes()
        assert replace(ours, env_steps=0, diagnostics=0, changes=0) == replace(
            theirs, env_steps=0, diagnostics=0, changes=0
        )


def test_a_run_counts_once_wherever_its_copies_are(runs, tmp_path):
    shutil.copytree(runs / "ppo" / "fixed", tmp_path / "copy")
    write_experience(build_experience([runs / "ppo" / "fixed"]), tmp_path / "one.parquet")
    paths = [tmp_path / "one.parquet", runs / "ppo", tmp_path / "copy", runs / "ppo" / "fixed"]
    assert [run.run for run in build_experience(paths).runs] == [
        run.run for run in build_experience([runs / "ppo"]).runs
    ]


def test_experience_grows_from_file_to_file(runs, tmp_path):
    first, second = (runs / "ppo" / f"line-{seed}" for seed in (0, 1))
    write_experience(build_experience([first]), tmp_path / "first.parquet")
    write_experience(build_experience([tmp_path / "first.parquet", second]), tmp_path / "both.parquet")
    write_experience(build_experience([first, second]), tmp_path / "at_once.parquet")
    assert (tmp_path / "both.parquet").read_bytes() == (tmp_path / "at_once.parquet").read_bytes()


def test_outcomes_are_standardised_per_environment_settings_and_budget(runs):
    experience = build_experience([runs / "ppo"])
    scores = np.array([run.score for run in experience.runs])
    assert experience.standardised() == pytest.approx(((scores - scores.mean()) / scores.std()).tolist())
    other = replace(experience.runs[0], budget=512, run="other")
    assert replace(experience, runs=[*experience.runs, other]).standardised()[-1] is None


@pytest.mark.parametrize("score", [0.1, 0.09999999999999998, 0.7, -0.8, 0.0, 1e300])
def test_equal_scores_teach_nothing(runs, score):
    """The mean of equal numbers can be another number."""
    (run,) = build_experience([runs / "ppo" / "fixed"]).runs
    equal = Experience("PPO", [replace(run, run=str(n), score=score) for n in range(11)])
    assert equal.standardised() == [None] * 11


def test_of_a_search_its_trials_are_runs_and_not_its_best_one_again(runs, tmp_path):
    """The best of many is no run like others, and it is among them."""
    folder = tmp_path / "search"
    for number, name in enumerate(("line-0", "line-1")):
        shutil.copytree(runs / "ppo" / name, folder / "trials" / str(number))
    for file in (runs / "ppo" / "line-1").iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    config = json.loads((folder / "config.json").read_text())
    for agent in ("random_search", "pbt"):
        config["run"]["agent"] = agent
        (folder / "config.json").write_text(json.dumps(config))
        if agent == "random_search":
            assert run_folders(folder) == [folder / "trials" / "0", folder / "trials" / "1"]
    with pytest.raises(ValueError, match=r"population \(pbt\), whose members copy the best"):
        build_experience([tmp_path])


def test_links_are_followed_and_no_run_is_met_twice(runs, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").symlink_to(runs / "ppo" / "line-0")
    (tmp_path / "runs" / "round").symlink_to(tmp_path / "runs")
    assert run_folders(tmp_path / "runs") == [tmp_path / "runs" / "a"]
    with pytest.raises(ValueError, match=r"nowhere does not exist"):
        build_experience([tmp_path / "nowhere"])


def test_algorithms_are_kept_apart(runs):
    with pytest.raises(ValueError, match="runs of A2C and PPO, whose experience is kept apart"):
        build_experience([runs / "ppo", runs / "a2c"])
    assert build_experience([runs / "ppo", runs / "a2c"], "A2C").algorithm == "A2C"
    with pytest.raises(ValueError, match="None of these runs is of ACKTR"):
        build_experience([runs / "ppo", runs / "a2c"], "ACKTR")


def test_a_run_without_an_outcome_is_refused(runs, tmp_path):
    with pytest.raises(ValueError, match=r"begun has no outcome.*hyperrl resume"):
        build_experience([runs / "ppo", runs / "begun"])
    with pytest.raises(ValueError, match="There is no run in"):
        build_experience([tmp_path])


@pytest.mark.parametrize("file", ["phases.parquet", "episodes.parquet"])
def test_a_damaged_run_is_named(runs, file, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(runs / "ppo" / "fixed", copy)
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"copy/{file} is damaged"):
        build_experience([copy])
    (copy / file).unlink()
    with pytest.raises(ValueError, match=f"copy lacks {file}"):
        build_experience([copy])


def test_a_table_without_its_columns_is_named(runs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(runs / "ppo" / "fixed", copy)
    pq.write_table(
        pq.read_table(copy / "episodes.parquet").drop_columns(["return"]), copy / "episodes.parquet"
    )
    with pytest.raises(ValueError, match=r"episodes.parquet is damaged: it lacks return\."):
        build_experience([copy])


def test_all_refused_runs_are_told_at_once(runs, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(runs / "begun", tmp_path / name)
    with pytest.raises(ValueError, match=r"(?s)a has no outcome.*\n.*b has no outcome"):
        build_experience([tmp_path, runs / "ppo"])


def test_a_run_of_an_earlier_version_is_refused(runs, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(runs / "ppo" / "fixed", copy)
    table = pq.read_table(copy / "phases.parquet")
    pq.write_table(table.drop_columns(["diagnostic.progress"]), copy / "phases.parquet")
    with pytest.raises(ValueError, match=r"lacks the diagnostics progress.*Train it anew"):
        build_experience([copy])


def test_a_run_whose_returns_mean_nothing_is_refused(runs, tmp_path):
    for returns, message in (([], "no inner episode ended"), ([1.0, np.inf], "not finite")):
        copy = tmp_path / message.replace(" ", "-")
        shutil.copytree(runs / "ppo" / "fixed", copy)
        ends = list(range(1, len(returns) + 1))
        columns = {"env_steps": ends, "return": returns, "length": ends}
        pq.write_table(pa.table(columns), copy / "episodes.parquet")
        with pytest.raises(ValueError, match=f"has no outcome: .*{message}"):
            build_experience([copy])


def test_a_file_that_is_no_experience_is_not_overwritten(runs, tmp_path, capsys):
    mine = tmp_path / "mine.parquet"
    mine.write_text("precious")
    assert main(["experience", "build", str(runs / "ppo"), "--out", str(mine)]) == 2
    assert mine.read_text() == "precious"
    assert "exists and is not an experience" in capsys.readouterr().err


def test_an_experience_is_replaced_only_by_one_that_holds_all_of_it(runs, tmp_path, capsys):
    out = str(tmp_path / "mine.parquet")
    first, second = (str(runs / "ppo" / f"line-{seed}") for seed in (0, 1))
    assert main(["experience", "build", first, "--out", out]) == 0
    assert main(["experience", "build", second, "--out", out]) == 2
    assert "holds 1 run besides these" in capsys.readouterr().err
    assert main(["experience", "build", out, second, "--out", out]) == 0
    assert len(read_experience(tmp_path / "mine.parquet").runs) == 2


def test_what_ships_is_added_to_by_its_name(runs, tmp_path, capsys):
    out = tmp_path / "more.parquet"
    assert main(["experience", "build", "PPO", str(runs / "ppo" / "fixed"), "--out", str(out)]) == 0
    assert len(read_experience(out).runs) == len(load_experience("PPO").runs) + 1
    assert main(["experience", "build", "PPO", "--out", "PPO"]) == 2
    assert "PPO is the name of the experience that ships" in capsys.readouterr().err


def test_show(runs, tmp_path, capsys):
    out = tmp_path / "ppo.parquet"
    write_experience(build_experience([runs / "ppo"]), out)
    assert main(["experience", "show", str(out)]) == 0
    shown = capsys.readouterr().out
    for text in ("PPO", "3, 12 update phases", "CartPole-v1", "fixed, random_schedule", "256", "n_epochs"):
        assert text in shown


def test_show_what_ships(capsys):
    assert main(["experience", "show", "PPO"]) == 0
    assert "HalfCheetah-v5" in capsys.readouterr().out
    assert main(["experience", "show", "A2C"]) == 2
    assert "No experience ships for A2C" in capsys.readouterr().err
