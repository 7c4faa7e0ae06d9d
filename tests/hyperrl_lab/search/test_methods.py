import sys

import pytest

from hyperrl_lab.cli import main
from hyperrl_lab.search.methods import run_search, search_config


def test_the_method_is_the_agent_and_its_settings_are_the_agents(run_config):
    config, choices = search_config(run_config(), "pb2")
    assert (config.agent, config.agent_kwargs) == ("pb2", {"population": 4, "perturb_every": 50_000})
    assert list(choices) == ["learning_rate", "clip_range", "batch_size"]
    config, _ = search_config(run_config(), "pbt", population=2, perturb_every=128)
    assert config.agent_kwargs == {"population": 2, "perturb_every": 128}
    config, _ = search_config(run_config(), "bayes", trials=7)
    assert config.agent_kwargs == {"trials": 7, "prune": False}


def test_a_grid_has_a_trial_for_each_point(run_config, grid):
    config, _ = search_config(run_config(grid), "grid")
    assert config.agent_kwargs["trials"] == 6
    with pytest.raises(ValueError, match="6 points"):
        search_config(run_config(grid), "grid", trials=5)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("hyperband", {}, "Unknown method 'hyperband'.*pbt, pb2, grid, random_search, bayes"),
        ("pbt", {"trials": 3}, "pbt takes population and perturb_every, not trials"),
        ("bayes", {"trials": 3, "population": 4}, "bayes takes trials and prune, not population"),
        ("random_search", {}, "random_search needs the number of trials"),
    ],
)
def test_impossible_settings(run_config, method, options, message):
    with pytest.raises(ValueError, match=message):
        search_config(run_config(), method, **options)


@pytest.mark.parametrize("method", ["pbt", "pb2", "bayes", "random_search"])
def test_what_a_method_cannot_choose_is_named_with_what_it_can(run_config, method):
    space = {"clip_range": [0.2], "learning_rate": [1e-4, 1e-3]}
    with pytest.raises(ValueError, match=f"{method}.*one value of clip_range.*It can choose: learning_rate"):
        search_config(run_config(space), method, **({} if method in ("pbt", "pb2") else {"trials": 1}))


@pytest.mark.parametrize(
    ("method", "package", "extra"),
    [("pbt", "ray", "ray"), ("pb2", "ray", "ray"), ("grid", "optuna", "search")],
)
def test_without_the_extra_the_error_names_it(run_config, monkeypatch, method, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"{method} needs {package}.*pip install 'hyperrl\[{extra}\]'"):
        search_config(run_config(), method)


def test_trials_take_no_cluster(run_config, grid, tmp_path):
    config, choices = search_config(run_config(grid), "grid")
    with pytest.raises(ValueError, match="grid runs one trial after the other"):
        run_search(config, tmp_path / "search", choices, workers=2)


def test_the_command_line(tmp_path, capsys, small_arguments):
    arguments = [item for item in small_arguments if item not in ("--agent", "random")]
    out = tmp_path / "search"
    space = 'search_space={"learning_rate": [1e-4, 1e-2]}'
    command = ["search", *arguments, "--method", "grid", "--set", space, "--out", str(out)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "finished after 384 env steps in 2 runs, best mean return" in shown
    assert "trials/0001: 192 env steps" in shown
    assert main(command) == 0
    assert "trials/" not in capsys.readouterr().out.replace(str(out), "").split("best")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "grid", "--set", "agent.action=default"], "leave out agent.action"),
        (["--method", "bayes"], "needs the number of trials"),
        (["--method", "pbt", "--address", "nowhere.invalid"], "No Ray cluster answers at 'nowhere.invalid'"),
        (["--method", "pbt", "--address", "127.0.0.1:1"], "No Ray cluster answers at '127.0.0.1:1'"),
        (["--method", "pbt", "--address", "127.0.0.1:1", "--workers", "2"], "not both"),
    ],
)
def test_users_errors_are_one_line(small_arguments, tmp_path, capsys, options, message):
    arguments = [item for item in small_arguments if item not in ("--agent", "random")]
    assert main(["search", *arguments, *options, "--out", str(tmp_path / "search")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
