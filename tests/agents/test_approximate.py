"""Approximate reads against the exact memory."""

import numpy as np
import pytest

from agents.episodic import EpisodicMemory, approximate
from agents.episodic.approximate import Cells, halves

N_ACTIONS = 20


def memories(capacity, candidates=None, **options):
    options = {"capacity": capacity, "n_actions": N_ACTIONS, "key_dim": 6, **options}
    return EpisodicMemory(**options), EpisodicMemory(**options, index="ivf", candidates=candidates)


def random_walk(n, seed=0, width=6):
    return np.cumsum(np.random.default_rng(seed).normal(size=(n, width)), axis=0) / 10


def clusters(n, seed=0, width=6):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(40, width))[rng.integers(40, size=n)] + rng.normal(size=(n, width)) / 20


def gaussian(n, seed=0, width=6):
    return np.random.default_rng(seed).normal(size=(n, width))


def grid(n, seed=0, width=6):
    return np.random.default_rng(seed).integers(-1, 2, size=(n, width))


@pytest.fixture
def small_cells(monkeypatch):
    monkeypatch.setattr(approximate, "CELL_SIZE", 16)


def assert_sound(cells, slots):
    """Every slot in use lies in one cell, earliest added first, and no cell is empty or too large."""
    members = cells._members
    assert sorted(np.concatenate(members).tolist()) == sorted(slots.tolist())
    assert all(0 < len(m) <= approximate.CELL_SIZE for m in members)
    assert len(members) == len(cells.centroids)
    age = {slot: i for i, slot in enumerate(slots.tolist())}
    for cell, m in enumerate(members):
        assert (cells.cell_of[m] == cell).all()
        assert np.diff([age[slot] for slot in m.tolist()]).min(initial=1) > 0


@pytest.mark.parametrize("keys", [random_walk, clusters, gaussian, grid])
@pytest.mark.parametrize("rule", ["average", "max"])
def test_all_cells_give_the_exact_memorys_answers(keys, rule, small_cells):
    """To the bit, over several turns of the ring; on the grid, equally near keys abound."""
    exact, ivf = memories(300, candidates=300, rule=rule, k_read=4)
    rng = np.random.default_rng(1)
    keys = keys(1500)
    for i, key in enumerate(keys):
        action, value = int(min(rng.geometric(0.2), N_ACTIONS)) - 1, rng.normal()
        for memory in (exact, ivf):
            memory.write(key, action, value)
        if i % 7 == 0:
            assert ivf.read(key + 0.5).tobytes() == exact.read(key + 0.5).tobytes()
        if i % 100 == 0:
            assert_sound(ivf._cells, ivf._slots_by_age())
            assert ivf._stored.tolist() == np.bincount(ivf.actions, minlength=N_ACTIONS).tolist()
    assert ivf.values.tobytes() == exact.values.tobytes()
    assert len(ivf._cells.centroids) > 15


def recall(ivf, query):
    """The share of the exactly nearest `k_read` entries of every action that a read considers."""
    slots = ivf._candidates(ivf._padded(query), ivf._cells)
    keys, considered = ivf._keys[: len(ivf), : ivf.key_dim].astype(float), np.isin(np.arange(len(ivf)), slots)
    distances = ((keys - query) ** 2).sum(axis=1)
    found = []
    for action in range(ivf.n_actions):
        own = np.flatnonzero(ivf._actions[: len(ivf)] == action)
        found.extend(considered[own[np.argsort(distances[own])[: ivf.k_read]]])
    return np.mean(found)


