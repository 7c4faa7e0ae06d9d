"""The environment is a Gymnasium environment, for everything that speaks Gymnasium."""

import json
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env

import hyperrl_env
from hyperrl_env.inner_envs.atari import game_names

ALLOWED_WARNINGS = (
    # Weights and gradients have no bounds, so neither has the hyper-state.
    "A Box observation space minimum value is -infinity.",
    "A Box observation space maximum value is infinity.",
)
# Said by loops that reset as ordinary Gymnasium loops do (see test_lifecycle.py).
NEW_RUN = pytest.mark.filterwarnings("ignore:.*starts a new.* with a new model:UserWarning")
FEW = {
    "PPO": {
        "n_envs": 1,
        "total_env_steps": 64,
        "learner_kwargs": {"n_steps": 8, "batch_size": 4, "n_epochs": 1},
    },
    "A2C": {"n_envs": 2, "total_env_steps": 40},
    "ACKTR": {"n_envs": 2, "total_env_steps": 40, "learner_kwargs": {"n_steps": 5}},
}
TASKS = [
    "HalfCheetah",
    "Hopper",
    "Walker2d",
    "Swimmer",
    "Ant",
    "Humanoid",
    "InvertedDoublePendulum",
    "BipedalWalker",
    "LunarLanderContinuous",
    "MountainCarContinuous",
    "MountainCar",
    "CartPole",
    "Pendulum",
]


def few(env_id):
    algorithm, *task, _ = env_id.removeprefix("HyperRL-").split("-")
    return FEW[algorithm] | ({} if task else {"env_id": "CartPole-v1"})


