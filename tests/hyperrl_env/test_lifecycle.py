"""Where runs begin and end: what a reset replaces is said and stays reachable, whoever calls it."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from hyperrl_env import Hyperparameter, InnerEnvError

FINISHED = r"(?s).*The run is finished.*reset\(\) starts a new one.*finished_learner"
UNFINISHED = r"(?s).*middle of a learning episode.*new run.*learning_episode_phases"


def usual_loop(env, runs, seed=0):
    """Gymnasium's loop, which resets at every end, with the task's own settings; the warnings that it met."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env.reset(seed=seed)
        while runs:
            *_, terminated, truncated, info = env.step(env.unwrapped.default_action)
            runs -= info["run_finished"]
            if terminated or truncated:
                env.reset()
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_the_usual_loop_leaves_the_finished_learner(make_env, run_to_end, bits_of, backend):
    env, alone = make_env(backend=backend), make_env(backend=backend)
    assert env.finished_learner is None
    messages = usual_loop(env, runs=1)
    run_to_end(alone, 0)
    assert alone.finished_learner is alone.learner
    assert env.finished_learner is not env.learner, "a new run has begun"
    assert bits_of(env.finished_learner) == bits_of(alone.learner)
    assert len(messages) == 1
    assert "env.unwrapped.finished_learner" in messages[0]


def test_only_the_latest_finished_learner_is_kept_and_the_warning_comes_once(make_env):
    env = make_env()
    assert len(usual_loop(env, runs=3)) == 1
    latest = env.finished_learner
    env.step(env.default_action)
    assert env.finished_learner is latest, "the run at hand is not finished"
    assert usual_loop(env, runs=1) == []
    assert env.finished_learner is not latest


@pytest.mark.parametrize("close", [False, True])
def test_a_finished_learner_can_act_and_be_saved(make_env, tmp_path, close):
    env = make_env(env_id="Pendulum-v1", normalize=True)
    usual_loop(env, runs=1)
    if close:
        env.close()
    model = env.finished_learner.model
    model.save(tmp_path / "model")
    model.get_vec_normalize_env().save(str(tmp_path / "statistics"))
    inner = DummyVecEnv([lambda: gym.make("Pendulum-v1")])
    inner.seed(0)
    raw = inner.reset()
    loaded = PPO.load(tmp_path / "model", device="cpu")
    normalizer = VecNormalize.load(str(tmp_path / "statistics"), inner)
    obs = model.get_vec_normalize_env().normalize_obs(raw)
    assert np.array_equal(obs, normalizer.normalize_obs(raw))
    assert not np.array_equal(obs, raw)
    assert np.array_equal(*(m.predict(obs, deterministic=True)[0] for m in (model, loaded)))


def test_stable_baselines3_learns_and_leaves_the_policy_in_hand(make_env):
    env = make_env(decision="phase")  # runs of three steps
    agent = DQN("MlpPolicy", env, seed=0, device="cpu", buffer_size=100, train_freq=1, learning_starts=100)
    with pytest.warns(UserWarning, match=FINISHED):
        agent.learn(3)
    assert env.finished_learner.num_timesteps == env.total_env_steps
    assert env.finished_learner.update_phase_finished
    assert env.learner.num_timesteps == 16, "a new run has begun"


@pytest.mark.parametrize("asked", [{"seed": 1}, {"options": {"new_run": True}}], ids=str)
@pytest.mark.parametrize("when", ["finished", "in the middle", "after an episode"])
def test_who_asks_for_a_new_run_is_not_warned(make_env, run_to_end, asked, when):
    env = make_env()
    env.reset(seed=0)
    if when == "finished":
        run_to_end(env, 0)
    else:
        for _ in range(3 if when == "in the middle" else 4):
            env.step(env.default_action)
    env.reset(**asked)
    assert (env.finished_learner is None) == (when != "finished")


def test_a_reset_that_drops_an_unfinished_run_says_so_once(make_env):
    env = make_env()
    env.reset(seed=0)
    env.reset()  # nothing has been trained yet
    env.step(env.default_action)
    with pytest.warns(UserWarning, match=UNFINISHED) as caught:
        env.reset()
    assert "16 of 48 environment steps" in str(caught[0].message)
    env.step(env.default_action)
    env.reset()
    assert env.finished_learner is None


