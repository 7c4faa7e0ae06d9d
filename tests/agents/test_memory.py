"""The episodic memory against numbers worked out by hand and against a plain list of tuples."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.episodic import EpisodicMemory
from agents.episodic.memory import moved_towards, similarity, weighted_mean
from agents.episodic.neighbours import Groups, squared_distances

RULES = ("average", "max")
SETTINGS = {
    "key_dim": 2,
    "n_actions": 3,
    "capacity": 4,
    "k_read": 3,
    "k_write": 2,
    "beta": 0.5,
    "rule": "average",
    "delta": 1e-3,
}


class PlainMemory:
    """The paper's memory as a list of [key, action, value], earliest added first, in Python floats."""

    def __init__(self, n_actions, capacity, k_read, k_write, beta, rule):
        self.n_actions, self.capacity, self.beta, self.rule = n_actions, capacity, beta, rule
        self.k_read, self.k_write = k_read, k_write
        self.entries = []
        self.closest_call = float("inf")  # the smallest relative gap between a neighbour taken and one left

    def neighbours(self, key, action, k):
        own = [entry for entry in self.entries if entry[1] == action]
        near = [(sum((x - y) ** 2 for x, y in zip(key, entry[0], strict=True)), entry) for entry in own]
        near.sort(key=lambda pair: pair[0])  # a stable sort: of equals the earlier added comes first
        if len(near) > k:
            gap = (near[k][0] - near[k - 1][0]) / (near[k][0] + 1e-3)
            self.closest_call = min(self.closest_call, gap)
        return [(1 / (distance + 1e-3), entry) for distance, entry in near[:k]]

    def read(self, key):
        q = []
        for action in range(self.n_actions):
            near = self.neighbours(key, action, self.k_read)
            total = sum(sim for sim, _ in near)
            q.append(sum(sim * entry[2] for sim, entry in near) / total if near else float("nan"))
        return q

    def write(self, key, action, value):
        same = [entry for entry in self.entries if entry[0] == key and entry[1] == action]
        if self.rule == "max":
            for entry in same:
                entry[2] = max(entry[2], value)
        else:
            near = self.neighbours(key, action, self.k_write)
            total = sum(sim for sim, _ in near)
            for sim, entry in near:
                entry[2] += self.beta * (value - entry[2]) * sim / total
        if not same:
            self.entries.append([key, action, value])
            if len(self.entries) > self.capacity:
                del self.entries[0]


def assert_same_content(memory, plain, rtol=1e-9):
    assert len(memory) == len(plain.entries)
    assert [tuple(key) for key in memory.keys.tolist()] == [entry[0] for entry in plain.entries]
    assert memory.actions.tolist() == [entry[1] for entry in plain.entries]
    np.testing.assert_allclose(memory.values, [entry[2] for entry in plain.entries], rtol=rtol, atol=rtol)


def assert_same_reading(memory, plain, key, rtol=1e-9):
    np.testing.assert_allclose(memory.read(key), plain.read(key), rtol=rtol, atol=rtol)


def test_reading_agrees_with_equation_3_by_hand():
    memory = EpisodicMemory(1, 2, k_read=2, rule="max")
    for key, value in ((0, 10.0), (1, 20.0), (3, 99.0)):
        memory.write([key], 0, value)
    # At 0 the two nearest are 0 and 1, at squared distances 0 and 1: Sim = 1 / 0.001 and 1 / 1.001, that is
    # 1001 : 1, so that the weights are 1001/1002 and 1/1002 and Q = (1001 * 10 + 20) / 1002.
    assert memory.read([0])[0] == pytest.approx(10030 / 1002, rel=1e-12)
    # At 2 the nearest are 1 and 3, both at squared distance 1: Q = (20 + 99) / 2.
    assert memory.read([2])[0] == pytest.approx(59.5, rel=1e-12)
    # At 0.5: 0 and 1, both at 0.25.
    assert memory.read([0.5])[0] == pytest.approx(15.0, rel=1e-12)
    assert np.isnan(memory.read([0])[1])


