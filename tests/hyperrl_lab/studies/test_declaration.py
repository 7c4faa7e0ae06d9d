import pytest

from hyperrl_lab.cli import main
from hyperrl_lab.commands import sweep
from hyperrl_lab.studies.declaration import read_study, study_of
from hyperrl_lab.studies.study import Method, Study, StudyTask

WHOLE = """
title = "Two learning rates"
seeds = "0-1,4"
total_env_steps = 1e4
evaluate_episodes = 5
baseline = "large"
threads = 2
log_interval = 3
settings.learner.gamma = 0.9

[[tasks]]
id = "HyperRL-PPO-CartPole-v0"
name = "cart"
total_env_steps = 20000
settings = { n_steps = 128, env_kwargs = { render_mode = "rgb_array" } }

[[methods]]
agent = "epgt"

[[methods]]
agent = "fixed"
name = "large"
[methods.settings]
agent.action = "largest"
"env.decision" = "phase"
"""
SHORT = """
tasks = ["HyperRL-PPO-CartPole-v0"]
methods = ["random"]
seeds = [7]
"""


def declared(folder, text):
    path = folder / "my_study.toml"
    path.write_text(text)
    return path


def test_a_file_has_the_fields_of_a_study(tmp_path):
    assert read_study(declared(tmp_path, WHOLE)) == Study(
        title="Two learning rates",
        tasks=[
            StudyTask(
                "HyperRL-PPO-CartPole-v0",
                "cart",
                20_000,
                {"n_steps": 128, "env_kwargs": {"render_mode": "rgb_array"}},
            )
        ],
        methods=[
            Method("epgt"),
            Method("fixed", "large", {"agent.action": "largest", "env.decision": "phase"}),
        ],
        seeds=[0, 1, 4],
        total_env_steps=10_000,
        settings={"learner.gamma": 0.9},
        evaluate_episodes=5,
        baseline="large",
        threads=2,
        log_interval=3,
    )


def test_strings_stand_for_tasks_and_methods(tmp_path):
    study = read_study(declared(tmp_path, SHORT))
    assert study == Study("my_study", [StudyTask("HyperRL-PPO-CartPole-v0")], [Method("random")], [7])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seed = 3", "Unknown key 'seed'. Did you mean 'seeds'? Valid keys: title, tasks, methods, seeds,"),
        ("title = 3", "title must be a string, not 3."),
        ("total_env_steps = 1.5", "total_env_steps must be a whole number of at least 1, not 1.5."),
        ("total_env_steps = true", "total_env_steps must be a whole number of at least 1, not True."),
        ("evaluate_episodes = -1", "evaluate_episodes must be a whole number of at least 0, not -1."),
        ("settings = 3", "settings must map keywords to values, not be 3."),
        ("settings = { gama = 0.9 }", "Unknown key 'gama'. Did you mean 'gamma'"),
        ("baseline = 'randm'", "Unknown baseline 'randm'. Did you mean 'random'? Valid baselines: random."),
        ("title = ", "is not TOML: Invalid value"),
        ("seeds = 10", 'seeds must be a list of whole numbers, or a range like "0-9", not 10.'),
        ("seeds = []", "seeds must be a list of whole numbers"),
        ("seeds = [0.5]", "seeds must be a list of whole numbers"),
        ("seeds = '0..9'", 'seeds must be like "0-9" or "0,1,5-7", not \'0..9\'.'),
        ("seeds = '9-0'", 'seeds must be like "0-9" or "0,1,5-7", not \'9-0\'.'),
        ("seeds = [1, 0, 1]", "seeds has 1 more than once. Give each one once."),
        ("seeds = '0-2,1-4'", "seeds has 1, 2 more than once."),
        ("seeds = '0-3000000000'", "seeds must be at most 10,000, not the 3,000,000,001 of '0-3000000000'."),
        ("seeds = [-1]", "seed must be a whole number in [0, 4294967295], not -1."),
        ("methods = []", "methods must be tables [[methods]] or a list of strings, not []."),
        ("methods = 'random'", "methods must be tables [[methods]] or a list of strings, not 'random'."),
        ("methods = ['randm']", "Unknown agent 'randm'. Did you mean 'random'?"),
        ("methods = [{ name = 'x' }]", "methods[0]: missing keys: agent."),
        ("methods = ['fixed', { agnt = 'x' }]", "methods[1]: Unknown key 'agnt'. Did you mean 'agent'?"),
        ("tasks = ['HyperRL-PPO-CartPol-v0']", "Unknown id 'HyperRL-PPO-CartPol-v0'. Did you mean"),
        ("tasks = [{ id = 3 }]", "tasks[0]: id must be a string, not 3."),
    ],
)
def test_a_mistake_is_named_with_what_would_be_right(line, message, tmp_path):
    key = line.partition(" ")[0]
    lines = [own for own in SHORT.splitlines() if own.partition(" ")[0] != key]
    path = declared(tmp_path, "\n".join([*lines, line]))
    with pytest.raises(ValueError, match="my_study") as error:
        read_study(path)
    assert message in str(error.value)


def test_a_study_needs_what_it_consists_of(tmp_path):
    with pytest.raises(ValueError, match="missing keys: title, methods, seeds"):
        study_of({"tasks": ["HyperRL-PPO-CartPole-v0"]})
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read_study(tmp_path / "none.toml")


def test_a_methods_settings_override_its_tasks_and_those_the_studys_whatever_their_keys():
    study = Study(
        "title",
        [StudyTask("HyperRL-PPO-CartPole-v0", settings={"learner.n_steps": 64})],
        [
            Method("random", "both", {"n_steps": 256}),
            Method("random", "merged", {"learner_kwargs": {"n_epochs": 3}}),
        ],
        [0],
        settings={"n_steps": 128, "learner_kwargs": {"vf_coef": 0.9}},
    )
    assert [run.config.env_kwargs["learner_kwargs"] for run in study.runs()] == [
        {"n_steps": 256, "vf_coef": 0.9},
        {"n_steps": 64, "vf_coef": 0.9, "n_epochs": 3},
    ]


def test_assignments_of_a_sweep_count_as_those_of_a_run(monkeypatch, tmp_path):
    declared_studies = []
    monkeypatch.setattr(sweep, "carry_out", lambda study, *_: declared_studies.append(study) or 0)
    arguments = ["sweep", "--id", "HyperRL-PPO-CartPole-v0", "--agent", "random", "--out", str(tmp_path)]
    settings = ('learner_kwargs={"vf_coef": 0.9}', "n_steps=64", "learner.n_steps=128", "n_steps=256")
    for setting in (*settings, 'learner_kwargs={"n_epochs": 3}'):
        arguments += ["--set", setting]
    assert main(arguments) == 0
    assert declared_studies[0].runs()[0].config.env_kwargs == {
        "learner_kwargs": {"vf_coef": 0.9, "n_steps": 256, "n_epochs": 3}
    }
