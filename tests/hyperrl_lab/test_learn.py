"""`learn` in the place of `model.learn`: the same bits and the same view for callbacks, with nothing chosen.

The other side of every comparison is Stable-Baselines3 alone.
"""

import re
from functools import partial
from itertools import product

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnMaxEpisodes,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import SubprocVecEnv, VecFrameStack, VecNormalize

from agents import HyperAgent
from hyperrl_env.learners import ACKTR
from hyperrl_lab import learn

SMALL = {
    PPO: {"n_steps": 16, "batch_size": 8, "n_epochs": 2},
    A2C: {"n_steps": 7},
    ACKTR: {"n_steps": 7},
}
PENDULUM = "Pendulum-v1"


def short_pendulum():
    # Time limits are reached, so that values beyond them are bootstrapped.
    return gym.make(PENDULUM, max_episode_steps=9)


class Pictures(gym.Env):
    """A grey picture that says which button pays."""

    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observation(), {}

    def _observation(self):
        self.pays = int(self.np_random.integers(2))
        return np.full((36, 36, 1), 200 * self.pays + self.t, np.uint8)

    def step(self, action):
        self.t += 1
        reward = float(action == self.pays)
        return self._observation(), reward, False, self.t == 6, {}


class Parts(Pictures):
    """Observations in several parts, goals that are reached or not."""

    observation_space = spaces.Dict(
        {"a": spaces.Box(-1, 1, (3,), np.float32), "b": spaces.Box(-1, 1, (2,), np.float32)}
    )

    def _observation(self):
        self.pays = int(self.np_random.integers(2))
        return {
            name: np.full(box.shape, self.pays - 0.5, np.float32)
            for name, box in self.observation_space.items()
        }

    def step(self, action):
        *found, truncated, info = super().step(action)
        return *found, truncated, {"is_success": True} if truncated else info


class Squares(BaseFeaturesExtractor):
    """A features extractor of the user's."""

    def __init__(self, observation_space, width=4):
        super().__init__(observation_space, width)
        self.layer = torch.nn.Linear(observation_space.shape[0], width)

    def forward(self, observations):
        return self.layer(observations).square()


def dummy(cls):
    return cls("MlpPolicy", make_vec_env(short_pendulum, n_envs=2), seed=3, device="cpu", **SMALL[cls])


def single_env(cls):
    return cls("MlpPolicy", short_pendulum(), seed=3, device="cpu", **SMALL[cls])


def subprocesses(cls):
    envs = make_vec_env(
        short_pendulum, n_envs=2, vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": "fork"}
    )
    return cls("MlpPolicy", envs, seed=3, device="cpu", **SMALL[cls])


def normalised(cls):
    envs = VecNormalize(make_vec_env(short_pendulum, n_envs=2))
    rate = LinearSchedule(1e-2, 1e-4, 1.0)
    return cls("MlpPolicy", envs, learning_rate=rate, seed=3, device="cpu", **SMALL[cls])


def stacked_pictures(cls):
    envs = VecFrameStack(make_vec_env(Pictures, n_envs=2), 2)
    kwargs = {"policy_kwargs": {"features_extractor_kwargs": {"features_dim": 8}}, **SMALL[cls]}
    return cls("CnnPolicy", envs, seed=3, device="cpu", **kwargs)


def parts(cls):
    return cls("MultiInputPolicy", make_vec_env(Parts, n_envs=2), seed=3, device="cpu", **SMALL[cls])


def gsde(cls):
    envs = make_vec_env(short_pendulum, n_envs=2)
    return cls("MlpPolicy", envs, use_sde=True, sde_sample_freq=4, seed=3, device="cpu", **SMALL[cls])


def own_policy(cls):
    policy = {
        "features_extractor_class": Squares,
        "features_extractor_kwargs": {"width": 6},
        "net_arch": {"pi": [5], "vf": [7, 3]},
        "activation_fn": torch.nn.ELU,
        "share_features_extractor": False,
        "ortho_init": False,
        "optimizer_class": torch.optim.AdamW,
        "optimizer_kwargs": {"weight_decay": 0.1},
    }
    kwargs = {**SMALL[cls], "policy_kwargs": policy}
    if cls is A2C:
        kwargs["use_rms_prop"] = False
    return cls("MlpPolicy", make_vec_env(short_pendulum, n_envs=2), seed=3, device="cpu", **kwargs)