@pytest.fixture
def no_window(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def test_the_promised_ids_are_registered():
    algorithms = ("PPO", "A2C", "ACKTR")
    promised = [f"HyperRL-{a}-v0" for a in algorithms]
    promised += [f"HyperRL-{a}-{task}-v0" for a in algorithms for task in (*TASKS, *game_names())]
    assert sorted(hyperrl_env.env_ids()) == sorted(promised)
    assert set(promised) <= set(gym.registry)


# Of the games one, with the algorithm that is quickest on them: runs of CNNs take seconds to begin.
CHECKED = [
    id_
    for id_ in hyperrl_env.env_ids()
    if id_.split("-")[-2] not in game_names() or id_ == "HyperRL-A2C-Pong-v0"
]


@pytest.mark.parametrize("env_id", CHECKED)
def test_gymnasium_checks_every_id(make_env, no_window, env_id):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(make_env(env_id, **few(env_id)))
    unexpected = [
        str(w.message) for w in caught if not any(text in str(w.message) for text in ALLOWED_WARNINGS)
    ]
    assert unexpected == []


@NEW_RUN
@pytest.mark.parametrize("action_mode", ["discrete", "multi_discrete", "box"])
@pytest.mark.parametrize("env_id", ["HyperRL-PPO-v0", "HyperRL-A2C-Hopper-v0", "HyperRL-ACKTR-Pendulum-v0"])
def test_stable_baselines3_checks_it(make_env, env_id, action_mode):
    sb3_check_env(make_env(env_id, action_mode=action_mode, **few(env_id)))


@NEW_RUN
@pytest.mark.parametrize("action_mode", ["discrete", "multi_discrete", "box"])
def test_a_plain_gymnasium_loop(action_mode):
    with gym.make(
        "HyperRL-A2C-v0", env_id="CartPole-v1", total_env_steps=100, action_mode=action_mode
    ) as env:
        obs, info = env.reset(seed=0)
        env.action_space.seed(0)
        rewards = []
        while not info["run_finished"]:
            obs, reward, terminated, truncated, info = env.step(env.action_space.sample())
            assert obs.dtype == np.float32
            assert obs in env.observation_space
            assert type(reward) is float
            assert type(terminated) is type(truncated) is bool
            rewards.append(reward)
            if terminated or truncated:
                obs, _ = env.reset()
        assert len(rewards) == 20
        assert all(reward > 0 for reward in rewards[:-1])


@NEW_RUN
@pytest.mark.parametrize("mode", ["sync", "async"])
# Newer versions of Python warn of forks.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_vectorised(mode):
    envs = gym.make_vec("HyperRL-PPO-v0", num_envs=2, vectorization_mode=mode, **few("HyperRL-PPO-v0"))
    try:
        first, _ = envs.reset(seed=[1, 2])
        assert first.shape == (2, envs.single_observation_space.shape[0])
        ends, runs_finished = 0, 0
        envs.action_space.seed(0)
        for _ in range(60):  # one to four updates a phase, eight phases a run: past the end of runs
            obs, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
            assert np.isfinite(obs).all()
            assert np.isfinite(rewards).all()
            ends += (terminated | truncated).sum()
            runs_finished += infos["run_finished"].sum()
        assert ends > 20
        assert runs_finished >= 2
    finally:
        envs.close()


def test_vectorised_environments_are_the_single_ones(make_env):
    kwargs = few("HyperRL-PPO-v0")
    envs = gym.make_vec("HyperRL-PPO-v0", num_envs=2, vectorization_mode="sync", **kwargs)
    single = make_env("HyperRL-PPO-v0", **kwargs)
    both, _ = envs.reset(seed=[4, 5])
    obs, _ = single.reset(seed=5)
    for action in range(2):
        np.testing.assert_array_equal(both[1], obs)
        both, rewards, *_ = envs.step(np.array([0, action]))
        obs, reward, *_ = single.step(action)
        assert rewards[1] == reward
    envs.close()


@NEW_RUN
@pytest.mark.parametrize("agent", [DQN, PPO, A2C])
def test_stable_baselines3_learns_on_it(agent):
    settings = {DQN: {"learning_starts": 50, "buffer_size": 300}, PPO: {"n_steps": 64}, A2C: {}}[agent]
    env = gym.make("HyperRL-PPO-v0", projection_dim=1, learning_episode_phases=2, **few("HyperRL-PPO-v0"))
    model = agent("MlpPolicy", env, seed=0, device="cpu", **settings)
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(256)
    after = list(model.policy.parameters())
    assert model.num_timesteps >= 256
    assert not all(a.equal(b) for a, b in zip(before, after, strict=True))
    assert all(p.isfinite().all() for p in after)
    assert len(model.ep_info_buffer) > 40
    env.close()


def test_the_unversioned_name():
    with pytest.warns(UserWarning, match="HyperRL-PPO-CartPole-v0"):
        env = gym.make("HyperRL-PPO-CartPole", **FEW["PPO"])
    assert env.spec.id == "HyperRL-PPO-CartPole-v0"
    env.close()


@pytest.mark.parametrize("keyword", ["env_id", "env_fn"])
def test_any_environment_of_the_users(make_env, keyword):
    value = "Acrobot-v1" if keyword == "env_id" else lambda: gym.make("Acrobot-v1")
    env = make_env("HyperRL-A2C-v0", total_env_steps=20, **{keyword: value})
    env.reset(seed=0)
    assert env.learner.env.get_attr("spec")[0].id == "Acrobot-v1"
    assert env.learner.action_space == gym.spaces.Discrete(3)


def test_an_environment_that_draws_nothing_needs_no_render_mode(make_env, scripted_env):
    """Gymnasium's warning would fail the test."""
    gym.register("Silent-v0", scripted_env, kwargs={"rewards": [1.0, 2.0]})
    try:
        make_env(env_id="Silent-v0").reset(seed=0)
    finally:
        gym.registry.pop("Silent-v0")


def test_keyword_arguments_reach_the_inner_environment(make_env):
    env = make_env("HyperRL-PPO-Hopper-v0", env_kwargs={"forward_reward_weight": 7.5}, **FEW["PPO"])
    env.reset(seed=0)
    assert env.learner.env.get_attr("unwrapped")[0]._forward_reward_weight == 7.5


# ---------------------------------------------------------------- rendering


def test_rgb_array(make_env, run_to_end):
    env = make_env(render_mode="rgb_array", learning_episode_phases=None)
    env.reset(seed=0)
    start = env.render()
    assert start.dtype == np.uint8
    assert start.ndim == 3
    assert start.shape[2] == 3
    assert start.std() > 0
    run_to_end(env, 0, env.action_space.sample)
    end = env.render()
    assert end.shape == start.shape
    assert (end != start).any(), "the picture shows the run so far"


def test_ansi(make_env):
    env = make_env(render_mode="ansi", search_space=["learning_rate", "clip_range"])
    env.reset(seed=0)
    line = env.render()
    assert isinstance(line, str)
    assert "\n" not in line
    for text in ("PPO", "CartPole-v1", "16", "learning_rate 0.0003", "clip_range 0.2"):
        assert text in line


def test_one_of_two_shown_environments_can_be_closed(make_env, no_window):
    one, other = (make_env(render_mode="human", decision="phase") for _ in range(2))
    for env in (one, other):
        env.reset(seed=0)
    one.close()
    other.step(other.default_action)
    other.close()


def test_human(make_env, no_window):
    env = make_env(render_mode="human", decision="phase")
    env.reset(seed=0)
    env.step(0)
    assert env.render() is None
    env.close()


def test_a_picture_without_a_render_mode_is_a_warning(make_env):
    env = make_env()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="render_mode"):
        assert env.render() is None


