"""Whatever is typed on the command line works or is refused in one line, with exit code 2."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hyperrl_lab import run
from hyperrl_lab.cli import main

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
NUMBERS = st.integers(-2, 200).map(str) | st.floats().map(str) | WORDS


def mostly(*sensible):
    return st.sampled_from(sensible) | st.sampled_from(sensible) | NUMBERS


SETTINGS = mostly(
    *("order=0", "decision=phase", "action_mode=box", "n_envs=2", "normalize=true", "gamma=0.9", "n_steps=8"),
    *("learner.learning_rate=1e6", "batch_size=4", "search_space=[1]", 'search_space=["clip_range"]'),
    *("search_space=ppo-mujoco", "hyper_reward=nothing", "agent.action=largest", "policy=[]", "ent_coef=[]"),
    *("env_kwargs=3", "device=tpu", "render_mode=human!", "nonsense=1", "=", "learner.=1", "env_id=1"),
)
OPTIONS = st.one_of(
    st.tuples(st.just("--seed"), mostly("0", "3")),
    st.tuples(st.just("--agent"), mostly("random", "fixed", "epgt", "dqn", "sb3")),
    st.tuples(st.just("--total-env-steps"), mostly("32", "64")),
    st.tuples(st.just("--threads"), mostly("1")),
    st.tuples(st.just("--log-interval"), mostly("1", "2")),
    st.tuples(st.just("--checkpoint-minutes"), mostly("0", "1")),
    st.tuples(st.just("--config"), mostly("nothing.json", "/", "/etc/passwd")),
    *[st.tuples(st.just("--set"), SETTINGS)] * 4,
    WORDS.map(lambda word: (word,)),
)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(id_=mostly("HyperRL-PPO", "HyperRL-A2C-v0"), options=st.lists(OPTIONS, max_size=4))
def test_the_command_line_works_or_says_what_is_wrong(id_, options, tmp_path_factory, capsys, monkeypatch):
    # Drawing takes longer than all the rest, and has tests of its own.
    monkeypatch.setattr(run, "draw_pictures", lambda *arguments: None)
    folder = tmp_path_factory.mktemp("run") / "out"
    arguments = ["train", id_, "--out", str(folder), "--set", "env_id=CartPole-v1", "--set", "n_steps=8"]
    arguments += ["--total-env-steps=48"] + [word for option in options for word in option]
    try:
        code = main(arguments)
    except SystemExit as error:  # argparse's way to say 2, after the usage
        code = error.code
    out, err = capsys.readouterr()
    assert code in (0, 2)
    if code == 2:
        assert "error: " in err
        assert not folder.exists()
    else:
        assert "results in" in out or "usage" in out