def test_reading_squares_the_distances():
    memory = EpisodicMemory(2, 1, k_read=2, rule="max")
    memory.write([1, 1], 0, 1.0)  # squared distance 2 of the origin
    memory.write([0, 3], 0, 5.0)  # squared distance 9
    # Sim = 1 / 2.001 and 1 / 9.001, that is 9001 : 2001. Q = (9001 * 1 + 2001 * 5) / 11002 = 19006 / 11002.
    assert memory.read([0, 0])[0] == pytest.approx(19006 / 11002, rel=1e-6)


def test_writing_agrees_with_equation_4_by_hand():
    memory = EpisodicMemory(1, 1, k_write=2, beta=0.5)
    memory.load_state_dict(
        {**memory.state_dict(), "keys": [[0], [1], [3]], "actions": [0, 0, 0], "values": [10.0, 20.0, 99.0]}
    )
    # Between 0 and 1 both lie at 0.25 and weigh 1/2. Towards 30 with beta 1/2:
    # 10 + 0.5 * 20 * 0.5 = 15 and 20 + 0.5 * 10 * 0.5 = 22.5. The third is no neighbour; (0.5, 30) is added.
    memory.write([0.5], 0, 30.0)
    np.testing.assert_allclose(memory.values, [15.0, 22.5, 99.0, 30.0], rtol=1e-12)
    # At 3 its own entry lies at 0 and the next, 1, at 4: Sim = 1 / 0.001 and 1 / 4.001, that is 4001 : 1.
    # Towards 0: 99 - 0.5 * 99 * 4001/4002 and 22.5 - 0.5 * 22.5 / 4002. Nothing is added: 3 is there already.
    memory.write([3], 0, 0.0)
    np.testing.assert_allclose(
        memory.values, [15.0, 22.5 - 11.25 / 4002, 99 - 49.5 * 4001 / 4002, 30.0], rtol=1e-12
    )
    assert memory.keys.ravel().tolist() == [0, 1, 3, 0.5]


def test_the_formulas_by_hand():
    assert similarity(np.float32([0, 1, 3])).tolist() == pytest.approx([1000, 1 / 1.001, 1 / 3.001])
    sims = np.array([[3.0, 1.0], [1.0, 0.0]])
    # Columns: weights 3/4, 1/4 of 4 and 8 are 5; weights 1, 0 of 6 and 7 are 6.
    assert weighted_mean(np.array([[4.0, 6.0], [8.0, 7.0]]), sims).tolist() == [5.0, 6.0]
    # 4 + 0.5 * (12 - 4) * 3/4 = 7 and 8 + 0.5 * (12 - 8) * 1/4 = 8.5.
    assert moved_towards(np.array([4.0, 8.0]), np.array([3.0, 1.0]), 12.0, 0.5).tolist() == [7.0, 8.5]


