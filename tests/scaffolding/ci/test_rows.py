"""Which tests go to one process, and which to any."""

from pathlib import Path

import pytest

from tests.conftest import ROWS, FilesThenRows

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("path", ROWS)
def test_rows_are_where_they_are_looked_for(path: str) -> None:
    assert (ROOT / path).exists()


def test_a_files_tests_stay_together_and_each_row_is_alone() -> None:
    scope = FilesThenRows.__new__(FilesThenRows)._split_scope
    assert scope("tests/e2e/test_nodes.py::test_a") == scope("tests/e2e/test_nodes.py::test_b")
    rows = ["tests/e2e/test_outages.py::test_a[1]", "tests/e2e/test_outages.py::test_a[2]"]
    assert [scope(row) for row in rows] == rows
