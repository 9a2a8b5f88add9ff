"""What the tests of templates, scripts and images share."""

from pathlib import Path

import pytest

from tests.real import mark


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones run scripts, emulators and engines as processes."""
    mark(items, Path(__file__).parent, only="slow")
