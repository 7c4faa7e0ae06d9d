"""The Hyper-RL: choosing a policy-gradient learner's hyperparameters as a Gymnasium environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from hyperrl_env.checks import check_between
from hyperrl_env.configuration import Decision, resolve
from hyperrl_env.diagnostics import Diagnostics, ObservationName, observation_space
from hyperrl_env.episode import Episode
from hyperrl_env.hyper_reward import EnvironmentPhase, HyperReward
from hyperrl_env.hyper_state import HyperStateProjector
from hyperrl_env.info import phase_info, step_info
from hyperrl_env.inner_envs.make import VecBackend
from hyperrl_env.inner_run import InnerEnvError, InnerRun
from hyperrl_env.learners import InnerLearner, LearnCall
from hyperrl_env.rendering import RENDERERS, Renderer, make_renderer
from hyperrl_env.saving.checkpoint import CheckpointError, State, copied, read_checkpoint, write_checkpoint
from hyperrl_env.saving.identity import check_identity
from hyperrl_env.search_space import ActionMode, Offered, SearchSpace
from hyperrl_env.settings import StartingPoint

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

    A `Box` of float32, always finite:

    | `observation` | space | meaning |
    |---|---|---|
    | `"hyper_state"` | `Box(-inf, inf, (D,))` | the hyper-state (Eq. 2): the learner's weights and gradients |
    | `"diagnostics"` | `Box(low, high, (24,))` | numbers that mean the same for every task, network and budget |
    | `"both"` | `Box(low, high, (D + 24,))` | the hyper-state, then the diagnostics |

    The hyper-state:

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

    The diagnostics are the progress and the budget, the position in the update phase, logarithms of the
    values in force against the start's, statistics of the latest update phase and of the inner returns so
    far, most of them against their own scale in this run. `hyperrl_env.DIAGNOSTICS` has name, formula and
    range of each, by index, and `env.unwrapped.diagnostics()` their present values, whatever the observation
    is.

    ## Rewards

    0 at every step but the last of an update phase, which earns the hyper-reward G (Eq. 1) of the
    environment phase that follows:

    | `hyper_reward` | G |
    |---|---|
    | `"discounted_return"` | mean over the phase's steps and environments of the discounted sum of raw rewards to the end of the phase or of the inner episode; gamma is the task's own, whatever the actions; if actions choose `n_steps`, the sums end after as many steps as the shortest phase has |
    | `"episode_return"` | mean undiscounted return of the inner episodes that ended in the phase; if none did, the previous value |
    | `"value_target"` | mean bootstrapped lambda-return on normalised rewards |
    | `"improvement"` | change of the mean undiscounted return since the phase before, divided by its standard deviation over the phases so far; 0 where that is not defined |
    | a callable | of an `EnvironmentPhase` |

    On Atari raw rewards are scores, which the learner sees clipped to their sign. A lost life ends an
    inner episode for the learner and the discounted sum; `episode_return` is that of whole games.

    ## Starting State

    `reset(seed=s)` starts a run: a fresh learner seeded with s, its inner environments, and the
    first environment phase. `reset()` after a finished learning episode continues the same run.
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

    With a `model` of yours there is no fresh learner. A new run without a seed trains the model on as it
    is, as `model.learn` would: with steps and schedules anew, and with the process's global random
    generators. `reset(seed=s)` starts from the weights, the optimiser and the normalisation that the model
    had when the environment was made, with generators of the run's own, so that it can be repeated. While
    environment phases are collected the model has its own settings, and `close` puts them back for good.

    ## Episode End

    *Terminated*: the learning episode's `learning_episode_phases` update phases, and the
    environment phase after each, are done; or, with `None`, the run. Or the run ended because
    every update of a whole phase was refused for a non-finite loss or gradient.
    *Truncated*: the budget is spent, so that the episode's last update phase has no environment
    phase and no hyper-reward. As in SB3's `learn()`, the last rollout is still trained on; if the
    task's learning rate falls to 0, at a rate of 0, so that no action makes a difference there.

    ## Information

    `hyperparameters` (values in force, by SB3's names), `env_steps`, `phase` (update phases
    finished), `update_step` (updates done in the current phase), `run_finished`, `diverged`
    (an update of this step was refused; the learner kept its last good state). After an
    environment phase: the hyper-rewards under their names. At the end of a phase
    `diagnostics` by name, and `phase_stats`: `returns` and `lengths` (Atari: in frames) of the inner episodes that ended, means of the losses,
    `approx_kl`, `clip_fraction` (ACKTR: `trust_region_scale`, `eigh_failures`, `statistics_refused`), `grad_norm`,
    then `explained_variance`. Values that are not defined are None.

    ## Surviving

    `save(path)` and `load(path)` of `env.unwrapped` write and read everything that the environment needs
    to continue: networks, optimiser, gradients, rollout at hand, statistics, generators, counters and the
    simulators' own state. With the agent's `state_dict()`, *run 2N* is then *run N, save, new process,
    load, run N*, to the bit. `snapshot()` and `restore(snapshot)` do the same in memory. `load` and
    `restore` need no `reset` before, and return what `reset` would: observation and info. `copy.deepcopy`
    and `pickle` of an environment do so too, unless it trains a `model` of yours.

    MuJoCo, classic control and Atari without sticky actions continue in the middle of their episodes.
    The state of other simulators cannot be restored (Box2D, EnvPool, inner environments and wrappers of
    your own, whatever runs in subprocesses): they start a new inner episode, seeded from the run's
    generator, and `info["inner_episodes_restarted"]` says so until the next environment phase is done.

    A rollout with an observation that is not finite is refused as a whole. If the inner environment
    raises an exception, `InnerEnvError` reports the step, the seed and the hyperparameters in force; then
    `reset` starts a new run, and `load` and `restore` go back to an earlier state.

    ## Arguments

    Args:
        algorithm: "PPO", "A2C" or "ACKTR". Set by the id; None: that of `model`.
        task: Whose settings to start from. Set by the id; None for the generic ids, which start
            from Stable-Baselines3's own defaults.
        model: A Stable-Baselines3 PPO or A2C of yours, or this project's ACKTR, to be trained in place, with
            its own environments and settings (id `HyperRL-v0`). The arguments that say what it already says
            are left out then.
        env_id: Gymnasium id of the inner environment. Default: the task's.
        env_fn: A callable that returns a new inner environment at each call, instead of `env_id`.
        env_kwargs: Keyword arguments of the inner environment.
        settings: What the settings below start from. "paper": the task's own. "zoo": the tuned values
            of RL Baselines3 Zoo, which has PPO and A2C. "sb3": Stable-Baselines3's defaults.
        total_env_steps: Budget of a run in inner environment steps. Default: the task's.
        search_space: A preset's name, hyperparameter names, a mapping of names to values (or to further
            arguments of `Hyperparameter`), or a `SearchSpace`. Default: the task's.
        action_mode: "discrete", "multi_discrete" or "box".
        decision: "update": one action per policy update. "epoch", "phase": the action is held.
        learning_episode_phases: Update phases per learning episode; None: the whole run.
        observation: "hyper_state", "diagnostics" or "both" (see "Observation Space").
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
            form, updates are eager for as long as that lasts. "auto": "fast" if it fits.
        device: Torch device; "auto" is the GPU for a CnnPolicy if there is one, else the CPU.
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
        "render_modes": list(RENDERERS),
        "render_fps": 1,
    }

    def __init__(
        self,
        algorithm: str | None = "PPO",
        task: str | None = None,
        *,
        model: OnPolicyAlgorithm | LearnCall | None = None,
        env_id: str | None = None,
        env_fn: Callable[..., gym.Env[Any, Any]] | None = None,
        env_kwargs: Mapping[str, Any] | None = None,
        settings: StartingPoint = "paper",
        total_env_steps: int | None = None,
        search_space: str | Offered | SearchSpace | None = None,
        action_mode: ActionMode = "discrete",
        decision: Decision = "update",
        learning_episode_phases: int | None = 1,
        observation: ObservationName = "hyper_state",
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
        config = resolve(
            algorithm=algorithm,
            task=task,
            model=model,
            env_id=env_id,
            env_fn=env_fn,
            env_kwargs=env_kwargs,
            settings=settings,
            total_env_steps=total_env_steps,
            search_space=search_space,
            action_mode=action_mode,
            decision=decision,
            learning_episode_phases=learning_episode_phases,
            observation=observation,
            order=order,
            projection_dim=projection_dim,
            hyper_reward=hyper_reward,
            n_envs=n_envs,
            normalize=normalize,
            vec_backend=vec_backend,
            learner_kwargs=learner_kwargs,
            backend=backend,
            device=device,
            render_mode=render_mode,
        )
        self._config = config
        self.family = config.family
        self.render_mode = config.render_mode
        self.inner_run_config = config.inner_run
        self.total_env_steps = config.inner_run.total_env_steps
        self.learning_episode_phases = config.learning_episode_phases
        self.phases_per_run = config.phases_per_run
        self.search_space = config.search_space
        self.action_space = config.search_space.action_space
        self.projector = HyperStateProjector(config.shapes, config.projection_dim)
        self.observation_space = observation_space(config.observation, self.projector.state_size)
        self._hyper_reward = config.hyper_reward
        self._run: InnerRun | None = None
        self._diagnostics: Diagnostics
        self._episode = Episode.of_new_run()
        self._finished_learner: InnerLearner | None = None
        self._renderer: Renderer | None = None
        # Whether loading a state had to start new inner episodes.
        self._restarted = False
        # Of a reset that replaced a finished run (True), or an unfinished one (False).
        self._warned: set[bool] = set()

    # ------------------------------------------------------------------ Gymnasium

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Starts a learning episode; under the conditions of "Starting State", also a new run.

        Args:
            seed: Starts a new run with this seed, in [0, 2**32).
            options: `{"new_run": True}` starts a new run whatever the state of the present one.

        Returns:
            The observation (see "Observation Space") and the info; after a new run's first environment
            phase the info holds its `phase_stats`.
        """
        super().reset(seed=seed)
        if unknown := set(options or {}) - {"new_run"}:
            raise ValueError(f"Unknown reset options {sorted(unknown)}: the only one is 'new_run'.")
        if seed is not None:
            # What NumPy's global generator takes.
            check_between("seed", seed, 0, 2**32 - 1)
        run, asked = self._run, seed is not None or bool((options or {}).get("new_run"))
        continues = run is not None and self._episode.over and not self._episode.run_finished
        if run is not None and not (continues or asked or run.failed):
            self._warn_of_new_run(run)
        first_phase: dict[str, Any] = {}
        if asked or not continues:
            first_phase = self._start_run(self.inner_run_config.seed_of(seed, self.np_random))
        self._episode = self._episode.begin(self.learning_episode_phases)
        info = self._info(diverged=False) | first_phase
        return self._observation(info), info

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Applies a hyper-action to one policy update (with `decision`, to an epoch or phase of them).

        Args:
            action: An element of `action_space`.

        Returns:
            Observation, hyper-reward, terminated, truncated, info.

        Raises:
            gymnasium.error.ResetNeeded: Before `reset`, or after the end of a learning episode.
            gymnasium.error.InvalidAction: The action is not in the action space.
            InnerEnvError: The inner environment raised an exception.
        """
        run = self._present_run()
        if self._episode.over:
            raise ResetNeeded(self._episode.reset_needed(failed=run.failed))
        learner = run.learner
        values = self.search_space.values(action, learner.default_values())
        refused, epoch, decision = learner.updates_refused, learner.epoch, self._config.decision
        run.update(values)
        while not learner.update_phase_finished and (
            decision == "phase" or (decision == "epoch" and learner.epoch == epoch)
        ):
            run.update(values)
        diverged = learner.updates_refused > refused
        if not learner.update_phase_finished:
            info = self._info(diverged)
            return self._observation(info), 0.0, False, False, info
        return self._end_phase(run, diverged)

    def render(self) -> Any:
        """Shows the run so far: an (H, W, 3) uint8 array, a line of text, or a window.

        Raises:
            gymnasium.error.ResetNeeded: Before `reset`.
        """
        self._present_run()
        if self._renderer is None:
            gym.logger.warn("Nothing to render. Give a render_mode: gym.make(id, render_mode='rgb_array').")
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
        later run, or `close`, closes its inner environments. None before a run is finished. It is
        not part of `save` and `snapshot`; `load` and `restore` rewind a finished run that is the present one.
        """
        run = self._run
        finished = run is not None and self.run_finished and not run.failed
        return run.learner if run is not None and finished else self._finished_learner

    @property
    def default_action(self) -> Any:
        """The action that means the task's own defaults."""
        return self.search_space.default_action

    @property
    def decision(self) -> Decision:
        """How long an action is held."""
        return self._config.decision

    @property
    def episode_over(self) -> bool:
        """Whether the learning episode has ended, so that `reset` comes before the next `step`."""
        return self._episode.over

    @property
    def run_finished(self) -> bool:
        """Whether the run has ended, so that `reset` starts a new one."""
        return self._episode.run_finished

    def hyper_state_tensors(self) -> list[torch.Tensor]:
        """Copies of the raw tensors W_m^n behind the hyper-state, in its order (Eq. 2).

        `projector(tensors, position)` of them is the hyper-state, differentiably in C, where `position`
        is the hyper-state's last number.

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

    def diagnostics(self) -> Observation:
        """The present diagnostics, in the order of `DIAGNOSTICS`.

        Returns:
            float32 (24,), always finite.
        """
        learner = self._present_run().learner
        return self._diagnostics.numbers(learner.update_position, learner.values_in_force())

    # ------------------------------------------------------------------ surviving

    def save(self, path: str | os.PathLike[str]) -> None:
        """Saves everything that the environment needs to continue, whole or not at all.

        With the `state_dict()` of the agent that is the whole run: what follows `load` is, to the bit,
        what would have followed `save`. See "Surviving" for simulators that cannot be restored.

        Args:
            path: The file. An existing one is replaced only once the new one is complete and on the
                disk.

        Raises:
            CheckpointError: The file could not be written; what was there is intact.
            gymnasium.error.ResetNeeded: Before `reset`, or after an environment phase failed.
        """
        generator = self.action_space._np_random
        sampling = None if generator is None else generator.bit_generator.state
        write_checkpoint(path, {"env": self.snapshot(), "action_space": sampling})

    def load(self, path: str | os.PathLike[str]) -> tuple[Observation, dict[str, Any]]:
        """Continues from what `save` wrote, in this process or another; no `reset` is needed before.

        Args:
            path: The file.

        Returns:
            The observation and the info at that moment, as `reset` does.

        Raises:
            CheckpointError: The file is missing, damaged, of another version, task or configuration,
                or not a checkpoint. The environment and the file stay as they are.
        """
        state = read_checkpoint(path)
        if not isinstance(state, dict) or "env" not in state:
            raise CheckpointError(f"{path} holds no environment.")
        found = self.restore(state["env"])
        if (sampling := state.get("action_space")) is not None:
            self.action_space.np_random.bit_generator.state = sampling
        return found

    def snapshot(self) -> State:
        """Copies everything that the environment needs to continue, in memory.

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
                "identity": self._config.identity,
                "run": run.state_dict(),
                "diagnostics": self._diagnostics.state_dict(),
                "projector": dict(self.projector.state_dict()),
                "generator": None if generator is None else generator.bit_generator.state,
                "history": None if self._renderer is None else self._renderer.state_dict(),
                "counters": asdict(self._episode),
            }
        )

    def restore(self, snapshot: State) -> tuple[Observation, dict[str, Any]]:
        """Continues from a snapshot of this environment or of another with the same settings.

        The projector C is restored too. What `action_space.sample()` draws next is not part of a
        snapshot, so that branches from one may explore in different directions.

        Args:
            snapshot: What `snapshot` returned; it may be restored any number of times.

        Returns:
            The observation and the info at that moment, as `reset` does.

        Raises:
            CheckpointError: The snapshot is of another task, algorithm or configuration. The environment
                stays as it is.
            InnerEnvError: The inner environment raised an exception in its reset. There is no run then.
        """
        if not isinstance(snapshot, Mapping) or not isinstance(snapshot.get("identity"), Mapping):
            raise CheckpointError("This is not a snapshot of a Hyper-RL environment.")
        check_identity(snapshot["identity"], self._config.identity)
        if self._run is not None and self._run.failed:
            self.close()
        before = None if self._run is None else self.snapshot()
        projection = copied(dict(self.projector.state_dict()))
        try:
            self._load(copied(snapshot))
        except InnerEnvError:
            # A simulator that cannot begin an episode cannot be restored either.
            self.close()
            self.projector.load_state_dict(projection)
            raise
        # Whatever is wrong inside a state of the right settings, nothing of it may stay.
        except Exception as error:
            if before is None:
                self.close()
                self.projector.load_state_dict(projection)
            else:
                self._load(before)
            raise CheckpointError(f"The state does not fit this environment: {error!r}.") from error
        info = self._info(diverged=False)
        return self._observation(info), info

    def reseed(self, seed: int) -> None:
        """Lets the present run draw from new generators from now on, so that a copy of one goes its own way.

        What its simulators draw by themselves stays as it is.

        Args:
            seed: From 0 to 2**32 - 1.

        Raises:
            ValueError: Another seed.
            gymnasium.error.ResetNeeded: Before `reset`.
        """
        check_between("seed", seed, 0, 2**32 - 1)
        self._present_run().reseed(seed)

    def _load(self, state: Mapping[str, Any]) -> None:
        if self._run is None:
            self._run = self.inner_run_config.new_run(state["run"]["seed"])
            self._run.prepare()
        self._restarted = self._run.load_state_dict(state["run"])
        self._diagnostics = self._new_diagnostics(self._run)
        self._diagnostics.load_state_dict(state["diagnostics"])
        self.projector.load_state_dict(state["projector"])
        if state["generator"] is not None:
            self.np_random.bit_generator.state = state["generator"]
        self._episode = Episode(**state["counters"])
        if self._renderer is None:
            self._renderer = self._make_renderer()
        if self._renderer is not None:
            if state["history"] is not None:
                self._renderer.load_state_dict(state["history"])
            else:
                self._renderer.start_again(self._run.env_steps, self._run.learner.values_in_force())

    def __getstate__(self) -> dict[str, Any]:
        """What a deep copy or a pickle is made of: the run as a snapshot, for its simulators are not copied."""
        run = self._run
        kept = None if run is None or run.failed else self.snapshot()
        return {**vars(self), "_run": kept, "_finished_learner": None, "_renderer": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _run=None)
        if (kept := state["_run"]) is not None:
            self._load(kept)

    # ------------------------------------------------------------------ the run

    def _present_run(self) -> InnerRun:
        if self._run is None:
            raise ResetNeeded("There is no run yet: call reset() first.")
        return self._run

    def _warn_of_new_run(self, run: InnerRun) -> None:
        """Warns once of a `reset()` that replaces a finished run's model, and once of an unfinished one's."""
        what, then = self.inner_run_config.after_reset
        if self.run_finished:
            message = f"The run is finished, so reset() starts a new one with {what}. {then}"
        elif run.phase or run.learner.update_step:
            message = (
                f"reset() in the middle of a learning episode starts a new run with {what}. The present "
                f"one is dropped after {run.env_steps:,} of {self.total_env_steps:,} environment steps. To "
                "limit episodes, give learning_episode_phases, not max_episode_steps or a TimeLimit."
            )
        else:
            return
        if self.run_finished not in self._warned:
            self._warned.add(self.run_finished)
            gym.logger.warn(f"{message} reset(seed=...) and options={{'new_run': True}} do not warn.")

    def _start_run(self, seed: int | None) -> dict[str, Any]:
        run = self.inner_run_config.new_run(seed)
        # Only now: if no new run can be made, the present one stays.
        self.close()
        self._run, self._restarted, self._renderer = run, False, self._make_renderer()
        self._diagnostics = self._new_diagnostics(run)
        self._episode = Episode.of_new_run()
        try:
            phase = self._seen(run, run.start())
        except BaseException:
            self.close()
            raise
        self._episode = Episode.of_new_run(worst_reward=self._reward(phase))
        return self._phase_info(run, {}, phase)

    def _collect(self, run: InnerRun) -> EnvironmentPhase:
        try:
            return self._seen(run, run.collect())
        except InnerEnvError:
            self._episode = self._episode.fail()
            raise

    def _new_diagnostics(self, run: InnerRun) -> Diagnostics:
        return Diagnostics(self._config.defaults, self.total_env_steps, run.learner.action_space)

    def _seen(self, run: InnerRun, phase: EnvironmentPhase) -> EnvironmentPhase:
        """The phase with what its hyper-reward needs to know besides; the diagnostics take it in."""
        earlier = self._diagnostics.earlier_returns
        self._diagnostics.environment_phase(run.env_steps, phase)
        return replace(phase, horizon=self._config.horizon, earlier_returns=earlier)

    def _reward(self, phase: EnvironmentPhase) -> float:
        return self._episode.finite(float(self._hyper_reward(phase)))

    def _end_phase(
        self, run: InnerRun, diverged: bool
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        statistics = run.learner.update_statistics()
        self._diagnostics.update_phase(statistics)
        end = self._episode.end(wholly_refused=run.wholly_refused, budget_spent=run.budget_spent)
        phase = None if end.run_finished else self._collect(run)
        if phase is not None:
            reward = self._reward(phase)
        else:
            reward = self._episode.worst_reward if end.reward == "worst" else 0.0
        self._episode = self._episode.after(end, reward)
        info = self._info(diverged) | self._phase_info(run, statistics, phase)
        self._restarted = False
        return self._observation(info), reward, end.terminated, end.truncated, info

    def _observation(self, info: Mapping[str, Any]) -> Observation:
        kind = self._config.observation
        if kind == "hyper_state":
            return self.hyper_state(self.projector)
        # To look the values in force up again would take longer than everything else.
        position = self._present_run().learner.update_position
        diagnostics = self._diagnostics.numbers(position, info["hyperparameters"])
        if kind == "diagnostics":
            return diagnostics
        return np.concatenate([self.hyper_state(self.projector), diagnostics])

    def _info(self, diverged: bool) -> dict[str, Any]:
        finished, restarted = self._episode.run_finished, self._restarted
        return step_info(self._present_run(), run_finished=finished, diverged=diverged, restarted=restarted)

    def _phase_info(
        self, run: InnerRun, statistics: Mapping[str, float | None], phase: EnvironmentPhase | None
    ) -> dict[str, Any]:
        info = phase_info(statistics, phase, self.diagnostics())
        if self._renderer is not None:
            self._renderer.record(
                run.env_steps, info["phase_stats"]["returns"], run.learner.values_in_force()
            )
            if self.render_mode == "human":
                self.render()
        return info

    def _make_renderer(self) -> Renderer | None:
        return make_renderer(self.render_mode, self._config.title, self.search_space.names)
