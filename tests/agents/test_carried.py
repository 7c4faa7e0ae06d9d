"""Carried memory equals one memory fed with the concatenated runs, their keys to four digits."""

import json
from dataclasses import replace

import numpy as np
import pytest

import agents
from agents.episodic import EpisodicMemory
from agents.episodic.carried import bin_changes, joint_actions
from agents.experience import Experience
from agents.experience_file import sha256_of, write_experience
from agents.values import own_values
from hyperrl_env import DIAGNOSTICS
from hyperrl_lab.assignments import configure
from hyperrl_lab.experience.build import build_experience, rounded
from hyperrl_lab.results import read_episodes
from hyperrl_lab.run import TrainingRun

SETTINGS = {"env_id": "CartPole-v1", "n_steps": 32, "batch_size": 16, "n_epochs": 2, "decision": "phase"}
OBSERVED = {"observation": "diagnostics", "learning_episode_phases": None}
N_ACTIONS = 3 * 5 * 5 * 3


def lived(folder, seed, env_id="CartPole-v1", **settings):
    """Trains a run of random choices; what a memory would have seen of it: keys, actions, the score."""
    pairs = {**SETTINGS, "env_id": env_id, **OBSERVED, **settings}
    config = configure("HyperRL-PPO-v0", "random", pairs.items(), seed=seed, total_env_steps=32 * 8)
    run = TrainingRun(config, folder)
    seen, record = [], run._record
    run._record = lambda step: (seen.append((step.obs.copy(), int(step.action))), record(step))
    run.train(pictures=False)
    return [key for key, _ in seen], [action for _, action in seen], read_episodes(folder)["return"][-100:]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on each of two tasks, in the order in which they were lived; and their folders."""
    root = tmp_path_factory.mktemp("lived")
    found, folders = [], []
    for seed in range(2):
        for env_id in ("CartPole-v1", "MountainCarContinuous-v0"):
            # MountainCar's episodes are longer than these runs; its time limit is cut.
            more = {"env_kwargs": {"max_episode_steps": 20}} if env_id.startswith("Mountain") else {}
            folders.append(root / f"{env_id}-{seed}")
            found.append((env_id, *lived(folders[-1], seed, env_id, **more)))
    return found, folders


def fed_by_hand(runs, write_interval=3):
    scores = {}
    for env_id, _, _, returns in runs:
        scores.setdefault(env_id, []).append(float(np.mean(returns)))
    memory = EpisodicMemory(len(DIAGNOSTICS), N_ACTIONS)
    for env_id, keys, actions, returns in runs:
        value = (float(np.mean(returns)) - float(np.mean(scores[env_id]))) / float(np.std(scores[env_id]))
        for step, (key, action) in enumerate(zip(keys, actions, strict=True)):
            if step % write_interval == 0 or step == len(keys) - 1:
                memory.write(rounded(key), action, value)
    return memory


def carried(make_env, path, **kwargs):
    needed = agents.env_kwargs("epgt", experience=str(path))
    env = make_env("PPO", **needed)
    return agents.make("epgt", env, experience=str(path), **{"write_interval": 3, **kwargs})


def same(memory, other):
    ours, theirs = memory.state_dict(), other.state_dict()
    return all(np.asarray(ours[name]).tobytes() == np.asarray(theirs[name]).tobytes() for name in ours)


def test_it_is_one_memory_fed_with_the_concatenated_runs(make_env, runs, tmp_path):
    found, folders = runs
    write_experience(build_experience(folders), tmp_path / "all.parquet")
    memory = carried(make_env, tmp_path / "all.parquet").memory
    by_hand = fed_by_hand(found)
    assert len(memory) > 10
    assert len(np.unique(memory.values)) > 4, "neighbours have moved (Eq. 4)"
    assert same(memory, by_hand)
    key = found[0][1][3]
    assert memory.read(key).tobytes() == by_hand.read(key).tobytes()


def test_it_grows_from_run_to_run(make_env, runs, tmp_path):
    """Added run by run, from file to file, it is the memory of all at once."""
    found, folders = runs
    path = tmp_path / "grown.parquet"
    write_experience(build_experience(folders[:2]), path)
    sizes = []
    for number in (3, 4):
        write_experience(build_experience([path, folders[number - 1]]), path)
        sizes.append(len(carried(make_env, path).memory))
    assert sizes[0] < sizes[1]
    assert same(carried(make_env, path).memory, fed_by_hand(found))


def test_a_choice_without_an_effect_is_not_written(make_env, runs, tmp_path):
    experience = build_experience(runs[1])
    rate = experience.runs[0].changes["learning_rate"].copy()
    rate[-1] = np.nan
    first = replace(experience.runs[0], changes={**experience.runs[0].changes, "learning_rate": rate})
    write_experience(Experience("PPO", [first, *experience.runs[1:]]), tmp_path / "some.parquet")
    kept = carried(make_env, tmp_path / "some.parquet").memory
    assert first.diagnostics[-2].tolist() not in kept.keys.tolist()
    assert len(kept) == len(fed_by_hand(runs[0])) - 1


def test_a_fixed_action_is_held_for_phases_whatever_decides(make_env, runs, tmp_path):
    """A grid of fixed values was tried with the environment's own `decision`, which is "update"."""
    experience = build_experience(runs[1])
    first = replace(experience.runs[0], decision="update", agent="fixed")
    write_experience(replace(experience, runs=[first, *experience.runs[1:]]), tmp_path / "fixed.parquet")
    assert same(carried(make_env, tmp_path / "fixed.parquet").memory, fed_by_hand(runs[0]))


