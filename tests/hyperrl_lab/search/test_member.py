import json
from dataclasses import replace

import numpy as np
import pytest

from hyperrl_env.saving.checkpoint import read_checkpoint
from hyperrl_lab.results import read_actions, read_episodes, read_phases
from hyperrl_lab.run import TrainingRun
from hyperrl_lab.search.member import Member
from hyperrl_lab.search.trials import trial_config

VALUES = {"learning_rate": 2e-3, "clip_range": 0.3, "batch_size": 16}
OTHER = {"learning_rate": 1e-4, "clip_range": 0.2, "batch_size": 32}


@pytest.fixture
def make_member(run_config):
    members = []

    def make(seed, values=VALUES):
        members.append(Member(replace(run_config(), agent="pbt", seed=seed), values))
        return members[-1]

    yield make
    for member in members:
        member.close()


def everything(member, bits_of):
    return bits_of(member._inner.learner) | {"score": member.score, "steps": member.progress.env_steps}


def test_a_member_trains_as_a_run_with_these_values(make_member, run_config, tmp_path, bits_of):
    member = make_member(3)
    for env_steps in (100, 200, 300):
        member.advance(env_steps)
    run = TrainingRun(trial_config(run_config(), VALUES), tmp_path / "run")
    summary = run.train(pictures=False)
    assert member.finished
    assert bits_of(member._inner.learner) == bits_of(run._inner.finished_learner)
    own = member.write(tmp_path / "member", pictures=False)
    assert set(own) == set(summary)
    for name in ("mean_return", "episodes", "env_steps", "phases", "hyper_steps", "status"):
        assert own[name] == summary[name]
    for read in (read_actions, read_episodes, read_phases):
        theirs, ours = read(tmp_path / "run"), read(tmp_path / "member")
        assert list(ours) == list(theirs)
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_it_stops_at_the_end_of_the_phase_in_which_the_steps_are_reached(make_member):
    member = make_member(0)
    member.advance(65)
    assert member.progress.env_steps == 128
    assert not member.finished


def test_a_copy_has_every_bit_of_the_donor_and_goes_its_own_way(make_member, tmp_path, bits_of):
    donor, copy = make_member(0), make_member(1, OTHER)
    donor.advance(128)
    copy.advance(128)
    assert everything(copy, bits_of) != everything(donor, bits_of)
    donor.save(tmp_path / "donor.zip")
    copy.load(tmp_path / "donor.zip")
    copy.save(tmp_path / "copy.zip")
    assert everything(copy, bits_of) == everything(donor, bits_of)
    ours, theirs = (read_checkpoint(tmp_path / name)["env"] for name in ("copy.zip", "donor.zip"))
    generators = [state["run"].pop("random_state") for state in (ours, theirs)]
    # Weights, optimiser and simulators.
    assert str(ours) == str(theirs)
    assert str(generators[0]) != str(generators[1])
    donor.restart(donor.config, OTHER)
    donor.load(tmp_path / "donor.zip")
    again = make_member(1, OTHER)
    again.load(tmp_path / "donor.zip")
    for member in (donor, copy, again):
        member.advance(256)
    # The same hyperparameters on the same state: only what is drawn differs.
    assert everything(copy, bits_of) != everything(donor, bits_of)
    assert everything(again, bits_of) == everything(copy, bits_of)


def test_a_member_that_continues_from_its_own_state_goes_on_alike(make_member, tmp_path, bits_of):
    member, other = make_member(0), make_member(0)
    member.advance(128)
    member.save(tmp_path / "member.zip")
    other.load(tmp_path / "member.zip")
    for one in (member, other):
        one.advance(256)
    assert everything(other, bits_of) == everything(member, bits_of)


def test_a_restarted_member_is_a_new_one(make_member, bits_of):
    member, fresh = make_member(0), make_member(1, OTHER)
    member.advance(128)
    member.restart(fresh.config, OTHER)
    assert member.progress.env_steps == 0
    for one in (member, fresh):
        one.advance(128)
    assert everything(member, bits_of) == everything(fresh, bits_of)


def test_an_unfinished_member_says_so(make_member, tmp_path):
    member = make_member(0)
    member.advance(64)
    member.write(tmp_path / "member", pictures=True)
    assert json.loads((tmp_path / "member" / "summary.json").read_text())["status"] == "interrupted"
    assert (tmp_path / "member" / "schedule.png").exists()
