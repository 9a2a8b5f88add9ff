"""The tutorial's two chapters on the lab: scaling nodes by hand, and by Prometheus and Alertmanager."""

import json

import pytest

from infra.lab.driver import Driver
from infra.lab.swarm_driver import Json
from tests.e2e.caller import up
from tests.lab.conftest import desired_workers, shell

pytestmark = [pytest.mark.lab, pytest.mark.asyncio]

CURL = """
source {env}
curl --silent --show-error --request POST \
  "$INGEST_URL/v1/scale-nodes?by=1&type=worker" --data '{{"groupLabels": {{"scale": "{direction}"}}}}'
"""


async def test_a_person_adds_and_removes_a_worker_with_curl(driver: Driver, lab_env: object) -> None:
    before = await desired_workers(driver)
    up = json.loads(await shell(CURL.format(env=lab_env, direction="up")))
    assert up["status"] == "OK"
    record = await driver.succeeded(up["id"])
    assert (record["nodes_before"], record["nodes_after"]) == (before, before + 1)
    await driver.formed(workers=before + 1)
    new = newest_name(await driver.machines("worker"))
    listed = await shell(f"source {lab_env}; docker node ls; docker node ps {new}")
    assert new in listed
    assert "demo." in listed
    assert (await driver.running("demo"))[(await driver.node(new))["ID"]] > 0

    down = json.loads(await shell(CURL.format(env=lab_env, direction="down")))
    assert down["id"] != up["id"]
    record = await driver.succeeded(down["id"])
    assert (record["nodes_before"], record["nodes_after"]) == (before + 1, before)
    await driver.formed(workers=before)
    await driver.settled("demo", 6)
    await driver.owning(workers=before)


async def test_memory_above_the_threshold_adds_a_worker_and_below_it_removes_one(driver: Driver) -> None:
    before = await desired_workers(driver)
    await driver.alerts_over()
    said, last = len(await driver.slack()), (await driver.newest()).get("id")
    await driver.control("PUT", "/thresholds", {"above": 0.005})
    record = await succeeded_after(driver, last)
    assert record["source"] == "alertmanager"
    await driver.control("PUT", "/thresholds", {})
    await driver.formed(workers=before + 1)
    await driver.slack_says(f"Changing the number of worker nodes on aws from {before} to {before + 1}", said)
    waiting = f"Waiting for worker nodes to scale from {before} to {before + 1} for rescheduling"
    await driver.slack_says(waiting, said)
    await driver.slack_says(f"{up('worker', before + 1)}, demo rescheduled", said)

    await driver.alerts_over()
    said = len(await driver.slack())
    await driver.control("PUT", "/thresholds", {"below": 0.999})
    removed = await succeeded_after(driver, record["id"])
    await driver.control("PUT", "/thresholds", {})
    assert (removed["source"], removed["scale"]) == ("alertmanager", "down")
    await driver.formed(workers=before)
    await driver.slack_says(f"Changing the number of worker nodes on aws from {before + 1} to {before}", said)
    (gone,) = [one["name"] for one in removed["plan"]["leaving"]]
    await driver.slack_says(f"{up('worker', before)}, {gone} removed", said)


async def succeeded_after(driver: Driver, last: str | None) -> Json:
    """Wait for a request that is newer than that one, and for its success."""

    async def newer() -> str | None:
        record = await driver.newest()
        return record.get("id") if record.get("id") != last else None

    return await driver.succeeded(await driver.eventually(newer, "a request by Alertmanager"))


def newest_name(machines: list[dict[str, str]]) -> str:
    return machines[-1]["name"]
