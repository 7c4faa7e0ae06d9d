"""Exact search for nearest keys."""

import faiss
import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Indices = NDArray[np.intp]

LOWER_HALF, UPPER_HALF = np.uint64(2**32 - 1), np.uint64(32)
INFINITY_BITS = np.uint64(np.float32(np.inf).view(np.uint32)) << UPPER_HALF


def squared_distances(key: Float32s, keys: Float32s) -> Float32s:
    """Squared Euclidean distances (n,) of one key (width,) to keys (n, width), on the calling thread."""
    # faiss sums squared differences here; its `pairwise_distances` expands the square instead, which takes
    # longer and can put a key at a distance from itself.
    out = np.empty(len(keys), dtype=np.float32)
    pointers = [faiss.swig_ptr(array) for array in (out, key, keys)]
    faiss.fvec_L2sqr_ny(*pointers, keys.shape[1], len(keys))  # type: ignore[attr-defined]
    return out


def nearest_per_group(distances: Float32s, starts: Indices, k: int) -> tuple[Indices, Float32s]:
    """The k nearest members of every group, nearest first and the earlier of equally near ones first.

    Args:
        distances: Finite and not negative, shape (n,), each group side by side.
        starts: Where each group begins, shape (groups,), increasing from 0.
        k: Members to find per group.

    Returns:
        Positions in `distances` and the distances there, both (min(k, n), groups). In a group of fewer
        members, one of them stands in for those that lack, at distance infinity.
    """
    # One integer holds a distance above its position, so that a minimum is the nearest and, of a tie, the
    # earlier member: the bits of floats that are not negative sort as the floats do.
    packed = distances.view(np.uint32).astype(np.uint64) << UPPER_HALF
    packed |= np.arange(len(distances), dtype=np.uint64)
    nearest = np.empty((min(k, len(distances)), len(starts)), dtype=np.uint64)
    for row in nearest:
        np.minimum.reduceat(packed, starts, out=row)
        taken = row & LOWER_HALF
        packed[taken] = INFINITY_BITS | taken
    return (nearest & LOWER_HALF).astype(np.intp), (nearest >> UPPER_HALF).astype(np.uint32).view(np.float32)