def test_a_constant_value_is_one_action_whatever_the_task_s_own_does(make_env, tmp_path):
    """The learning rate of a paper's task falls: a fixed one is another multiple of it in every phase."""
    space = {"learning_rate": [1e-4, 2e-4, 1e-3], "n_epochs": [1, 2]}
    settings = {"n_steps": 64, "batch_size": 16, "search_space": space}
    folders = []
    for seed, rate in enumerate(({"learning_rate": 1e-4}, {"learning_rate": 1e-3}, {})):
        pairs = {**settings, "action": {**rate, "n_epochs": 2}}
        config = configure("HyperRL-PPO-Pendulum-v0", "fixed", pairs.items(), seed=seed, total_env_steps=640)
        TrainingRun(config, tmp_path / str(seed)).train(pictures=False)
        folders.append(tmp_path / str(seed))
    experience = build_experience(folders)
    assert [np.ptp(run.changes["learning_rate"][1:-1]) > 1 for run in experience.runs] == [True, True, False]
    env = make_env("HyperRL-PPO-Pendulum-v0", total_env_steps=2048, search_space=space)
    env.reset(seed=0)
    bins = bin_changes(env.search_space, own_values(env))
    # The task's own values are offered, too, and follow its schedule; in the end that is 0.
    sizes = [len(offered) for offered in env.search_space.bins.values()]
    for run, rate in zip(experience.runs, (1e-4, 1e-3, 3e-4), strict=True):
        actions = joint_actions(run, bins)
        assert (actions >= 0).tolist() == [True] * 9 + [rate != 3e-4]
        rates, epochs = np.unravel_index(actions[:9], sizes)
        assert {env.search_space.bins["learning_rate"][number] for number in rates} == {rate}
        assert {env.search_space.bins["n_epochs"][number] for number in epochs} == {2}


def test_actions_that_are_not_held_for_phases_cannot_be_carried(make_env, runs, tmp_path):
    path = tmp_path / "all.parquet"
    write_experience(build_experience(runs[1]), path)
    env = make_env("PPO", **{**agents.env_kwargs("epgt", experience=str(path)), "decision": "update"})
    with pytest.raises(ValueError, match='make the environment with decision="phase"'):
        agents.make("epgt", env, experience=str(path))


