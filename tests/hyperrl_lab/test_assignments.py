import pytest

from hyperrl_lab.assignments import Keywords, Known, assigned, known_keywords, parse_assignment

KNOWN = {
    "env": Known(("n_envs", "device", "search_space", "learner_kwargs")),
    "agent": Known(("beta", "device", "gamma")),
    "learner": Known(("gamma", "n_steps", "policy_kwargs")),
}


def read(assignments, known):
    return assigned(map(parse_assignment, assignments), known)


@pytest.mark.parametrize(
    ("assignments", "env", "agent"),
    [
        ([], {}, {}),
        (["n_envs=3"], {"n_envs": 3}, {}),
        (["n_envs=3", "n_envs=4"], {"n_envs": 4}, {}),
        (["device=cpu"], {"device": "cpu"}, {}),
        (["agent.device=cpu"], {}, {"device": "cpu"}),
        (["env.device=cpu", "agent.device=cuda"], {"device": "cpu"}, {"device": "cuda"}),
        (["gamma=0.5"], {}, {"gamma": 0.5}),
        (["learner.gamma=0.5"], {"learner_kwargs": {"gamma": 0.5}}, {}),
        (["n_steps=16", "gamma=1"], {"learner_kwargs": {"n_steps": 16}}, {"gamma": 1}),
        (
            ["n_steps=16", 'learner_kwargs={"gamma": 0.9}', "learner.gamma=0.8"],
            {"learner_kwargs": {"n_steps": 16, "gamma": 0.8}},
            {},
        ),
        (["beta=null"], {}, {"beta": None}),
        (["beta=true"], {}, {"beta": True}),
        (["beta="], {}, {"beta": ""}),
        (["beta=a=b"], {}, {"beta": "a=b"}),
        (['beta="3"'], {}, {"beta": "3"}),
        (["search_space=ppo-mujoco"], {"search_space": "ppo-mujoco"}, {}),
        (['search_space=["clip_range"]'], {"search_space": ["clip_range"]}, {}),
        (
            ['policy_kwargs={"net_arch": [8]}'],
            {"learner_kwargs": {"policy_kwargs": {"net_arch": [8]}}},
            {},
        ),
    ],
)
def test_pairs_go_to_whom_they_are_for(assignments, env, agent):
    assert read(assignments, KNOWN) == Keywords(env, agent)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("n_envs", "takes key=value"),
        ("=3", "takes key=value"),
        ("n_env=3", r"Unknown key 'n_env'\. Did you mean 'n_envs'\? Valid keys: env: n_envs.*learner: gamma"),
        ("n_step=3", "Did you mean 'n_steps'"),
        ("agent.bta=3", r"Unknown key 'agent\.bta'\. Did you mean 'agent\.beta'"),
        ("agent.n_envs=3", r"Did you mean 'env\.n_envs'"),
        ("agent.=3", "Unknown key"),
        ("inner.n_envs=3", "Unknown key"),
        ("seed=3", "give --seed"),
        ("total_env_steps=3", "give --total-env-steps"),
        ("learner_kwargs=3", "JSON object"),
    ],
)
def test_what_nobody_knows_is_refused(assignment, message):
    with pytest.raises(ValueError, match=message):
        read([assignment], KNOWN)


def test_an_open_constructor_takes_any_keyword_by_its_prefix():
    known = {"env": Known(("n_envs",)), "agent": Known(("algorithm",), open=True)}
    assert read(["agent.learning_rate=0.1"], known).agent == {"learning_rate": 0.1}
    with pytest.raises(ValueError, match="agent: algorithm and more"):
        read(["learning_rate=0.1"], known)


@pytest.mark.parametrize(
    ("id_", "learner", "not_learner"),
    [
        ("HyperRL-PPO-Hopper-v0", "clip_range", "rms_prop_eps"),
        ("HyperRL-A2C-Hopper", "rms_prop_eps", "clip_range"),
    ],
)
def test_the_constructors_tell_their_keywords(id_, learner, not_learner):
    known = known_keywords(id_, "epgt")
    assert list(known) == ["env", "agent", "learner"]
    assert {"env_id", "search_space", "action_mode", "normalize"} <= set(known["env"].names)
    assert not {"self", "algorithm", "task", "total_env_steps"} & set(known["env"].names)
    assert {"k_read", "beta", "embedding"} <= set(known["agent"].names)
    assert learner in known["learner"].names
    assert not {not_learner, "self", "env", "seed"} & set(known["learner"].names)


@pytest.mark.parametrize(
    ("id_", "agent", "message"),
    [
        ("HyperRL-PPO-Hoper", "epgt", "Did you mean 'HyperRL-PPO-Hopper-v0'"),
        (
            "HyperRL-PPO-Hopper",
            "egpt",
            r"Unknown agent 'egpt'\. Did you mean 'epgt'\? Valid agents: epgt, random",
        ),
    ],
)
def test_unknown_names_say_what_exists(id_, agent, message):
    with pytest.raises(ValueError, match=message):
        known_keywords(id_, agent)