def schedules_of_ppo(cls):
    kwargs = {
        "clip_range": LinearSchedule(0.3, 0.05, 0.8),
        "clip_range_vf": LinearSchedule(0.2, 0.01, 1.0),
        "target_kl": 0.003,
        "learning_rate": lambda p: 1e-2 if p > 0.5 else 1e-3,
        "ent_coef": 0.02,
    }
    envs = VecNormalize(make_vec_env("CartPole-v1", n_envs=3))
    return cls("MlpPolicy", envs, seed=3, device="cpu", **kwargs, **SMALL[cls])


SETUPS = (dummy, single_env, subprocesses, normalised, stacked_pictures, parts, gsde, own_policy)


def bits(value):
    """What a callback sees, comparable: arrays and tensors to the bit, other objects by their class."""
    if isinstance(value, dict):
        # Monitor's wall-clock time apart.
        return {name: bits(item) for name, item in value.items() if name != "t"}
    if isinstance(value, list | tuple):
        return [bits(item) for item in value]
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.str, value.shape, value.tobytes()
    return value if isinstance(value, int | float | str | None) else type(value)


class Diary(BaseCallback):
    """Writes down everything that a callback can see, at every call."""

    def __init__(self):
        super().__init__()
        self.entries = []

    def write(self, event):
        model, optimizer = self.model, self.model.policy.optimizer
        settings = {name: getattr(model, name) for name in SETTINGS if hasattr(model, name)}
        counted = {n: v for n, v in vars(model).items() if n.startswith(("_n", "_c", "n_", "_l", "_ep"))}
        self.entries.append(
            bits(
                {
                    "event": event,
                    "locals": self.locals,
                    "is itself": self.locals.get("callback") is self,
                    "globals": self.globals.get("__name__"),
                    "calls": [self.n_calls, self.num_timesteps],
                    "attributes": sorted(vars(model)),
                    "settings": {n: v(1.0) if callable(v) else v for n, v in settings.items()},
                    "counted": counted,
                    "rate": optimizer.param_groups[0]["lr"],
                    "weights": list(model.policy.state_dict().values()),
                    "random": [np.random.get_state()[1], torch.get_rng_state()],
                    "training": model.policy.training,
                    "environments": [self.training_env, self.training_env is self.locals.get("env")],
                }
            )
        )

    def _init_callback(self):
        self.write("init")

    def _on_training_start(self):
        self.write("training start")

    def _on_rollout_start(self):
        self.write("rollout start")

    def _on_step(self):
        self.write("step")
        return True

    def _on_rollout_end(self):
        self.write("rollout end")

    def _on_training_end(self):
        self.write("training end")


SETTINGS = (
    "n_steps",
    "batch_size",
    "n_epochs",
    "gamma",
    "gae_lambda",
    "ent_coef",
    "vf_coef",
    "max_grad_norm",
)
SETTINGS += ("clip_range", "clip_range_vf", "learning_rate", "lr_schedule", "kl_clip", "damping")
as_it_is = partial(learn, agent="fixed", backend="eager")


def plainly(model, total_timesteps, **kwargs):
    return model.learn(total_timesteps, **kwargs)


def random_bits():
    return bits([np.random.get_state()[1:3], torch.get_rng_state()])


def trained(make, cls, calls, bits_of):
    """What is left of a model, and what a diary holds, after some calls that train it, in order."""
    model = make(cls)
    mine = [model.policy, model.policy.optimizer, model.env, model.rollout_buffer]
    found = []
    for call, total, kwargs in calls:
        diary = Diary()
        assert call(model, total, callback=diary, **kwargs) is model
        assert [model.policy, model.policy.optimizer, model.env, model.rollout_buffer] == mine
        assert type(model) is cls
        settings = {name: bits(getattr(model, name)) for name in SETTINGS if hasattr(model, name)}
        kinds = {name: type(value) for name, value in vars(model).items()}
        found.append((diary.entries, random_bits(), kinds, settings | bits_of(model)))
    model.env.close()
    return found


