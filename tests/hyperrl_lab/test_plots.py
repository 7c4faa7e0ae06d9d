from contextlib import contextmanager

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread

from hyperrl_lab import plots, schedules
from hyperrl_lab.figure import new_figure, tick_labels
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
    colours = (255 * picture).round().astype(int) @ [65_536, 256, 1]
    assert 400 <= picture.shape[0] <= 4000
    assert 800 <= picture.shape[1] <= 2000
    assert len(np.unique(colours)) >= least
    assert 10_000 < path.stat().st_size < 1_000_000


@pytest.fixture
def figures(monkeypatch):
    """The figures that were drawn, each as it was when it was saved."""
    drawn = []

    @contextmanager
    def remember(path, size):
        with new_figure(path, size) as figure:
            yield figure
            drawn.append(figure)

    monkeypatch.setattr(plots, "new_figure", remember)
    monkeypatch.setattr(schedules, "new_figure", remember)
    return drawn


def texts(labels):
    return [label.get_text() for label in labels]


@pytest.mark.parametrize("n", [0, 1, 150, 5_000])
def test_learning_curves(n, tmp_path):
    learning_curve(episodes(n), TITLE, tmp_path / "a.png")
    check(tmp_path / "a.png")


def test_the_end_of_a_learning_curve_is_the_mean_of_the_last_100(figures, tmp_path):
    columns = episodes(150)
    learning_curve(columns, TITLE, tmp_path / "a.png")
    _, mean = figures[0].axes[0].lines
    assert mean.get_ydata()[-1] == pytest.approx(columns["return"][-100:].mean())
    assert "mean of the last 100" in texts(figures[0].legends[0].get_texts())


def test_episodes_that_end_together_are_one_point_of_the_mean(figures, tmp_path):
    columns = {"env_steps": np.repeat([100, 200, 300], 10), "return": np.arange(30.0)}
    learning_curve(columns, TITLE, tmp_path / "a.png")
    _, mean = figures[0].axes[0].lines
    np.testing.assert_allclose(mean.get_xydata(), [(100, 4.5), (200, 9.5), (300, 14.5)])


@pytest.mark.parametrize(("seeds", "named"), [([], None), ([7], "seed 7"), ([0, 1, 5], "3 seeds")])
def test_references_are_thin_lines_with_one_name(seeds, named, figures, tmp_path):
    references = {seed: {**episodes(120), "return": np.full(120, float(seed))} for seed in seeds}
    learning_curve(episodes(120), TITLE, tmp_path / "a.png", references)
    _, mean, *thin = figures[0].axes[0].lines
    assert [set(line.get_ydata()) for line in thin] == [{seed} for seed in seeds]
    assert all(line.get_linewidth() < mean.get_linewidth() for line in thin)
    names = texts(figures[0].legends[0].get_texts())
    assert names[2:] == ([f"the task's own settings, {named}"] if named else [])
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


def test_a_strip_shows_the_shares_and_nothing_leaves_its_panel(figures, synthetic_actions, tmp_path):
    columns = synthetic_actions(30, 60, ["learning_rate", "batch_size"])
    schedule(columns, TITLE, tmp_path / "a.png")
    rate, batch, bar = figures[0].axes
    assert texts(rate.get_yticklabels()) == ["0.5×", "1×", "2×"]  # noqa: RUF001
    assert texts(batch.get_yticklabels()) == ["32", "64", "128"]
    assert bar.get_ylabel() == "share of the updates"
    for axes, multiple in ((rate, 1), (batch, 64)):
        mesh, own = axes.collections[0], axes.lines[0]
        name = "learning_rate" if axes is rate else "batch_size"
        chosen = columns[name][:60] / (columns[f"default.{name}"][:60] if axes is rate else 1)
        expected = [np.mean(np.isclose(chosen, level)) for level in np.array([0.5, 1, 2]) * multiple]
        np.testing.assert_allclose(mesh.get_array()[:, 0], expected)
        assert own.get_ydata() == [1, 1]
        assert axes.get_ylim() == (-0.5, 2.5)
    assert rate.get_title(loc="left").startswith("learning_rate, multiples of the task's own (")
    assert batch.get_title(loc="left") == "batch_size (samples)"


def test_a_value_of_the_tasks_own_that_moves_is_called_its_own(figures, synthetic_actions, tmp_path):
    columns = dict(synthetic_actions(10, 50, ["learning_rate"]))
    constant = np.resize([1e-5, 1e-3], 500)
    columns["learning_rate"] = np.where(np.arange(500) % 5, constant, columns["default.learning_rate"])
    schedule(columns, TITLE, tmp_path / "a.png")
    axes = figures[0].axes[0]
    assert texts(axes.get_yticklabels()) == [r"$1\times10^{-5}$", "own", r"$1\times10^{-3}$"]
    assert axes.get_title(loc="left").endswith(": 0.00027 to 0")


