"""`learner.model` stays an SB3 algorithm: everything that SB3 offers works on it."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from hyperrl_env.learners import ACKTR


@pytest.mark.parametrize(("algorithm", "cls"), [("PPO", PPO), ("A2C", A2C), ("ACKTR", ACKTR)])
def test_save_load_predict_evaluate_and_learn(algorithm, cls, tmp_path):
    env = gym.make(
        f"HyperRL-{algorithm}-Pendulum-v0", total_env_steps=512, n_envs=1, learner_kwargs={"n_steps": 64}
    )
    env.reset(seed=0)
    env.step(env.action_space.sample())
    model = env.unwrapped.learner.model
    assert isinstance(model, cls)
    assert isinstance(model.get_vec_normalize_env(), VecNormalize)

    model.save(tmp_path / "model.zip")
    loaded = cls.load(tmp_path / "model.zip", env=model.get_env())
    obs = model.get_env().reset()
    mine, theirs = (m.predict(obs, deterministic=True)[0] for m in (model, loaded))
    np.testing.assert_allclose(mine, theirs, rtol=1e-5)
    assert vars(loaded).keys() == vars(cls("MlpPolicy", "Pendulum-v1")).keys()
    mean, _ = evaluate_policy(loaded, loaded.get_env(), n_eval_episodes=1, warn=False)
    assert np.isfinite(mean)
    loaded.learn(64)
    steps = model.num_timesteps
    model.learn(64, reset_num_timesteps=False)
    assert model.num_timesteps == steps + 64


def test_the_learner_itself_can_be_saved_and_loaded_again(tmp_path):
    env = gym.make("HyperRL-PPO-CartPole-v0", total_env_steps=128, learner_kwargs={"n_steps": 64})
    env.reset(seed=0)
    learner = env.unwrapped.learner
    learner.save(tmp_path / "first.zip")
    again = type(learner).load(tmp_path / "first.zip", env=learner.get_env())
    again.learn(64)
    again.save(tmp_path / "second.zip")
    assert type(learner).load(tmp_path / "second.zip").num_timesteps == 64