def assert_same(found, expected):
    for (entries, *left), (entries_expected, *left_expected) in zip(found, expected, strict=True):
        for here, there in zip(entries, entries_expected, strict=True):
            assert [name for name in there if here[name] != there[name]] == [], there["event"]
        assert left[:2] == left_expected[:2]
        assert [name for name, value in left_expected[2].items() if left[2].get(name) != value] == []


@pytest.mark.parametrize(
    ("make", "cls"),
    [*product(SETUPS, (PPO, A2C)), (schedules_of_ppo, PPO), (normalised, ACKTR)],
    ids=lambda x: x.__name__,
)
def test_the_fixed_agent_leaves_the_bits_of_learn_and_plain_learn_goes_on_from_there(make, cls, bits_of):
    more = {"reset_num_timesteps": False}
    expected = trained(make, cls, [(plainly, 90, {}), (plainly, 40, more)], bits_of)
    found = trained(make, cls, [(as_it_is, 90, {}), (plainly, 40, more)], bits_of)
    assert_same(found, expected)
    assert len(found[0][0]) > 20


@pytest.mark.parametrize(("make", "cls"), [(schedules_of_ppo, PPO), (normalised, A2C)])
@pytest.mark.parametrize("more", [{"reset_num_timesteps": False}, {}], ids=["continued", "anew"])
def test_it_goes_on_from_plain_learn(make, cls, more, bits_of):
    expected = trained(make, cls, [(plainly, 90, {}), (plainly, 100, more)], bits_of)
    found = trained(make, cls, [(plainly, 90, {}), (as_it_is, 100, more)], bits_of)
    assert_same(found, expected)


# ------------------------------------------------------------------ callbacks


class StopsAt(Diary):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def _on_step(self):
        return super()._on_step() and self.n_calls < self.step


@pytest.mark.parametrize("step", [1, 20, 32], ids=["first rollout", "second rollout", "end of a rollout"])
@pytest.mark.parametrize("cls", [PPO, A2C])
def test_a_callback_stops_the_training(bits_of, step, cls):
    found = []
    for call in (plainly, as_it_is):
        model, diary = dummy(cls), StopsAt(step)
        call(model, 200, callback=diary)
        found.append((diary.entries, random_bits(), bits_of(model)))
        assert model.num_timesteps == 2 * step
        call(model, 40, reset_num_timesteps=False)
        found[-1] += (bits_of(model),)
    assert found[1] == found[0]


def of_every_kind(folder, calls):
    """SB3's own, a list in a list, and a function."""
    evaluation = EvalCallback(
        make_vec_env(short_pendulum, seed=1), eval_freq=9, n_eval_episodes=2, log_path=str(folder), verbose=0
    )
    saving = CheckpointCallback(10, str(folder / "checkpoints"), save_vecnormalize=True)
    last = StopTrainingOnMaxEpisodes(7)

    def note(locals_, globals_):
        calls.append((locals_["self"].num_timesteps, locals_["infos"][0].get("TimeLimit.truncated")))
        return True

    return [
        CallbackList([evaluation, saving]),
        EveryNTimesteps(20, last),
        last,
        EveryNTimesteps(16, Function(note)),
    ]


class Function(BaseCallback):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def _on_step(self):
        return self.function({**self.locals, **self.parent.locals}, self.globals)


def test_stable_baselines3s_own_callbacks(bits_of, tmp_path):
    found = []
    for call in (plainly, as_it_is):
        model, calls, folder = dummy(PPO), [], tmp_path / call.__class__.__name__
        call(model, 200, callback=of_every_kind(folder, calls))
        results = np.load(folder / "evaluations.npz")
        files = sorted(path.name for path in (folder / "checkpoints").iterdir())
        found.append((bits_of(model), calls, files, [bits(results[name]) for name in results]))
    assert found[1] == found[0]
    assert len(found[0][2]) > 3
    assert found[0][0]["num_timesteps"] < 200


