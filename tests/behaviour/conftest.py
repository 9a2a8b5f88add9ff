"""The worker's tests, which lie in this folder itself, all run on fake loop time."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.looptime(idle_timeout=1))
