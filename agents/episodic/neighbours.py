"""Exact search for nearest keys."""

import sys

import faiss
import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Indices = NDArray[np.intp]

LOW_HALF = 2**32 - 1
# Which of the two float32s in the memory of a 64-bit integer holds its upper bits.
HIGH_HALF = 1 if sys.byteorder == "little" else 0


def squared_distances(key: Float32s, keys: Float32s) -> Float32s:
    """Squared Euclidean distances (n,) of one key (width,) to keys (n, width), on the calling thread."""
    # faiss sums squared differences here; its `pairwise_distances` expands the square instead, which takes
    # longer and can put a key at a distance from itself.
    out = np.empty(len(keys), dtype=np.float32)
    pointers = [faiss.swig_ptr(array) for array in (out, key, keys)]
    faiss.fvec_L2sqr_ny(*pointers, keys.shape[1], len(keys))  # type: ignore[attr-defined]
    return out


class Groups:
    """Members of groups, each group side by side; finds the nearest of every group, again and again.

    Args:
        starts: The position of each group's first member, shape (groups,), increasing from 0.
        n: Number of members.
    """

    def __init__(self, starts: Indices, n: int) -> None:
        self._starts = starts
        # One integer holds a distance above its member's position, so that a minimum is the nearest and, of
        # a tie, the earlier member: the bits of floats that are not negative sort as the floats do. Only
        # the distances change from one search to the next.
        self._packed = np.arange(n, dtype=np.int64)
        self._distances = self._packed.view(np.float32)[HIGH_HALF::2]

    def nearest(self, distances: Float32s, k: int) -> tuple[Indices, Float32s]:
        """The k nearest members of every group, nearest first and the earlier of equally near ones first.

        Args:
            distances: Finite and not negative, shape (n,).
            k: Members to find per group.

        Returns:
            Positions among the members and the distances there, both (min(k, n), groups). A group of fewer
            members repeats one of them, at distance infinity.
        """
        self._distances[:] = distances
        found = np.empty((min(k, len(distances)), len(self._starts)), dtype=np.int64)
        for row in found:
            np.minimum.reduceat(self._packed, self._starts, out=row)
            self._distances[row & LOW_HALF] = np.inf
        return found & LOW_HALF, found.view(np.float32)[:, HIGH_HALF::2]