def test_a_function_as_callback(bits_of):
    seen = {}
    for call in (plainly, as_it_is):
        model, steps = dummy(A2C), []

        def look(locals_, globals_, steps=steps):
            steps.append(bits({n: v for n, v in locals_.items() if n != "callback"}))
            return len(steps) < 40

        call(model, 200, callback=look)
        seen[call] = steps, bits_of(model)
    assert seen[as_it_is] == seen[plainly]


class Anneals(BaseCallback):
    """What users do where SB3 has no schedule."""

    def _on_step(self):
        self.model.ent_coef = 0.1 / self.n_calls
        return True

    def _on_rollout_start(self):
        self.model.clip_range = LinearSchedule(0.1, 0.01 * self.num_timesteps, 1.0)
        self.model.lr_schedule = LinearSchedule(1e-3, 1e-4, 1.0)


class AnnealsTargets(BaseCallback):
    """SB3 estimates advantages by the buffer's gamma and lambda; by the model's it bootstraps, or nothing."""

    def _on_step(self):
        self.model.rollout_buffer.gae_lambda = 0.9 - self.n_calls / 100
        self.model.gamma = 0.8
        return True

    def _on_rollout_start(self):
        self.model.rollout_buffer.gamma = 0.9
        self.model.gae_lambda = 0.7


class AnnealsAndStops(Anneals):
    def _on_step(self):
        return super()._on_step() and self.n_calls < 20


def chosen_by_the_user(model):
    buffer = model.rollout_buffer
    return model.gamma, model.gae_lambda, buffer.gamma, buffer.gae_lambda, model.ent_coef


@pytest.mark.parametrize("callback", [Anneals, AnnealsTargets, AnnealsAndStops])
def test_a_callback_changes_settings(callback, bits_of):
    found = []
    for call in (plainly, as_it_is):
        model = schedules_of_ppo(PPO)
        call(model, 150, callback=callback())
        found.append((bits_of(model), chosen_by_the_user(model), model.clip_range(0.5)))
    assert found[1] == found[0]


@pytest.mark.parametrize("cls", [PPO, A2C, ACKTR])
def test_discounts_that_were_changed_before(cls, bits_of):
    found = []
    for call in (plainly, as_it_is, partial(learn, agent="fixed", backend="fast")):
        model = dummy(cls)
        model.gamma, model.gae_lambda, model.rollout_buffer.gamma = 0.5, 0.6, 0.9
        call(model, model.n_steps * model.n_envs)
        buffer = model.rollout_buffer
        # SB3's A2C leaves its buffer flattened.
        targets = [np.sort(part, axis=None) for part in (buffer.rewards, buffer.advantages, buffer.returns)]
        found.append((bits_of(model), chosen_by_the_user(model), targets))
    assert found[1][:2] == found[0][:2]
    assert found[2][1] == found[0][1]
    np.testing.assert_allclose(found[2][2], found[0][2], rtol=1e-4, atol=1e-4)


def test_a_choice_of_lambda_goes_with_the_gamma_in_force():
    model = dummy(PPO)
    model.rollout_buffer.gamma, model.rollout_buffer.gae_lambda = 0.9, 0.8
    space = {"gae_lambda": [0.7]}
    env = gym.make("HyperRL-v0", model=model, total_env_steps=64, search_space=space).unwrapped
    assert env.search_space.bins == {"gae_lambda": (0.7, 0.8)}
    _, info = env.reset()
    assert info["hyperparameters"]["gamma"] == 0.9
    env.step(env.search_space.action({"gae_lambda": 0.7}))
    assert (model.rollout_buffer.gamma, model.rollout_buffer.gae_lambda) == (0.9, 0.7)
    env.close()
    assert chosen_by_the_user(model)[:4] == (0.99, 0.95, 0.9, 0.8)


