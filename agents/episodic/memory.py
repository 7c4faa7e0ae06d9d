"""The episodic memory M of "Episodic Policy Gradient Training" (Le et al. 2022), Eq. 3 and Eq. 4.

In the paper's symbols: `key` is phi(s), (key_dim,); `action` a; `value` M[phi(s), a], written with the
hyper-return G; `k_read` and `k_write` are |N(i)|; `capacity` is N_mem.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from agents.episodic.neighbours import Float32s, Groups, Indices, squared_distances
from hyperrl_env.checks import check_between

Rule = Literal["average", "max"]
Float64s = NDArray[np.float64]

KEY_LIMIT = 1e15  # squared distances between larger keys could overflow float32


def similarity(squared_distances: Float32s, delta: float = 1e-3) -> Float64s:
    """Sim(i, k) = 1 / (||phi(s_i) - phi(s_k)||^2 + delta), elementwise (Pritzel et al. 2017, Eq. 5)."""
    return 1.0 / (squared_distances.astype(np.float64) + delta)


def weighted_mean(values: Float64s, similarities: Float64s) -> Float64s:
    """Eq. 3: Q = sum_k Sim_k M_k / sum_k Sim_k over the neighbours k.

    Args:
        values: M_k, shape (neighbours, ...).
        similarities: Sim_k, of the same shape.

    Returns:
        Q, shape (...).

    Example:
        >>> float(weighted_mean(np.array([0.0, 4.0]), np.array([1.0, 3.0])))
        3.0
    """
    weights = similarities / similarities.sum(axis=0)
    return np.asarray((weights * values).sum(axis=0))


def moved_towards(values: Float64s, similarities: Float64s, target: float, beta: float) -> Float64s:
    """Eq. 4: M_k <- M_k + beta (G - M_k) Sim_k / sum_k Sim_k for every neighbour k.

    Args:
        values: M_k, shape (neighbours,).
        similarities: Sim_k, of the same shape.
        target: G, the hyper-return.
        beta: The writing rate.

    Returns:
        The new M_k, shape (neighbours,).

    Example:
        >>> moved_towards(np.array([0.0, 4.0]), np.array([1.0, 3.0]), target=8.0, beta=0.5).tolist()
        [1.0, 5.5]
    """
    weights: Float64s = similarities / similarities.sum()
    return values + beta * (target - values) * weights


class _ByAction:
    """The tuples of a memory, sorted by action, then by age: what reads search between two additions.

    Args:
        keys: The keys in the memory's slots, (n, width).
        actions: The action of every slot, (n,).
        slots: The slots by age, (n,).

    Attributes:
        actions: The actions that have tuples, (groups,).
        slots: The slot of every tuple, sorted, (n,).
        groups: The tuples of each action.
    """

    def __init__(self, keys: Float32s, actions: NDArray[np.unsignedinteger], slots: Indices) -> None:
        self.slots = slots[np.argsort(actions[slots], kind="stable")]
        found, starts = np.unique(actions[self.slots], return_index=True)
        self.actions = found.astype(np.intp)
        self.groups = Groups(starts, len(slots))
        self._keys, self._sorted_keys = keys, np.empty((0, keys.shape[1]), np.float32)
        self._searched = False

    def squared_distances(self, key: Float32s) -> Float32s:
        """Of every tuple, sorted, to a key (width,); (n,)."""
        if not self._searched:
            # To sort the keys takes longer than this search: it pays from the second one on.
            self._searched = True
            return squared_distances(key, self._keys)[self.slots]
        if not len(self._sorted_keys):
            self._sorted_keys = self._keys[self.slots]
        return squared_distances(key, self._sorted_keys)


class EpisodicMemory:
    """A non-parametric memory of tuples (key, action, value); a read averages over the nearest keys.

    To add a tuple, a full memory drops the one added earliest, however recently it was updated. Of equally
    near keys, the one added earlier counts as nearer. Keys are stored as float32, values as float64.

    Args:
        key_dim: Length of a key.
        n_actions: Number of actions; an action is an integer in [0, n_actions).
        capacity: The largest number of tuples.
        k_read: Neighbours per action that a read averages over.
        k_write: Neighbours that a write moves.
        beta: Writing rate in (0, 1].
        rule: `"average"` (Eq. 4), or `"max"` (Blundell et al. 2016: keeps the best value at exactly this key
            and moves no neighbour).
        delta: The kernel's delta > 0. Keys at a squared distance well below it count as equal.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> memory = EpisodicMemory(key_dim=2, n_actions=3)
        >>> memory.write([0.0, 0.0], action=1, value=10.0)
        >>> memory.read([0.1, 0.0])  # nothing is known of the other actions
        array([nan, 10., nan])
    """

    def __init__(
        self,
        key_dim: int,
        n_actions: int,
        capacity: int = 10_000,
        k_read: int = 3,
        k_write: int = 3,
        beta: float = 0.5,
        rule: Rule = "average",
        delta: float = 1e-3,
    ) -> None:
        self.key_dim = _integer("key_dim", key_dim)
        self.n_actions = _integer("n_actions", n_actions)
        self.capacity = _integer("capacity", capacity)
        self.k_read = _integer("k_read", k_read)
        self.k_write = _integer("k_write", k_write)
        if not 0.0 < beta <= 1.0:
            raise ValueError(f"beta must be in (0, 1], got {beta!r}")
        if rule not in get_args(Rule):
            raise ValueError(f"rule must be one of {', '.join(get_args(Rule))}; got {rule!r}")
        if not 0.0 < delta < math.inf:
            raise ValueError(f"delta must be positive and finite, got {delta!r}")
        self.beta, self.rule, self.delta = float(beta), rule, float(delta)
        # Zeros on the right change no distance. faiss takes some narrow rows in blocks, which round
        # differently from the rows left over: equal keys would not be equally near.
        width = math.ceil(self.key_dim / 16) * 16
        self._keys = np.zeros((self.capacity, width), dtype=np.float32)
        # As few bits as possible: NumPy's stable sort is ten times faster up to 16.
        self._actions = np.zeros(self.capacity, dtype=np.min_scalar_type(self.n_actions - 1))
        self._values = np.zeros(self.capacity)
        self._slot_of: dict[tuple[int, bytes], int] = {}  # by the exact (action, key) of every stored tuple
        self._next_slot = 0  # the slots are a ring: in a full memory, this one holds the earliest added tuple
        self._by_action: _ByAction | None = None  # for reading; an addition voids it

    def __len__(self) -> int:
        return len(self._slot_of)

    @property
    def keys(self) -> Float32s:
        """A copy of the stored keys, earliest added first, shape (n, key_dim)."""
        return self._keys[self._slots_by_age(), : self.key_dim]

    @property
    def actions(self) -> NDArray[np.int64]:
        """A copy of the stored actions, earliest added first, shape (n,)."""
        return self._actions[self._slots_by_age()].astype(np.int64)

    @property
    def values(self) -> Float64s:
        """A copy of the stored values, earliest added first, shape (n,)."""
        return self._values[self._slots_by_age()]

    def read(self, key: ArrayLike) -> Float64s:
        """Estimates the value Q of every action at a key (Eq. 3).

        Args:
            key: Finite, shape (key_dim,).

        Returns:
            Q, shape (n_actions,): for each action the average over the `k_read` nearest keys stored with it
            (all of them if there are fewer); NaN for an action without a key.

        Raises:
            ValueError: The key has another shape or is not finite.
        """
        padded = self._padded(key)
        q = np.full(self.n_actions, np.nan)
        if len(self) == 0:
            return q
        if self._by_action is None:
            n = len(self)
            self._by_action = _ByAction(self._keys[:n], self._actions[:n], self._slots_by_age())
        grouped = self._by_action
        neighbours, distances = grouped.groups.nearest(grouped.squared_distances(padded), self.k_read)
        values = self._values[grouped.slots[neighbours]]
        q[grouped.actions] = weighted_mean(values, similarity(distances, self.delta))
        return q

    def write(self, key: ArrayLike, action: int | np.integer[Any], value: float) -> None:
        """Records what an action earned at a key; the values of other actions do not change.

        Rule `"average"` moves the values of the `k_write` nearest keys stored with the action (Eq. 4). Then
        both rules add the tuple if exactly this key is not yet stored with the action.

        Args:
            key: Finite, shape (key_dim,).
            action: In [0, n_actions).
            value: The hyper-return, finite.

        Raises:
            ValueError: An argument is not as described; nothing is written.
        """
        padded = self._padded(key)
        action = _integer("action", action, 0, self.n_actions - 1)
        if not math.isfinite(value):
            raise ValueError(f"value must be finite, got {value!r}")
        slot = self._slot_of.get((action, padded.tobytes()))
        if self.rule == "average":
            self._move_neighbours(padded, action, value)
        elif slot is not None:
            self._values[slot] = max(self._values[slot], value)
        if slot is None:
            self._add(padded, action, value)

    def state_dict(self) -> dict[str, Any]:
        """The settings (numbers and strings) and the tuples, earliest added first (arrays)."""
        return {**self._settings(), "keys": self.keys, "actions": self.actions, "values": self.values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Replaces the content with the `state_dict` of a memory with the same settings.

        Raises:
            ValueError: The state is incomplete, has other settings, or is not the content of any memory.
                Nothing is replaced.
        """
        if missing := [name for name in self.state_dict() if name not in state]:
            raise ValueError(f"the state lacks {', '.join(missing)}")
        for name, own in self._settings().items():
            if state[name] != own:
                raise ValueError(f"a state of {name} {state[name]!r} does not fit a memory of {name} {own!r}")
        arrays = [np.asarray(state[name]) for name in ("keys", "actions", "values")]
        n = min(arrays[2].size, self.capacity)
        expected = [(n, self.key_dim), (n,), (n,)]
        if (shapes := [array.shape for array in arrays]) != expected:
            raise ValueError(f"keys, actions and values must be of shapes {expected}, got {shapes}")
        # "max" adds and moves no neighbour.
        loaded = EpisodicMemory(**{**self._settings(), "rule": "max"})
        for key, action, value in zip(*arrays, strict=True):
            loaded.write(key, action, value)
        if len(loaded) < n:
            raise ValueError("the state holds a key twice with the same action")
        loaded.rule = self.rule
        vars(self).update(vars(loaded))

    def _settings(self) -> dict[str, Any]:
        names = ("key_dim", "n_actions", "capacity", "k_read", "k_write", "beta", "rule", "delta")
        return {name: getattr(self, name) for name in names}

    def _add(self, padded: Float32s, action: int, value: float) -> None:
        slot = self._next_slot
        if len(self) == self.capacity:
            del self._slot_of[int(self._actions[slot]), self._keys[slot].tobytes()]
        self._keys[slot], self._actions[slot], self._values[slot] = padded, action, value
        self._slot_of[action, padded.tobytes()] = slot
        self._next_slot = (slot + 1) % self.capacity
        self._by_action = None

    def _move_neighbours(self, padded: Float32s, action: int, value: float) -> None:
        slots = np.flatnonzero(self._actions[: len(self)] == action)
        if len(slots) == 0:
            return
        slots = self._by_age(slots)
        distances = squared_distances(padded, self._keys[slots])
        members, distances = Groups(np.array([0]), len(slots)).nearest(distances, self.k_write)
        neighbours = slots[members[:, 0]]
        similarities = similarity(distances[:, 0], self.delta)
        self._values[neighbours] = moved_towards(self._values[neighbours], similarities, value, self.beta)

    def _by_age(self, slots: Indices) -> Indices:
        """Increasing slots, earliest added first."""
        return np.roll(slots, -np.searchsorted(slots, self._next_slot))

    def _slots_by_age(self) -> Indices:
        return self._by_age(np.arange(len(self)))

    def _padded(self, key: ArrayLike) -> Float32s:
        given = np.asarray(key, dtype=np.float64)
        if given.shape != (self.key_dim,):
            raise ValueError(f"key must have shape ({self.key_dim},), got {given.shape}")
        if not np.abs(given).max() <= KEY_LIMIT:  # true of NaN too
            raise ValueError(f"key must be finite and within {KEY_LIMIT:g} of 0, got {given}")
        padded = np.zeros(self._keys.shape[1], dtype=np.float32)
        padded[: self.key_dim] += given.astype(np.float32)  # 0 + -0 is 0: equal keys have equal bytes
        return padded


def _integer(name: str, number: int | np.integer[Any], least: int = 1, most: int = 2**32 - 1) -> int:
    check_between(name, number, least, most)
    return int(number)