def test_the_nearest_of_every_group():
    distances = np.float32([5, 1, 1, 7, 2, 2, 2])
    positions, found = Groups(np.array([0, 3, 4]), len(distances)).nearest(
        distances, 2
    )  # groups 5 1 1 | 7 | 2 2 2
    assert positions.tolist() == [[1, 3, 4], [2, 3, 5]]
    assert found.tolist() == [[1, 7, 2], [1, float("inf"), 2]]


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_it_agrees_with_a_plain_list_on_a_grid(data):
    """On small integers float32 distances are exact: ties are frequent, and their order has to agree."""
    key_dim = data.draw(st.sampled_from([1, 2, 3, 4, 8, 17]), "key_dim")
    n_actions = data.draw(st.integers(1, 4), "n_actions")
    options = {
        "capacity": data.draw(st.integers(1, 12), "capacity"),
        "k_read": data.draw(st.integers(1, 5), "k_read"),
        "k_write": data.draw(st.integers(1, 5), "k_write"),
        "beta": data.draw(st.sampled_from([0.25, 0.5, 1.0]), "beta"),
        "rule": data.draw(st.sampled_from(RULES), "rule"),
    }
    coordinates = st.lists(st.integers(-2, 2).map(float), min_size=key_dim, max_size=key_dim)
    pool = data.draw(st.lists(coordinates.map(tuple), min_size=1, max_size=12), "keys")
    operation = st.tuples(
        st.booleans(), st.sampled_from(pool), st.integers(0, n_actions - 1), st.integers(-99, 99).map(float)
    )
    memory, plain = EpisodicMemory(key_dim, n_actions, **options), PlainMemory(n_actions, **options)
    for is_write, key, action, value in data.draw(st.lists(operation, max_size=40), "operations"):
        if is_write:
            memory.write(key, action, value)
            plain.write(key, action, value)
            assert_same_content(memory, plain)
        else:
            assert_same_reading(memory, plain, key)
    for key in pool:
        assert_same_reading(memory, plain, key)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("n_actions", "capacity", "k"),
    [(1, 90, 3), (7, 1, 2), (7, 120, 5), (300, 200, 3), (70_000, 50, 2)],
    ids=["one action", "capacity 1", "few actions", "more than 8 bits", "more than 16 bits"],
)
def test_it_agrees_with_a_plain_list_over_many_turns_of_the_ring(n_actions, capacity, k, rule):
    rng = np.random.default_rng(3)
    options = {"capacity": capacity, "k_read": k, "k_write": k, "beta": 0.5, "rule": rule}
    # Half of the writes go to one action, the others to a few that lie far apart.
    actions = [n_actions - 1, *rng.integers(n_actions, size=8).tolist()]
    memory, plain = EpisodicMemory(3, n_actions, **options), PlainMemory(n_actions, **options)
    for turn in range(6 * capacity + 20):
        key = tuple(rng.integers(-4, 5, size=3).astype(float).tolist())
        action = actions[0 if rng.random() < 0.5 else int(rng.integers(len(actions)))]
        value = float(rng.normal())
        memory.write(key, action, value)
        plain.write(key, action, value)
        if turn % 29 == 0:
            assert_same_content(memory, plain)
            q = memory.read(key)
            stored = sorted({entry[1] for entry in plain.entries})
            assert np.flatnonzero(~np.isnan(q)).tolist() == stored
            for a in stored:
                near = plain.neighbours(key, a, k)
                expected = sum(sim * entry[2] for sim, entry in near) / sum(sim for sim, _ in near)
                assert q[a] == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert_same_content(memory, plain)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("key_dim", [2, 5, 32])
def test_it_agrees_with_a_plain_list_on_real_keys(key_dim, rule):
    rng = np.random.default_rng(key_dim)
    options = {"capacity": 60, "k_read": 3, "k_write": 3, "beta": 0.5, "rule": rule}
    memory, plain = EpisodicMemory(key_dim, 4, **options), PlainMemory(4, **options)
    for _ in range(150):
        key = tuple(rng.normal(size=key_dim).astype(np.float32).tolist())
        action, value = int(rng.integers(4)), float(rng.normal())
        memory.write(key, action, value)
        plain.write(key, action, value)
        assert_same_reading(memory, plain, tuple(rng.normal(size=key_dim).astype(np.float32).tolist()), 1e-4)
    assert_same_content(memory, plain, rtol=1e-4)
    assert plain.closest_call > 1e-6, "the choice of neighbours hung on rounding: take another seed"


def test_an_empty_memory_knows_nothing():
    memory = EpisodicMemory(2, 3)
    assert len(memory) == 0
    assert memory.keys.shape == (0, 2)
    assert memory.actions.shape == memory.values.shape == (0,)
    q = memory.read([0, 0])
    assert q.shape == (3,)
    assert q.dtype == np.float64
    assert np.isnan(q).all()


def test_what_it_shows_are_typed_copies():
    memory = EpisodicMemory(2, 3)
    memory.write([1, 2], 2, 5.0)
    assert (memory.keys.dtype, memory.actions.dtype, memory.values.dtype) == (
        np.float32,
        np.int64,
        np.float64,
    )
    memory.keys[:] = memory.values[:] = memory.actions[:] = 0
    memory.read([1, 2])[:] = 0
    assert memory.keys.tolist() == [[1, 2]]
    assert memory.actions.tolist() == [2]
    assert memory.values.tolist() == [5.0]
    assert memory.read([1, 2])[2] == 5.0