class Idle(BaseCallback):
    """Acts as training and rollouts begin, and when all is over."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def _on_training_start(self):
        self.calls.append(self.locals["total_timesteps"])

    def _on_rollout_start(self):
        self.calls.append(self.num_timesteps)

    def _on_step(self) -> bool:
        """Never mind."""
        return True

    def _on_training_end(self):
        self.calls.append((self.n_calls, self.num_timesteps))


def test_rollouts_are_fast_if_no_callback_looks_at_them(monkeypatch):
    idle = [Idle(), CallbackList([Idle()]), None]
    callbacks = [idle[0], idle[1].callbacks[0]]
    model = dummy(PPO)
    plainly(model, 90, callback=[Idle(), CallbackList([Idle()])])
    monkeypatch.setattr(OnPolicyAlgorithm, "collect_rollouts", None)
    learn(model, 90, "fixed", callback=idle[:2])
    assert [callback.calls for callback in callbacks] == [[90, 0, 32, 64, (48, 96)]] * 2
    learn(model, 90, "fixed")


@pytest.mark.parametrize("name", ["_on_step", "_on_rollout_end", "on_step", "on_rollout_end"])
def test_rollouts_are_stepped_if_a_callback_may_look_at_them(name):
    seen = []

    def look(self):
        seen.append(self.locals["infos"])
        return True

    callback = type("Looks", (Idle,), {name: look})()
    with pytest.warns(UserWarning, match="looks at the rollouts step by step"):
        learn(dummy(PPO), 90, "fixed", callback=[callback])
    assert len(seen) == (48 if "step" in name else 3)
    learn(dummy(PPO), 90, "fixed", callback=callback, backend="eager")


@pytest.mark.parametrize(
    ("make", "cls"), [*product([dummy, normalised, stacked_pictures], [PPO, A2C]), (normalised, ACKTR)]
)
def test_fast_follows_eager(make, cls):
    models = []
    for backend in ("eager", "auto"):
        models.append(make(cls))
        learn(models[-1], 70, "fixed", backend=backend)
    for here, there in zip(*(model.policy.parameters() for model in models), strict=True):
        torch.testing.assert_close(here, there, rtol=1e-3, atol=1e-4)
    here, there = models
    assert [e["r"] for e in here.ep_info_buffer] == pytest.approx(
        [e["r"] for e in there.ep_info_buffer], rel=1e-3
    )
    assert [*here.ep_success_buffer] == [*there.ep_success_buffer]
    np.testing.assert_allclose(here._last_obs, there._last_obs, rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------ what is chosen


class Restless(HyperAgent):
    """Chooses another value than the model's own, wherever it can."""

    def act(self, obs, info):
        own = self.env.default_action
        action = self.search_space.joint_action(self.rng.integers(self.search_space.n_actions))
        return np.where(action == own, (action + 1) % self.env.action_space.nvec, action)

    @classmethod
    def env_kwargs(cls, **kwargs):
        return {"action_mode": "multi_discrete"}


def settings_of(model):
    found = {name: getattr(model, name) for name in SETTINGS if hasattr(model, name)}
    return found | {
        "buffer": [getattr(model.rollout_buffer, n) for n in ("buffer_size", "gamma", "gae_lambda")]
    }


class Looks(BaseCallback):
    def __init__(self):
        super().__init__()
        self.found, self.lengths = [], []

    def _on_step(self):
        # The rollout buffer has the length that was chosen.
        self.found.append({n: v for n, v in settings_of(self.model).items() if n != "buffer"})
        return True

    def _on_rollout_end(self):
        self.lengths.append(self.model.rollout_buffer.buffer_size)


