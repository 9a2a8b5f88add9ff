"""What goes wrong in the real thing, and that each request ends as it must all the same."""

import json
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from infra.lab.driver import Driver
from infra.lab.image import MISSING_IMAGE
from infra.lab.swarm_driver import Json
from infra.lab.watching import web
from tests.lab.conftest import desired_workers

pytestmark = [pytest.mark.lab, pytest.mark.asyncio]


@pytest_asyncio.fixture
async def quiet(driver: Driver) -> AsyncIterator[Driver]:
    """A lab in which nothing is rescheduled: these tests are about nodes."""
    await driver.update("demo", lambda spec: spec.update(Labels={}))
    yield driver
    await driver.update("demo", lambda spec: spec.update(Labels={"com.df.reschedule": "true"}))
    await driver.settled("demo", 6)


async def with_workers(driver: Driver, count: int) -> None:
    """So many workers or more."""
    missing = count - await desired_workers(driver)
    if missing > 0:
        await driver.succeeded(await driver.scale("up", by=missing))


async def workers(driver: Driver) -> list[str]:
    return [one["name"] for one in await driver.machines("worker")]


async def test_another_worker_finishes_when_the_active_one_is_killed_while_waiting(quiet: Driver) -> None:
    before = await desired_workers(quiet)
    await quiet.control("PATCH", "/faults/boot", {"next_boot_delays": [4]})
    request = await quiet.scale("up")
    await quiet.in_step(request, "wait")
    os.kill((await quiet.active_worker())["pid"], signal.SIGKILL)
    record = await quiet.succeeded(request)
    assert (record["nodes_before"], record["nodes_after"]) == (before, before + 1)
    assert await desired_workers(quiet) == before + 1
    await quiet.formed(workers=before + 1)
    await quiet.add_worker()


@pytest.mark.parametrize("which", ["the leader", "the one that the active worker speaks to"])
async def test_a_managers_engine_dies_while_waiting(quiet: Driver, which: str) -> None:
    before = await desired_workers(quiet)
    name = await (the_leader if which == "the leader" else the_active_workers)(quiet)
    await quiet.control("PATCH", "/faults/boot", {"next_boot_delays": [4]})
    request = await quiet.scale("up")
    await quiet.in_step(request, "wait")
    await quiet.control("POST", f"/nodes/{name}/lose")
    record = await quiet.succeeded(request)
    assert (record["nodes_before"], record["nodes_after"]) == (before, before + 1)
    assert await desired_workers(quiet) == before + 1


async def the_leader(driver: Driver) -> str:
    """The name of the manager that leads."""
    managers = await driver.nodes("manager")
    return str(next(one["Description"]["Hostname"] for one in managers if one["ManagerStatus"].get("Leader")))


async def the_active_workers(driver: Driver) -> str:
    """The name of the manager whose socket the active worker has."""
    socket = (await driver.active_worker())["socket"]
    return str(next(one["name"] for one in await driver.machines("manager") if one["socket"] == socket))


def stubborn(replicas: int) -> dict[str, Any]:
    """A service of one task on each worker that does not stop when it is told to: a drain lasts until it is killed."""
    spec = web("stubborn", 8700, "stop-first")
    spec["TaskTemplate"]["ContainerSpec"] |= {
        "Command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
        "StopGracePeriod": 20 * 10**9,
    }
    spec["TaskTemplate"]["Placement"] = {"Constraints": ["node.role == worker"]}
    spec["Mode"]["Replicated"]["Replicas"] = replicas
    return spec


async def test_a_worker_node_dies_while_it_is_drained(quiet: Driver) -> None:
    await with_workers(quiet, 2)
    before = await desired_workers(quiet)
    await quiet.create(stubborn(before))
    request = await quiet.scale("down")
    record = await quiet.in_step(request, "drain")
    leaving = record["plan"]["leaving"][0]["name"]
    await quiet.control("POST", f"/nodes/{leaving}/lose")
    record = await quiet.succeeded(request)
    assert record["nodes_after"] == before - 1
    await quiet.formed(workers=before - 1)

    async def ended() -> bool:
        return leaving not in await workers(quiet)

    await quiet.eventually(ended, f"the end of {leaving}'s machine")
    await quiet.settled("stubborn", before)
    await quiet.swarm("DELETE", "/services/stubborn")
    await quiet.settled("demo", 6)


