"""The benchmarks run, their tables are whole, and the page is written by nothing else. Nothing is timed."""

import doctest
import importlib
import os
import pkgutil
import re
import shlex

import gymnasium as gym
import numpy as np
import pytest

import agents
import benchmarks
import hyperrl_env  # noqa: F401 - registers the ids
from benchmarks import key_quality, tables
from benchmarks.__main__ import BEGIN, END, NAMES, PAGE, main, parser, with_measured
from benchmarks.episodic import make_agent

MODULES = [info.name for info in pkgutil.iter_modules(benchmarks.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_run_by_the_command_if_it_has_a_table(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert hasattr(module, "table") == (name in NAMES)


def test_quick_tables_are_whole(capsys):
    assert main(["--quick", "snapshot", "memory", "update"]) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if line.startswith("## ")] == [
        "## Snapshots and checkpoints",
        "## Episodic memory",
        "## One PPO update",
    ]
    assert "A quick look, not a measurement." in printed
    for table in re.findall(r"(?:^\|.*\n)+", printed, flags=re.MULTILINE):
        columns = {line.count("|") for line in table.splitlines()}
        assert len(columns) == 1
        assert len(table.splitlines()) >= 3
    assert re.search(r"\| 10,000 \| 225 \|  \| .* µs .*\| at most 100 µs: (not )?met \| .* µs", printed)
    assert re.search(r"^\| 64 \|.*\| at least 10: (not )?met \|", printed, flags=re.MULTILINE)


def test_cells_by_hand():
    assert doctest.testmod(tables).failed == 0
    assert tables.duration(999.4e-6) == "999 µs"
    assert tables.duration(999.6e-6) == "1.00 ms"
    assert tables.number(99.94) == "99.9"
    assert tables.number(99.96) == "100"
    assert tables.percent(0.1234) == "12.3 %"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (tables.at_least(2.0, [1.0, 9.0, 2.0]), "at least 2: met"),
        (tables.at_least(2.0, [9.0, 1.0, 1.9]), "at least 2: not met"),
        (tables.at_most(0.01, [0.0, 0.01, 0.5], "1 %"), "at most 1 %: met"),
        (tables.at_most(0.01, [0.0, 0.02, 0.5], "1 %"), "at most 1 %: not met"),
    ],
)
def test_an_aim_is_that_of_the_median(cell, expected):
    assert cell == expected


def test_what_cannot_run_is_a_line(capsys, monkeypatch):
    monkeypatch.setattr("benchmarks.vector_backends.find_spec", lambda name: None)
    assert main(["--quick", "vector_backends"]) == 0
    assert "`vector_backends` was skipped: the extra `envpool` is not installed." in capsys.readouterr().out


def test_tables_go_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert with_measured(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    new = with_measured(tmp_path / "new.md", "new")
    (tmp_path / "new.md").write_text(new)
    assert with_measured(tmp_path / "new.md", "new") == new
    assert with_measured(PAGE, "").startswith("# Benchmarks\n")


@pytest.mark.parametrize("text", ["mine", f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_no_other_file_is_replaced(text, tmp_path, capsys):
    (tmp_path / "notes.md").write_text(text)
    with pytest.raises(SystemExit):
        main(["--quick", "memory", "--out", str(tmp_path / "notes.md")])
    assert "exists and is not replaced" in capsys.readouterr().err
    assert (tmp_path / "notes.md").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["updates"], "unknown benchmark 'updates'. Valid names: update, environment_phase"),
        (["--write", "update"], "one full run"),
        (["--write", "--quick"], "one full run"),
        (["--out", "no/such/folder/page.md"], "no folder"),
        (["--out", os.path.relpath(PAGE), "update"], "one full run"),
    ],
)
def test_bad_arguments_say_what_would_be_right(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_the_commands_of_the_page_are_real():
    shown = re.findall(r"^python -m benchmarks.*$", PAGE.read_text(), flags=re.MULTILINE)
    assert len(shown) >= 3
    for command in shown:
        arguments = parser().parse_args(shlex.split(command, comments=True)[3:])
        assert set(arguments.names) <= set(NAMES)


def test_episodic_control_does_its_work_and_chooses_the_default_action():
    env = gym.make("HyperRL-PPO-CartPole-v0", total_env_steps=4096)
    agent, actions = make_agent("epgt", env), set()
    assert len(agent.memory) == agent.memory.capacity
    agents.run(env, agent, seed=0, callback=lambda step: actions.add(int(step.action)))
    assert actions == {int(env.unwrapped.default_action)}


class Watched(key_quality.Recorder):
    """Records what another agent does."""

    def __init__(self, env, inner):
        super().__init__(env, 0, 1)
        self.inner = inner

    def act(self, obs, info):
        super().act(obs, info)
        return self.inner.act(obs, info)

    def observe(self, *step):
        super().observe(*step)
        self.inner.observe(*step)


@pytest.mark.parametrize("embedding", ["vae", "paper", "random"])
def test_keys_of_a_recording_are_those_that_the_agent_stored(embedding):
    settings = {"n_steps": 16, "batch_size": 8, "n_epochs": 2}
    env = gym.make("HyperRL-PPO-CartPole-v0", total_env_steps=160, n_envs=1, learner_kwargs=settings)
    keywords = {"embedding": embedding, "vae_probability": 1.0, "write_interval": 1, "epsilon_end": 1.0}
    agent, replayed = (agents.make("epgt", env, seed=3, **keywords) for _ in range(2))
    recorder = Watched(env, agent)
    agents.run(env, recorder, seed=0)
    keys = key_quality.stored_keys(replayed, recorder.episodes, train_probability=1.0)
    assert len(keys) > 20
    np.testing.assert_array_equal(keys, agent.memory.keys)


def test_a_perfect_key_is_better_than_strangers():
    """Three keys near each other have the value 0, three others 9; of the own key nobody is a neighbour."""
    keys = np.array([0.0, 0.1, 0.2, 0.3, 5.0, 5.1, 5.2, 5.3])[:, None]
    measure = key_quality.difference(np.abs(keys - keys.T), ~np.eye(8, dtype=bool))
    assert measure(np.repeat([0.0, 9.0], 4)) == 0
    # Of each four two are 9: the three others of a 0 hold two of them, those of a 9 one.
    assert measure(np.tile([0.0, 9.0], 4)) == pytest.approx(6.0)


def test_cells_of_the_keys_by_hand():
    widest, other = (key_quality.WIDEST, "paper"), ("16", "vae")
    runs = [{widest: {"near": 0.5}, other: {"near": 0.6}}, {widest: {"near": 0.7}, other: {"near": 1.0}}]
    assert key_quality.cell(runs, *widest, "near") == "0.60"
    # The differences are 0.1 and 0.3: their standard deviation is 0.1 * sqrt 2, over sqrt 2 runs.
    assert key_quality.cell(runs, *other, "near") == "0.80 (+0.20 ± 0.10)"
    assert key_quality.cell(runs, "32", "vae", "near") == ""
    assert key_quality.mean_of(runs) == {widest: {"near": 0.6}, other: {"near": 0.8}}
