"""The hyper-reward: Eq. 1 on numbers worked out by hand, then through the environment."""

import gymnasium as gym
import numpy as np
import pytest

from hyperrl_env import HYPER_REWARDS, EnvironmentPhase, Hyperparameter
from hyperrl_env.hyper_reward import discounted_return, episode_return, value_target
from hyperrl_env.learners import learner_class


def phase(rewards, dones=None, gamma=0.5, **kwargs):
    rewards = np.array(rewards, np.float32)
    dones = np.zeros(rewards.shape, bool) if dones is None else np.array(dones, bool)
    given = {
        "value_targets": rewards,
        "episode_returns": (),
        "episode_lengths": (),
        "last_episode_return": 0.0,
    }
    return EnvironmentPhase(rewards=rewards, dones=dones, gamma=gamma, **given | kwargs)


@pytest.mark.parametrize(
    ("rewards", "dones", "gamma", "expected"),
    [
        pytest.param([[3.0]], None, 0.5, 3.0, id="one step"),
        # 1 + 2/2 + 4/4 = 3, 2 + 4/2 = 4, 4; their mean is 11/3.
        pytest.param([[1], [2], [4]], None, 0.5, 11 / 3, id="to the end of the phase"),
        # The episode ends with the second step: 1 + 2/2 = 2, 2, 4; 8/3.
        pytest.param([[1], [2], [4]], [[0], [1], [0]], 0.5, 8 / 3, id="an end inside"),
        pytest.param([[1], [2], [4]], [[0], [0], [1]], 0.5, 11 / 3, id="an end at the end"),
        # Every step is an episode.
        pytest.param([[1], [2], [4]], [[1], [1], [1]], 0.5, 7 / 3, id="ends everywhere"),
        # First environment: 1 + 2/2 = 2, 2 (its end), 3. Second: 10 + 35/2 = 27.5, 20 + 15 = 35, 30.
        pytest.param(
            [[1, 10], [2, 20], [3, 30]], [[0, 0], [1, 0], [0, 0]], 0.5, (7 + 92.5) / 6, id="two environments"
        ),
        pytest.param([[1, 10], [2, 20]], [[0, 1], [0, 0]], 1.0, (5 + 30) / 4, id="no discount"),
        pytest.param([[1, 10], [2, 20]], [[0, 1], [0, 0]], 0.0, 33 / 4, id="full discount"),
        pytest.param([[-1], [-2]], None, 0.5, (-2 - 2) / 2, id="negative"),
    ],
)
def test_discounted_return_by_hand(rewards, dones, gamma, expected):
    assert discounted_return(phase(rewards, dones, gamma)) == pytest.approx(expected, rel=1e-12)


def test_discounted_return_agrees_with_its_definition():
    rng = np.random.default_rng(0)
    rewards, dones = rng.normal(size=(40, 3)), rng.random((40, 3)) < 0.1
    returns = []
    for env in range(3):
        for start in range(40):
            total = 0.0
            for t in range(start, 40):
                total += 0.9 ** (t - start) * rewards[t, env]
                if dones[t, env]:
                    break
            returns.append(total)
    assert discounted_return(phase(rewards, dones, 0.9)) == pytest.approx(np.mean(returns), rel=1e-6)


@pytest.mark.parametrize(
    ("rewards", "dones", "horizon", "expected"),
    [
        # Windows of two: 1 + 2/2 = 2, 2; 4 + 8/2 = 8, 8. Their mean is 5.
        pytest.param([[1], [2], [4], [8]], None, 2, 5.0, id="two windows"),
        pytest.param([[1], [2], [4], [8]], [[1], [0], [0], [0]], 2, 19 / 4, id="an end inside a window"),
        pytest.param([[9], [1], [2], [4], [8]], None, 2, 5.0, id="the first step fills no window"),
        pytest.param([[1], [2], [4], [8]], None, 1, 15 / 4, id="windows of one"),
        pytest.param([[1], [2], [4]], None, 3, 11 / 3, id="the whole phase"),
        pytest.param([[1], [2], [4]], None, 9, 11 / 3, id="more than the phase"),
        # Second environment: 10 + 10 = 20, 20; 40 + 40 = 80, 80.
        pytest.param([[1, 10], [2, 20], [4, 40], [8, 80]], None, 2, 27.5, id="two environments"),
    ],
)
def test_windows_by_hand(rewards, dones, horizon, expected):
    assert discounted_return(phase(rewards, dones, horizon=horizon)) == pytest.approx(expected, rel=1e-12)