async def test_an_instance_that_never_joins_is_named_and_goes_first_while_services_go_their_way(quiet: Driver) -> None:
    before = await desired_workers(quiet)
    await quiet.create(web("broken", 8400, "stop-first", com_df_reschedule="true"))
    await quiet.control("PATCH", "/faults/boot", {"never_join_next": 1})
    up = await quiet.scale("up")
    await quiet.in_step(up, "wait")

    # A service's failing update, in the meantime: the image of its next tasks is nowhere.
    await quiet.update("broken", lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Image=MISSING_IMAGE))
    service = await quiet.ended(await quiet.ask("reschedule-service?service=broken"))
    assert service["state"] == "failed"
    assert "broken" in service["message"]
    assert (await quiet.record(up))["step"] == "wait"
    await quiet.swarm("DELETE", "/services/broken")

    record = await quiet.ended(up)
    assert record["state"] == "failed"
    lost = await instance_without_node(quiet)
    assert lost in record["message"]
    assert await desired_workers(quiet) == before + 1
    down = await quiet.succeeded(await quiet.scale("down"))
    assert [one["instance_id"] for one in down["plan"]["leaving"]] == [lost]
    await quiet.formed(workers=before)


async def test_a_service_pinned_to_the_node_that_should_go_is_the_reason_told(quiet: Driver) -> None:
    await with_workers(quiet, 1)
    names = await workers(quiet)
    services = [f"pinned-{number}" for number in range(len(names))]
    for service, name in zip(services, names, strict=True):
        spec = web(service, 8500, "stop-first")
        spec["TaskTemplate"]["Placement"] = {"Constraints": [f"node.hostname == {name}"]}
        spec["Mode"]["Replicated"]["Replicas"] = 1
        await quiet.create(spec)
    record = await quiet.ended(await quiet.scale("down"))
    assert record["state"] == "failed"
    assert "pinned-" in record["message"]
    assert "node.hostname == ip-" in record["message"]
    assert await desired_workers(quiet) == len(names)
    for service in services:
        await quiet.swarm("DELETE", f"/services/{service}")


async def test_a_node_that_is_cut_off_goes_first_and_what_ran_there_runs_elsewhere(quiet: Driver) -> None:
    await with_workers(quiet, 2)
    before = await desired_workers(quiet)
    spec = web("workers", 8700, "stop-first")
    spec["TaskTemplate"]["Placement"] = {"Constraints": ["node.role == worker"]}
    await quiet.create(spec)
    name = (await workers(quiet))[0]
    node = await quiet.node(name)
    ran = await running_on(quiet, node["ID"], "workers")
    assert ran
    await quiet.control("POST", f"/nodes/{name}/cut")

    async def given_up() -> bool:
        """As the simulated engine says it, too: nobody has heard that they ended, and nobody wants them."""
        wanted = {one["ID"]: one["DesiredState"] for one in await running_on(quiet, node["ID"], "workers")}
        return {wanted.get(one["ID"]) for one in ran} == {"shutdown"}

    await quiet.down(name)
    await quiet.eventually(given_up, f"other tasks for those of {name}")
    record = await quiet.succeeded(await quiet.scale("down"))
    assert [one["name"] for one in record["plan"]["leaving"]] == [name]
    await quiet.formed(workers=before - 1)
    await quiet.settled("demo", 6)
    await quiet.settled("workers", 6)
    await quiet.swarm("DELETE", "/services/workers")


async def running_on(driver: Driver, node_id: str, service: str) -> list[Json]:
    """The tasks of a service that run on a node, as far as the Swarm knows."""
    filters = json.dumps({"node": [node_id], "service": [service]})
    tasks: list[Json] = await driver.swarm("GET", "/tasks", params={"filters": filters})
    return [one for one in tasks if one["Status"]["State"] == "running"]


async def instance_without_node(driver: Driver) -> str:
    """The instance of the workers' group that no node is on."""
    labels = [node["Description"]["Engine"]["Labels"] for node in await driver.nodes()]
    known = {one.get("instance_id") for one in labels}
    instances: list[Any] = (await driver.group())["Instances"]
    (lost,) = {one["InstanceId"] for one in instances} - known
    return str(lost)