@pytest.mark.parametrize(("keys", "least"), [(random_walk, 0.99), (clusters, 0.99), (gaussian, 0.85)])
def test_a_tenth_of_the_entries_holds_most_nearest_neighbours(keys, least, monkeypatch):
    monkeypatch.setattr(approximate, "CELL_SIZE", 128)
    _, ivf = memories(8000, candidates=800, rule="max")
    rng = np.random.default_rng(1)
    keys = keys(10_050)
    for key in keys[:10_000]:  # a turn and a quarter
        ivf.write(key, int(rng.integers(N_ACTIONS)), 0.0)
    considered = [len(ivf._candidates(ivf._padded(key), ivf._cells)) for key in keys[10_000:]]
    assert min(considered) >= 800
    assert max(considered) < 800 + 128
    assert np.mean([recall(ivf, key) for key in keys[10_000:]]) >= least


def test_actions_that_are_rare_nearby_are_read_exactly(small_cells):
    """Far from the query: all of three actions, of one, two and many entries, and all but one of another."""
    exact, ivf = memories(400, candidates=20)
    for memory in (exact, ivf):
        for action, n, place in ((0, 200, 0), (6, 1, 0), (6, 40, -70), (3, 1, 50), (4, 2, -50), (5, 60, 70)):
            for key in place + np.random.default_rng(n).normal(size=(n, 6)):
                memory.write(key, action, float(np.sum(key)))
    near = exact.keys[exact.actions == 6][0]
    for key in near + np.random.default_rng(0).normal(size=(20, 6)) / 100:
        slots = ivf._candidates(ivf._padded(key), ivf._cells)
        assert len(slots) == len(set(slots.tolist())) < 170
        found, expected = ivf.read(key), exact.read(key)
        assert np.isnan(found).tolist() == [action not in (0, 3, 4, 5, 6) for action in range(N_ACTIONS)]
        assert found[3:7].tobytes() == expected[3:7].tobytes()


def test_an_action_that_leaves_the_ring_is_forgotten(small_cells):
    _, ivf = memories(100, candidates=10)
    ivf.write(np.zeros(6), 7, 1.0)
    for key in random_walk(100):
        ivf.write(key, 1, 2.0)
    assert np.isnan(ivf.read(np.zeros(6))[7])
    assert ivf.read(np.zeros(6))[1] == pytest.approx(2.0)


def test_the_empty_memory_and_one_entry():
    _, ivf = memories(1)
    assert np.isnan(ivf.read(np.ones(6))).all()
    for value in (1.0, 2.0):
        ivf.write(np.full(6, value), 0, value)
        assert ivf.read(np.zeros(6))[0] == value


def test_cells_follow_a_walk_away_from_where_they_began(small_cells):
    """However far the keys go, no cell outgrows its size and what is left behind goes with its keys."""
    ring = np.zeros((200, 16), dtype=np.float32)
    cells = Cells(ring)
    for i, key in enumerate(random_walk(4000, width=16) + np.arange(4000)[:, None] / 10):
        if i >= 200:
            cells.remove_earliest(i % 200)
        ring[i % 200] = key
        cells.add(i % 200)
    assert_sound(cells, np.arange(200))
    assert len(cells.centroids) < 60
    # The keys in use span 20, and a cell not more than 2.
    for centroid, members in zip(cells.centroids, cells._members, strict=True):
        assert np.abs(centroid - ring[members].mean(axis=0)).max() < 0.8


def test_halves_part_two_heaps_and_cut_equal_keys_too():
    keys = np.zeros((10, 16), dtype=np.float32)
    keys[[1, 4, 5, 7, 8], 3] = 1.0
    assert sorted(half.tolist() for half in halves(keys)) == [[0, 2, 3, 6, 9], [1, 4, 5, 7, 8]]
    equal = halves(np.ones((5, 16), dtype=np.float32))
    assert [half.tolist() for half in equal] == [[0, 1], [2, 3, 4]]


