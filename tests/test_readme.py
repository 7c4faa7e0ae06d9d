"""The README's code runs as it stands, and its table is that of the settings."""

import re
from pathlib import Path

from hyperrl_env import SETTINGS, TASKS

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        exec(block, names)


def test_the_table_of_ids_is_that_of_the_settings():
    for name, task in TASKS.items():
        ppo, a2c = SETTINGS["PPO", name], SETTINGS["A2C", name]
        row = (
            f"| {name} | `{task.env_id}` | {ppo.total_env_steps:,} | {a2c.total_env_steps:,} | {a2c.n_envs} |"
        )
        assert row in README