@pytest.mark.parametrize("backend", ["eager", "auto"])
@pytest.mark.parametrize(("make", "cls"), [(schedules_of_ppo, PPO), (normalised, A2C), (normalised, ACKTR)])
def test_the_model_keeps_its_own_settings(make, cls, backend, tmp_path):
    model = make(cls)
    own, looks = settings_of(model), Looks()
    names = ["learning_rate", "gamma", "gae_lambda", "n_steps", "ent_coef", "vf_coef"]
    names += ["clip_range", "batch_size", "n_epochs"] if cls is PPO else []
    before = [p.detach().clone() for p in model.policy.parameters()]
    learn(
        model,
        150,
        Restless,
        callback=looks if backend == "eager" else None,
        search_space=names,
        backend=backend,
    )
    assert settings_of(model) == own
    assert all(found == {n: v for n, v in own.items() if n != "buffer"} for found in looks.found)
    assert set(looks.lengths) - {model.n_steps} or backend != "eager"
    assert type(model) is cls
    assert not all(
        torch.equal(here, there) for here, there in zip(before, model.policy.parameters(), strict=True)
    )

    obs = model.env.reset()
    model.save(tmp_path / "model")
    loaded = cls.load(tmp_path / "model", env=model.env)
    assert np.allclose(*(m.predict(obs, deterministic=True)[0] for m in (model, loaded)))
    assert vars(loaded).keys() == vars(make(cls)).keys()
    evaluate_policy(loaded, model.env, n_eval_episodes=1, warn=False)
    loaded.learn(40)
    model.learn(40, reset_num_timesteps=False)
    learn(loaded, 60, "random", backend=backend)
    assert type(loaded) is cls


# One that watches, one that looks inside the learner, and one that goes back in time.
@pytest.mark.parametrize("agent", ["epgt", "hoof", "lookahead"])
def test_agents_of_every_kind(agent):
    model = normalised(A2C)
    own = settings_of(model)
    learn(model, 56, agent)
    assert (model.num_timesteps, settings_of(model)) == (56, own)


def test_a_budget_less_than_that_of_before_counts_from_there():
    model = dummy(A2C)
    learn(model, 70, "random")
    learn(model, 30, "random", reset_num_timesteps=False)
    assert 100 <= model.num_timesteps < 130


def test_the_agent_has_a_generator_of_its_own():
    found = []
    for seed in (0, 0, 1):
        model = dummy(PPO)
        learn(model, 90, "random", seed=seed, search_space=["learning_rate"])
        found.append((bits(list(model.policy.state_dict().values())), random_bits()))
    assert found[0] == found[1]
    assert found[0][0] != found[2][0]
    assert found[0][1] == found[2][1]


# ------------------------------------------------------------------ the log


def columns(folder):
    head, *lines = (folder / "progress.csv").read_text().splitlines()
    return [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]


@pytest.mark.parametrize(("cls", "interval"), [(PPO, 1), (PPO, 2), (A2C, 4)])
def test_the_users_logger_gets_what_learn_gives_it_and_what_was_chosen(tmp_path, cls, interval):
    lines = []
    for call in (plainly, as_it_is):
        model, folder = parts(cls), tmp_path / str(call is plainly)
        model.set_logger(configure(str(folder), ["csv"]))
        call(model, 180, log_interval=interval)
        model.logger.close()
        lines.append(columns(folder))
    assert len(lines[0]) > 1
    for expected, found in zip(*lines, strict=True):
        assert expected.keys() <= found.keys()
        same = [name for name in expected if name.startswith("rollout/")]
        same += ["time/iterations", "time/total_timesteps", "train/learning_rate", "train/explained_variance"]
        for name in same:
            assert float(found[name] or "nan") == pytest.approx(float(expected[name] or "nan"), nan_ok=True)
        assert {name for name in found if name.startswith("hyper/")} >= {
            "hyper/reward",
            "hyper/learning_rate",
        }
    assert float(lines[1][-1]["hyper/learning_rate"]) == pytest.approx(model.learning_rate)


def test_it_prints_as_learn_does(capsys):
    model = dummy(PPO)
    model.verbose = 1
    learn(model, 70, "fixed", progress_bar=True)
    shown = capsys.readouterr().out
    assert len(re.findall(r"\| *total_timesteps *\|", shown)) == 3
    assert re.search(r"\| hyper/ ", shown)
    assert "64 / 70 env steps" in shown


def test_a_run_that_diverges_says_so():
    model = single_env(A2C)
    with torch.no_grad():
        model.policy.value_net.weight.fill_(float("inf"))
    with pytest.warns(UserWarning, match="Training ended after 7 environment steps: every update"):
        learn(model, 100, "fixed", backend="eager")