def test_rendering_changes_nothing(make_env):
    plain, shown = make_env(), make_env(render_mode="rgb_array")
    for env in (plain, shown):
        env.reset(seed=0)
    for action in (3, 10, 0):
        shown.render()
        np.testing.assert_array_equal(plain.step(action)[0], shown.step(action)[0])


# ---------------------------------------------------------------- decisions, episodes, runs


@pytest.mark.parametrize(
    ("algorithm", "decision", "steps"),
    [("PPO", "update", 4), ("PPO", "epoch", 2), ("PPO", "phase", 1)]
    + [(a, decision, 1) for a in ("A2C", "ACKTR") for decision in ("update", "epoch", "phase")],
)
def test_a_decision_holds_for_an_update_an_epoch_or_a_phase(make_env, algorithm, decision, steps):
    env = make_env(algorithm, decision=decision)
    _, info = env.reset(seed=0)
    assert (info["phase"], info["update_step"]) == (0, 0)
    for step in range(1, steps + 1):
        _, reward, terminated, _, info = env.step(env.default_action)
        assert terminated == (step == steps)
        assert (reward > 0) == (step == steps)
    assert info["phase"] == 1


def test_a_held_action_is_the_action_repeated(make_env, bits_of):
    held, repeated = make_env(decision="phase"), make_env()
    held.reset(seed=1)
    repeated.reset(seed=1)
    held.step(7)
    over = False
    while not over:
        _, _, over, _, _ = repeated.step(7)
    assert bits_of(held.learner) == bits_of(repeated.learner)


def play(env, phases_a_run):
    """The ends of every learning episode of a run: (update phases finished, terminated, truncated)."""
    _, info = env.reset(seed=0)
    ends = []
    while not info["run_finished"]:
        _, reward, terminated, truncated, info = env.step(env.default_action)
        if terminated or truncated:
            ends.append((info["phase"], terminated, truncated))
            with pytest.raises(ResetNeeded):
                env.step(env.default_action)
            if not info["run_finished"]:
                env.reset()
    assert info["phase"] == phases_a_run
    assert reward == 0.0, "no environment phase follows, and so no hyper-reward"
    return ends


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
@pytest.mark.parametrize("decision", ["update", "phase"])
@pytest.mark.parametrize(
    ("phases", "ends"),
    [
        (1, [*((n, True, False) for n in (1, 2, 3, 4)), (5, False, True)]),
        (2, [(2, True, False), (4, True, False), (5, False, True)]),
        (3, [(3, True, False), (5, False, True)]),
        (5, [(5, False, True)]),  # the episode's last update phase has no environment phase any more
        (6, [(5, False, True)]),
        (None, [(5, True, False)]),
    ],
)
def test_where_learning_episodes_and_runs_end(make_env, algorithm, decision, phases, ends):
    budget = 5 * (16 if algorithm == "PPO" else 5)
    env = make_env(algorithm, learning_episode_phases=phases, decision=decision, total_env_steps=budget)
    assert play(env, phases_a_run=5) == ends


@pytest.mark.parametrize(("budget", "phases"), [(16, 1), (17, 2), (32, 2), (33, 3)])
def test_a_run_has_as_many_phases_as_sb3_would_make(make_env, budget, phases):
    env = make_env(total_env_steps=budget, learning_episode_phases=None)
    play(env, phases_a_run=phases)
    assert env.learner.num_timesteps == 16 * phases


def test_reset_goes_on_after_a_learning_episode(make_env):
    env = make_env(decision="phase")
    env.reset(seed=0)
    learner = env.learner
    obs, _, terminated, _, info = env.step(0)
    assert terminated
    assert not info["run_finished"]
    after, again = env.reset()
    np.testing.assert_array_equal(after, obs)
    assert env.learner is learner
    assert (again["phase"], again["env_steps"]) == (1, 32)
    assert again["hyperparameters"] == info["hyperparameters"]


