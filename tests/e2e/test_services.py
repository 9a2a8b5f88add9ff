"""Services do not wait for nodes, nor for each other; a change that was made is not made again."""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.caller import DOWN, NODES, UP
from tests.e2e.crash_act import UPDATE
from tests.e2e.crash_setup import killing
from tests.e2e.docker_proxy import proxied
from tests.e2e.environment import Deployment, Environment, Measured
from tests.e2e.processes import Process
from tests.e2e.tap import Interception, Point, Tap
from tests.waiting import WITHIN, until

WORKERS = 1
_WIDE = {"com.df.scaleMax": "50"}


@pytest.fixture(autouse=True)
def _mended(env: Environment) -> Iterator[None]:
    yield
    env.mend()
    env.fault("boot", boot_delay_seconds=0.5)


def _seconds(record: dict[str, Any]) -> float:
    """From being asked for to the end, as the record says."""
    began, ended = (datetime.fromisoformat(record[name]) for name in ("requested_at", "ended_at"))
    return (ended - began).total_seconds()


def _scaled(env: Environment, service: str, rounds: int = 3) -> list[float]:
    """How long each of some scales of the service took, all of which succeeded."""
    before = env.replicas(service)
    path = f"/v1/scale-service?service={service}&scale=up&by=1"
    records = [env.caller.ended(env.caller.queued(path)) for _ in range(rounds)]
    assert [record["state"] for record in records] == ["succeeded"] * rounds
    assert env.replicas(service) == before + rounds
    return [_seconds(record) for record in records]


@pytest.mark.slow
def test_a_service_scale_ends_within_a_second_while_a_node_scale_waits_for_its_node(
    env: Environment, measured: Measured
) -> None:
    env.create("quick", 1, labels=_WIDE)
    env.fault("boot", never_join_next=1)
    request = env.caller.queued(NODES, UP)
    env.caller.at_step(request, "wait")

    taken = _scaled(env, "quick")

    waiting = env.caller.record(request)
    assert waiting is not None
    assert (waiting["state"], waiting["step"]) == ("running", "wait")
    measured("service scales while a node scale waits, seconds", taken)
    assert statistics.median(taken) < 1
    _let_it_join(env)
    assert env.caller.ended(request)["state"] == "succeeded"
    env.caller.ended(env.caller.queued(NODES, DOWN))


def _let_it_join(env: Environment) -> None:
    """AWS replaces the instance that never joined, as a person would have it do; its successor joins."""
    until(lambda: env.faults("boot")["never_join_next"] == 0, "an instance that never joins")
    (stuck,) = _instances_without_node(env)
    env.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=stuck, ShouldDecrementDesiredCapacity=False
    )


def _instances_without_node(env: Environment) -> list[str]:
    names = [env.variables["AWS_WORKER_ASG"]]
    answer = env.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=names)
    there = [one["InstanceId"] for one in answer["AutoScalingGroups"][0]["Instances"]]
    labels = [node["Description"]["Engine"]["Labels"].get("instance_id") for node in env.docker.nodes()]
    return [one for one in there if one not in labels]


@pytest.mark.parametrize("fault", ["frozen_updates", "unstoppable_services"])
def test_a_service_scale_ends_within_a_second_while_the_update_of_another_is_stuck(
    env: Environment, fault: str, measured: Measured
) -> None:
    stuck, quick = f"stuck-{fault[0]}", f"free-{fault[0]}"
    env.create(stuck, 1, labels={"com.df.reschedule": "true"}, UpdateConfig={"Monitor": 10**7})
    env.create(quick, 1, labels=_WIDE)
    until(lambda: env.running(stuck), "a task that cannot stop")
    env.fault("docker", **{fault: [stuck]})
    request = env.caller.queued(f"/v1/reschedule-service?service={stuck}")
    env.caller.at_step(request, "reschedule")
    until(lambda: env.service(stuck).get("UpdateStatus", {}).get("State") == "updating", "a stuck update")

    taken = _scaled(env, quick)

    held = env.caller.record(request)
    assert held is not None
    assert held["state"] == "running"
    measured(f"service scales while an update is stuck ({fault}), seconds", taken)
    assert statistics.median(taken) < 1
    env.mend()
    assert env.caller.ended(request)["state"] == "succeeded"


