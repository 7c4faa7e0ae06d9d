"""The state of inner environments: what their simulators and wrappers need to continue.

Only classes whose state is known to the bit are restored: each is listed here with what it remembers
between steps. An environment with any other class in its chain of wrappers starts a new inner episode
instead. That includes Box2D, whose solver does not expose its contacts, and Atari with sticky actions,
since ale-py does not expose the action that sticks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
)

from hyperrl_env.inner_envs.atari import KeepRawReward

# Class: the attributes that change from step to step.
_WRAPPERS: Mapping[str, tuple[str, ...]] = {
    "stable_baselines3.common.monitor.Monitor": ("rewards", "needs_reset", "total_steps"),
    "gymnasium.wrappers.common.TimeLimit": ("_elapsed_steps",),
    "gymnasium.wrappers.common.OrderEnforcing": ("_has_reset",),
    "gymnasium.wrappers.common.PassiveEnvChecker": (),
    "gymnasium.wrappers.transform_observation.FlattenObservation": (),
    "gymnasium.wrappers.transform_observation.DtypeObservation": (),
    "gymnasium.wrappers.transform_observation.RescaleObservation": (),
    "gymnasium.wrappers.transform_action.ClipAction": (),
    "gymnasium.wrappers.transform_action.RescaleAction": (),
    "stable_baselines3.common.atari_wrappers.AtariWrapper": (),
    "stable_baselines3.common.atari_wrappers.StickyActionEnv": ("_sticky_action",),
    "stable_baselines3.common.atari_wrappers.NoopResetEnv": (),
    "stable_baselines3.common.atari_wrappers.FireResetEnv": (),
    "stable_baselines3.common.atari_wrappers.EpisodicLifeEnv": ("lives", "was_real_done"),
    "stable_baselines3.common.atari_wrappers.MaxAndSkipEnv": ("_obs_buffer",),
    "stable_baselines3.common.atari_wrappers.ClipRewardEnv": (),
    "stable_baselines3.common.atari_wrappers.WarpFrame": (),
    f"{KeepRawReward.__module__}.{KeepRawReward.__qualname__}": (),
}
_PLAIN_SIMULATORS: Mapping[str, tuple[str, ...]] = {
    "gymnasium.envs.classic_control.cartpole.CartPoleEnv": ("state", "steps_beyond_terminated"),
    "gymnasium.envs.classic_control.mountain_car.MountainCarEnv": ("state",),
    "gymnasium.envs.classic_control.continuous_mountain_car.Continuous_MountainCarEnv": ("state",),
    "gymnasium.envs.classic_control.pendulum.PendulumEnv": ("state", "last_u"),
    "gymnasium.envs.classic_control.acrobot.AcrobotEnv": ("state",),
    "gymnasium.envs.toy_text.cliffwalking.CliffWalkingEnv": ("s", "lastaction"),
    "gymnasium.envs.toy_text.frozen_lake.FrozenLakeEnv": ("s", "lastaction"),
}
# What MuJoCo derives from its state is of the last substep, and Gymnasium's tasks read some of it
# before the next one (the position that a velocity is taken from).
_MUJOCO_DERIVED = ("xpos", "xquat", "xmat", "xipos", "ximat", "site_xpos", "site_xmat", "subtree_com")


def inner_name(envs: VecEnv) -> str | None:
    """What the inner environments are: the Gymnasium id of their simulator, or its class.

    None if the simulators are not in Python.
    """
    _, base = _layers(envs)
    if type(base) is not DummyVecEnv:
        return None
    simulator = base.envs[0].unwrapped
    return type(simulator).__name__ if simulator.spec is None else str(simulator.spec.id)


def envs_state(envs: VecEnv) -> dict[str, Any]:
    """What vectorised inner environments need to continue.

    Returns:
        `wrappers`: of each vectorised wrapper, the outermost first. `simulators`: of each
        environment; None if one of them cannot be restored. It shares memory with the environments.
    """
    _, base = _layers(envs)
    return {
        "wrappers": wrappers_state(envs),
        "simulators": [_chain_state(env) for env in base.envs] if _can_be_restored(envs) else None,
    }


def set_envs_state(envs: VecEnv, state: Mapping[str, Any]) -> bool:
    """Restores what `envs_state` returned.

    Returns:
        Whether the inner episodes continue; if not, the caller must start new ones.
    """
    _, base = _layers(envs)
    set_wrappers_state(envs, state["wrappers"])
    if state["simulators"] is None or not _can_be_restored(envs):
        return False
    for env, env_state in zip(base.envs, state["simulators"], strict=True):
        _set_chain_state(env, env_state)
    return True


# ---------------------------------------------------------------------- vectorised wrappers


def wrappers_state(envs: VecEnv) -> list[dict[str, Any]]:
    """What each vectorised wrapper remembers, the outermost first: statistics and stacks of SB3's."""
    return [_vec_wrapper_state(wrapper) for wrapper in _layers(envs)[0]]


def set_wrappers_state(envs: VecEnv, state: Sequence[Mapping[str, Any]]) -> None:
    """Restores what `wrappers_state` returned."""
    for wrapper, wrapper_state in zip(_layers(envs)[0], state, strict=True):
        _set_vec_wrapper_state(wrapper, wrapper_state)


def _layers(envs: VecEnv) -> tuple[list[VecEnvWrapper], Any]:
    wrappers = []
    while isinstance(envs, VecEnvWrapper):
        wrappers.append(envs)
        envs = envs.venv
    return wrappers, envs


