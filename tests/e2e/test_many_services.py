"""Five hundred labelled services, rescheduled at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import pytest

from tests.e2e.environment import Deployment, Environment, Measured
from tests.e2e.processes import Process
from tests.waiting import quickest, until

WORKERS = 0
SERVICES = 500
SECONDS, MIB = 20.0, 170
_INSTANT = {"UpdateConfig": {"Parallelism": 0, "Monitor": 1}, "EndpointSpec": {"Mode": "dnsrr"}}


@contextmanager
def _watching_memory(process: Process) -> Iterator[list[float]]:
    """What the process holds, looked at twenty times a second."""
    seen, over = [process.resident_mib()], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            seen.append(process.resident_mib())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_five_hundred_labelled_services_are_rescheduled_in_under_twenty_seconds(
    env: Environment, measured: Measured
) -> None:
    for name in ("start_seconds", "stop_seconds"):
        setattr(env.swarm.config, name, 0.0)
    names = [f"service-{number:03}" for number in range(SERVICES)]
    for name in names:
        env.create(name, 1, labels={"com.df.reschedule": "please"}, **_INSTANT)
    until(lambda: len(env.docker.tasks(filters={"desired-state": "running"})) >= SERVICES, "their tasks")
    settings = {"RESCHEDULE_FILTER_LABEL": "com.df.reschedule=please"}
    with env.deployment(settings) as deployment, _watching_memory(deployment.worker) as memory:
        taken = quickest(lambda: _rescheduled(env, deployment, names), SECONDS, tries=2)
    measured(f"{SERVICES} services rescheduled", f"{taken:.1f} s, worker at most {max(memory):.0f} MiB")
    assert taken < SECONDS
    assert max(memory) < MIB


def _rescheduled(env: Environment, deployment: Deployment, names: Sequence[str]) -> float:
    """How long it took, all of them by one request."""
    record = deployment.caller.ended(deployment.caller.queued("/v1/reschedule-services"), within=120)
    assert (record["state"], record["message"]) == ("succeeded", f"{', '.join(names)} rescheduled")
    assert len({env.task_env(name)["RESCHEDULE_DATE"] for name in names}) == 1
    began, ended = (datetime.fromisoformat(record[name]) for name in ("requested_at", "ended_at"))
    return (ended - began).total_seconds()