# ------------------------------------------------------------------ what can go wrong


class Trouble(Exception):  # noqa: N818
    pass


class Breaks(gym.Wrapper):
    steps = 0

    def step(self, action):
        self.steps += 1
        if self.steps == 40:
            raise Trouble("the simulator")
        return super().step(action)


def breaking_callback(error):
    def break_(locals_, globals_):
        if locals_["self"].num_timesteps == 39:
            raise error
        return True

    return break_


@pytest.mark.parametrize("where", ["environment", "callback", "interrupt"])
def test_an_exception_leaves_a_usable_model(where):
    env = Breaks(short_pendulum()) if where == "environment" else short_pendulum()
    model = PPO("MlpPolicy", env, seed=3, device="cpu", **SMALL[PPO])
    own = settings_of(model)
    error = {"callback": Trouble("the callback"), "interrupt": KeyboardInterrupt()}.get(where)
    callback = None if error is None else breaking_callback(error)
    names = ["gamma", "n_steps", "clip_range", "batch_size"]
    with pytest.raises(KeyboardInterrupt if where == "interrupt" else Trouble) as caught:
        learn(model, 100, Restless, search_space=names, callback=callback, backend="eager")
    if where != "interrupt":
        assert str(caught.value) == f"the {'simulator' if where == 'environment' else 'callback'}"
        (note,) = caught.value.__notes__
        assert re.search("environment step (39|40) of the run, after update phase [1-9]", note)
        assert "gamma 0.99," not in note
    assert type(model) is PPO
    assert settings_of(model) == own
    model.learn(40)
    assert model.num_timesteps == 48


class OwnTraining(PPO):
    def train(self):
        super().train()


class OwnLoop(A2C):
    def learn(self, *args, **kwargs):
        return super().learn(*args, **kwargs)


class OwnRollouts(PPO):
    """Of which a learner takes everything."""

    rollouts = 0

    def collect_rollouts(self, *args, **kwargs):
        self.rollouts += 1
        return super().collect_rollouts(*args, **kwargs)

    def predict(self, *args, **kwargs):
        return super().predict(*args, **kwargs)


def test_a_subclass_that_trains_as_ever(bits_of):
    model, plain = dummy(PPO), PPO("MlpPolicy", make_vec_env(short_pendulum, n_envs=2), seed=3, **SMALL[PPO])
    model = OwnRollouts(
        "MlpPolicy", make_vec_env(short_pendulum, n_envs=2), seed=3, device="cpu", **SMALL[PPO]
    )
    plain = dummy(PPO)
    plain.learn(90)
    model.set_random_seed(3)
    as_it_is(model, 90)
    assert (type(model), model.rollouts) == (OwnRollouts, 3)
    learn(model, 90, "random")
    assert model.rollouts == 6


def test_the_model_of_a_hyper_rl_environment_is_trained_on(make_env, run_to_end):
    env = make_env("PPO")
    run_to_end(env, 0)
    model = env.finished_learner.model
    before = [p.detach().clone() for p in model.policy.parameters()]
    assert learn(model, 64, "random") is model
    assert model.num_timesteps == 64
    assert not all(
        torch.equal(here, there) for here, there in zip(before, model.policy.parameters(), strict=True)
    )


def without_env():
    model = dummy(PPO)
    model.env = None
    return model


def patched():
    model = dummy(PPO)
    model.train = lambda: None
    return model


