"""The mark `real`: tests that talk to real processes or a real Swarm, and so may fail by accident.

CI runs one that failed once more (`infra.ci.again`). Given by folder, in its conftest; unit, behaviour and simulation
tests never have it.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

REAL = pytest.mark.real


def mark(items: Iterable[pytest.Item], folder: Path, *, only: str | None = None) -> None:
    """Mark the tests in a folder; `only` those that have another mark too."""
    for item in items:
        if folder in item.path.parents and (only is None or item.get_closest_marker(only)):
            item.add_marker(REAL)
