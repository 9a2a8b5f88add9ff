"""What AWS does by itself to machines of the real Swarm, and that nobody who uses its services notices.

Nobody calls the scaler: it hears of it by events and lifecycle hooks, as on AWS. The spot machine's test comes first:
what joins unasked is rescheduled onto at most once in ten minutes.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.lab.driver import Driver
from infra.lab.watching import REPLICAS, Seen, watching, web
from tests.lab.conftest import desired_workers

pytestmark = [pytest.mark.lab, pytest.mark.asyncio]

WORKERS = 5
STARTING, STOPPING = ("starting", 8600), ("stopping", 8100)
LOOKS = 15
"""0.2 seconds apart."""
NOTICE_SECONDS = 15
"""Two minutes on AWS."""


@pytest.fixture(scope="module")
def five_workers(lab_env: Path) -> Iterator[None]:
    """Five workers, and as many as before afterwards."""
    before = asyncio.run(scaled(lab_env, WORKERS))
    yield
    asyncio.run(scaled(lab_env, before))


async def scaled(env: Path, wanted: int) -> int:
    """Have so many workers; how many there were."""
    async with Driver(env) as driver:
        before = await desired_workers(driver)
        if wanted != before:
            await driver.succeeded(await driver.scale("up" if wanted > before else "down", by=abs(wanted - before)))
            await driver.formed(workers=wanted)
        return before


@pytest_asyncio.fixture
async def five(five_workers: None, driver: Driver) -> AsyncIterator[Driver]:
    """The lab with five workers, and on these, and nowhere else, a service of each update order."""
    await driver.update("demo", lambda spec: spec.update(Labels={}))
    for (name, base), order in ((STARTING, "start-first"), (STOPPING, "stop-first")):
        spec = web(name, base, order, com_df_reschedule=str(order == "start-first").lower())
        spec["TaskTemplate"]["Placement"] = {"Constraints": ["node.role == worker"]}
        await driver.create(spec)
    await steady(driver)
    yield driver
    for name, _ in (STARTING, STOPPING):
        await driver.swarm("DELETE", f"/services/{name}")
    await driver.update("demo", lambda spec: spec.update(Labels={"com.df.reschedule": "true"}))
    await driver.settled("demo", 6)


async def test_a_spot_machine_is_empty_before_it_dies_and_its_successor_is_used(
    five: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    name = await busiest(five)
    node, instance = (await five.node(name))["ID"], (await five.machine(name))["instance_id"]
    there = (await five.running("stopping"))[node]
    assert there >= 1
    assert (await five.running("starting"))[node] >= 1
    known = {one["ID"] for one in await five.nodes()}
    async with watching(five, STARTING, STOPPING) as (starting, stopping):
        await five.control("POST", f"/instances/{name}/interrupt", {"notice_seconds": NOTICE_SECONDS})
        await emptied(five, node)
        assert (await five.machine(name))["alive"]
        assert (await five.node(name))["Spec"]["Availability"] == "drain"
        await gone(five, instance)
        await five.formed(workers=WORKERS)
        (successor,) = {one["ID"] for one in await five.nodes()} - known
        await runs_on(five, "starting", successor)
        await rescheduled(five)
    record = await five.succeeded(await departure(five, instance, "spot interruption"))
    tell(capsys, starting, stopping)
    assert record["message"].startswith(f"{name} left (spot interruption): everything that ran there runs elsewhere")
    assert_served(starting)
    assert_served(stopping)
    assert starting.fewest == REPLICAS
    assert stopping.fewest >= REPLICAS - there  # a drain is stop-first: see docs/lab.md


async def test_a_refresh_of_all_five_workers_costs_a_start_first_service_nothing(
    five: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    old = {one["instance_id"] for one in await five.machines("worker")}
    asked = len(await five.records("scale-nodes"))
    async with watching(five, STARTING) as (starting,):
        await five.control("POST", "/groups/worker/refresh", {"protected": "Refresh"})
        for instance in old:
            await gone(five, instance)
        await five.formed(workers=WORKERS)
    tell(capsys, starting)
    assert_served(starting)
    assert starting.fewest == REPLICAS
    for instance in old:
        record = await five.succeeded(await departure(five, instance, "termination"))
        assert record["message"].endswith("everything that ran there runs elsewhere; its node is removed")
    assert len(await five.records("scale-nodes")) == asked


async def steady(driver: Driver) -> None:
    """Wait until all replicas stay: one whose port a replica of the test before still holds begins anew."""
    async with watching(driver, STARTING, STOPPING) as services:

        async def unchanged() -> bool:
            return all([count for _, count in one.counts[-LOOKS:]] == [REPLICAS] * LOOKS for one in services)

        await driver.eventually(unchanged, f"{LOOKS} looks at all replicas, one after the other")


async def busiest(driver: Driver) -> str:
    """The name of the worker with the most tasks of the services."""
    running = [await driver.running(name) for name, _ in (STARTING, STOPPING)]
    nodes = {one["ID"]: str(one["Description"]["Hostname"]) for one in await driver.nodes("worker")}
    return nodes[max(nodes, key=lambda node: sum(tasks[node] for tasks in running))]


async def emptied(driver: Driver, node: str) -> None:
    """Wait until nothing runs on a node."""

    async def empty() -> bool:
        filters = json.dumps({"node": [node]})
        tasks = await driver.swarm("GET", "/tasks", params={"filters": filters})
        return not [one for one in tasks if one["Status"]["State"] == "running"]

    await driver.eventually(empty, "an empty node")


async def gone(driver: Driver, instance: str) -> None:
    """Wait until an instance's machine has lost its power."""

    async def lost() -> bool:
        return instance not in {one["instance_id"] for one in await driver.machines()}

    await driver.eventually(lost, f"the end of {instance}")


async def runs_on(driver: Driver, service: str, node: str) -> None:
    """Wait until a task of the service runs there."""

    async def used() -> bool:
        return (await driver.running(service))[node] > 0

    await driver.eventually(used, f"a task of {service} on the node that joined")


async def rescheduled(driver: Driver) -> None:
    """Wait until the rescheduling that nobody asked for is over."""
    record = await driver.succeeded(str((await driver.newest("reschedule-services"))["id"]))
    assert record["source"] == "swarm"


async def departure(driver: Driver, instance: str, cause: str) -> str:
    """The id of the request that did the work."""
    records = await driver.records("node-leaving")
    mine = [one for one in records if (one["request"]["instance"], one["request"]["cause"]) == (instance, cause)]
    return str(mine[-1]["id"])


def assert_served(seen: Seen) -> None:
    assert seen.failures == 0, str(seen)
    assert seen.answers > 100, str(seen)


def tell(capsys: pytest.CaptureFixture[str], *services: Seen) -> None:
    with capsys.disabled():
        sys.stdout.write("".join(f"\n{one}" for one in services) + "\n")