@pytest.mark.parametrize("how", ["gym.make", "wrapper"])
def test_a_time_limit_around_the_environment_is_pointed_out(make_env, how):
    """Its truncations look like resets in the middle of a learning episode, which start new runs."""
    kwargs = {"env_id": "CartPole-v1", "learner_kwargs": {"n_steps": 16, "batch_size": 8, "n_epochs": 2}}
    if how == "gym.make":
        env = gym.make("HyperRL-PPO-v0", max_episode_steps=3, total_env_steps=48, **kwargs)
    else:
        env = gym.wrappers.TimeLimit(make_env(), 3)
    messages = usual_loop(env, runs=0)
    assert messages == []
    for _ in range(2):
        *_, truncated, _ = env.step(env.unwrapped.default_action)
        assert not truncated
    assert env.step(env.unwrapped.default_action)[3]
    with pytest.warns(UserWarning, match=r"(?s).*max_episode_steps"):
        env.reset()
    env.close()


def test_a_step_after_the_end_says_what_reset_would_do(make_env, run_to_end):
    env = make_env(decision="phase")
    env.reset(seed=0)
    env.step(0)
    with pytest.raises(ResetNeeded, match=r"episode is over.*reset\(\) to continue the run"):
        env.step(0)
    run_to_end(env, 0)
    with pytest.raises(ResetNeeded, match=r"run is finished.*reset\(\) to start a new one.*finished_learner"):
        env.step(0)


def test_a_failed_run_is_none_that_is_finished(make_env, monkeypatch):
    env = make_env(decision="phase")
    env.reset(seed=0)
    snapshot = env.snapshot()

    def fail():
        raise OSError("gone")

    monkeypatch.setattr(env.learner, "environment_phase", fail)
    with pytest.raises(InnerEnvError, match="gone"):
        env.step(0)
    assert env.finished_learner is None
    with pytest.raises(ResetNeeded, match=r"failed: call reset\(\) to start a new run, or restore"):
        env.step(0)
    env.restore(snapshot)
    env.step(0)
    assert env.finished_learner is None
    env.reset()
    monkeypatch.setattr(env.learner, "environment_phase", fail)
    with pytest.raises(InnerEnvError):
        env.step(0)
    env.reset()  # no model to warn of: the error was enough


def test_restoring_rewinds_a_finished_run(make_env, run_to_end):
    env = make_env()
    env.reset(seed=0)
    snapshot = env.snapshot()
    run_to_end(env, 0)
    at_the_end = env.snapshot()
    assert env.finished_learner is env.learner
    env.restore(snapshot)
    assert env.finished_learner is None
    env.restore(at_the_end)
    assert env.finished_learner is env.learner
    env.reset(seed=1)
    finished = env.finished_learner
    env.restore(snapshot)
    assert env.finished_learner is finished is not env.learner


# ---------------------------------------------------------------- infos of several environments


def flat(info, name=""):
    if isinstance(info, dict):
        return {k: v for key, value in info.items() for k, v in flat(value, f"{name}/{key}").items()}
    return {name: info}


def test_a_vectorised_info_holds_what_the_single_ones_do(make_env):
    """Gymnasium makes arrays of the first environment's types."""
    kwargs = {
        "env_id": "CartPole-v1",
        "total_env_steps": 48,
        "learner_kwargs": {"n_steps": 16, "batch_size": 8, "n_epochs": 2, "vf_coef": 1, "ent_coef": 0},
        "search_space": [
            Hyperparameter("ent_coef", values=(0, 0.001, 0.5)),
            Hyperparameter("vf_coef", values=(1, 0.25)),
            "batch_size",
        ],
    }
    envs = gym.make_vec("HyperRL-PPO-v0", num_envs=2, vectorization_mode="sync", **kwargs)
    singles = [make_env("HyperRL-PPO-v0", **kwargs) for _ in range(2)]
    space = singles[0].search_space
    actions = [
        space.action({"ent_coef": 0, "vf_coef": 1}),
        space.action({"ent_coef": 0.001, "vf_coef": 0.25}),
    ]
    found = envs.reset(seed=[1, 2])[1]
    expected = [env.reset(seed=seed)[1] for env, seed in zip(singles, (1, 2), strict=True)]
    for _ in range(4):
        together = {k: v for k, v in flat(found).items() if not k.rpartition("/")[2].startswith("_")}
        for i, info in enumerate(expected):
            for name, value in flat(info).items():
                assert together[name][i] == value or (value is None and np.isnan(together[name][i])), name
            for name, value in info["hyperparameters"].items():
                assert type(value) is (int if name in ("batch_size", "n_epochs", "n_steps") else float), name
        found = envs.step(np.array(actions))[-1]
        expected = [env.step(action)[-1] for env, action in zip(singles, actions, strict=True)]
    envs.close()