def test_more_neighbours_than_entries_means_all_entries():
    memory = EpisodicMemory(1, 2, k_read=50, k_write=50, beta=1.0)
    memory.write([-1], 0, 4.0)
    # The one neighbour has weight 1 and goes to 8 all the way with beta 1.
    memory.write([1], 0, 8.0)
    assert memory.values.tolist() == [8.0, 8.0]
    memory.write([0], 1, 3.0)
    assert memory.read([0]).tolist() == [8.0, 3.0]


def test_of_equally_near_keys_the_earlier_added_is_nearer():
    memory = EpisodicMemory(1, 1, capacity=3, k_read=1, k_write=1, beta=1.0)
    memory.load_state_dict(
        {**memory.state_dict(), "keys": [[5], [1], [-1]], "actions": [0, 0, 0], "values": [50.0, 1.0, -1.0]}
    )
    assert memory.read([0])[0] == 1.0
    # At 0 it is +1, the earlier, that goes to 7; then 5 leaves for the new key.
    memory.write([0], 0, 7.0)
    assert memory.keys.ravel().tolist() == [1, -1, 0]
    assert memory.values.tolist() == [7.0, -1.0, 7.0]
    # Both come anew, +1 again before -1, wherever in the memory their places are.
    memory.write([9], 0, 9.0)  # +1 leaves
    memory.write([1], 0, 2.0)  # -1 leaves
    memory.write([-1], 0, 3.0)  # 0 leaves
    assert memory.keys.ravel().tolist() == [9, 1, -1]
    assert memory.values.tolist() == [9.0, 2.0, 3.0]
    assert memory.read([0])[0] == 2.0


def test_the_earliest_added_leaves_however_recently_it_was_used():
    memory = EpisodicMemory(1, 2, capacity=2)
    memory.write([0], 0, 1.0)
    memory.write([10], 1, 2.0)
    memory.write([0], 0, 1.0)  # onto the stored tuple: its age stays
    memory.read([0])
    assert memory.actions.tolist() == [0, 1]
    memory.write([20], 1, 3.0)
    assert memory.keys.ravel().tolist() == [10, 20]
    assert np.isnan(memory.read([0])[0])
    memory.write([0], 0, 4.0)  # what has left may come back, as the latest
    assert memory.keys.ravel().tolist() == [20, 0]


@pytest.mark.parametrize("rule", RULES)
def test_a_write_leaves_other_actions_alone(rule):
    memory = EpisodicMemory(1, 3, k_write=5, rule=rule)
    for action in (0, 1):
        for key in (0, 1, 2):
            memory.write([key], action, 10.0 * action + key)
    before = memory.values[memory.actions == 1]
    q = memory.read([1])
    memory.write([1], 0, 1e6)
    memory.write([7], 0, -1e6)
    memory.write([1], 2, 1e6)
    assert memory.values[memory.actions == 1].tolist() == before.tolist()
    assert memory.read([1])[1] == q[1]


def test_the_values_of_an_action_come_from_its_own_neighbours():
    # Three actions at the same two keys, both at distance 1 of the origin: each reads its own mean.
    memory = EpisodicMemory(2, 3, k_read=2, rule="max")
    for action, (left, right) in enumerate([(1.0, 3.0), (10.0, 30.0), (100.0, 300.0)]):
        memory.write([-1, 0], action, left)
        memory.write([1, 0], action, right)
    np.testing.assert_allclose(memory.read([0, 0]), [2.0, 20.0, 200.0], rtol=1e-12)


def test_the_max_rule_keeps_the_best_and_moves_no_neighbour():
    memory = EpisodicMemory(1, 2, rule="max")
    memory.write([0], 0, 5.0)
    memory.write([0], 0, 3.0)
    assert memory.values.tolist() == [5.0]
    memory.write([0], 0, 6.0)
    memory.write([0.01], 0, 100.0)
    memory.write([0], 1, -1.0)
    assert memory.values.tolist() == [6.0, 100.0, -1.0]


def test_keys_are_stored_once_per_action_as_float32():
    memory = EpisodicMemory(1, 1, k_write=1)
    memory.write([0.1], 0, 1.0)
    memory.write(np.float32([0.1]), 0, 3.0)  # the same key; halfway to 3
    assert memory.values.tolist() == [2.0]
    memory.write([0.0], 0, 0.0)
    memory.write([-0.0], 0, 0.0)
    memory.write([-1e-60], 0, 0.0)  # rounds to -0
    assert memory.keys.ravel().tolist() == np.float32([0.1, 0.0]).tolist()
    memory.write([1e-30], 0, 0.0)  # at a distance of 0 in float32, but another key
    assert len(memory) == 3


