"""The mark `real`: tests that talk to real processes or a real Swarm, and so may fail by accident.

CI runs one that failed once more (`infra.ci.again`). Given by folder: unit, behaviour and simulation tests never have
it.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
ALWAYS: Final = ("e2e/", "lab/", "scaffolding/engine/test_command_line.py")
WHERE_SLOW: Final = ("scaffolding/local/", "scaffolding/tutorial/")
"""Only the slow ones start processes there."""


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark those that have it by where they lie."""
    for item in items:
        place = str(item.path.relative_to(HERE))
        if place.startswith(ALWAYS) or (place.startswith(WHERE_SLOW) and item.get_closest_marker("slow")):
            item.add_marker(pytest.mark.real)
