import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from hyperrl_lab import plots
from hyperrl_lab.plots import learning_curve, memory_map, schedule

TITLE = "HyperRL-A2C-InvertedDoublePendulum-v0, agent epgt, seed 12345"


def episodes(n):
    rng = np.random.default_rng(0)
    return {
        "env_steps": np.cumsum(rng.integers(1, 50, n)),
        "return": np.linspace(-100, 100, n) + rng.normal(0, 20, n),
        "length": np.full(n, 7),
    }


def check(path, least=100):
    """That there is a picture, of a sensible size, on which something is drawn."""
    picture = imread(path)[..., :3]
    assert 400 <= picture.shape[0] <= 4000
    assert 800 <= picture.shape[1] <= 2000
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) >= least
    assert 10_000 < path.stat().st_size < 1_000_000


@pytest.mark.parametrize("n", [0, 1, 150, 5_000])
def test_learning_curves(n, tmp_path):
    learning_curve(episodes(n), TITLE, tmp_path / "a.png")
    check(tmp_path / "a.png")


@pytest.mark.parametrize(
    "run",
    [
        pytest.param((1, 320), id="one phase"),
        pytest.param((1, 1), id="one step"),
        pytest.param((1, 1, ["learning_rate"], True), id="one step, one hyperparameter"),
        pytest.param((3, 2), id="few"),
        pytest.param((30, 20, ["learning_rate", "clip_range", "batch_size"]), id="many"),
        pytest.param((3_000, 1, ["learning_rate"]), id="phases of one update"),
        pytest.param((40, 5, ["learning_rate", "clip_range"], True), id="constant"),
        pytest.param((0, 1), id="none"),
    ],
)
def test_schedules(run, synthetic_actions, tmp_path):
    schedule(synthetic_actions(*run), TITLE, tmp_path / "a.png")
    check(tmp_path / "a.png")


def test_a_schedule_of_zeros(synthetic_actions, tmp_path):
    columns = synthetic_actions(5, 5, ["learning_rate"])
    schedule({**columns, "learning_rate": np.zeros(25)}, TITLE, tmp_path / "a.png")
    check(tmp_path / "a.png")


@pytest.mark.parametrize("n", [10, 100])
def test_memory_maps(n, tmp_path):
    keys = np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32)
    memory_map(keys, keys[:, 0], TITLE, tmp_path / "a.png")
    check(tmp_path / "a.png")


def test_a_map_shows_some_of_a_large_memory(tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "_tsne", lambda keys: shown.append(keys) or keys[:, :2])
    keys = np.random.default_rng(0).normal(size=(5_000, 3))
    memory_map(keys, np.ones(5_000), TITLE, tmp_path / "a.png")
    assert shown[0].shape == (2_000, 3)
    assert len(np.unique(shown[0], axis=0)) == 2_000
    check(tmp_path / "a.png")


@pytest.mark.parametrize("keys", [np.zeros((0, 4)), np.eye(9), np.ones((50, 4))])
def test_a_memory_that_makes_no_map_makes_no_picture(keys, tmp_path):
    memory_map(keys, np.arange(len(keys)), TITLE, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    learning_curve(episodes(3), TITLE, tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before