@pytest.mark.parametrize("wide", [1, 100])
def test_choices_from_a_range_are_a_band(wide, figures, synthetic_actions, tmp_path):
    names = ["learning_rate", "clip_range", "batch_size"]
    columns = dict(synthetic_actions(30, 60, names))
    rng = np.random.default_rng(0)
    for name in names:
        columns[name] = columns[f"default.{name}"] * np.exp(rng.uniform(-0.7 * wide, 0.7 * wide, 1_800))
        columns[f"action.{name}"] = rng.uniform(-1, 1, 1_800)
    schedule(columns, TITLE, tmp_path / "a.png")
    check(tmp_path / "a.png")
    assert texts(figures[0].legends[0].get_texts())[0] == "10 to 90 %"
    for axes in figures[0].axes:
        band = axes.patches[0].get_data()
        low, high = axes.get_ylim()
        assert low <= np.nanmin(band.baseline) <= np.nanmax(band.values) <= high
        assert len(axes.get_yticks()) >= 2


def test_more_values_than_rows_are_a_band(figures, synthetic_actions, tmp_path):
    columns = synthetic_actions(10, 50, ["clip_range"])
    schedule({**columns, "clip_range": np.linspace(0.1, 0.4, 500)}, TITLE, tmp_path / "a.png")
    assert texts(figures[0].legends[0].get_texts())[0] == "10 to 90 %"


def test_a_schedule_of_zeros(synthetic_actions, tmp_path):
    columns = synthetic_actions(5, 5, ["learning_rate"])
    schedule({**columns, "learning_rate": np.zeros(25)}, TITLE, tmp_path / "a.png")
    check(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([32, 64, 16_384], ["32", "64", "16384"]),
        ([0.9, 0.975, 0.9975, 1], ["0.9", "0.975", "0.9975", "1"]),
        ([0, 1e-5, 0.0001], ["0", r"$1\times10^{-5}$", r"$1\times10^{-4}$"]),
        ([0.0002988, 0.3], [r"$2.988\times10^{-4}$", r"$3\times10^{-1}$"]),
        ([0.99999, 0.999999], ["0.99999", "0.999999"]),
        ([], []),
    ],
)
def test_ticks_are_in_one_notation(values, expected):
    assert tick_labels(values) == expected


@pytest.mark.parametrize("n", [10, 100])
@pytest.mark.parametrize("n_actions", [1, 3, 225])
def test_memory_maps(n, n_actions, figures, tmp_path):
    keys = np.random.default_rng(0).normal(size=(n, 5)).astype(np.float32)
    actions = np.arange(n) % n_actions
    memory_map(keys, keys[:, 0], actions, TITLE, tmp_path / "a.png")
    check(tmp_path / "a.png")
    by_value, by_time, by_action = (axes.collections[0] for axes in figures[0].axes[:3])
    assert sorted(by_value.get_array()) == sorted(keys[:, 0])
    assert by_value.get_array()[-1] == keys[:, 0].max()
    # The same points in the same order have time and action: entry i was written with action i mod n.
    np.testing.assert_array_equal(by_time.get_offsets(), by_action.get_offsets())
    np.testing.assert_array_equal((by_time.get_array() - 1) % n_actions, by_action.get_array())
    labels = [axes.get_xlabel() for axes in figures[0].axes[3:]]
    assert [label.split(" (")[0] for label in labels] == [
        "value",
        "order of writing",
        "number of the joint action",
    ]


def test_a_map_shows_some_of_a_large_memory(figures, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(plots, "in_the_plane", lambda keys: shown.append(keys) or keys[:, :2])
    keys = np.random.default_rng(0).normal(size=(5_000, 3))
    memory_map(keys, np.ones(5_000), np.zeros(5_000, int), TITLE, tmp_path / "a.png")
    assert shown[0].shape == (2_000, 3)
    assert len(np.unique(shown[0], axis=0)) == 2_000
    dots = figures[0].axes[1].collections[0]
    np.testing.assert_array_equal(dots.get_offsets(), keys[dots.get_array().astype(int) - 1, :2])
    check(tmp_path / "a.png")


@pytest.mark.parametrize("keys", [np.zeros((0, 4)), np.eye(9), np.ones((50, 4))])
def test_a_memory_that_makes_no_map_makes_no_picture(keys, tmp_path):
    memory_map(keys, np.arange(len(keys)), np.arange(len(keys)), TITLE, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_drawing_leaves_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    learning_curve(episodes(3), TITLE, tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before
