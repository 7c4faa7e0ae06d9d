"""The Hyper-RL: choosing a policy-gradient learner's hyperparameters as a Gymnasium environment."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from hyperrl_env.checks import check_at_least, check_bool, check_keywords, check_text
from hyperrl_env.hyper_reward import HYPER_REWARDS, EnvironmentPhase, HyperReward, get_hyper_reward
from hyperrl_env.hyper_state import HyperStateProjector
from hyperrl_env.inner_envs.make import VecBackend
from hyperrl_env.inner_run import InnerEnvError, InnerRun, InnerRunConfig
from hyperrl_env.learners import InnerLearner, check_backend
from hyperrl_env.rendering import Renderer, make_renderer
from hyperrl_env.saving.checkpoint import CheckpointError, State, copied, read_checkpoint, write_checkpoint
from hyperrl_env.saving.identity import as_plain_values, differences
from hyperrl_env.search_space import ActionMode, BoundSearchSpace, Offered, SearchSpace, get_search_space
from hyperrl_env.tasks import TASKS, get_settings

Decision = Literal["update", "epoch", "phase"]
# So many differences are named where a state is refused.
_DIFFERENCES = 5
# Of the configuration, what is told in other words: a callable has no name to go by, "auto" is no device.
_NOT_IDENTITY = ("env", "device")
# What the environment itself counts.
_COUNTERS = ("run_finished", "_episode_over", "_phases_left", "_worst_reward")
Observation = NDArray[np.float32]


class HyperRLEnv(gym.Env[Observation, Any]):
    """Chooses the hyperparameters of a PPO, A2C or ACKTR run, update by update, while it trains.

    ## Description

    Inside the environment a Stable-Baselines3 learner trains a policy on an *inner* environment.
    Each step applies a *hyper-action* (learning rate, clip range, GAE lambda, batch size ...) to
    one policy update of that learner. When all updates on a rollout are done (the *update phase*),
    the policy is frozen and collects the next rollout (the *environment phase*); the return that
    it collects is the *hyper-reward*. The formulation is that of Le et al., "Episodic Policy
    Gradient Training", AAAI 2022.

    ```python
    import gymnasium as gym
    import hyperrl_env

    env = gym.make("HyperRL-PPO-HalfCheetah-v0", total_env_steps=1_000_000)
    obs, info = env.reset(seed=0)
    while not info["run_finished"]:
        obs, hyper_reward, terminated, truncated, info = env.step(env.action_space.sample())
        if (terminated or truncated) and not info["run_finished"]:
            obs, info = env.reset()  # continues the same run

    env.unwrapped.finished_learner.model.save("cheetah")  # a Stable-Baselines3 model
    ```

    ## Action Space

    | `action_mode` | space | meaning |
    |---|---|---|
    | `"discrete"` | `Discrete(B_1 * ... * B_k)` | the joint choice of a bin per hyperparameter, the last one varying fastest |
    | `"multi_discrete"` | `MultiDiscrete([B_1, ..., B_k])` | a bin per hyperparameter |
    | `"box"` | `Box(-1, 1, (k,), float32)` | a point per hyperparameter, on its own scale from its smallest to its largest bin |

    A hyperparameter of *update* scope acts in the very update that it is chosen for; one of
    *phase* scope (`n_steps`) in the environment phase that follows, with the value chosen last. So
    every choice can influence the hyper-reward that it is credited with.
    `env.unwrapped.default_action` means the task's own settings: with it at every step and
    `backend="eager"` the learner ends with the same bits as Stable-Baselines3's `learn()`.

    ## Observation Space

    `Box(-inf, inf, (D,), float32)`, always finite: the hyper-state (Eq. 2).

    | index | meaning |
    |---|---|
    | 0 .. D-2 | vec(W C) for every parameter tensor of policy and value network, then for the latest gradient of each, then for the `order` - 1 gradients before it |
    | D-1 | fraction of the update phase that is done, in [0, 1] |

    W is (out, in) for weights, (1, n) for a bias or log_std; gradients are those of the objective
    before clipping, zeros before they exist; C is a random (in, `projection_dim`) matrix, the same
    for all runs. For two hidden layers of 64 and A continuous actions D is 12 (264 + A) + 1, for the
    Nature CNN and A discrete ones 12 (679 + A) + 1.

    C is the parameter of `env.unwrapped.projector`. An agent that trains it does so in a copy:
    `env.unwrapped.hyper_state(copy)` is the hyper-state through that copy, and
    `env.unwrapped.hyper_state_tensors()` are the W behind it. So a seed and the actions determine
    every observation, whatever an agent has learned; training `projector` itself would change the
    observations of this run and of all that follow.

    ## Rewards

    0 at every step but the last of an update phase, which earns the hyper-reward G (Eq. 1) of the
    environment phase that follows:

    | `hyper_reward` | G |
    |---|---|
    | `"discounted_return"` | mean over the phase's steps and environments of the discounted sum of raw rewards to the end of the phase or of the inner episode; gamma is the task's own whatever the actions, and where `n_steps` can be chosen the sums end after as many steps as the shortest phase has |
    | `"episode_return"` | mean undiscounted return of the inner episodes that ended in the phase; the value before where none did |
    | `"value_target"` | mean bootstrapped lambda-return on normalised rewards |
    | a callable | of an `EnvironmentPhase` |

    On Atari raw rewards are scores, which the learner sees clipped to their sign. A lost life ends an
    inner episode for the learner and the discounted sum; `episode_return` is that of whole games.

    ## Starting State

    `reset(seed=s)` starts a run: a fresh learner seeded with s, its inner environments, and the
    first environment phase. `reset()` after a finished learning episode goes on with the same run.
    `reset()` when the run is finished, in the middle of an episode, or with
    `options={"new_run": True}` starts a new run with a seed drawn from the environment's own
    generator.

    A loop that resets at every end of an episode, as Stable-Baselines3's `learn` does, starts a new
    run when one is finished. What the finished run trained stays at
    `env.unwrapped.finished_learner` until another run is finished. A `reset()` in the middle of an
    episode drops an unfinished run. Unless a seed or `new_run` asks for the new run, a warning says
    once that a trained model is replaced. A `TimeLimit` around this environment
    (`max_episode_steps`) leads to such a `reset()` at every truncation: to limit episodes, give
    `learning_episode_phases` instead.

    ## Episode End

    *Terminated*: the learning episode's `learning_episode_phases` update phases, and the
    environment phase after each, are done; or, with `None`, the run. Or the run ended because
    every update of a whole phase was refused for a non-finite loss or gradient.
    *Truncated*: the budget is spent, so that the episode's last update phase has no environment
    phase and no hyper-reward. As in SB3's `learn()`, the last rollout is still trained on; where the
    task's learning rate falls to 0, at a rate of 0, so that no action makes a difference there.

    ## Information

    `hyperparameters` (values in force, by SB3's names), `env_steps`, `phase` (update phases
    finished), `update_step` (updates done in the current phase), `run_finished`, `diverged`
    (an update of this step was refused; the learner kept its last good state). After an
    environment phase: the three hyper-rewards under their names. At the end of a phase
    `phase_stats`: `returns` and `lengths` (Atari: in frames) of the inner episodes that ended, means of the losses,
    `approx_kl`, `clip_fraction` (ACKTR: `trust_region_scale`, `eigh_failures`, `statistics_refused`), `grad_norm`,
    then `explained_variance` and `seconds`. Values that are not defined are None.

    ## Surviving

    `save(path)` and `load(path)` of `env.unwrapped` write and read everything that the environment would
    go on with: networks, optimiser, gradients, rollout at hand, statistics, generators, counters and the
    simulators' own state. With the agent's `state_dict()`, *run 2N* is then *run N, save, new process,
    load, run N*, to the bit. `snapshot()` and `restore(snapshot)` do the same in memory. `load` and
    `restore` need no `reset` before, and return what `reset` would: observation and info.

    MuJoCo, classic control and Atari without sticky actions go on in the middle of their episodes. What
    else cannot be given back (Box2D, EnvPool, inner environments and wrappers of your own) starts a new
    inner episode, seeded from the run's generator; `info["inner_episodes_restarted"]` says so until the
    next environment phase is done.

    A rollout with an observation that is not finite is refused as a whole. Where the inner environment
    raises an exception, `InnerEnvError` tells the step, the seed and the hyperparameters in force; then
    `reset` starts a new run, and `load` and `restore` go back to an earlier state.

    ## Arguments

    Args:
        algorithm: "PPO", "A2C" or "ACKTR". Set by the id.
        task: Whose settings to start from. Set by the id; None for the generic ids, which start
            from Stable-Baselines3's own defaults.
        env_id: Gymnasium id of the inner environment. Default: the task's.
        env_fn: A callable that returns a new inner environment at each call, instead of `env_id`.
        env_kwargs: Keyword arguments of the inner environment.
        total_env_steps: Budget of a run in inner environment steps. Default: the task's.
        search_space: A preset's name, hyperparameter names, a mapping of names to values (or to further
            arguments of `Hyperparameter`), or a `SearchSpace`. Default: the task's.
        action_mode: "discrete", "multi_discrete" or "box".
        decision: "update": one action per policy update. "epoch", "phase": the action is held.
        learning_episode_phases: Update phases per learning episode; None: the whole run.
        order: N_order >= 0, how many gradients the hyper-state holds.
        projection_dim: d >= 1, the length that each row is projected to.
        hyper_reward: A name of the table above, or a callable of an `EnvironmentPhase`.
        n_envs: Inner environments side by side. Default: the task's.
        normalize: Whether observations and rewards of the inner environment are normalised by
            their running mean and spread. Default: the task's.
        vec_backend: "gymnasium": the inner environments are Gymnasium's, stepped one after the other.
            "envpool": EnvPool's simulators of the same environments, in C++ and stepped together; an
            extra, `envpool`. The same seed gives other episodes there. They run on as many threads as
            Torch does (`torch.set_num_threads`), to the same results.
        learner_kwargs: SB3's constructor arguments, merged over the task's settings; they mean
            what they mean in SB3 (a float learning rate stays constant).
        backend: "eager": SB3's own arithmetic, to the bit. "fast": the same updates written out,
            on the CPU. Those of MLP policies are several times faster (ACKTR's less), those of a
            CnnPolicy, whose convolutions stay Torch's, about 1.4 times. It draws the same random
            numbers and equals "eager" within float tolerance, update by update; over a run such
            differences grow through the simulator. What it does not know (a GPU, dictionaries as
            observations, state-dependent exploration, separate features extractors, activations
            other than tanh and ReLU after the extractor, classes of your own for the policy, its
            optimiser or the rollout buffer) is trained eagerly, with a warning. What you change on
            `learner.model` during a run acts as it does with "eager"; if the result has no closed
            form, updates are eager for as long as that lasts. "auto": "fast" where it fits.
        device: Torch device; "auto" is the GPU for a CnnPolicy where there is one, else the CPU.
        render_mode: None, "rgb_array" (learning curve and schedule so far as a picture), "human"
            (the same in a window, after each phase) or "ansi" (one line).

    Raises:
        ValueError: An argument that is unknown or impossible; the message says what would be right.
        TypeError: The inner environment does not take `env_kwargs`.
        gymnasium.error.Error: Gymnasium does not know `env_id`.
        gymnasium.error.DependencyNotInstalled: The inner environment needs an extra that is not
            installed.

    ## Version History

    * v0: first version
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - declared so by gym.Env
        "render_modes": ["rgb_array", "human", "ansi"],
        "render_fps": 1,
    }

    def __init__(
        self,
        algorithm: str = "PPO",
        task: str | None = None,
        *,
        env_id: str | None = None,
        env_fn: Callable[..., gym.Env[Any, Any]] | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        total_env_steps: int | None = None,
        search_space: str | Offered | SearchSpace | None = None,
        action_mode: ActionMode = "discrete",
        decision: Decision = "update",
        learning_episode_phases: int | None = 1,
        order: int = 2,
        projection_dim: int = 4,
        hyper_reward: str | HyperReward = "discounted_return",
        n_envs: int | None = None,
        normalize: bool | None = None,
        vec_backend: VecBackend = "gymnasium",
        learner_kwargs: Mapping[str, Any] | None = None,
        backend: str = "auto",
        device: str = "auto",
        render_mode: str | None = None,
    ) -> None:
        settings = get_settings(algorithm, task)
        check_keywords("learner_kwargs", learner_kwargs or {})
        check_keywords("env_kwargs", env_kwargs or {})
        check_text("backend", backend)
        check_backend(backend)
        check_text("device", str(device) if isinstance(device, torch.device) else device)
        if normalize is not None:
            check_bool("normalize", normalize)
        if decision not in get_args(Decision):
            raise ValueError(f"Unknown decision {decision!r}: give one of {list(get_args(Decision))}.")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"Unknown render_mode {render_mode!r}: give None or one of {self.metadata['render_modes']}."
            )
        if learning_episode_phases is not None:
            check_at_least("learning_episode_phases", learning_episode_phases, 1)
        if n_envs is not None:
            check_at_least("n_envs", n_envs, 1)
        check_at_least("order", order, 0)
        check_at_least("projection_dim", projection_dim, 1)
        self._name = f"{algorithm} on {task or env_id or 'your own environment'}"
        self.family = settings.family
        self.render_mode = render_mode
        self.total_env_steps = settings.total_env_steps if total_env_steps is None else total_env_steps
        self._decision = decision
        self.learning_episode_phases = learning_episode_phases
        self._hyper_reward = get_hyper_reward(hyper_reward)
        self._config = InnerRunConfig(
            algorithm=algorithm,
            backend="fast" if backend == "auto" else backend,
            learner_kwargs={**settings.learner_kwargs, **(learner_kwargs or {})},
            env=_inner_env(env_id, env_fn, task),
            env_kwargs=env_kwargs or {},
            # What the user brings is taken as it is.
            atari=settings.family == "atari" and env_id is None and env_fn is None,
            vec_backend=vec_backend,
            n_envs=settings.n_envs if n_envs is None else n_envs,
            normalize=settings.normalize if normalize is None else normalize,
            total_env_steps=self.total_env_steps,
            gradient_order=order,
            device=device,
        )
        # A learner that never trains tells the shapes and the defaults.
        probe = InnerRun(self._config, seed=0)
        try:
            rollout_size = probe.learner.n_steps * probe.learner.n_envs
            defaults = probe.learner.default_values()
            if backend == "fast" and not probe.learner.is_fast:
                warnings.warn(
                    f"{_parts(probe.learner)} on {probe.learner.device} has no closed form for "
                    "backend='fast': Stable-Baselines3's own arithmetic (backend='eager') trains it.",
                    stacklevel=2,
                )
            self._identity = {
                "algorithm": algorithm,
                "inner_env": probe.inner_name,
                "observation_space": str(probe.learner.observation_space),
                "action_space": str(probe.learner.action_space),
                "policy": type(probe.learner.policy).__name__,
                "device": probe.learner.device.type,
            }
            shapes = [(w.shape[0], w.shape[1]) for w in probe.weights()] * (1 + order)
        finally:
            probe.close()
        check_at_least(
            "total_env_steps", self.total_env_steps, rollout_size, "one environment phase, n_steps * n_envs"
        )
        space = settings.search_space if search_space is None else get_search_space(search_space)
        self.search_space = BoundSearchSpace(space, action_mode, defaults, rollout_size)
        self.action_space = self.search_space.action_space
        self.projector = HyperStateProjector(shapes, projection_dim)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (self.projector.state_size,), np.float32)
        self._identity |= as_plain_values(
            {
                **{name: value for name, value in vars(self._config).items() if name not in _NOT_IDENTITY},
                "search_space": self.search_space.bins,
                "action_mode": action_mode,
                "decision": decision,
                "learning_episode_phases": learning_episode_phases,
                "projection_dim": projection_dim,
                "hyper_reward": hyper_reward,
            }
        )
        # Those of a run with the task's own n_steps; another choice of it makes more or fewer.
        self.phases_per_run = math.ceil(self.total_env_steps / rollout_size)
        self.run_finished = False
        self._run: InnerRun | None = None
        self._finished_learner: InnerLearner | None = None
        # Of a reset that replaced a finished run (True), or an unfinished one (False).
        self._warned: set[bool] = set()
        self._renderer: Renderer | None = None
        self._episode_over = False
        self._phases_left: int | None = None
        self._worst_reward = 0.0
        self._restarted = False

    # ------------------------------------------------------------------ Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts a learning episode, and a new run where "Starting State" says so.

        Args:
            seed: Starts a new run with this seed, in [0, 2**32).
            options: `{"new_run": True}` starts a new run whatever the state of the present one.

        Returns:
            The hyper-state (float32, `(D,)`) and the info; after a new run's first environment
            phase the info holds its `phase_stats`.
        """
        super().reset(seed=seed)
        if unknown := set(options or {}) - {"new_run"}:
            raise ValueError(f"Unknown reset options {sorted(unknown)}: the only one is 'new_run'.")
        if seed is not None and not 0 <= seed < 2**32:
            raise ValueError(
                f"seed must lie in [0, 2**32), as NumPy's global generator takes it, not {seed}."
            )
        run, asked = self._run, seed is not None or bool((options or {}).get("new_run"))
        goes_on = run is not None and self._episode_over and not self.run_finished
        if run is not None and not (goes_on or asked or run.failed):
            self._warn_of_new_run(run)
        phase_info: dict[str, Any] = {}
        if asked or not goes_on:
            phase_info = self._start_run(int(self.np_random.integers(2**31)) if seed is None else seed)
        self._episode_over = False
        self._phases_left = self.learning_episode_phases
        return self._observation(), self._info(diverged=False) | phase_info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Applies a hyper-action to one policy update (with `decision`, to an epoch or phase of them).

        Args:
            action: An element of `action_space`.

        Returns:
            Hyper-state, hyper-reward, terminated, truncated, info.

        Raises:
            gymnasium.error.ResetNeeded: Before `reset`, or after the end of a learning episode.
            gymnasium.error.InvalidAction: The action is not in the action space.
            InnerEnvError: The inner environment raised an exception.
        """
        run = self._present_run()
        if self._episode_over:
            raise ResetNeeded(self._reset_needed(run))
        learner = run.learner
        values = self.search_space.values(action, learner.default_values())
        refused, epoch = learner.updates_refused, learner.epoch
        run.update(values)
        while not learner.update_phase_finished and (
            self._decision == "phase" or (self._decision == "epoch" and learner.epoch == epoch)
        ):
            run.update(values)
        diverged = learner.updates_refused > refused
        if not learner.update_phase_finished:
            return self._observation(), 0.0, False, False, self._info(diverged)
        return self._end_phase(run, diverged)

    def render(self) -> Any:
        """Shows the run so far: an (H, W, 3) uint8 array, a line of text, or a window.

        Raises:
            gymnasium.error.ResetNeeded: Before `reset`.
        """
        self._present_run()
        if self._renderer is None:
            gym.logger.warn(
                "Nothing is rendered: give a render_mode, as in gym.make(id, render_mode='rgb_array')."
            )
            return None
        return self._renderer.render()

    def close(self) -> None:
        """Closes the inner environments and the window."""
        if self._run is not None:
            self._finished_learner = self.finished_learner
            self._run.close()
            self._run = None
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    # ------------------------------------------------------------------ for hyper-agents

    @property
    def learner(self) -> InnerLearner:
        """The inner learner of the present run; `learner.model` is the Stable-Baselines3 algorithm."""
        return self._present_run().learner

    @property
    def finished_learner(self) -> InnerLearner | None:
        """The learner of the latest run that is finished, whatever has been reset or closed since.

        `finished_learner.model` can act, be saved and gives its `VecNormalize` statistics, though a
        later run, or `close`, closes its inner environments. None before a run is finished. No part
        of `save` and `snapshot`; `load` and `restore` rewind a finished run that is the present one.
        """
        run = self._run
        finished = run is not None and self.run_finished and not run.failed
        return run.learner if run is not None and finished else self._finished_learner

    @property
    def default_action(self) -> Any:
        """The action that means the task's own defaults."""
        return self.search_space.default_action

    @property
    def episode_over(self) -> bool:
        """Whether the learning episode has ended, so that `reset` comes before the next `step`."""
        return self._episode_over

    def hyper_state_tensors(self) -> list[torch.Tensor]:
        """Copies of the raw tensors W_m^n behind the observation, in its order (Eq. 2).

        `projector(tensors, position)` of them is the observation, differentiably in C, where `position`
        is the observation's last number.

        Returns:
            Detached (out, in) matrices: all weights, all latest gradients, the ones before them.
        """
        return [torch.from_numpy(matrix.copy()) for matrix in self._present_run().matrices()]

    def hyper_state(self, projector: HyperStateProjector) -> Observation:
        """The present hyper-state through another C than the environment's, as a copy of it that is trained.

        Args:
            projector: A copy of `env.unwrapped.projector`, or that of an environment of the same networks.

        Returns:
            float32 (D,), always finite.
        """
        run = self._present_run()
        return projector.observation(run.matrices(), run.learner.update_position)

    # ------------------------------------------------------------------ surviving

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything that the environment would go on with to a file, whole or not at all.

        With the `state_dict()` of the agent that is the whole run: what follows `load` is, to the bit,
        what would have followed `save`. See "Surviving" for what a simulator cannot give back.

        Args:
            path: The file. Where there is one already, it is replaced only once the new one is
                complete and on the disk.

        Raises:
            CheckpointError: The file could not be written; what was there is intact.
            gymnasium.error.ResetNeeded: Before `reset`, or after an environment phase failed.
        """
        generator = self.action_space._np_random
        sampling = None if generator is None else generator.bit_generator.state
        write_checkpoint(path, {"env": self.snapshot(), "action_space": sampling})

    def load(self, path: str | os.PathLike[str]) -> tuple[Observation, dict[str, Any]]:
        """Goes on from what `save` wrote, in this process or another; `reset` need not come before.

        Args:
            path: The file.

        Returns:
            The hyper-state and the info at that moment, as `reset` does.

        Raises:
            CheckpointError: The file is missing, damaged, of another version, task or configuration,
                or no checkpoint. The environment and the file stay as they are.
        """
        state = read_checkpoint(path)
        if not isinstance(state, dict) or "env" not in state:
            raise CheckpointError(f"{path} holds no environment.")
        found = self.restore(state["env"])
        if (sampling := state.get("action_space")) is not None:
            self.action_space.np_random.bit_generator.state = sampling
        return found

    def snapshot(self) -> State:
        """A copy of everything that the environment would go on with, in memory.

        Returns:
            Nested dicts and lists of plain values, arrays and tensors; meant for `restore`.

        Raises:
            gymnasium.error.ResetNeeded: Before `reset`, or after an environment phase failed.
        """
        run = self._present_run()
        if run.failed:
            raise ResetNeeded("An environment phase failed, so there is no state to keep: call reset().")
        generator = self._np_random
        return copied(
            {
                "identity": self._identity,
                "run": run.state_dict(),
                "projector": dict(self.projector.state_dict()),
                "generator": None if generator is None else generator.bit_generator.state,
                "history": None if self._renderer is None else self._renderer.state_dict(),
                "counters": {name: getattr(self, name) for name in _COUNTERS},
            }
        )

    def restore(self, snapshot: State) -> tuple[Observation, dict[str, Any]]:
        """Goes on from a snapshot of this environment or of another with the same settings.

        The projector C comes back too. What `action_space.sample()` draws next is not part of a
        snapshot, so that branches from one may explore in different directions.

        Args:
            snapshot: What `snapshot` returned; it may be restored any number of times.

        Returns:
            The hyper-state and the info at that moment, as `reset` does.

        Raises:
            CheckpointError: A snapshot of another task, algorithm or configuration. The environment
                stays as it is.
            InnerEnvError: The inner environment raised an exception in its reset. There is no run then.
        """
        if not isinstance(snapshot, Mapping) or not isinstance(snapshot.get("identity"), Mapping):
            raise CheckpointError("This is no snapshot of a Hyper-RL environment.")
        if found := differences(snapshot["identity"], self._identity):
            more = "" if len(found) <= _DIFFERENCES else f"; and {len(found) - _DIFFERENCES} more"
            named = "; ".join(found[:_DIFFERENCES])
            raise CheckpointError(f"The state is that of another environment: {named}{more}.")
        if self._run is not None and self._run.failed:
            self.close()
        before = None if self._run is None else self.snapshot()
        projection = copied(dict(self.projector.state_dict()))
        try:
            self._take_over(copied(snapshot))
        except InnerEnvError:
            # A simulator that cannot begin an episode cannot be brought back to where it was either.
            self.close()
            self.projector.load_state_dict(projection)
            raise
        # Whatever is wrong inside a state of the right settings, nothing of it may stay.
        except Exception as error:
            if before is None:
                self.close()
                self.projector.load_state_dict(projection)
            else:
                self._take_over(before)
            raise CheckpointError(f"The state does not fit this environment: {error!r}.") from error
        return self._observation(), self._info(diverged=False)

    def _take_over(self, state: Mapping[str, Any]) -> None:
        if self._run is None:
            self._run = InnerRun(self._config, seed=0)
            self._run.prepare()
        self._restarted = self._run.load_state_dict(state["run"])
        self.projector.load_state_dict(state["projector"])
        if state["generator"] is not None:
            self.np_random.bit_generator.state = state["generator"]
        for name in _COUNTERS:
            setattr(self, name, state["counters"][name])
        if self._renderer is None:
            self._renderer = make_renderer(self.render_mode, self._name, self.search_space.names)
        if self._renderer is not None:
            if state["history"] is not None:
                self._renderer.load_state_dict(state["history"])
            else:
                self._renderer.start_again(self._run.env_steps, self._run.learner.values_in_force())

    # ------------------------------------------------------------------ the run

    def _present_run(self) -> InnerRun:
        if self._run is None:
            raise ResetNeeded("There is no run yet: call reset() first.")
        return self._run

    def _reset_needed(self, run: InnerRun) -> str:
        """Why there is no step before a `reset`, and what that would do."""
        if run.failed:
            return (
                "An environment phase failed: call reset() to start a new run, or restore an earlier state."
            )
        if self.run_finished:
            return (
                "The run is finished: call reset() to start a new one. The trained model is "
                "env.unwrapped.finished_learner.model."
            )
        return "The learning episode is over: call reset() to continue the run."

    def _warn_of_new_run(self, run: InnerRun) -> None:
        """Warns once of a `reset()` that replaces a finished run's model, and once of an unfinished one's."""
        if self.run_finished:
            message = (
                "The run is finished, so reset() starts a new one with a new model. The trained model stays "
                "at env.unwrapped.finished_learner.model until another run is finished."
            )
        elif run.phase or run.learner.update_step:
            message = (
                "reset() in the middle of a learning episode starts a new run with a new model. The present "
                f"one is dropped after {run.env_steps:,} of {self.total_env_steps:,} environment steps. To "
                "limit episodes, give learning_episode_phases, not max_episode_steps or a TimeLimit."
            )
        else:
            return
        if self.run_finished not in self._warned:
            self._warned.add(self.run_finished)
            gym.logger.warn(f"{message} reset(seed=...) and options={{'new_run': True}} do not warn.")

    def _start_run(self, seed: int) -> dict[str, Any]:
        run = InnerRun(self._config, seed)
        # Only now: where no new run can be made, the present one goes on.
        self.close()
        self._run = run
        self.run_finished = self._restarted = False
        self._renderer = make_renderer(self.render_mode, self._name, self.search_space.names)
        try:
            phase = self._with_horizon(run.start())
        except BaseException:
            self.close()
            raise
        self._worst_reward = 0.0
        self._worst_reward = self._reward(phase)
        return self._phase_info(run, {}, phase)

    def _collect(self, run: InnerRun) -> EnvironmentPhase:
        try:
            return self._with_horizon(run.collect())
        except InnerEnvError:
            # Half a phase is nothing to go on from: `reset` is to start a new run.
            self.run_finished = self._episode_over = True
            raise

    def _with_horizon(self, phase: EnvironmentPhase) -> EnvironmentPhase:
        return replace(phase, horizon=int(self.search_space.least("n_steps")))

    def _reward(self, phase: EnvironmentPhase) -> float:
        """The hyper-reward; where it is not finite, the worst that the run has seen."""
        reward = float(self._hyper_reward(phase))
        return reward if math.isfinite(reward) else self._worst_reward

    def _end_phase(
        self, run: InnerRun, diverged: bool
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        statistics = run.learner.update_statistics()
        wholly_refused = run.learner.updates_refused == run.learner.update_step
        cut_short = run.budget_spent and not wholly_refused
        self.run_finished = wholly_refused or cut_short
        phase = None if self.run_finished else self._collect(run)
        # Weights that no update can leave are worth no more than the worst that the run has seen.
        reward = self._worst_reward if wholly_refused else 0.0 if phase is None else self._reward(phase)
        self._worst_reward = min(self._worst_reward, reward)
        if self._phases_left is None:
            terminated, truncated = self.run_finished, False
        else:
            self._phases_left -= 1
            terminated = wholly_refused or (self._phases_left == 0 and not cut_short)
            truncated = cut_short
        self._episode_over = terminated or truncated
        info = self._info(diverged) | self._phase_info(run, statistics, phase)
        self._restarted = False
        return self._observation(), reward, terminated, truncated, info

    def _observation(self) -> Observation:
        return self.hyper_state(self.projector)

    def _info(self, diverged: bool) -> dict[str, Any]:
        run = self._present_run()
        return {
            "hyperparameters": run.learner.values_in_force(),
            "env_steps": run.env_steps,
            "phase": run.phase,
            "update_step": run.learner.update_step,
            "run_finished": self.run_finished,
            "diverged": diverged,
            **({"inner_episodes_restarted": True} if self._restarted else {}),
        }

    def _phase_info(
        self, run: InnerRun, statistics: Mapping[str, float | None], phase: EnvironmentPhase | None
    ) -> dict[str, Any]:
        episodes = [] if phase is None else zip(phase.episode_returns, phase.episode_lengths, strict=True)
        # What an episode with a reward that is no finite number was worth, nobody can tell.
        finite = [(reward, length) for reward, length in episodes if math.isfinite(reward)]
        returns, lengths = [reward for reward, _ in finite], [length for _, length in finite]
        if self._renderer is not None:
            self._renderer.record(run.env_steps, returns, run.learner.values_in_force())
            if self.render_mode == "human":
                self.render()
        found = {} if phase is None else {name: f(phase) for name, f in HYPER_REWARDS.items()}
        hyper_rewards = {name: value if math.isfinite(value) else None for name, value in found.items()}
        return hyper_rewards | {
            "phase_stats": {"returns": returns, "lengths": lengths, **statistics, "seconds": run.lap()}
        }


def _parts(learner: InnerLearner) -> str:
    """What a closed form depends on."""
    policy, optimizer, buffer = learner.policy, learner.policy.optimizer, learner.rollout_buffer
    return f"{type(policy).__name__} with {type(optimizer).__name__} and {type(buffer).__name__}"


def _inner_env(
    env_id: str | None, env_fn: Callable[..., gym.Env[Any, Any]] | None, task: str | None
) -> str | Callable[..., gym.Env[Any, Any]]:
    if env_id is not None and env_fn is not None:
        raise ValueError("Give env_id or env_fn, not both.")
    if env_fn is not None:
        if not callable(env_fn):
            raise ValueError(f"env_fn must be a callable that makes an environment, not {env_fn!r}.")
        return env_fn
    if env_id is not None:
        check_text("env_id", env_id)
        return env_id
    if task is None:
        raise ValueError("A generic Hyper-RL needs an inner environment: give env_id or env_fn.")
    return TASKS[task].env_id
