"""What README, docs and docstrings show runs as it stands, and the README's table is that of the settings."""

import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import agents
import hyperrl_env
import hyperrl_lab
from hyperrl_env import SETTINGS, TASKS
from hyperrl_lab.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BENCHMARKS = ROOT / "benchmarks" / "README.md"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
PACKAGES = (hyperrl_env, agents, hyperrl_lab)
# Enough for an update phase of any task; what is shown may be larger.
MOST_ENV_STEPS = 2_048
# Of code beside both sidebars in a window of 1280 pixels.
COLUMNS = 96


def blocks(path, language):
    text = (
        re.sub(r"^# ?", "", path.read_text(), flags=re.MULTILINE)
        if path.suffix == ".py"
        else path.read_text()
    )
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(path, program):
    lines = [line for block in blocks(path, "sh") for line in re.sub(r" \\\n *", " ", block).splitlines()]
    return [line for line in lines if re.match(rf"(\.venv/bin/)?{program} ", line)]


def shortened(command, most):
    """The arguments of a command of the lab, with a budget of no more than so many environment steps."""
    arguments = shlex.split(command, comments=True)[1:]
    if "--total-env-steps" in arguments:
        value = arguments.index("--total-env-steps") + 1
        arguments[value] = str(min(int(float(arguments[value])), most))
    elif arguments[0] == "train" and "--config" not in arguments:
        arguments += ["--total-env-steps", str(most)]
    return arguments


def having(found_in, paths):
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths if found_in(path)]


# Stable-Baselines3's loop goes on past the end of a run, and the environment says so.
@pytest.mark.filterwarnings("ignore:.*The run is finished:UserWarning")
@pytest.mark.filterwarnings("ignore:A callback looks at the rollouts:UserWarning")
@pytest.mark.parametrize("path", having(lambda path: blocks(path, "python"), PAGES))
def test_the_python_examples_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks(path, "python"):
        exec(block, names)


def test_the_readme_shows_python_and_commands():
    assert len(blocks(ROOT / "README.md", "python")) >= 4
    assert len(commands(ROOT / "README.md", "hyperrl")) >= 4


@pytest.mark.filterwarnings("ignore:The experience says too little")
@pytest.mark.parametrize("path", having(lambda path: commands(path, "hyperrl"), PAGES + NOTEBOOKS))
def test_the_commands_run(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for block in blocks(path, "python") + blocks(path, "toml") + blocks(path, "markdown"):
        if file := re.match(r"(?:# |<!-- )(\w+\.(py|toml|md))", block):
            Path(file[1]).write_text(block)
    for command in commands(path, "hyperrl"):
        assert main(shortened(command, MOST_ENV_STEPS)) == 0, f"{command}: {capsys.readouterr().err}"


def test_the_trials_of_the_searches_shown_differ():
    shown = [line for path in PAGES for line in commands(path, "hyperrl search")]
    assert shown
    for command in shown:
        arguments = shlex.split(command)
        budget = float(arguments[arguments.index("--total-env-steps") + 1])
        # In the last update phase the learning rate is 0: a run of a single one learns nothing.
        assert budget > MOST_ENV_STEPS, command


@pytest.mark.parametrize("path", having(lambda path: blocks(path, "sh"), [*PAGES, BENCHMARKS, *NOTEBOOKS]))
def test_no_command_is_wider_than_a_page_of_the_documentation(path):
    lines = [line for block in blocks(path, "sh") for line in block.splitlines()]
    assert not [line for line in lines if len(line) > COLUMNS]


def targets_and_scripts(path):
    scripts = [
        word for command in commands(path, "python") for word in command.split() if word.endswith(".py")
    ]
    return [command.split()[1] for command in commands(path, "make")] + scripts


@pytest.mark.parametrize("path", having(targets_and_scripts, [*PAGES, BENCHMARKS]))
def test_targets_and_scripts_exist(path):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for name in targets_and_scripts(path):
        assert name in targets or (ROOT / name).exists()


MODULES = [
    info.name
    for package in PACKAGES
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not info.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_docstrings_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_in_docstrings():
    finder = doctest.DocTestFinder()
    tests = [test for name in MODULES for test in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in tests) >= 10


def test_the_table_of_ids_is_that_of_the_settings():
    for name, task in TASKS.items():
        first = f"{name} | `{task.env_id}`"
        if task.family == "atari":
            first = "a game, for example Pong | `ALE/Pong-v5`, preprocessed"
        ppo, a2c, acktr = (SETTINGS[algorithm, name] for algorithm in ("PPO", "A2C", "ACKTR"))
        row = f"| {first} | {ppo.total_env_steps:,} |" + "".join(
            f" {settings.total_env_steps:,} | {settings.n_envs} |" for settings in (a2c, acktr)
        )
        assert row in README
