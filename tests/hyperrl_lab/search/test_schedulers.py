"""The choices are Ray's own, moved into the ranges; nothing here starts Ray."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
from ray.tune.schedulers import pb2, pbt

from hyperrl_lab.search.ranges import Range
from hyperrl_lab.search.schedulers import (
    MEMBER,
    RecordedPB2,
    RecordedPBT,
    clamped,
    domain,
    single_precision_bounds,
)

CHOICES = {
    "learning_rate": Range(1e-5, 1e-3, "log", False, ()),
    "clip_range": Range(0.1, 0.5, "linear", False, ()),
    "batch_size": Range(16, 128, "log", True, ()),
}
CONFIG = {"learning_rate": 9e-4, "clip_range": 0.45, "batch_size": 100, MEMBER: 1}


class Trial(SimpleNamespace):
    def __str__(self):
        return f"member-{self.number}"

    __hash__ = object.__hash__

    def set_config(self, config):
        self.config = config


def seed_globals(seed):
    random.seed(seed)
    np.random.seed(seed)


@pytest.fixture(autouse=True)
def _global_state():
    python, numpy = random.getstate(), np.random.get_state()
    yield
    random.setstate(python)
    np.random.set_state(numpy)


def test_pbt_chooses_as_ray_does_and_clamps():
    plan, beyond = RecordedPBT(CHOICES, 0, resample_probability=0.25), 0
    mutations = {name: domain(range_) for name, range_ in CHOICES.items()}
    for seed in range(40):
        seed_globals(seed)
        theirs, operations = pbt._explore(CONFIG, mutations, 0.25, (1.2, 0.8), None)
        seed_globals(seed)
        ours, same = plan._get_new_config(Trial(config={}), Trial(config=CONFIG))
        assert same == operations
        for name, range_ in CHOICES.items():
            assert ours[name] == min(max(theirs[name], range_.low), range_.high)
            assert type(ours[name]) is type(CONFIG[name])
        beyond += ours != theirs
    # Without the clamp, values leave the range.
    assert beyond > 10


def population_data(plan, intervals):
    """Lets three members report, and gives back the trials."""
    rng = np.random.default_rng(0)
    trials = [
        Trial(number=i, config={**CONFIG, "learning_rate": 10.0 ** -(3 + i / 2), "clip_range": 0.2 + i / 10})
        for i in range(3)
    ]
    for time in range(1, intervals + 1):
        for trial in trials:
            state = pbt._PBTTrialState(SimpleNamespace(experiment_tag=""))
            result = {"training_iteration": time, "score": time + rng.normal()}
            plan._save_trial_state(state, time, result, trial)
    return trials


# Ray's optimiser, and the regression that it fits to few points.
@pytest.mark.filterwarnings("ignore:.*`disp` and `iprint` options:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_pb2_chooses_as_ray_does_within_the_ranges():
    plan = RecordedPB2(CHOICES, 0)
    plan._metric, plan._metric_op = "score", 1.0
    worst, _, donor = population_data(plan, 4)
    bounds = {name: single_precision_bounds(range_) for name, range_ in CHOICES.items()}
    data = plan.data.copy()
    seed_globals(7)
    theirs, entries = pb2._explore(data, bounds, None, donor, worst, donor.config)
    seed_globals(7)
    ours, _ = plan._get_new_config(worst, donor)
    assert ours == theirs
    assert ours != donor.config
    assert plan.data.equals(entries)
    # What PB2 remembers to have chosen is what is in force, or the next result would count for nothing.
    remembered = plan.data.iloc[-1]
    assert all(remembered[name] == ours[name] for name in CHOICES)
    assert type(ours["batch_size"]) is int


@pytest.mark.parametrize("range_", [*CHOICES.values(), Range(0.1, 0.3, "linear", False, ())])
def test_bounds_are_ordered_inside_the_range_and_kept_by_a_float32(range_):
    low, high = single_precision_bounds(range_)
    assert range_.low <= low < high <= range_.high
    assert (float(np.float32(low)), float(np.float32(high))) == (low, high)
    assert (low, high) == pytest.approx((range_.low, range_.high), rel=1e-6)


def test_new_values_are_drawn_from_the_whole_range():
    seed_globals(0)
    for range_ in CHOICES.values():
        drawn = [domain(range_).sample(None) for _ in range(300)]
        assert range_.low <= min(drawn) <= range_.low * 1.3
        assert range_.high * 0.75 <= max(drawn) <= range_.high
        assert all(isinstance(value, int) == range_.integer for value in drawn)


def test_only_hyperparameters_are_clamped():
    config = {"learning_rate": 1.0, "clip_range": 0.01, "batch_size": 1000, MEMBER: 3, "run": {"seed": 1}}
    assert clamped(CHOICES)(config) == {
        "learning_rate": 1e-3,
        "clip_range": 0.1,
        "batch_size": 128,
        MEMBER: 3,
        "run": {"seed": 1},
    }


def copying(plan, seed):
    """One result, after which a member copies another; what Ray does in between draws from the globals."""
    trials = [Trial(number=i, config={**CONFIG, MEMBER: i}) for i in range(2)]
    plan._members = trials

    def ray(self, controller, trial, result):
        config, _ = self._get_new_config(trials[0], trials[1])
        trials[0].set_config(config)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pbt.PopulationBasedTraining, "on_trial_result", ray)
        seed_globals(seed)
        before = random.getstate(), np.random.get_state()[1].tolist()
        plan.on_trial_result(None, trials[0], {"env_steps": 5, "score": float("nan")})
        assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    return trials


def test_the_choices_depend_on_the_seed_alone_and_disturb_nobody():
    configs = [copying(RecordedPBT(CHOICES, seed), outside)[0].config for seed, outside in ((3, 1), (3, 2))]
    assert configs[0] == configs[1]
    assert copying(RecordedPBT(CHOICES, 4), 1)[0].config != configs[0]


def test_a_member_that_copies_another_keeps_its_number_and_the_course_says_whom():
    plan = RecordedPBT(CHOICES, 0)
    trials = copying(plan, 0)
    assert [trial.config[MEMBER] for trial in trials] == [0, 1]
    trials[0].config["clip_range"] = 0.3
    plan._record(trials[0], {"env_steps": 10, "score": 2.0})
    plan._record(trials[0], {"env_steps": 15, "score": 3.0})
    assert [entry["copied_from"] for entry in plan.course] == [None, 1, None]
    assert plan.course[0]["score"] is None
    assert plan.course[1] == {
        "member": 0,
        "env_steps": 10,
        "score": 2.0,
        "hyperparameters": {name: trials[0].config[name] for name in CHOICES},
        "copied_from": 1,
    }
