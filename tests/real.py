"""The mark `real`: tests that talk to real processes or a real Swarm, and so may fail by accident.

CI runs one that failed once more (`infra.ci.again`). Given by folder, in its conftest; unit, behaviour and simulation
tests never have it.
"""

from collections.abc import Collection, Iterable
from pathlib import Path

import pytest

REAL = pytest.mark.real


def mark(
    items: Iterable[pytest.Item], folder: Path, *, only: str | None = None, modules: Collection[str] | None = None
) -> None:
    """Mark the tests in a folder: all, or `only` those that have another mark too, and those in `modules`."""
    for item in items:
        if folder not in item.path.parents:
            continue
        everything = only is None and modules is None
        if everything or (only and item.get_closest_marker(only)) or item.path.stem in (modules or ()):
            item.add_marker(REAL)
