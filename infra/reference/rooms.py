"""The rooms of the worker, for docs/architecture.md: each module with the first sentence of its docstring."""

import ast
from pathlib import Path

WORKER = Path(__file__).parents[2] / "worker"
ORDER = (
    *("__main__", "process", "lifecycle", "health", "dispatch", "intake", "flows", "requests", "leadership"),
    *("decisions", "ports", "adapters", "metrics", "settings", "errors"),
)
"""From the top down; beside them what all may use. A room that is missing here is an error."""


def rooms() -> str:
    """The tree, as a block of text."""
    there = {path.stem for path in WORKER.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    unknown = there - set(ORDER) - {"__init__"}
    if unknown:
        raise LookupError(
            f"infra/reference/rooms.py does not say where these rooms stand: {', '.join(sorted(unknown))}"
        )
    lines = [line for name in ORDER if name in there for line in _room(name)]
    return "\n".join(["```", *lines, "```", ""])


def _room(name: str) -> list[str]:
    folder = WORKER / name
    if not folder.is_dir():
        return [f"{name:<14}{_job(folder.with_suffix('.py'))}"]
    modules = sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
    return [f"{name + '/':<14}{_job(folder / '__init__.py')}", *(f"  {path.stem:<18}{_job(path)}" for path in modules)]


def _job(path: Path) -> str:
    """The first sentence of the module's docstring."""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".")
