"""Search spaces that have a name: the paper's, and those made after it."""

from __future__ import annotations

from collections.abc import Mapping

from hyperrl_env.checks import unknown
from hyperrl_env.hyperparameters import Hyperparameter, levels
from hyperrl_env.search_space import FORMS, Offered, SearchSpace

# The paper's search spaces, from its released code (levels: q and s of each setting). The bins of
# A2C on MuJoCo are not published: those of A2C on BipedalWalker are taken. A2C on Atari is not the
# paper's: it has the learning rates of the paper's PPO and ACKTR there. The paper schedules ACKTR on
# Atari alone; elsewhere the same is scheduled.
_ACKTR = ("kl_clip", "learning_rate", "vf_coef")
PRESETS: Mapping[str, SearchSpace] = {
    "a2c-bipedalwalker": SearchSpace([Hyperparameter("learning_rate", multipliers=levels(4, 2.0))]),
    "a2c-mountaincar": SearchSpace([Hyperparameter("learning_rate", multipliers=levels(4, 0.2))]),
    "a2c-mujoco": SearchSpace([Hyperparameter("learning_rate", multipliers=levels(4, 2.0))]),
    "ppo-mujoco": SearchSpace(["learning_rate", "clip_range", "gae_lambda", "batch_size"]),
    "a2c-atari": SearchSpace(["learning_rate"]),
    "ppo-atari": SearchSpace(["learning_rate", "clip_range", "batch_size"]),
    "acktr": SearchSpace(_ACKTR),
    "acktr-atari": SearchSpace(_ACKTR),
}


def get_search_space(search_space: str | Offered | SearchSpace) -> SearchSpace:
    """A preset by name, a space of the hyperparameters that `SearchSpace` takes, or the space itself.

    Raises:
        ValueError: An unknown preset or hyperparameter (the message lists those that exist), or what
            `SearchSpace` raises.
    """
    if isinstance(search_space, SearchSpace):
        return search_space
    if isinstance(search_space, str):
        if search_space not in PRESETS:
            raise ValueError(f"{unknown('search_space preset', search_space, PRESETS)} Or give {FORMS}.")
        return PRESETS[search_space]
    return SearchSpace(search_space)