def _can_be_restored(envs: VecEnv) -> bool:
    wrappers, base = _layers(envs)
    return (
        type(base) is DummyVecEnv
        and all(type(wrapper) in (VecNormalize, VecTransposeImage, VecFrameStack) for wrapper in wrappers)
        and all(_is_known(env) for env in base.envs)
    )


def _is_known(env: gym.Env[Any, Any]) -> bool:
    while isinstance(env, gym.Wrapper):
        if _name(env) not in _WRAPPERS:
            return False
        env = env.env
    return _name(env) in _PLAIN_SIMULATORS or _family(env) is not None


def _vec_wrapper_state(wrapper: VecEnvWrapper) -> dict[str, Any]:
    if isinstance(wrapper, VecFrameStack):
        stacks = _stacks(wrapper)
        return {"stacks": {name: stack.stacked_obs for name, stack in stacks.items()}}
    if isinstance(wrapper, VecNormalize):
        old_obs = getattr(wrapper, "old_obs", None)
        scales = {name: [rms.mean, rms.var, rms.count] for name, rms in running_statistics(wrapper).items()}
        return {"scales": scales, "returns": wrapper.returns, "old": [old_obs, wrapper.old_reward]}
    return {}


def _set_vec_wrapper_state(wrapper: VecEnvWrapper, state: Mapping[str, Any]) -> None:
    if isinstance(wrapper, VecFrameStack):
        for name, stack in _stacks(wrapper).items():
            stack.stacked_obs = state["stacks"][name]
    if isinstance(wrapper, VecNormalize):
        for name, rms in running_statistics(wrapper).items():
            rms.mean, rms.var, rms.count = state["scales"][name]
        wrapper.returns = state["returns"]
        wrapper.old_obs, wrapper.old_reward = state["old"]


def _stacks(wrapper: VecFrameStack) -> dict[str, Any]:
    """The stacks of frames by the observation's parts; "" if it has none."""
    stacked = wrapper.stacked_obs
    parts: Mapping[str, Any] = getattr(stacked, "sub_stacked_observations", None) or {"": stacked}
    return dict(parts)


def running_statistics(wrapper: VecNormalize) -> dict[str, RunningMeanStd]:
    """The running statistics of returns and of the observation's parts."""
    scales = {"returns": wrapper.ret_rms}
    if wrapper.norm_obs:
        obs_rms: Any = wrapper.obs_rms
        parts = obs_rms if isinstance(obs_rms, dict) else {"": obs_rms}
        scales |= {f"observations {name}": rms for name, rms in parts.items()}
    return scales


# ---------------------------------------------------------------------- a single environment


def _name(env: object) -> str:
    return f"{type(env).__module__}.{type(env).__qualname__}"


def _chain_state(env: gym.Env[Any, Any]) -> list[dict[str, Any]]:
    """Of each wrapper, the outermost first, and of the simulator."""
    states = []
    while isinstance(env, gym.Wrapper):
        states.append({name: getattr(env, name) for name in _WRAPPERS[_name(env)]})
        env = env.env
    family = _family(env)
    simulator = (
        {name: getattr(env, name) for name in _PLAIN_SIMULATORS[_name(env)]}
        if family is None
        else family[0](env)
    )
    generator = env._np_random
    return [
        *states,
        {"simulator": simulator, "generator": None if generator is None else generator.bit_generator.state},
    ]


def _set_chain_state(env: gym.Env[Any, Any], states: list[dict[str, Any]]) -> None:
    *of_wrappers, of_simulator = states
    for state in of_wrappers:
        for name in _WRAPPERS[_name(env)]:
            setattr(env, name, state[name])
        assert isinstance(env, gym.Wrapper)
        env = env.env
    family = _family(env)
    if family is None:
        for name in _PLAIN_SIMULATORS[_name(env)]:
            setattr(env, name, of_simulator["simulator"][name])
    else:
        family[1](env, of_simulator["simulator"])
    if of_simulator["generator"] is not None:
        env.np_random.bit_generator.state = of_simulator["generator"]


def _mujoco_state(env: Any) -> dict[str, Any]:
    import mujoco

    kind = mujoco.mjtState.mjSTATE_INTEGRATION
    integration = np.empty(mujoco.mj_stateSize(env.model, kind))
    mujoco.mj_getState(env.model, env.data, integration, kind)
    return {
        "integration": integration,
        **{name: getattr(env.data, name).copy() for name in _MUJOCO_DERIVED},
    }


def _set_mujoco_state(env: Any, state: Mapping[str, Any]) -> None:
    import mujoco

    mujoco.mj_setState(env.model, env.data, state["integration"], mujoco.mjtState.mjSTATE_INTEGRATION)
    for name in _MUJOCO_DERIVED:
        getattr(env.data, name)[:] = state[name]


def _atari_state(env: Any) -> dict[str, Any]:
    return {"system": env.ale.cloneSystemState().serialize()}


def _set_atari_state(env: Any, state: Mapping[str, Any]) -> None:
    import ale_py

    env.ale.restoreSystemState(ale_py.ALEState(state["system"]))


_Family = tuple[Callable[[Any], dict[str, Any]], Callable[[Any, Mapping[str, Any]], None]]


def _family(env: Any) -> _Family | None:
    """How to get and set the state of a simulator whose library does it; None for the others."""
    module = type(env).__module__
    if module.startswith("gymnasium.envs.mujoco."):
        return _mujoco_state, _set_mujoco_state
    if module == "ale_py.env" and env.ale.getFloat("repeat_action_probability") == 0:
        return _atari_state, _set_atari_state
    return None
