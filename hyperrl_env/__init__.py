"""The Hyper-RL environment: hyperparameter choice, update by update, as a Gymnasium environment.

Importing this package registers the ids.
"""

from hyperrl_env.diagnostics import DIAGNOSTICS
from hyperrl_env.env import HyperRLEnv
from hyperrl_env.hyper_reward import HYPER_REWARDS, EnvironmentPhase, register_hyper_reward
from hyperrl_env.hyperparameters import DEFINITIONS, Hyperparameter
from hyperrl_env.inner_run import InnerEnvError
from hyperrl_env.learners.whitebox import LearnerView
from hyperrl_env.presets import PRESETS
from hyperrl_env.registration import env_ids, load_tasks, register_envs, register_task
from hyperrl_env.saving.checkpoint import CheckpointError
from hyperrl_env.search_space import SearchSpace
from hyperrl_env.settings import SETTINGS, Settings
from hyperrl_env.tasks import TASKS, Task

__version__ = "0.1.0"

register_envs()
load_tasks()

__all__ = [
    "DEFINITIONS",
    "DIAGNOSTICS",
    "HYPER_REWARDS",
    "PRESETS",
    "SETTINGS",
    "TASKS",
    "CheckpointError",
    "EnvironmentPhase",
    "HyperRLEnv",
    "Hyperparameter",
    "InnerEnvError",
    "LearnerView",
    "SearchSpace",
    "Settings",
    "Task",
    "env_ids",
    "register_envs",
    "register_hyper_reward",
    "register_task",
]
