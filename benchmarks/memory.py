"""`EpisodicMemory` (32-d keys): how the cost grows with entries and actions, and what `index="ivf"` finds."""

import numpy as np
from numpy.typing import NDArray
from timing import interleaved, machine

from agents.episodic import EpisodicMemory
from agents.episodic.neighbours import nearest_per_group, squared_distances

CALLS = 200
QUERIES = 50


def filled(entries: int, n_actions: int, share_of_one: float = 0.0) -> EpisodicMemory:
    """A full memory of random entries, one action owning `share_of_one` of them."""
    rng = np.random.default_rng(0)
    memory = EpisodicMemory(32, n_actions, capacity=entries, rule="max")
    actions = np.where(rng.random(entries) < share_of_one, 0, rng.integers(n_actions, size=entries))
    for key, action in zip(rng.normal(size=(entries, 32)), actions, strict=True):
        memory.write(key, int(action), 0.0)
    memory.rule = "average"
    return memory


# (drift, noise) of a random walk that is seen through noise. With every step between two keys, the walk adds
# the part `drift` to their mean squared distance. The two in the middle are fits to 15,573 keys of
# HyperRL-PPO-CartPole and 3,039 of HyperRL-PPO-HalfCheetah (embedding="vae", write_interval=1).
KEYS = {"walk": (1.0, 0.0), "CartPole": (1e-3, 1.0), "HalfCheetah": (2e-4, 1.0), "i.i.d.": (0.0, 1.0)}


def keys_in_time(kind: str, n: int) -> NDArray[np.float32]:
    """Keys (n, 32) in the order in which they come."""
    rng = np.random.default_rng(0)
    drift, noise = KEYS[kind]
    walk = np.cumsum(rng.normal(scale=np.sqrt(2 * drift), size=(n, 32)), axis=0)
    return (walk + rng.normal(scale=noise, size=(n, 32))).astype(np.float32)


def recall(memory: EpisodicMemory, query: NDArray[np.float32], slots: NDArray[np.intp]) -> float:
    """The share of every action's `k_read` nearest entries that are among those that a read considers."""
    _, starts, own = memory._grouped_by_action(np.arange(len(memory)))
    distances = squared_distances(query, memory._keys[own])
    nearest, _ = nearest_per_group(distances, starts, memory.k_read)
    return float(np.isin(own[nearest], slots).mean())


def approximate(entries: int, kind: str) -> None:
    """Prints a line per number of candidates: exact against approximate reads at the end of the sequence."""
    rng = np.random.default_rng(1)
    keys = keys_in_time(kind, entries + QUERIES)
    actions, values = rng.integers(225, size=entries), rng.normal(size=entries)
    sides = {index: EpisodicMemory(32, 225, entries, rule="max", index=index) for index in ("exact", "ivf")}
    for memory in sides.values():
        for key, action, value in zip(keys, actions, values, strict=False):
            memory.write(key, int(action), value)
    exact, ivf = sides.values()
    queries = keys[entries:]
    expected = np.array([exact.read(query) for query in queries])
    for candidates in (4_096, 16_384):
        ivf.candidates = candidates
        found = np.array([ivf.read(query) for query in queries])
        share = np.mean([recall(ivf, query, ivf._candidates(query, ivf._cells)) for query in queries])
        reads = {index: lambda m=memory: [m.read(q) for q in queries] for index, memory in sides.items()}
        exact_us, ivf_us = (seconds / QUERIES * 1e6 for seconds in interleaved(reads, 3).values())
        print(
            f"{entries:>9,} entries, {kind:>11}, {candidates:>6,} candidates: "
            f"read exact {exact_us:,.0f} us, ivf {ivf_us:,.0f} us; "
            f"recall {share:.3f}, |Q - Q_exact| {np.abs(found - expected).mean():.3f}, "
            f"argmax agrees {(found.argmax(axis=1) == expected.argmax(axis=1)).mean():.2f}",
            flush=True,
        )


def main() -> None:
    """Prints a line per size, then what the approximate index saves and costs."""
    print(machine())
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(CALLS, 32))
    for entries, n_actions, share in (
        (1_000, 225, 0.0),
        (10_000, 7, 0.0),
        (10_000, 225, 0.0),
        (10_000, 225, 0.9),
        (10_000, 10_000, 0.0),
        (100_000, 225, 0.0),
        (1_000_000, 225, 0.0),
    ):
        memory = filled(entries, n_actions, share)
        memory.read(queries[0])
        # Reads first: a write makes the next read sort the entries by action again.
        read = interleaved({"read": lambda m=memory: [m.read(q) for q in queries]}, 3)["read"]
        write = interleaved({"write": lambda m=memory: [m.write(q, 0, 1.0) for q in queries]}, 3)["write"]
        skew = f", {share:.0%} of one action" if share else ""
        print(
            f"{entries:>9,} entries, {n_actions:>6,} actions{skew}: "
            f"read {read / CALLS * 1e6:,.0f} us, write {write / CALLS * 1e6:,.0f} us"
        )
    for entries in (100_000, 300_000, 1_000_000):
        for kind in KEYS:
            approximate(entries, kind)


if __name__ == "__main__":
    main()