def test_a_run_reads_it_and_leaves_it_as_it_is(make_env, runs, tmp_path):
    path = tmp_path / "all.parquet"
    write_experience(build_experience(runs[1]), path)
    agent = carried(make_env, path, epsilon_start=0.0, epsilon_end=0.0)
    before, chosen = agent.memory.state_dict(), []
    agents.run(agent.env, agent, seed=0, callback=lambda step: chosen.append((step.obs, int(step.action))))
    for key, action in chosen:
        q = agent.memory.read(key)
        assert q[action] == np.nanmax(q)
    assert all(np.array_equal(before[name], agent.memory.state_dict()[name]) for name in ("keys", "values"))


def test_the_configuration_keeps_the_hash_and_the_run_resumes_with_this_file_only(runs, tmp_path):
    path = tmp_path / "all.parquet"
    write_experience(build_experience(runs[1]), path)
    pairs = {**SETTINGS, "experience": str(path), "backend": "eager"}
    config = configure("HyperRL-PPO-v0", "epgt", pairs.items(), total_env_steps=32 * 4)
    run = TrainingRun(config, tmp_path / "run")
    run.train(stop=lambda: run.progress.hyper_steps == 2, pictures=False)
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["run"]
    assert kept["agent_kwargs"] == {"experience": str(path), "experience_sha256": sha256_of(path)}
    assert kept["env_kwargs"]["observation"] == "diagnostics"
    content = path.read_bytes()
    write_experience(build_experience(runs[1][:2]), path)
    with pytest.raises(ValueError, match="not the one that this run began with"):
        TrainingRun(run.config, tmp_path / "run", resume=True)
    path.write_bytes(content)
    summary = TrainingRun(run.config, tmp_path / "run", resume=True).train(pictures=False)
    assert summary["status"] == "finished"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"changes": {"n_steps": np.ones(9, np.float32)}}, r"another search space.*changed n_steps"),
        ({"changes": {"learning_rate": np.full(9, 3.0, np.float32)}}, r"learning_rate outside the range"),
        ({"decision": "update"}, r"decision='update'.*needs runs with decision='phase'"),
    ],
)
def test_another_search_space_is_refused(make_env, runs, tmp_path, change, message):
    experience = build_experience(runs[1])
    first = experience.runs[0]
    if "changes" in change:
        change = {"changes": {**first.changes, **change["changes"]}}
    path = tmp_path / "other.parquet"
    write_experience(replace(experience, runs=[replace(first, **change), *experience.runs[1:]]), path)
    with pytest.raises(ValueError, match=message):
        carried(make_env, path)


def test_what_cannot_be_carried_is_told(make_env, runs, tmp_path):
    path = tmp_path / "all.parquet"
    write_experience(build_experience(runs[1]), path)
    needed = agents.env_kwargs("epgt", experience=str(path))
    with pytest.raises(ValueError, match="has the diagnostics as keys"):
        agents.make("epgt", make_env("PPO"), experience=str(path))
    with pytest.raises(ValueError, match="has the diagnostics as keys"):
        agents.make("epgt", make_env("PPO", **needed), experience=str(path), embedding="vae")
    with pytest.raises(ValueError, match="is of PPO, and this environment trains A2C"):
        agents.make("epgt", make_env("A2C", **needed), experience=str(path))
    acktr = make_env("ACKTR", search_space=["damping"], **needed)
    write_experience(replace(build_experience(runs[1]), algorithm="ACKTR"), path)
    with pytest.raises(ValueError, match="memory of damping cannot be carried"):
        agents.make("epgt", acktr, experience=str(path))
    write_experience(build_experience(runs[1][:1]), path)
    with pytest.raises(ValueError, match="teaches nothing: no two of its runs"):
        carried(make_env, path)
