"""The tutorial is typed in real shells, which talk to real processes."""

from pathlib import Path

import pytest

from tests.real import mark


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that start them."""
    mark(items, Path(__file__).parent, only="slow")