@pytest.fixture
def tapped(env: Environment) -> Iterator[tuple[Deployment, Tap]]:
    """An ingest and one worker of our own, and the tap by which comes what the worker asks of Docker."""
    tap, engine = Tap(), Path(env.variables["DOCKER_HOST"].removeprefix("unix://"))
    with (
        tempfile.TemporaryDirectory() as folder,
        proxied(Path(folder) / "docker.sock", engine, tap) as docker,
        env.deployment({"DOCKER_HOST": f"unix://{docker.path}"}) as deployment,
    ):
        yield deployment, tap


@pytest.mark.slow
def test_a_change_that_was_made_before_the_crash_is_not_made_again_over_what_a_person_did_since(
    env: Environment, tapped: tuple[Deployment, Tap]
) -> None:
    deployment, tap = tapped
    env.create("touched", 3, labels=_WIDE)
    interception = Interception(Point("after the service is scaled", UPDATE, True), killing)
    tap.set(interception)
    request = deployment.caller.queued("/v1/scale-service?service=touched&scale=up&by=2")
    assert interception.done.wait(WITHIN), "nobody scaled it"
    deployment.worker.popen.wait(10)
    assert env.replicas("touched") == 5
    assert env.service("touched")["Spec"]["Labels"]["com.df.scaler.request"] == request
    record = deployment.caller.record(request)
    assert record is not None
    assert (record["state"], record["step"]) == ("running", "apply")
    env.set_replicas("touched", 3)
    version = env.service("touched")["Version"]["Index"]

    with env.process("worker", deployment.variables):
        ended = deployment.caller.ended(request)

    assert (ended["state"], ended["message"]) == (
        "succeeded",
        "Scaling touched from 3 to 5 replicas (min: 1, max: 50)",
    )
    assert env.replicas("touched") == 3
    assert env.service("touched")["Version"]["Index"] == version
    assert len(tap.done(UPDATE)) == 1


@pytest.fixture
def pair(env: Environment) -> Iterator[Deployment]:
    """An ingest and two workers of our own."""
    with env.deployment({}, workers=2) as deployment:
        yield deployment


@pytest.mark.slow
def test_a_worker_that_wakes_up_after_its_lease_was_taken_changes_nothing_and_stands_by(
    env: Environment, pair: Deployment
) -> None:
    env.create("slept", 1, labels={"com.df.reschedule": "true"}, UpdateConfig={"Monitor": 10**7})
    env.fault("docker", frozen_updates=["slept"])
    request = pair.caller.queued("/v1/reschedule-service?service=slept")
    until(lambda: env.service("slept").get("UpdateStatus", {}).get("State") == "updating", "the update")
    sleeper = _active(pair)
    (other,) = (worker for worker in pair.workers if worker is not sleeper)
    os.kill(sleeper.pid, signal.SIGSTOP)
    try:
        until(other.is_active, "the take-over")
        env.mend()
        assert pair.caller.ended(request)["message"] == "Rescheduled service: slept"
        before = env.service("slept")["Version"]["Index"], pair.caller.record(request)
    finally:
        os.kill(sleeper.pid, signal.SIGCONT)
    until(lambda: "scaler_active 0.0" in sleeper.text("/metrics"), "the sleeper stands by")
    until(other.is_active, "who took over is still active")
    assert before == (env.service("slept")["Version"]["Index"], pair.caller.record(request))


def _active(pair: Deployment) -> Process:
    return until(lambda: next((one for one in pair.workers if one.is_active()), None), "an active worker")