@NEW_RUN
@pytest.mark.parametrize(
    "how", ["in the middle", "new_run", "seed", "finished", "before any step"], ids=lambda how: how
)
def test_reset_starts_a_new_run(make_env, run_to_end, how):
    env = make_env(decision="epoch" if how == "in the middle" else "phase")
    first, _ = env.reset(seed=0)
    learner = env.learner
    if how == "finished":
        run_to_end(env, 0)
        assert env.run_finished
    elif how != "before any step":
        env.step(0)
    options = {"new_run": True} if how == "new_run" else None
    obs, info = env.reset(seed=0 if how == "seed" else None, options=options)
    assert env.learner is not learner
    assert not env.run_finished
    assert (info["phase"], info["env_steps"], info["update_step"]) == (0, 16, 0)
    assert (obs == first).all() == (how == "seed"), "only the same seed makes the same run"


def test_new_runs_are_reproducible_from_the_first_seed(make_env):
    def three_runs():
        env = make_env()
        return [env.reset(seed=9)[0], *(env.reset(options={"new_run": True})[0] for _ in range(2))]

    runs = three_runs()
    for a, b in zip(runs, three_runs(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(runs[1], runs[2])


def test_new_run_false_goes_on(make_env):
    env = make_env(decision="phase")
    env.reset(seed=0)
    env.step(0)
    learner = env.learner
    env.reset(options={"new_run": False})
    assert env.learner is learner


def test_a_closed_environment_starts_afresh(make_env):
    env = make_env(decision="phase")
    env.reset(seed=0)
    env.step(0)  # the end of a learning episode, after which reset() would go on
    env.close()
    env.close()
    with pytest.raises(ResetNeeded):
        env.step(0)
    _, info = env.reset()
    assert (info["phase"], info["env_steps"]) == (0, 16)
    env.step(0)


def test_every_inner_environment_is_closed(scripted_env):
    made, closed = [], []

    class Counted(scripted_env):
        def close(self):
            closed.append(self)

    def env_fn():
        made.append(Counted([1.0] * 3))
        return made[-1]

    env = hyperrl_env.HyperRLEnv("A2C", env_fn=env_fn, n_envs=2, total_env_steps=20)
    assert set(closed) == set(made), "construction leaves none open"
    env.reset(seed=0)
    assert set(made) - set(closed) == set(made[-2:])
    env.reset(seed=1)
    assert set(made) - set(closed) == set(made[-2:])
    env.close()
    assert set(closed) == set(made)
    Counted.observation_space = gym.spaces.Discrete(3)
    for wrong in ({"normalize": True}, {"learner_kwargs": {"n_steps": "x"}}, {"total_env_steps": 1}):
        with pytest.raises((ValueError, TypeError)):
            hyperrl_env.HyperRLEnv("A2C", env_fn=env_fn, **wrong)
        assert set(closed) == set(made), wrong


# ---------------------------------------------------------------- info


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "ACKTR"])
def test_the_info_is_complete(make_env, algorithm):
    env = make_env(algorithm)
    always = {"hyperparameters", "env_steps", "phase", "update_step", "run_finished", "diverged"}
    rewards = {"discounted_return", "episode_return", "value_target", "improvement"}
    of_phase = rewards | {"phase_stats", "diagnostics"}
    _, info = env.reset(seed=0)
    assert always | of_phase == set(info)
    over = False
    while not over:
        _, reward, over, _, info = env.step(env.default_action)
        assert set(info["hyperparameters"]) == set(env.learner.offered)
        if not over:
            assert set(info) == always
    assert always | of_phase == set(info)
    assert info["discounted_return"] == reward
    stats = info["phase_stats"]
    promised = {"returns", "lengths", "value_loss", "explained_variance", "grad_norm"}
    assert promised <= set(stats)
    assert algorithm != "PPO" or {"approx_kl", "clip_fraction"} <= set(stats)
    assert len(stats["returns"]) == len(stats["lengths"])
    json.dumps(info)  # plain numbers, lists and text


def test_update_steps_and_positions_count_up(make_env):
    env = make_env(learning_episode_phases=None)
    obs, _ = env.reset(seed=0)
    assert obs[-1] == 0
    seen = []
    for _ in range(12):
        obs, *_, info = env.step(env.default_action)
        seen.append((info["phase"], info["update_step"], float(obs[-1])))
    one = [(1, 0.25), (2, 0.5), (3, 0.75)]
    assert seen == [
        *((0, *s) for s in one),
        (1, 0, 0.0),  # the rollout is collected, and the next update phase begins
        *((1, *s) for s in one),
        (2, 0, 0.0),
        *((2, *s) for s in one),
        (3, 4, 1.0),  # the budget is spent, and nothing follows
    ]
