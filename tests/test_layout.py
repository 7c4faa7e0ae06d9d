"""The house has floors and rooms: imports go down only."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Bottom first. A file imports from its own row and those before it; the longest prefix that fits is its row.
ROWS = (
    ("hyperrl_env.numeric", "hyperrl_env.saving", "hyperrl_env.checks"),
    ("hyperrl_env.registry",),
    (
        "hyperrl_env.diagnostics",
        "hyperrl_env.hyper_reward",
        "hyperrl_env.hyper_state",
        "hyperrl_env.hyperparameters",
        "hyperrl_env.search_space",
        "hyperrl_env.presets",
        "hyperrl_env.inner_envs",
    ),
    (
        "hyperrl_env.tasks",
        "hyperrl_env.settings",
        *(f"hyperrl_env.learners.{name}" for name in ("base", "ppo", "a2c", "single_update", "resumable")),
        *(
            f"hyperrl_env.learners.{name}"
            for name in ("arithmetic", "objective", "update_phase", "step_guard")
        ),
        *(f"hyperrl_env.learners.{name}" for name in ("gradient_history", "rollout_targets")),
        *(f"hyperrl_env.learners.{name}" for name in ("recording", "step_guard", "divergence", "whitebox")),
        "hyperrl_env.learners.collecting",
    ),
    ("hyperrl_env.learners.acktr",),
    ("hyperrl_env.learners.fast",),
    ("hyperrl_env.learners",),
    ("hyperrl_env.inner_run", "hyperrl_env.user_run", "hyperrl_env.rendering"),
    ("hyperrl_env.policy",),
    ("hyperrl_env.configuration", "hyperrl_env.episode", "hyperrl_env.info"),
    ("hyperrl_env.env",),
    ("hyperrl_env",),
    ("agents",),
    ("hyperrl_lab",),
)
PACKAGES = ("hyperrl_env", "agents", "hyperrl_lab")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
CODE_LINES = 350


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def row_of(module):
    rows = {prefix: number for number, row in enumerate(ROWS) for prefix in row}
    return max((prefix for prefix in rows if f"{module}.".startswith(f"{prefix}.")), key=len), rows


def number_of(module):
    prefix, rows = row_of(module)
    return rows[prefix]


def imported(path):
    """The project's modules that a file imports, inside functions too."""
    modules = {module_of(p) for p in FILES}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in PACKAGES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            assert node.level == 0
            # `from package import module` is an import of the module.
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules else node.module


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_down_only(path):
    own = number_of(module_of(path))
    assert [name for name in imported(path) if number_of(name) > own] == []


def code_lines(path):
    """Lines that are neither blank, nor comments, nor docstrings."""
    text = path.read_text(encoding="utf-8")
    skipped = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            docstring = node.body[0]
            skipped.update(range(docstring.lineno, docstring.end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") and n not in skipped for n, line in lines
    )


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_can_be_read_in_one_sitting(path):
    assert code_lines(path) <= CODE_LINES


MODULES = [module_of(path) for path in FILES if path.stem != "__main__"]


@pytest.mark.parametrize("module", MODULES)
def test_few_classes_stand_behind_a_class(module):
    """At most four of the project's own in any resolution order."""
    for cls in vars(importlib.import_module(module)).values():
        if isinstance(cls, type) and cls.__module__ == module:
            own = [base.__name__ for base in cls.__mro__ if base.__module__.split(".")[0] in PACKAGES]
            assert len(own) <= 4, own
