"""Runs that are cut, and go on from the states of environment and agent."""

import pytest

import agents


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("lookahead", {"candidates": 3, "phases": 2}),
        # Bounds so low that no candidate is rejected: they grow from update to update.
        ("hoof", {"candidates": 5, "bound": 1e-4}),
        ("hoof", {"candidates": 5, "hyperparameters": ["learning_rate", "ent_coef"]}),
        ("tmg", {"hyperparameters": ["learning_rate", "gamma", "gae_lambda"]}),
    ],
)
@pytest.mark.parametrize("backend", ["eager", "fast"])
def test_a_run_goes_on_from_the_agents_state_as_if_it_had_not_been_cut(
    make_env, bits_of, name, keywords, backend
):
    def start(seed=1):
        kwargs = {"env_id": "Pendulum-v1", "n_envs": 4, "total_env_steps": 200, "backend": backend}
        env = make_env("A2C", **kwargs, **agents.env_kwargs(name, **keywords))
        return env, agents.make(name, env, seed=seed, **keywords)

    env, agent = start()
    agents.run(env, agent, seed=0)
    same, other_agent = start()
    agents.run(same, other_agent, seed=0)
    assert bits_of(same.learner) == bits_of(env.learner)

    cut, first = start()
    agents.run(cut, first, seed=0, callback=lambda step: step.next_info["phase"] < 5)
    resumed, second = start(seed=2)
    second.load_state_dict(first.state_dict())
    obs, info = resumed.restore(cut.snapshot())
    for _ in agents.steps(resumed, second, obs, info):
        pass
    assert bits_of(resumed.learner) == bits_of(env.learner)
    assert second.extra_env_steps == agent.extra_env_steps
