"""The lab: runs hyper-agents on Hyper-RL environments and records the results."""

from importlib.util import find_spec
from pathlib import Path


def _check_agents() -> None:
    """Raises ImportError if `import agents` finds another package; several projects use that name."""
    ours = Path(__file__).resolve().parents[1] / "agents"
    spec = find_spec("agents")
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    if ours not in [Path(folder).resolve() for folder in folders]:
        found = "nothing" if spec is None else f"another package ({spec.origin or ', '.join(folders)})"
        raise ImportError(
            f"`import agents` finds {found} instead of Hyper-RL's own package ({ours}). Work in another "
            "folder, remove the other package from PYTHONPATH, or install Hyper-RL in its own virtual "
            "environment."
        )
    import agents

    if not hasattr(agents, "HyperAgent"):
        raise ImportError(
            f"Another package has overwritten Hyper-RL's package 'agents' in {ours}. Install Hyper-RL in its "
            "own virtual environment."
        )


_check_agents()

from hyperrl_lab.learning import learn  # noqa: E402 - only if `agents` is the project's own

__all__ = ["learn"]
