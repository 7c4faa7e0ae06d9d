"""The studies of the paper (Le et al. 2022, "Episodic Policy Gradient Training"), declared.

Settings that the paper leaves open are the tasks' own (`hyperrl list tasks` has their sources).
"""

from __future__ import annotations

from hyperrl_lab.studies.study import Method, Study, StudyTask

_EPGT, _RND, _DEFAULT = Method("epgt", "EPGT"), Method("random", "RND"), Method("fixed", "default")

TABLE_2 = Study(
    title="Table 2: EPGT on PPO",
    tasks=[
        StudyTask(f"HyperRL-PPO-{task}-v0", task)
        for task in ("Hopper", "InvertedDoublePendulum", "LunarLanderContinuous", "BipedalWalker")
    ],
    methods=[_EPGT, _DEFAULT, _RND],
    seeds=range(10),
    total_env_steps=1_000_000,
    evaluate_episodes=20,
    baseline="default",
)
FIGURE_2 = Study(
    title="Figure 2: the learning rate of A2C, chosen by five methods",
    tasks=[
        StudyTask("HyperRL-A2C-MountainCarContinuous-v0", "MountainCarContinuous", 20_000),
        StudyTask("HyperRL-A2C-BipedalWalker-v0", "BipedalWalker", 4_000_000),
    ],
    methods=[
        _EPGT,
        _RND,
        Method("dqn", "DQN"),
        _DEFAULT,
        Method("fixed", "smallest", {"action": "smallest"}),
        Method("fixed", "largest", {"action": "largest"}),
    ],
    seeds=range(10),
    evaluate_episodes=20,
    baseline="default",
)
