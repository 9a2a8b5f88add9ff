"""A worker that hardly gets the processor: stopped and continued by signals, which starves it however fast the machine.

What it has begun goes on; the lease is kept for as long as a stall is shorter than its margin, two thirds of the lease
less a call; and after a longer one, when another worker has taken over, nothing is done a second time.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.caller import DOWN, NODES, UP
from tests.e2e.environment import Deployment, Environment
from tests.e2e.processes import Process
from tests.waiting import until

WORKERS = 0
LEASE_SECONDS = 6.0
SETTINGS = {"LEASE_SECONDS": f"{LEASE_SECONDS:.0f}"}
STOPPED_SECONDS, RUNNING_SECONDS = 0.8, 0.2
_CHANGES = ("SetDesiredCapacity", "TerminateInstanceInAutoScalingGroup")
_WITHIN = 120.0


@contextmanager
def starving(process: Process) -> Iterator[None]:
    """It gets a fifth of the time, in pieces."""
    over = threading.Event()

    def pulses() -> None:
        while not over.wait(RUNNING_SECONDS):
            os.kill(process.pid, signal.SIGSTOP)
            over.wait(STOPPED_SECONDS)
            os.kill(process.pid, signal.SIGCONT)

    thread = threading.Thread(target=pulses, name="pulses")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def deployment(env: Environment) -> Iterator[Deployment]:
    """An ingest and two workers, and one labelled service; at the end the group is as it was."""
    env.create("starved", 3, labels={"com.df.reschedule": "starved"})
    with env.deployment({"RESCHEDULE_FILTER_LABEL": "com.df.reschedule=starved"}, workers=2) as deployment:
        yield deployment
    env.fault("boot", boot_delay_seconds=0.5)
    env.on_loop(lambda: env.swarm.control.remove_service("starved"))


def _active(deployment: Deployment) -> Process:
    return until(lambda: next((one for one in deployment.workers if one.is_active()), None), "an active worker")


def _other(deployment: Deployment, process: Process) -> Process:
    return next(one for one in deployment.workers if one is not process)


def _events(process: Process) -> list[str]:
    """What it has logged."""
    lines = process.log.read_text().splitlines()
    return [json.loads(line)["event"] for line in lines if line.startswith("{")]


def _changes(env: Environment, since: float) -> list[int]:
    return [env.calls(action, since) for action in _CHANGES]


@pytest.mark.slow
def test_a_starved_worker_keeps_its_lease_and_does_everything_once(env: Environment, deployment: Deployment) -> None:
    worker, began = _active(deployment), time.time()
    with starving(worker):
        up = deployment.caller.ended(deployment.caller.queued(NODES, UP), within=_WITHIN)
        assert (up["state"], up["nodes_before"], up["nodes_after"]) == ("succeeded", 1, 2), up
        stamp = env.task_env("starved")["RESCHEDULE_DATE"]
        down = deployment.caller.ended(deployment.caller.queued(NODES, DOWN), within=_WITHIN)
        assert (down["state"], down["nodes_after"]) == ("succeeded", 1), down
    assert _changes(env, began) == [1, 1]
    assert env.task_env("starved")["RESCHEDULE_DATE"] == stamp
    assert len(env.nodes()) == env.desired() == 1
    assert worker.is_active()
    assert _events(worker).count("leadership_begun") == 1
    assert "leadership_begun" not in _events(_other(deployment, worker))


@pytest.mark.slow
@pytest.mark.parametrize("step", ["wait", "drain"])
def test_after_a_stall_longer_than_the_lease_nothing_is_done_twice(
    env: Environment, deployment: Deployment, step: str
) -> None:
    """It goes on where it was stopped, in the middle of a request that another worker has taken over and ended."""
    worker, began = _active(deployment), time.time()
    other = _other(deployment, worker)
    env.fault("boot", boot_delay_seconds=3.0)
    if step == "drain":
        deployment.caller.ended(deployment.caller.queued(NODES, UP), within=_WITHIN)
    asked = deployment.caller.queued(NODES, DOWN if step == "drain" else UP)
    deployment.caller.at_step(asked, step)
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        until(other.is_active, "the take-over", 3 * LEASE_SECONDS)
        record = deployment.caller.ended(asked, within=_WITHIN)
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    assert record["state"] == "succeeded", record
    until(lambda: "leadership_ended" in _events(worker), "the worker that was stopped knows that it is not active")
    if step == "wait":
        deployment.caller.ended(deployment.caller.queued(NODES, DOWN), within=_WITHIN)
    assert _changes(env, began) == [1, 1]
    assert len(env.nodes()) == env.desired() == 1
    assert other.is_active()
