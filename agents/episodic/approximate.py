"""An inverted file for approximate reads of a large memory: cells of near keys, each with its centroid.

A search visits the cells in the order of their centroids' distances. The cells of faiss's own IVF indices
come from one training. The keys of a run drift out of such cells, and the few that lie nearest take in all
later ones: of a random walk of a million keys, one of 707 cells trained on the first half ends with 97,000.
Here, instead, a cell that outgrows `CELL_SIZE` is split in two: no training, no random numbers, no threads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from agents.episodic.neighbours import Float32s, Indices, squared_distances

CELL_SIZE = 512  # most keys of a cell
LLOYD_ITERATIONS = 4


def halves(keys: Float32s) -> tuple[Indices, Indices]:
    """Cuts keys (n, width), n > 1, into two equally large groups of near ones: positions, each increasing.

    Lloyd's algorithm for two means, begun at keys that lie far apart, with a cut at the median.
    """
    start = squared_distances(keys[0], keys).argmax()
    means = keys[start], keys[squared_distances(keys[start], keys).argmax()]
    for _ in range(LLOYD_ITERATIONS):
        towards_first = squared_distances(means[0], keys) - squared_distances(means[1], keys)
        order = np.argsort(towards_first, kind="stable")
        cut = np.sort(order[: len(keys) // 2]), np.sort(order[len(keys) // 2 :])
        means = keys[cut[0]].mean(axis=0), keys[cut[1]].mean(axis=0)
    return cut


class Cells:
    """Slots of a ring of keys, divided into cells that hold theirs earliest added first.

    Args:
        keys: The ring, shape (capacity, width); it is shared, not copied.

    Attributes:
        centroids: Shape (cells, width).
        cell_of: The cell of every slot in use, shape (capacity,).
    """

    def __init__(self, keys: Float32s) -> None:
        self.centroids = np.empty((0, keys.shape[1]), dtype=np.float32)
        self.cell_of = np.zeros(len(keys), dtype=np.int32)
        self._keys = keys
        self._members: list[Indices] = []

    @classmethod
    def restored(
        cls, keys: Float32s, shape: tuple[int, ...], cell_of: ArrayLike, centroids: ArrayLike
    ) -> Cells:
        """Cells saved before, of keys of shape (n, key_dim) in slots 0 to n - 1, the earliest added first.

        Raises:
            ValueError: They are not what cells of n keys can be.
        """
        cells = cls(keys)
        n, key_dim = shape
        numbers, centres = np.asarray(cell_of), np.asarray(centroids)
        if numbers.shape != (n,) or not np.issubdtype(numbers.dtype, np.integer):
            raise ValueError(f"cells must be {n} integers, got {numbers.dtype} of shape {numbers.shape}")
        if centres.ndim != 2 or centres.shape[1] != key_dim or not np.isfinite(centres).all():
            given = f"{centres} of shape {centres.shape}"
            raise ValueError(f"centroids must be finite and of shape (cells, {key_dim}), got {given}")
        if not np.array_equal(np.unique(numbers), np.arange(len(centres))):
            raise ValueError(f"cells must name each of the {len(centres)} centroids, and nothing else")
        cells.centroids = np.zeros((len(centres), keys.shape[1]), dtype=np.float32)
        cells.centroids[:, :key_dim] = centres
        cells.cell_of[:n] = numbers
        order, sizes = np.argsort(numbers, kind="stable"), np.bincount(numbers)
        cells._members = np.split(order, np.cumsum(sizes)[:-1]) if n else []
        return cells

    def add(self, slot: int) -> None:
        """Puts a slot, the latest, into the cell nearest to its key."""
        key = self._keys[slot]
        if not self._members:
            self.centroids, self._members = key[None].copy(), [np.empty(0, dtype=np.intp)]
        cell = int(squared_distances(key, self.centroids).argmin())
        self._members[cell] = np.append(self._members[cell], slot)
        self.cell_of[slot] = cell
        if len(self._members[cell]) > CELL_SIZE:
            self._split(cell)

    def remove_earliest(self, slot: int) -> None:
        """Takes out the slot that was added before all others."""
        cell = self.cell_of[slot]
        self._members[cell] = self._members[cell][1:]
        if len(self._members[cell]) == 0:  # the last cell takes its number
            last = self._members.pop()
            if cell < len(self._members):
                self._members[cell], self.centroids[cell], self.cell_of[last] = last, self.centroids[-1], cell
            self.centroids = self.centroids[:-1]

    def near(self, key: Float32s, least: int) -> Indices:
        """The slots of the nearest cells that together hold at least so many (or all there are)."""
        found: list[Indices] = []
        total = 0
        for cell in np.argsort(squared_distances(key, self.centroids), kind="stable"):
            found.append(self._members[cell])
            total += len(found[-1])
            if total >= least:
                break
        return np.concatenate(found)

    def _split(self, cell: int) -> None:
        members = self._members[cell]
        kept, parted = (members[half] for half in halves(self._keys[members]))
        self._members[cell] = kept
        self._members.append(parted)
        self.cell_of[parted] = len(self.centroids)
        self.centroids = np.vstack([self.centroids, self._keys[parted].mean(axis=0)])
        self.centroids[cell] = self._keys[kept].mean(axis=0)
