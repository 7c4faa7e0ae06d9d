"""Global random state, swapped in and out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def _global_state() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def _set_global_state(state: tuple[Any, ...]) -> None:
    python, numpy, cpu, cuda = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(cpu)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)


def _as_plain(state: tuple[Any, ...]) -> dict[str, Any]:
    """In lists, arrays, tensors and numbers."""
    (version, words, gauss), (_, key, pos, has_gauss, cached), cpu, cuda = state
    return {
        "python": {"version": version, "words": np.array(words), "gauss": gauss},
        "numpy": {"key": key.copy(), "pos": pos, "has_gauss": has_gauss, "cached": cached},
        "torch": cpu.clone(),
        "cuda": [generator.clone() for generator in cuda],
    }


def _from_plain(state: Mapping[str, Any]) -> tuple[Any, ...]:
    python, numpy = state["python"], state["numpy"]
    return (
        (python["version"], tuple(python["words"].tolist()), python["gauss"]),
        ("MT19937", numpy["key"].copy(), numpy["pos"], numpy["has_gauss"], numpy["cached"]),
        state["torch"].clone(),
        [generator.clone() for generator in state["cuda"]],
    )


class RandomState:
    """Python's, NumPy's and Torch's generators of one run, kept apart from the process's own.

    Stable-Baselines3 draws from the global generators. A run that must neither depend on
    what else the process does with them nor disturb it does all its work inside `swapped_in()`.

    Args:
        seed: Seeds all three generators, as `stable_baselines3.common.utils.set_random_seed` does.
    """

    def __init__(self, seed: int) -> None:
        outside = _global_state()
        try:
            random.seed(seed)
            np.random.seed(seed)
            torch.manual_seed(seed)
            self._state = _global_state()
        finally:
            _set_global_state(outside)

    def state_dict(self) -> dict[str, Any]:
        """The state of all generators, in lists, arrays, tensors and numbers."""
        return _as_plain(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self._state = _from_plain(state)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Makes this the global random state inside the block; the outer one comes back after it."""
        outside = _global_state()
        _set_global_state(self._state)
        try:
            yield
        finally:
            self._state = _global_state()
            _set_global_state(outside)


class GlobalRandomState(RandomState):
    """The process's own generators, for a run that draws from them as Stable-Baselines3's `learn` does."""

    def __init__(self) -> None:
        return

    def state_dict(self) -> dict[str, Any]:
        """See `RandomState.state_dict`."""
        return _as_plain(_global_state())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Sets the process's generators back to what `state_dict` returned."""
        _set_global_state(_from_plain(state))

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """They are the global ones already."""
        yield


def random_state_of(seed: int | None) -> RandomState:
    """Generators with this seed; None: the process's own, as they are."""
    return GlobalRandomState() if seed is None else RandomState(seed)
