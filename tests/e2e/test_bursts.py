"""Many requests at once, over real HTTP: the same delivery ten times, twenty different ones, four that join."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from infra.local import demo
from tests.e2e.caller import NODES, UP, Caller
from tests.e2e.crash_act import SET_DESIRED
from tests.e2e.crash_setup import CrashSetup
from tests.e2e.crash_setups import CrashSetups
from tests.e2e.environment import Measured
from tests.waiting import quickest

pytestmark = pytest.mark.slow

WEBHOOK: Any = json.loads(Path(demo.WEBHOOK).read_bytes())
MOST = 10
BOOT_SECONDS = 20.0
"""Long beside what a burst adds of its own."""


def _at_once(setup: CrashSetup, number: int, ask: Callable[[Caller], str]) -> Sequence[dict[str, Any]]:
    """The records of so many requests, each posted by a caller of its own, all at the same time."""
    callers = [Caller(setup.ingest.url) for _ in range(number)]
    with ThreadPoolExecutor(number) as pool:
        requests = list(pool.map(ask, callers))
    for caller in callers:
        caller.close()
    return [setup.caller.ended(request, 60.0) for request in requests]


def _up(caller: Caller) -> str:
    return caller.queued(NODES, UP)


def test_a_webhook_delivered_ten_times_at_once_scales_once(crash_setups: CrashSetups) -> None:
    with crash_setups.setup() as setup:
        before = setup.bring("worker", 1, MOST - 1, 1)
        setup.tap.forget()
        records = _at_once(setup, 10, lambda caller: caller.queued(NODES, WEBHOOK))
        (first,) = (record for record in records if record["state"] == "succeeded")
        others = [record for record in records if record is not first]
        assert {(record["state"], record["message"]) for record in others} == {
            ("skipped", f"Duplicate of request {first['id']}")
        }
        assert (first["nodes_before"], first["nodes_after"]) == (before, before + 1)
        assert setup.number("worker") == len(setup.env.nodes()) == before + 1
        assert len(setup.tap.done(SET_DESIRED)) == 1
        assert setup.messages("SQS_DLQ_URL") == 0


def test_twenty_different_requests_at_once_end_at_the_bound_and_each_says_what_is_so(
    crash_setups: CrashSetups,
) -> None:
    with crash_setups.setup() as setup:
        before = setup.bring("worker", 1, 2, 1)
        records = _at_once(setup, 20, _up)
        done = [record for record in records if record["state"] == "succeeded"]
        skipped = [record for record in records if record["state"] == "skipped"]
        assert len(done) + len(skipped) == 20
        changes = sorted((record["nodes_before"], record["nodes_after"]) for record in done)
        assert changes == [(number, number + 1) for number in range(before, MOST)]
        assert {record["message"] for record in skipped} == {
            f"worker nodes are already scaled to the maximum number of {MOST} nodes"
        }
        listed = setup.caller.get("/v1/requests?limit=100").json()["requests"]
        assert {record["id"] for record in records} <= {record["id"] for record in listed}
        assert setup.number("worker") == len(setup.env.nodes()) == MOST
        assert setup.messages("SQS_DLQ_URL") == 0


def test_four_requests_at_once_take_at_most_a_fifth_longer_than_one(
    crash_setups: CrashSetups, measured: Measured
) -> None:
    with crash_setups.setup() as setup:
        one = _seconds(setup, 1)
        four = quickest(lambda: _seconds(setup, 4), 1.2 * one)
        measured("one request, and four at once", f"{one:.2f} s, {four:.2f} s")
        assert four <= 1.2 * one


def _seconds(setup: CrashSetup, number: int) -> float:
    """How long so many requests for a node more take, all at the same time, where there is room for all."""
    before = setup.bring("worker", 1, MOST - number, 1)
    setup.env.fault("boot", boot_delay_seconds=BOOT_SECONDS)
    began = time.monotonic()
    records = _at_once(setup, number, _up)
    seconds = time.monotonic() - began
    setup.env.fault("boot", boot_delay_seconds=0.5)
    assert [record["state"] for record in records] == ["succeeded"] * number
    assert setup.number("worker") == len(setup.env.nodes()) == before + number
    return seconds
