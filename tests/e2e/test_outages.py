"""What is not a death: a worker that stands still for longer than its lease, and what it needs away for a while.

Each time as in the crash matrix: the request ends right, and once. Faults begin at an exact call, as deaths do there.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from threading import Timer

import pytest

from tests.e2e.crash_act import DESCRIBE, DRAIN, UPDATE, Act
from tests.e2e.crash_rows import ALL, DOWN, SERVICE, UP
from tests.e2e.crash_setup import CrashSetup, stopping
from tests.e2e.crash_setups import CrashSetups
from tests.e2e.environment import Measured
from tests.e2e.processes import Process
from tests.e2e.tap import Point, entering, named, noting, queued
from tests.waiting import quickest, until

pytestmark = [pytest.mark.slow, pytest.mark.crash]

AWAY_SECONDS = 30.0
THROTTLED_SECONDS = 10.0
"""More than three leases."""
OFFERED_SECONDS = 2.0
"""How long the end of a request waits for Alertmanager."""
NOISE_SECONDS = 0.3
"""What a busy machine adds to one run and not to another."""
TRIES = 3

STOPS: dict[str, tuple[Act, Point]] = {
    "right before the raise": (UP, Point("a look before the raise", DESCRIBE, True, (entering("apply"),))),
    "in the wait": (UP, Point("a look in the wait", DESCRIBE, True, (entering("wait"),))),
    "right before a service is rescheduled": (
        UP,
        Point("a look before the update", named("GET /services/*"), True, (noting("reschedule"),)),
    ),
    "in the drain": (DOWN, Point("a look in the drain", named("GET /tasks"), True, (DRAIN,))),
    "right before the termination": (DOWN, Point("the intent", noting("intent"), True)),
    "in the wait for the node to go": (
        DOWN,
        Point("a look at the nodes", named("GET /nodes"), True, (entering("remove"),)),
    ),
    "right before a service is scaled": (SERVICE, Point("the plan", entering("apply"), True)),
    "in a rescheduling": (ALL, Point("a look at the update", named("GET /services/*"), True, (UPDATE,))),
}
STEPS: list[tuple[Act, str]] = [
    *((UP, step) for step in ("plan", "apply", "wait", "reschedule")),
    *((DOWN, step) for step in ("plan", "drain", "terminate", "remove")),
]


def _named(value: object) -> str:
    return value.name if isinstance(value, Act) else str(value)


@pytest.mark.parametrize("moment", STOPS)
def test_a_worker_that_stood_still_for_longer_than_its_lease_changes_nothing_when_it_goes_on(
    crash_setups: CrashSetups, moment: str
) -> None:
    act, point = STOPS[moment]
    with crash_setups.setup() as setup:
        before = act.prepare(setup)
        interception = setup.intercept(point, stopping)
        request = act.post(setup)
        stopped = setup.by_pid(setup.intercepted(interception))
        terms = _said(stopped, "leadership_ended")
        setup.workers.remove(stopped)
        try:
            setup.active()
        finally:
            os.kill(stopped.pid, signal.SIGCONT)  # the other is in the middle of it now
        setup.workers.append(stopped)
        act.check(setup, before, request)
        until(lambda: _said(stopped, "leadership_ended") > terms, "the end of a term that was over")
        act.check(setup, before, request)


def _said(worker: Process, event: str) -> int:
    """How often a worker has logged an event."""
    return worker.log.read_text().count(f'"{event}"')


@pytest.mark.parametrize(("act", "step"), STEPS, ids=_named)
def test_aws_away_for_30_seconds_costs_no_more_than_that(crash_setups: CrashSetups, act: Act, step: str) -> None:
    with crash_setups.setup() as setup:
        _play(setup, act, Point(f"{step}", entering(step), True), AWAY_SECONDS, _aws_away)


@pytest.mark.parametrize(
    ("act", "point"),
    [
        (UP, Point("the first record", queued, False)),
        (UP, Point("the wait", DESCRIBE, True, (entering("wait"),))),
        (DOWN, Point("the drain", entering("drain"), True)),
        (DOWN, Point("the termination", entering("terminate"), True)),
        (SERVICE, Point("the change", UPDATE, True)),
    ],
    ids=lambda value: _named(value) if isinstance(value, Act) else value.name,
)
def test_a_table_that_throttles_loses_nothing_and_dead_letters_nothing(
    crash_setups: CrashSetups, act: Act, point: Point
) -> None:
    with crash_setups.setup() as setup:
        _play(setup, act, point, THROTTLED_SECONDS, _table_throttled)


@pytest.mark.parametrize(
    ("act", "point"),
    [
        (UP, Point("the wait", DESCRIBE, True, (entering("wait"),))),
        (DOWN, Point("the drain", named("GET /tasks"), True, (DRAIN,))),
    ],
    ids=lambda value: _named(value) if isinstance(value, Act) else value.name,
)
@pytest.mark.parametrize(("seconds", "kept"), [(10.0, True), (45.0, False)], ids=["10 s", "45 s"])
def test_a_docker_socket_that_is_gone_for_a_while_is_waited_for_and_after_30_seconds_without_the_lease(
    crash_setups: CrashSetups, act: Act, point: Point, seconds: float, *, kept: bool
) -> None:
    with crash_setups.setup() as setup:
        assert any(_outlasts(setup, act, point, seconds) == kept for _ in range(TRIES))


def _outlasts(setup: CrashSetup, act: Act, point: Point, seconds: float) -> bool:
    """Whether who meets it first stays active until the socket is back; a lease may be lost beside that, once."""
    over = {worker.pid: _said(worker, "leadership_lost") for worker in setup.workers}
    intercepted = _play(setup, act, point, seconds, _socket_gone)
    return _said(setup.by_pid(intercepted), "leadership_lost") == over[intercepted]


def _play(setup: CrashSetup, act: Act, point: Point, seconds: float, fault: Fault) -> int:
    """The act, with a fault from its point on for so many seconds; the process that met it first."""
    before = act.prepare(setup)
    begin, mend = fault(setup)
    mending = Timer(seconds, mend)

    def action(_pid: int) -> bool:
        begin()
        mending.start()
        return False

    interception = setup.intercept(point, action)
    request = act.post(setup)
    intercepted = setup.intercepted(interception)
    try:
        until(lambda: not mending.is_alive(), "the end of the fault", seconds + 5)
    finally:
        mending.cancel()
        mend()
    act.check(setup, before, request)
    return intercepted


Fault = Callable[[CrashSetup], tuple[Callable[[], object], Callable[[], object]]]
"""How something goes wrong in a setup, and how it is mended (twice does no harm)."""


def _aws_away(setup: CrashSetup) -> tuple[Callable[[], object], Callable[[], object]]:
    knobs = setup.env.aws.knobs
    return lambda: knobs.set(down=["*"]), lambda: knobs.set(down=[])


def _table_throttled(setup: CrashSetup) -> tuple[Callable[[], object], Callable[[], object]]:
    knobs = setup.env.aws.knobs
    return lambda: knobs.set(errors={"dynamodb": "throttle"}), lambda: knobs.set(errors={})


def _socket_gone(setup: CrashSetup) -> tuple[Callable[[], object], Callable[[], object]]:
    def back() -> None:
        if not setup.docker.path.exists():
            setup.docker.open()

    return setup.docker.close, back


def _seconds(setup: CrashSetup, act: Act) -> float:
    """How long a request of this kind takes, from being posted to its end."""
    act.prepare(setup)
    began = time.monotonic()
    setup.caller.ended(act.post(setup))
    return time.monotonic() - began


@pytest.mark.parametrize("act", [UP, SERVICE], ids=_named)
def test_a_hanging_alertmanager_costs_2_seconds_at_the_end_and_hears_everything_later(
    crash_setups: CrashSetups, act: Act, measured: Measured
) -> None:
    with crash_setups.setup() as setup:
        normal = max(_seconds(setup, act) for _ in range(3))
        most = normal + OFFERED_SECONDS + NOISE_SECONDS
        hanging = quickest(lambda: _seconds_while_alertmanager_hangs(setup, act), most)
        measured(f"{act.name}: normal, and while Alertmanager hangs", f"{normal:.2f} s, {hanging:.2f} s")
        assert hanging <= most


def _seconds_while_alertmanager_hangs(setup: CrashSetup, act: Act) -> float:
    """The same; afterwards Alertmanager is there again, and everything is heard."""
    before = act.prepare(setup)
    setup.env.fault("alertmanager", fault="hang")
    began = time.monotonic()
    request = act.post(setup)
    record = setup.caller.ended(request)
    seconds = time.monotonic() - began
    assert record["notified"] is False
    setup.env.fault("alertmanager", fault="none")
    until(lambda: (setup.caller.record(request) or {}).get("notified"), "notices that are taken")
    act.check(setup, before, request)
    return seconds
