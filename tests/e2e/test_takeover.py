"""Two workers: the active one dies in the middle of the wait, or is told to stop; the other finishes its request."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.processes import Process
from tests.e2e.stage import DOWN, NODES, UP, Measured, Stage, Troupe, until

WORKERS = 1
LEASE_SECONDS = 3.0
SETTINGS = {"LEASE_SECONDS": f"{LEASE_SECONDS:.0f}"}
KILLS = int(os.environ.get("E2E_KILLS", "3"))
"""How many workers the test of take-overs kills, one after the other."""
_WAITING = 7.0


@pytest.fixture
def pair(stage: Stage) -> Iterator[Troupe]:
    """An ingest and two workers of our own; at the end the group is as it was."""
    with stage.troupe({}, workers=2) as troupe:
        yield troupe
        stage.mend()
        stage.fault("boot", boot_delay_seconds=0.5)


def _active(workers: list[Process]) -> Process:
    return until(lambda: next((one for one in workers if one.is_active()), None), "an active worker")


def _back(stage: Stage, troupe: Troupe, number: int = 1) -> None:
    troupe.caller.ended(troupe.caller.queued(f"/v1/scale-nodes?by={number}&type=worker", DOWN))
    until(lambda: stage.desired() == 1, "one worker")


@pytest.mark.slow
def test_whoever_takes_over_from_a_killed_worker_does_so_in_time_and_finishes_its_request_without_a_second_change(
    stage: Stage, pair: Troupe, measured: Measured
) -> None:
    stage.fault("boot", boot_delay_seconds=_WAITING * KILLS)
    began = time.time()
    request = pair.caller.queued(NODES, UP)
    pair.caller.at_step(request, "wait")
    taken = []
    with ExitStack() as exits:
        workers = pair.workers
        for _ in range(KILLS):
            active = _active(workers)
            workers.remove(active)
            active.kill()
            killed = time.monotonic()
            until(lambda: any(one.is_active() for one in workers), "the take-over")
            taken.append(time.monotonic() - killed)
            workers.append(exits.enter_context(stage.process("worker", pair.variables)))
            until(workers[-1].is_ready, "one more worker")
        record = pair.caller.ended(request, within=60 + _WAITING * KILLS)
        assert record["state"] == "succeeded", record
        assert (record["nodes_before"], record["nodes_after"], stage.desired()) == (1, 2, 2)
        assert stage.calls("SetDesiredCapacity", began) == 1
        measured(
            "take-over after a kill",
            f"{KILLS} times: median {statistics.median(taken):.2f} s, most {max(taken):.2f} s; "
            f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
        )
        assert max(taken) <= 1.25 * LEASE_SECONDS
        stage.fault("boot", boot_delay_seconds=0.5)
        _back(stage, pair)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in the middle of a scale"])
def test_a_worker_that_is_told_to_stop_exits_with_0_and_the_other_is_active_at_once(
    stage: Stage, pair: Troupe, number: signal.Signals, *, busy: bool
) -> None:
    stage.fault("boot", boot_delay_seconds=5.0)
    request = pair.caller.queued(NODES, UP) if busy else None
    if request:
        pair.caller.at_step(request, "wait")
    active = _active(pair.workers)
    code, seconds = active.ends(number)
    ended = time.monotonic()
    (other,) = (one for one in pair.workers if one is not active)
    until(other.is_active, "the take-over")
    released = time.monotonic() - ended

    assert code == 0
    assert seconds < 10
    assert released < LEASE_SECONDS / 2, "as if the lease had not been released"
    if request:
        assert pair.caller.ended(request)["state"] == "succeeded"
        _back(stage, pair)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a caller who waits"])
def test_ingest_that_is_told_to_stop_answers_who_waits_and_exits_with_0(
    stage: Stage, number: signal.Signals, *, busy: bool
) -> None:
    with stage.troupe({}, workers=0) as troupe, ExitStack() as exits:
        answers = exits.enter_context(_waiting(troupe)) if busy else []
        code, seconds = troupe.ingest.ends(number)
        assert code == 0
        assert seconds < 10
    assert answers == ([202] if busy else [])


class _waiting:  # noqa: N801 - reads as a verb
    """A caller on a thread who waits for a request that nobody does; the list of its answers, complete on leaving."""

    def __init__(self, troupe: Troupe) -> None:
        import threading

        self._answers: list[int] = []
        self._troupe = troupe
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        answer = self._troupe.caller.post("/v1/reschedule-services?wait=60")
        self._answers.append(answer.status_code)

    def __enter__(self) -> list[int]:
        self._thread.start()
        until(lambda: "scaler_http_waiting 1.0" in self._troupe.ingest.text("/metrics"), "a caller who waits")
        return self._answers

    def __exit__(self, *exc: object) -> None:
        self._thread.join()
