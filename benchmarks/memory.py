"""`EpisodicMemory` (32-d keys): how the cost grows with entries and actions."""

import numpy as np
from timing import interleaved, machine

from agents.episodic import EpisodicMemory

CALLS = 200


def filled(entries: int, n_actions: int, share_of_one: float = 0.0) -> EpisodicMemory:
    """A full memory of random entries, one action owning `share_of_one` of them."""
    rng = np.random.default_rng(0)
    memory = EpisodicMemory(32, n_actions, capacity=entries, rule="max")
    actions = np.where(rng.random(entries) < share_of_one, 0, rng.integers(n_actions, size=entries))
    for key, action in zip(rng.normal(size=(entries, 32)), actions, strict=True):
        memory.write(key, int(action), 0.0)
    memory.rule = "average"
    return memory


def main() -> None:
    """Prints a line per size."""
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


if __name__ == "__main__":
    main()
