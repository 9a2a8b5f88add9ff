"""Managers from three to five and back to three, among them the one that the active worker speaks to."""

import pytest

from infra.lab.driver import Driver
from tests.lab.conftest import desired_workers

pytestmark = [pytest.mark.lab, pytest.mark.asyncio]

PROTECT = "com.df.scaler.protect"


async def test_managers_go_from_three_to_five_and_back_with_the_one_the_active_worker_uses(driver: Driver) -> None:
    workers = await desired_workers(driver)
    socket = (await driver.active_worker())["socket"]
    (used,) = [one["name"] for one in await driver.machines("manager") if one["socket"] == socket]
    up = await driver.succeeded(await driver.scale("up", "manager", 2))
    assert (up["nodes_before"], up["nodes_after"]) == (3, 5)
    await driver.formed(managers=5, workers=workers)
    kept = [one["name"] for one in await driver.machines("manager") if one["name"] != used][:3]
    for name in kept:
        await driver.update_node(name, Labels={PROTECT: "true"})

    down = await driver.succeeded(await driver.scale("down", "manager", 2), within=150)
    assert (down["nodes_before"], down["nodes_after"]) == (5, 3)
    await driver.formed(managers=3, workers=workers)
    await driver.owning(managers=3)
    assert sorted(one["name"] for one in await driver.machines("manager")) == sorted(kept)
    for name in kept:
        await driver.update_node(name, Labels={})
    await driver.add_worker()
    await driver.settled("demo", 6)
