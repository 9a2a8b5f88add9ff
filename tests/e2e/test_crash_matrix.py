"""The crash matrix: kill -9 of the active worker at each boundary of each step, and in the middle of each wait.

Whenever it dies, the request ends right, and once: the group, the nodes, the record, what was changed outside and how
often, nothing in the dead-letter queue, no record left open, people told.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import pytest

from tests.e2e import crash_event_rows, crash_rows
from tests.e2e.crash_rows import Row
from tests.e2e.crash_setup import CrashSetup, killing
from tests.e2e.crash_setups import CrashSetups

pytestmark = [pytest.mark.slow, pytest.mark.crash]

ROWS = (*crash_rows.ROWS, *crash_event_rows.ROWS)
REPEAT = int(os.environ.get("REPEAT", "1"))
"""How often each row is run, in an order of its own each time."""
ORDER = int(os.environ.get("ORDER", "1"))
"""Which order that is."""


def _rows() -> Sequence[Row]:
    dice = random.Random(ORDER)
    return [row for _ in range(REPEAT) for row in dice.sample(ROWS, len(ROWS))]


def _play(setup: CrashSetup, row: Row) -> None:
    before = row.act.prepare(setup)
    request = ""
    for point in row.points:
        interception = setup.intercept(point, killing)
        request = request or row.act.post(setup)
        setup.replace(setup.intercepted(interception))
    row.act.check(setup, before, request)


@pytest.mark.parametrize("row", _rows(), ids=str)
def test_a_worker_that_dies_costs_nothing_but_time(crash_setups: CrashSetups, row: Row) -> None:
    with crash_setups.setup() as setup:
        _play(setup, row)