@pytest.mark.parametrize("rule", ["average", "max"])
def test_a_restored_memory_goes_on_as_the_saved_one(rule, small_cells):
    _, saved = memories(150, candidates=30, rule=rule)
    keys = clusters(1000)
    rng = np.random.default_rng(0)
    for count in (0, 1, 100, 400):
        for key in keys[:count]:
            saved.write(key, int(rng.integers(N_ACTIONS)), rng.normal())
        _, restored = memories(150, candidates=30, rule=rule)
        restored.write(np.ones(6), 0, 9.0)
        restored.load_state_dict(saved.state_dict())
        for key in keys[500:700]:
            assert restored.read(key + 0.1).tobytes() == saved.read(key + 0.1).tobytes()
            action, value = int(rng.integers(N_ACTIONS)), rng.normal()
            restored.write(key, action, value)
            saved.write(key, action, value)
        for name, entry in saved.state_dict().items():
            assert np.asarray(restored.state_dict()[name]).tobytes() == np.asarray(entry).tobytes()
        assert_sound(restored._cells, restored._slots_by_age())


def test_it_is_deterministic(small_cells):
    states = []
    for _ in range(2):
        _, ivf = memories(200, candidates=30)
        for i, key in enumerate(clusters(500)):
            ivf.write(key, i % N_ACTIONS, float(i))
        states.append(b"".join(np.asarray(entry).tobytes() for entry in ivf.state_dict().values()))
    assert states[0] == states[1]


def test_the_state_is_a_copy():
    _, ivf = memories(10)
    ivf.write(np.ones(6), 0, 1.0)
    state = ivf.state_dict()
    assert (state["index"], state["candidates"]) == ("ivf", 4096)
    assert state["centroids"].tolist() == [[1.0] * 6]
    state["centroids"][:] = state["cells"][:] = 9
    assert ivf.state_dict()["centroids"].tolist() == [[1.0] * 6]
    assert ivf.state_dict()["cells"].tolist() == [0]


def test_more_actions_take_more_candidates():
    assert EpisodicMemory(2, 225, index="ivf").candidates == 4096
    assert EpisodicMemory(2, 1000, k_read=5, index="ivf").candidates == 30_000


def test_states_of_another_index_are_refused():
    exact, ivf = memories(10)
    assert "cells" not in exact.state_dict()
    with pytest.raises(ValueError, match="the state lacks candidates, cells, centroids"):
        ivf.load_state_dict(exact.state_dict())
    with pytest.raises(ValueError, match="a state of index 'ivf' does not fit a memory of index 'exact'"):
        exact.load_state_dict(ivf.state_dict())
    _, other = memories(10, candidates=5)
    with pytest.raises(ValueError, match="a state of candidates 4096 does not fit a memory of candidates 5"):
        other.load_state_dict(ivf.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": np.zeros(3, dtype=int)}, r"cells must be 2 integers, got int64 of shape \(3,\)"),
        ({"cells": np.zeros(2)}, "cells must be 2 integers, got float64"),
        ({"cells": np.array([0, 1])}, "cells must name each of the 1 centroids, and nothing else"),
        ({"cells": np.array([-1, 0])}, "cells must name each"),
        ({"centroids": np.zeros((2, 6))}, "cells must name each of the 2 centroids"),
        (
            {"centroids": np.zeros((1, 5))},
            r"must be finite and of shape \(cells, 6\), got .*\(1, 5\)",
        ),
        ({"centroids": np.zeros(6)}, "centroids must be finite"),
        ({"centroids": np.full((1, 6), np.nan)}, "centroids must be finite"),
    ],
)
def test_cells_that_do_not_fit_are_refused(change, message):
    _, ivf = memories(10)
    for key in ([1] * 6, [2] * 6):
        ivf.write(key, 0, 1.0)
    state = ivf.state_dict()
    with pytest.raises(ValueError, match=message):
        ivf.load_state_dict({**state, **change})
    assert len(ivf) == 2
    ivf.load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"index": "hnsw"}, "index must be one of exact, ivf; got 'hnsw'"),
        ({"candidates": 0}, r"candidates must be an integer in \[1, "),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        EpisodicMemory(2, 3, **change)