def test_episode_return():
    assert episode_return(phase([[1]], episode_returns=(3.0, 6.0), last_episode_return=9.0)) == 4.5
    assert episode_return(phase([[1]], last_episode_return=9.0)) == 9.0
    assert episode_return(phase([[1]])) == 0.0


def test_value_target():
    assert value_target(phase([[1]], value_targets=np.array([[1.0, 2.0], [3.0, 10.0]]))) == 4.0


def test_the_names():
    assert set(HYPER_REWARDS) == {"discounted_return", "episode_return", "value_target", "improvement"}


# ---------------------------------------------------------------- through the environment

# Two environments side by side with episodes of 3 and 5 steps; phases of 4 steps cut through them.
SCRIPTS = ([1.0, 2.0, 4.0], [100.0, 0.0, -50.0, 7.0, 20.0])
GAMMA = 0.9


def expected_phases(n_phases, n_steps=4, gamma=GAMMA):
    """Eq. 1 of every phase, and the mean return of the episodes that end in it (None: none does)."""
    found = []
    for number in range(n_phases):
        returns, ended = [], []
        for script in SCRIPTS:
            for start in range(number * n_steps, (number + 1) * n_steps):
                total, t = 0.0, start
                while t < (number + 1) * n_steps:
                    total += gamma ** (t - start) * script[t % len(script)]
                    if t % len(script) == len(script) - 1:
                        break
                    t += 1
                returns.append(total)
                if start % len(script) == len(script) - 1:
                    ended.append(sum(script))
        found.append((np.mean(returns), np.mean(ended) if ended else None))
    return found


@pytest.fixture
def scripted(make_env, scripted_env):
    """`scripted(algorithm, ...)`: the environment on the two scripts, phases of 4 steps."""

    def build(algorithm="A2C", *, truncated=False, n_steps=4, gamma=GAMMA, **kwargs):
        made = []

        def env_fn():
            made.append(None)
            return scripted_env(SCRIPTS[(len(made) - 1) % 2], truncated)

        own = {"batch_size": 4, "n_epochs": 2} if algorithm == "PPO" else {}
        learner_kwargs = {"n_steps": n_steps, "gamma": gamma, **own}
        return make_env(
            algorithm,
            env_fn=env_fn,
            n_envs=2,
            total_env_steps=1000,
            learner_kwargs=learner_kwargs,
            **{"search_space": ["gamma", "gae_lambda", "learning_rate"], **kwargs},
        )

    return build


def phases(env, n, action):
    """The infos of the first n environment phases, and the rewards of the steps that led there."""
    infos, rewards = [env.reset(seed=0)[1]], []
    while len(infos) < n:
        _, reward, terminated, _, info = env.step(action())
        if terminated:
            infos.append(info)
            rewards.append(reward)
            env.reset()
        else:
            assert reward == 0.0
    return infos, rewards


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("truncated", [False, True], ids=["termination", "time limit"])
def test_raw_rewards_make_the_reward_whatever_the_actions(scripted, algorithm, normalize, truncated):
    """Neither normalisation, nor the bootstrap at a time limit, nor the gamma chosen changes it."""
    env = scripted(algorithm, normalize=normalize, truncated=truncated)
    env.action_space.seed(0)
    infos, rewards = phases(env, 9, env.action_space.sample)
    expected = expected_phases(9)
    assert [info["discounted_return"] for info in infos] == pytest.approx([g for g, _ in expected], rel=1e-5)
    assert rewards == [info["discounted_return"] for info in infos[1:]]
    assert len({info["hyperparameters"]["gamma"] for info in infos}) > 2, "gamma must have been changed"
    last = 0.0
    for info, (_, mean_return) in zip(infos, expected, strict=True):
        last = last if mean_return is None else mean_return
        assert info["episode_return"] == pytest.approx(last, rel=1e-5)
        ended = info["phase_stats"]["returns"]
        assert set(np.round(ended, 3)) <= {sum(script) for script in SCRIPTS}
        assert [3 if r == sum(SCRIPTS[0]) else 5 for r in np.round(ended, 3)] == info["phase_stats"][
            "lengths"
        ]


