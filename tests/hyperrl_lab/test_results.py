import numpy as np
import pytest
from gymnasium import spaces

from hyperrl_env import SearchSpace
from hyperrl_env.search_space import BoundSearchSpace
from hyperrl_lab.results import (
    ActionLog,
    ColumnLog,
    EpisodeLog,
    acting,
    chosen_hyperparameters,
    read_actions,
    read_columns,
    read_episodes,
    read_phases,
)

DEFAULTS = {"learning_rate": 1e-3, "clip_range": 0.2, "gamma": 0.99}


@pytest.mark.parametrize("rows", [0, 1, 6, 7, 8, 14, 20])
def test_rows_come_back_whatever_the_chunks(rows, tmp_path):
    log = ColumnLog({"a": "q", "b": "d", "c": "?"}, chunk_rows=7)
    path = tmp_path / "x.parquet"
    for i in range(rows):
        log.append((i, i / 3, i % 2 == 0))
        if i % 5 == 0:
            log.write(path)
    log.write(path)
    columns = read_columns(path)
    assert len(log) == rows
    assert list(columns) == ["a", "b", "c"]
    np.testing.assert_array_equal(columns["a"], np.arange(rows))
    np.testing.assert_array_equal(columns["b"], np.arange(rows) / 3)
    np.testing.assert_array_equal(columns["c"], np.arange(rows) % 2 == 0)
    assert [columns[name].dtype for name in "abc"] == [np.int64, np.float64, np.bool_]


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="zip"):
        ColumnLog({"a": "q", "b": "d"}).append((1,))


def test_the_file_stays_small(tmp_path):
    log = ColumnLog({**{f"i{i}": "q" for i in range(4)}, **{f"x{i}": "d" for i in range(14)}})
    rng = np.random.default_rng(0)
    bins = [0.1, 0.2, 0.3, 0.4, 0.5]
    for i in range(20_000):
        log.append((i, i // 320, i % 320, 5, *rng.choice(bins, 4), *[0.5] * 10))
    log.write(tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 12 * 20_000  # 144 bytes per row without compression


@pytest.mark.parametrize("action_mode", ["discrete", "multi_discrete", "box"])
def test_actions_of_every_mode(action_mode, tmp_path):
    space = BoundSearchSpace(SearchSpace(["learning_rate", "clip_range"]), action_mode, DEFAULTS, 64)
    log = ActionLog(space, list(DEFAULTS))
    space.action_space.seed(0)
    actions = [space.action_space.sample() for _ in range(5)]
    for step, action in enumerate(actions):
        before = {"env_steps": 64 * step, "phase": step, "update_step": 7}
        after = {"hyperparameters": {**DEFAULTS, **space.values(action)}, "diverged": step == 2}
        log.record(before, action, {**DEFAULTS, "learning_rate": 1e-3 / (step + 1)}, step / 2, after)
    log.write(tmp_path / "actions.parquet")
    columns = read_actions(tmp_path)
    names = ["action"] if action_mode == "discrete" else ["action.learning_rate", "action.clip_range"]
    assert list(columns) == [
        *("env_steps", "phase", "update_step", *names, *DEFAULTS),
        *("default.learning_rate", "default.clip_range", "hyper_reward", "diverged"),
    ]
    recorded = np.stack([columns[name] for name in names], axis=-1)
    np.testing.assert_array_equal(recorded, np.reshape(actions, (5, -1)))
    assert (recorded.dtype == np.float64) == isinstance(space.action_space, spaces.Box)
    for name in ("learning_rate", "clip_range"):
        assert columns[name].tolist() == [space.values(action)[name] for action in actions]
    assert columns["gamma"].tolist() == [0.99] * 5
    assert columns["default.learning_rate"].tolist() == [1e-3 / (step + 1) for step in range(5)]
    assert columns["env_steps"].tolist() == [0, 64, 128, 192, 256]
    assert columns["hyper_reward"].tolist() == [0, 0.5, 1, 1.5, 2]
    assert columns["diverged"].tolist() == [False, False, True, False, False]
    assert chosen_hyperparameters(columns) == ["learning_rate", "clip_range"]


@pytest.mark.parametrize(
    ("n_envs", "phases", "ends"),
    [
        (1, [(10, [1.0], [7]), (20, [], []), (30, [2.0, 3.0], [15, 6])], [7, 22, 28]),
        (2, [(10, [1.0], [3]), (20, [], []), (30, [2.0, 3.0], [8, 6])], [10, 30, 30]),
        # A wrapper that repeats actions makes the episode longer than the learner's count.
        (1, [(10, [1.0], [36]), (20, [2.0], [40])], [10, 20]),
    ],
)
def test_episodes_are_placed_where_they_ended(n_envs, phases, ends, tmp_path):
    log = EpisodeLog(n_envs)
    for phase in phases:
        log.record(*phase)
    log.write(tmp_path / "episodes.parquet")
    columns = read_episodes(tmp_path)
    assert columns["env_steps"].tolist() == ends
    assert columns["return"].tolist() == [r for _, returns, _ in phases for r in returns]
    assert columns["length"].tolist() == [n for _, _, lengths in phases for n in lengths]


@pytest.mark.parametrize("read", [read_actions, read_episodes, read_phases])
def test_a_folder_without_results_is_an_error(read, tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path)


def test_an_episode_that_was_given_up_does_not_count():
    """Episodes of 10 steps: the one that began at 30 is given up at 32, another begins there."""
    log = EpisodeLog(1)
    log.record(16, [1.0], [10])
    log.record(32, [1.0, 1.0], [10, 10])
    log.restart(32)
    log.record(48, [1.0], [10])
    log.record(64, [1.0, 1.0], [10, 10])
    assert log.state_dict()["columns"][0].tolist() == [10, 20, 30, 42, 52, 62]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"learning_rate": [0.2, 0.0, 0.0], "default.learning_rate": [0.1, 0.1, 0.0]}, [True, True, False]),
        ({"learning_rate": [0.2, 0.1, 0.0]}, [True, True, False]),
        # A rate of its own at the end of the schedule acts.
        ({"learning_rate": [0.2, 0.2, 0.2], "default.learning_rate": [0.1, 0.05, 0.0]}, [True, True, True]),
        ({}, [True, True, True]),
    ],
)
def test_what_is_chosen_at_a_learning_rate_of_0_does_not_act(columns, expected):
    found = acting({"phase": np.arange(3), **{name: np.array(values) for name, values in columns.items()}})
    assert found.tolist() == expected