def test_distances_do_not_overflow():
    memory = EpisodicMemory(40, 1, k_read=2)
    memory.write(np.full(40, 1e15), 0, 2.0)
    assert memory.read(np.full(40, -1e15)).tolist() == [2.0]


@pytest.mark.parametrize("key_dim", [1, 2, 3, 4, 5, 8, 12, 15, 16, 17, 31, 32, 33, 64, 100])
def test_equal_keys_are_equally_near_at_any_place(key_dim):
    """Actions that have stored the same must read the same to the bit, or the order of slots would choose."""
    rng = np.random.default_rng(0)
    memory = EpisodicMemory(key_dim, 45, k_read=2, rule="max")
    for key, value in zip(rng.normal(size=(3, key_dim)), (1.0, 2.0, 3.0), strict=True):
        for action in range(45):
            memory.write(key, action, value)
    assert len(set(memory.read(rng.normal(size=key_dim)).tolist())) == 1


def test_a_key_is_at_distance_zero_of_itself():
    keys = np.random.default_rng(0).normal(size=(50, 32)).astype(np.float32)
    assert [squared_distances(key, keys)[i] for i, key in enumerate(keys)] == [0.0] * 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key_dim": 0}, r"key_dim must be a whole number in \[1, 4294967295\], not 0"),
        ({"n_actions": 0}, "n_actions must be a whole number"),
        ({"n_actions": 2.0}, "n_actions must be a whole number .* not 2.0"),
        ({"capacity": 0}, "capacity must be a whole number"),
        ({"k_read": 0}, "k_read must be a whole number"),
        ({"k_write": -1}, "k_write must be a whole number .* not -1"),
        ({"beta": 0.0}, r"beta must be in \(0, 1\], got 0.0"),
        ({"beta": 1.1}, r"beta must be in \(0, 1\], got 1.1"),
        ({"beta": float("nan")}, r"beta must be in \(0, 1\], got nan"),
        ({"rule": "mean"}, "rule must be one of average, max; got 'mean'"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        EpisodicMemory(**{**SETTINGS, **change})


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([1.0], r"key must have shape \(2,\), got \(1,\)"),
        ([[1.0, 2.0]], r"key must have shape \(2,\), got \(1, 2\)"),
        (1.0, r"key must have shape \(2,\), got \(\)"),
        ([1.0, float("nan")], r"key must be finite and within 1e\+15 of 0, got \[ 1. nan\]"),
        ([float("-inf"), 1.0], "key must be finite"),
        ([1e300, 1.0], "key must be finite"),
    ],
)
def test_keys_that_are_none_are_refused(key, message):
    memory = EpisodicMemory(**SETTINGS)
    with pytest.raises(ValueError, match=message):
        memory.read(key)
    with pytest.raises(ValueError, match=message):
        memory.write(key, 0, 1.0)
    assert len(memory) == 0


@pytest.mark.parametrize(
    ("action", "value", "message"),
    [
        (3, 1.0, r"action must be a whole number in \[0, 2\], not 3"),
        (-1, 1.0, r"action must be a whole number in \[0, 2\], not -1"),
        (1.0, 1.0, r"action must be a whole number in \[0, 2\], not 1.0"),
        (np.array([1]), 1.0, "action must be a whole number"),
        (None, 1.0, "action must be a whole number"),
        (1, float("nan"), "value must be finite, got nan"),
        (1, float("-inf"), "value must be finite, got -inf"),
    ],
)
def test_writes_out_of_range_are_refused(action, value, message):
    memory = EpisodicMemory(**SETTINGS)
    memory.write([0, 0], 1, 2.0)
    with pytest.raises(ValueError, match=message):
        memory.write([0, 0], action, value)
    assert memory.values.tolist() == [2.0]


def test_numpy_integers_are_actions():
    memory = EpisodicMemory(**SETTINGS)
    memory.write(np.zeros(2), np.int64(2), np.float32(1.5))
    assert memory.actions.tolist() == [2]