class Neither(OnPolicyAlgorithm):
    def __init__(self):
        super().__init__(
            "MlpPolicy", "CartPole-v1", 1e-3, 8, 0.9, 1.0, 0.0, 0.5, 0.5, False, -1, _init_setup_model=False
        )

    policy_aliases = PPO.policy_aliases


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: DQN("MlpPolicy", "CartPole-v1", buffer_size=10), "not DQN, which learns off-policy"),
        (without_env, r"no environment .* model.set_env\(env\) first"),
        (Neither, "Neither is neither of them"),
        (lambda: "PPO", "give such a model, not 'PPO'"),
        (lambda: gym.make("CartPole-v1"), "give such a model, not "),
        (
            lambda: OwnTraining("MlpPolicy", "CartPole-v1"),
            r"has its own train\(\), which would not be called",
        ),
        (lambda: OwnLoop("MlpPolicy", "CartPole-v1"), r"has its own learn\(\), which would not be called"),
        (patched, r"PPO has its own train\(\)"),
    ],
)
def test_models_that_cannot_be_trained(model, message):
    with pytest.raises(ValueError, match=message):
        learn(model(), 1_000)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (
            {"total_timesteps": 31},
            r"total_timesteps must be a whole number of at least 32 \(n_steps \* n_envs",
        ),
        ({"total_timesteps": 1e3}, "total_timesteps must be a whole number"),
        ({"agent": "egpt"}, "Did you mean 'epgt'"),
        ({"agent": "sb3"}, "needs algorithm="),
        ({"agent": "replay"}, "needs schedule="),
        ({"agent_kwargs": {"k_reed": 3}}, "Did you mean 'k_read'"),
        ({"search_space": ["kl_clip"]}, "does not offer 'kl_clip'"),
        ({"backend": "native"}, "Unknown backend"),
        ({"decision": "step"}, "decision"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_bad_arguments_leave_the_model_alone(bits_of, keywords, message):
    model = dummy(PPO)
    with pytest.raises(ValueError, match=message):
        learn(model, **{"total_timesteps": 100, **keywords})
    assert vars(model).keys() == vars(dummy(PPO)).keys()
    assert model.env.envs[0].unwrapped._np_random is None


# ------------------------------------------------------------------ a script as it is

# https://stable-baselines3.readthedocs.io/en/master/guide/callbacks.html, with smaller numbers.
SCRIPT = """
import gymnasium as gym

from stable_baselines3 import {algorithm}
from stable_baselines3.common.callbacks import CallbackList, CheckpointCallback, EvalCallback
{more_imports}
checkpoint_callback = CheckpointCallback(save_freq=100, save_path="./logs/")
# Separate evaluation env
eval_env = gym.make("CartPole-v1")
eval_callback = EvalCallback(eval_env, best_model_save_path="./logs/best_model",
                             log_path="./logs/results", eval_freq=100)
# Create the callback list
callback = CallbackList([checkpoint_callback, eval_callback])

model = {algorithm}("MlpPolicy", "CartPole-v1", {settings})
# Equivalent to:
# model.learn(5000, callback=[checkpoint_callback, eval_callback])
{line}
"""


@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped:UserWarning")
@pytest.mark.filterwarnings("ignore:Training and eval env are not of the same type:UserWarning")
@pytest.mark.parametrize(("algorithm", "settings"), [("PPO", "n_steps=128"), ("A2C", "n_steps=20")])
def test_a_script_of_the_documentation_with_one_line_changed(
    algorithm, settings, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    script = SCRIPT.format(
        algorithm=algorithm,
        settings=settings + ", device='cpu'",
        more_imports="from hyperrl_lab import learn\n",
        line="learn(model, 300, callback=callback)",
    )
    names = {}
    with pytest.warns(UserWarning, match="looks at the rollouts"):
        exec(script, names)
    model = names["model"]
    cls = type(model)
    assert cls.__name__ == algorithm
    assert {path.name for path in tmp_path.glob("logs/*.zip")} >= {
        f"rl_model_{n}_steps.zip" for n in (100, 200, 300)
    }
    loaded = cls.load(tmp_path / "logs" / "rl_model_200_steps.zip", env=model.env)
    assert (loaded.num_timesteps, loaded.gamma) == (200, model.gamma)
    loaded.learn(300, reset_num_timesteps=False)
    assert list(np.load(tmp_path / "logs" / "results" / "evaluations.npz")["timesteps"][:3]) == [
        100,
        200,
        300,
    ]
    cls.load(tmp_path / "logs" / "best_model" / "best_model")
    assert "Eval num_timesteps=100" in capsys.readouterr().out