OFFERED = {
    "learning_rate": (1e-4, 1e-2),
    "clip_range": (0.1, 0.4),
    "gae_lambda": (0.5, 1.0),
    "gamma": (0.5, 1.0),
    "batch_size": (2, 8),
    "n_epochs": (1, 4),
    "n_steps": (4, 12),
    "ent_coef": (0.0, 0.5),
    "vf_coef": (0.1, 2.0),
    "max_grad_norm": (0.01, 5.0),
    "kl_clip": (1e-5, 0.1),
    "damping": (1e-3, 1.0),
    "momentum": (0.0, 0.99),
    "weight_decay": (0.0, 1.0),
    "stats_interval": (1, 4),
    "inversion_interval": (1, 4),
}


@pytest.mark.parametrize("backend", ["eager", "fast"])
@pytest.mark.parametrize(
    ("algorithm", "name"),
    [(a, n) for a in ("PPO", "A2C", "ACKTR") for n in learner_class(a).offered],
)
def test_what_is_chosen_is_worth_nothing_by_itself(make_env, scripted_env, algorithm, name, backend):
    """Rewards that no policy changes: over the same 168 steps every value earns the same mean."""
    means = []
    for value in OFFERED[name]:
        own = {"batch_size": 4, "n_epochs": 2} if algorithm == "PPO" else {}
        env = make_env(
            algorithm,
            env_fn=lambda: scripted_env([1.0, 2.0, 4.0, -3.0, 0.0, 7.0, 1.0]),
            total_env_steps=1000,
            learner_kwargs={"n_steps": 8, **own},
            search_space=[Hyperparameter(name, values=OFFERED[name])],
            backend=backend,
        )
        env.reset(seed=0)
        steps, total = 8, 0.0
        while steps < 8 + 168:
            _, reward, over, _, info = env.step(env.search_space.action({name: value}))
            if over:
                total += reward * (info["env_steps"] - steps)
                steps = info["env_steps"]
                env.reset()
        assert steps == 8 + 168
        means.append(total / 168)
    assert means[0] == pytest.approx(means[1], rel=1e-6)


@pytest.mark.parametrize("task", ["CartPole", "Pendulum"])
def test_a_frozen_policy_earns_the_same_whatever_n_steps(make_env, task):
    means = []
    for n_steps in (5, 10, 20):
        env = make_env(
            f"HyperRL-A2C-{task}-v0",
            n_envs=1,
            learner_kwargs={"n_steps": 20, "learning_rate": 1e-12},
            search_space=[Hyperparameter("n_steps", values=(5, 10, 20))],
        )
        env.reset(seed=0)
        steps, rewards = 20, []
        while steps < 820:
            _, reward, _, _, info = env.step(env.search_space.action({"n_steps": n_steps}))
            rewards.append(reward)
            steps = info["env_steps"]
            env.reset()
        means.append(np.mean(rewards))
    assert means == pytest.approx([means[0]] * 3, rel=1e-5)


def test_phases_in_which_no_episode_ends_repeat_the_episode_return(scripted):
    env = scripted(n_steps=1, hyper_reward="episode_return")
    infos, rewards = phases(env, 12, lambda: env.default_action)
    # Steps 1, 2, 4, 7, 8 and 11 end no episode; 3 and 6 one of 7.0, 5 and 10 one of 77.0.
    expected = [0, 0, 7, 7, 77, 7, 7, 7, 7, 77, 77, 7]
    assert [info["episode_return"] for info in infos] == pytest.approx(expected)
    assert rewards == pytest.approx(expected[1:])