@pytest.mark.parametrize("rule", RULES)
def test_a_restored_memory_goes_on_as_the_saved_one(rule):
    rng = np.random.default_rng(1)
    saved = EpisodicMemory(2, 3, capacity=7, k_read=2, k_write=2, rule=rule)
    for count in range(30):  # from before the memory is full to several turns after
        restored = EpisodicMemory(2, 3, capacity=7, k_read=2, k_write=2, rule=rule)
        restored.write([9, 9], 0, 9.0)
        restored.load_state_dict(saved.state_dict())
        for memory in (saved, restored):
            draw = np.random.default_rng(count)
            for _ in range(9 if count % 2 else 1):
                memory.write(draw.integers(-2, 3, size=2), draw.integers(3), draw.normal())
        key = rng.integers(-2, 3, size=2)
        assert restored.read(key).tobytes() == saved.read(key).tobytes()
        for name in ("keys", "actions", "values"):
            assert getattr(restored, name).tobytes() == getattr(saved, name).tobytes()
        assert restored.rule == rule


def test_the_state_is_flat_and_plain():
    memory = EpisodicMemory(**SETTINGS)
    memory.write([1, 2], 2, 0.1)
    state = memory.state_dict()
    plain = {name: entry for name, entry in state.items() if not isinstance(entry, np.ndarray)}
    assert json.loads(json.dumps(plain)) == plain == SETTINGS
    assert {name: (state[name].dtype, state[name].shape) for name in state.keys() - plain.keys()} == {
        "keys": (np.float32, (1, 2)),
        "actions": (np.int64, (1,)),
        "values": (np.float64, (1,)),
    }
    memory.write([1, 2], 2, 9.0)
    assert state["values"].tolist() == [0.1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key_dim": 3}, "a state of key_dim 3 does not fit a memory of key_dim 2"),
        ({"n_actions": 4}, "a state of n_actions 4 does not fit"),
        ({"capacity": 5}, "a state of capacity 5 does not fit"),
        ({"k_read": 4}, "a state of k_read 4 does not fit"),
        ({"k_write": 3}, "a state of k_write 3 does not fit"),
        ({"beta": 0.25}, "a state of beta 0.25 does not fit"),
        ({"rule": "max"}, "a state of rule 'max' does not fit a memory of rule 'average'"),
        ({"keys": np.zeros((2, 3))}, r"must be of shapes \[\(2, 2\), \(2,\), \(2,\)\], got \[\(2, 3\), "),
        ({"keys": np.zeros(4)}, "must be of shapes"),
        ({"keys": np.zeros((1, 2))}, "must be of shapes"),
        ({"actions": np.zeros(3, dtype=int)}, "must be of shapes"),
        ({"values": np.zeros((2, 1))}, "must be of shapes"),
        (
            {"keys": np.eye(5, 2), "actions": np.arange(5), "values": np.ones(5)},
            r"must be of shapes \[\(4, 2\)",
        ),
        ({"keys": np.array([[0, np.nan], [0, 0]])}, "key must be finite"),
        ({"actions": np.array([0, 3])}, r"action must be a whole number in \[0, 2\], not .*3"),
        ({"actions": np.array([0.0, 1.0])}, "action must be a whole number"),
        ({"values": np.array([0.0, np.inf])}, "value must be finite"),
        ({"keys": np.zeros((2, 2)), "actions": np.zeros(2, dtype=int)}, "a key twice with the same action"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(change, message):
    memory = EpisodicMemory(**SETTINGS)
    memory.write([0, 0], 0, 1.0)
    memory.write([1, 2], 1, 2.0)
    state = memory.state_dict()
    with pytest.raises(ValueError, match=message):
        memory.load_state_dict({**state, **change})
    assert memory.keys.tolist() == [[0, 0], [1, 2]]
    assert memory.values.tolist() == [1.0, 2.0]
    memory.load_state_dict(state)


def test_a_state_that_lacks_something_is_refused():
    memory = EpisodicMemory(**SETTINGS)
    state = memory.state_dict()
    del state["values"], state["beta"]
    with pytest.raises(ValueError, match="the state lacks beta, values"):
        memory.load_state_dict(state)
