"""How tasks move off a node that goes, on the real Swarm: only they, and also those that a drain would lose."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from infra.lab.driver import Driver
from infra.lab.image import IMAGE
from tests.lab.conftest import desired_workers

pytestmark = [pytest.mark.lab, pytest.mark.asyncio]

SERVICES = ("limited", "first")


def sleeping(name: str, replicas: int, restarts: dict[str, Any], order: str) -> dict[str, Any]:
    """A service that does nothing, on workers."""
    return {
        "Name": name,
        "TaskTemplate": {
            "ContainerSpec": {"Image": IMAGE, "Command": ["sh", "-c", "trap 'exit 0' TERM; sleep 3600 & wait"]},
            "Placement": {"Constraints": ["node.role==worker"]},
            "RestartPolicy": {"Condition": "any", "Delay": 10**8, **restarts},
        },
        "Mode": {"Replicated": {"Replicas": replicas}},
        "UpdateConfig": {"Parallelism": 1, "Monitor": 10**9 // 2, "Order": order},
    }


@pytest_asyncio.fixture
async def quiet(driver: Driver) -> AsyncIterator[Driver]:
    """A lab with two workers or more, in which nothing is rescheduled."""
    await driver.update("demo", lambda spec: spec.update(Labels={}))
    missing = 2 - await desired_workers(driver)
    if missing > 0:
        await driver.succeeded(await driver.scale("up", by=missing))
    yield driver
    for name in SERVICES:
        await driver.swarm("DELETE", f"/services/{name}")
    await driver.update("demo", lambda spec: spec.update(Labels={"com.df.reschedule": "true"}))


async def test_only_tasks_on_the_leaving_node_move_and_one_without_an_attempt_left_does_too(quiet: Driver) -> None:
    before = await desired_workers(quiet)
    await quiet.create(sleeping("limited", before, {"MaxAttempts": 1}, "stop-first"))
    await quiet.create(sleeping("first", 2 * before, {}, "start-first"))
    for name, replicas in (("limited", before), ("first", 2 * before)):
        await quiet.settled(name, replicas)
    kept, *others = [node["Description"]["Hostname"] for node in await quiet.nodes("worker")]
    ids = {node["Description"]["Hostname"]: node["ID"] for node in await quiet.nodes("worker")}

    async def left() -> bool:
        return not (await quiet.running("limited"))[ids[kept]]

    await quiet.update_node(kept, Availability="drain")  # a person's drain uses the attempt of one slot up
    await quiet.eventually(left, "an empty node")
    await quiet.settled("limited", before)
    await quiet.update_node(kept, Availability="active")
    for name in others[1:]:
        await quiet.label_node(name, **{"com.df.scaler.protect": "true"})
    await quiet.label_node(kept, **{"com.df.scaler.protect": "true"})
    gone = others[0]
    assert (await quiet.running("limited"))[ids[gone]] > 1 or before > 2
    there = [task for task in await quiet.tasks("first") if task["Status"]["State"] == "running"]
    stay = {task["ID"] for task in there if task["NodeID"] != ids[gone]}
    record = await quiet.succeeded(await quiet.scale("down"), within=150)
    assert gone in record["message"]
    await quiet.settled("limited", before)
    running = {task["ID"] for task in await quiet.tasks("first") if task["Status"]["State"] == "running"}
    assert stay <= running
    for name in SERVICES:
        service = await quiet.swarm("GET", f"/services/{name}")
        assert service["Spec"]["TaskTemplate"]["Placement"]["Constraints"] == ["node.role==worker"]
    for name in (kept, *others[1:]):
        await quiet.label_node(name, **{"com.df.scaler.protect": "false"})
