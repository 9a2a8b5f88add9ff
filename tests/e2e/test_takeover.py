"""Two workers: the active one dies in the middle of the wait, or is told to stop; the other finishes its request."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.caller import DOWN, NODES, UP
from tests.e2e.environment import Deployment, Environment, Measured
from tests.e2e.processes import Process
from tests.waiting import quickest, until

WORKERS = 1
LEASE_SECONDS = 3.0
SETTINGS = {"LEASE_SECONDS": f"{LEASE_SECONDS:.0f}"}
KILLS = int(os.environ.get("E2E_KILLS", "3"))
"""How many take-overs the test of them wants to see in time, one after the other."""
IN_TIME = 1.25 * LEASE_SECONDS
AT_ONCE = LEASE_SECONDS / 2
_WAITING = 7.0


class Pair:
    """Two workers of a deployment: one is active, the other stands by, and who goes is replaced."""

    def __init__(self, env: Environment, deployment: Deployment, exits: ExitStack) -> None:
        self._stage = env
        self._variables = deployment.variables
        self._exits = exits
        self.workers = deployment.workers
        self.caller = deployment.caller

    def taken_over(self, within: float, end: Callable[[Process], object]) -> float:
        """Seconds from the end of the active worker until the other is active."""
        return quickest(lambda: self._once(end), within)

    def _once(self, end: Callable[[Process], object]) -> float:
        active = until(lambda: next((one for one in self.workers if one.is_active()), None), "an active worker")
        self.workers.remove(active)
        self._await_renewal(active)
        end(active)
        ended = time.monotonic()
        until(lambda: any(one.is_active() for one in self.workers), "the take-over")
        seconds = time.monotonic() - ended
        self.workers.append(self._exits.enter_context(self._stage.process("worker", self._variables)))
        until(lambda: self._stage.stands_by(self.workers[-1]), "one more worker that stands by")
        return seconds

    def _await_renewal(self, worker: Process) -> None:
        """Who dies right after one costs the others the most time."""
        calls, since = self._stage.aws.calls, time.time()
        until(lambda: any(call.action == "PutItem" for call in calls.since(since, worker.access_key)), "a renewal")


@pytest.fixture
def pair(env: Environment) -> Iterator[Pair]:
    """An ingest and two workers of our own; at the end the group is as it was."""
    with env.deployment({}, workers=2) as deployment, ExitStack() as exits:
        yield Pair(env, deployment, exits)
        env.mend()
        env.fault("boot", boot_delay_seconds=0.5)


def _back(env: Environment, pair: Pair) -> None:
    pair.caller.ended(pair.caller.queued(NODES, DOWN))
    until(lambda: env.desired() == 1, "one worker")


@pytest.mark.slow
def test_whoever_takes_over_from_a_killed_worker_does_so_in_time_and_finishes_its_request_without_a_second_change(
    env: Environment, pair: Pair, measured: Measured
) -> None:
    env.fault("boot", boot_delay_seconds=_WAITING * KILLS)
    began = time.time()
    request = pair.caller.queued(NODES, UP)
    pair.caller.at_step(request, "wait")
    taken = [pair.taken_over(IN_TIME, Process.kill) for _ in range(KILLS)]
    record = pair.caller.ended(request, within=60 + _WAITING * KILLS)
    assert record["state"] == "succeeded", record
    assert (record["nodes_before"], record["nodes_after"], env.desired()) == (1, 2, 2)
    assert env.calls("SetDesiredCapacity", began) == 1
    measured(
        "take-over after a kill",
        f"{KILLS} times: median {statistics.median(taken):.2f} s, most {max(taken):.2f} s; "
        f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores",
    )
    assert max(taken) <= IN_TIME
    env.fault("boot", boot_delay_seconds=0.5)
    _back(env, pair)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in the middle of a scale"])
def test_a_worker_that_is_told_to_stop_exits_with_0_and_the_other_is_active_at_once(
    env: Environment, pair: Pair, number: signal.Signals, *, busy: bool
) -> None:
    env.fault("boot", boot_delay_seconds=5.0)
    request = pair.caller.queued(NODES, UP) if busy else None
    if request:
        pair.caller.at_step(request, "wait")

    def stop(worker: Process) -> None:
        code, seconds = worker.ends(number)
        assert code == 0
        assert seconds < 10

    assert pair.taken_over(AT_ONCE, stop) < AT_ONCE, "as if the lease had not been released"
    if request:
        assert pair.caller.ended(request)["state"] == "succeeded"
        _back(env, pair)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a caller who waits"])
def test_ingest_that_is_told_to_stop_answers_who_waits_and_exits_with_0(
    env: Environment, number: signal.Signals, *, busy: bool
) -> None:
    with env.deployment({}, workers=0) as deployment, ExitStack() as exits:
        answers = exits.enter_context(_waiting(deployment)) if busy else []
        code, seconds = deployment.ingest.ends(number)
        assert code == 0
        assert seconds < 10
    assert answers == ([202] if busy else [])


class _waiting:  # noqa: N801 - reads as a verb
    """A caller on a thread who waits for a request that nobody does; the list of its answers, complete on leaving."""

    def __init__(self, deployment: Deployment) -> None:
        import threading

        self._answers: list[int] = []
        self._troupe = deployment
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