def test_a_new_run_forgets_the_episode_return(scripted):
    env = scripted(hyper_reward="episode_return", n_steps=1)
    phases(env, 6, lambda: env.default_action)
    _, info = env.reset(seed=0)
    assert info["episode_return"] == 0.0


def test_value_targets_are_the_learners_own(scripted):
    found = []
    for normalize in (False, True):
        env = scripted("PPO", normalize=normalize, hyper_reward="value_target", decision="phase")
        env.reset(seed=0)
        _, reward, _, _, info = env.step(env.default_action)
        # SB3's lambda-returns of the rollout at hand, which no update has been made on.
        assert reward == info["value_target"]
        assert reward == pytest.approx(env.learner.rollout_buffer.returns.mean(), rel=1e-5)
        found.append(reward)
    assert found[0] != pytest.approx(found[1], rel=0.1), "one of them is on normalised rewards"


@pytest.mark.parametrize("name", HYPER_REWARDS)
def test_all_are_in_the_info_whichever_is_used(scripted, name):
    env = scripted(hyper_reward=name)
    infos, rewards = phases(env, 4, lambda: env.default_action)
    assert all(set(HYPER_REWARDS) <= set(info) for info in infos)
    assert rewards == [info[name] for info in infos[1:]]


def test_a_callable(scripted):
    seen = []

    def steps_of_ended_episodes(phase):
        seen.append(phase)
        return sum(phase.episode_lengths) + 0.5

    env = scripted(hyper_reward=steps_of_ended_episodes, normalize=True)
    _, rewards = phases(env, 4, lambda: env.default_action)
    # Steps 5-8 end episodes of 5 and 3, steps 9-12 of 3, 5 and 3, steps 13-16 of 3 and 5.
    assert rewards == [8.5, 11.5, 8.5]
    first = seen[0]
    assert isinstance(first, EnvironmentPhase)
    assert first.rewards.tolist() == [[1, 100], [2, 0], [4, -50], [1, 7]]
    assert first.dones.tolist() == [[False, False], [False, False], [True, False], [False, False]]
    assert first.value_targets.shape == (4, 2)
    assert (first.episode_returns, first.episode_lengths) == ((7.0,), (3,))
    assert first.gamma == GAMMA


@pytest.mark.parametrize("kind", [int, np.float32, np.float64])
def test_whatever_number_a_callable_gives_the_reward_is_a_float(scripted, kind):
    env = scripted(hyper_reward=lambda phase: kind(2))
    env.reset(seed=0)
    reward = env.step(env.default_action)[1]
    assert type(reward) is float
    assert reward == 2.0


def test_a_phase_keeps_its_numbers(scripted):
    """What a callable was given does not change when the learner goes on."""
    seen = []
    env = scripted(hyper_reward=lambda phase: seen.append(phase) or 0.0, normalize=True)
    env.reset(seed=0)
    copies = {name: np.copy(getattr(seen[0], name)) for name in ("rewards", "dones", "value_targets")}
    for _ in range(3):
        env.step(env.default_action)
        env.reset()
    for name, copy in copies.items():
        np.testing.assert_array_equal(getattr(seen[0], name), copy)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_the_tasks_own_gamma_is_the_one(scripted, gamma):
    env = scripted(gamma=gamma)
    infos, _ = phases(env, 3, lambda: env.default_action)
    expected = [g for g, _ in expected_phases(3, gamma=gamma)]
    assert [info["discounted_return"] for info in infos] == pytest.approx(expected)


def test_rewards_of_an_action_dependent_environment(make_env):
    """CartPole gives 1 a step: G follows from the lengths of the episodes alone."""
    env = make_env("A2C", learner_kwargs={"n_steps": 50, "gamma": 1.0}, total_env_steps=500, normalize=True)
    _, info = env.reset(seed=0)
    lengths = info["phase_stats"]["lengths"]
    pieces = [*lengths, 50 - sum(lengths)]
    assert info["discounted_return"] == pytest.approx(sum(n * (n + 1) / 2 for n in pieces) / 50)
    assert isinstance(env.learner.env.observation_space, gym.spaces.Box)
