"""The tutorial's two chapters on the lab: scaling nodes by hand, and by Prometheus and Alertmanager."""

import asyncio
import sys

import pytest

from infra.lab.driver import Driver, Json
from tests.lab.conftest import desired_workers

pytestmark = [pytest.mark.lab, pytest.mark.asyncio]

CURL = """
source {env}
curl --silent --show-error --request POST \
  "$INGEST_URL/v1/scale-nodes?by=1&type=worker" --data '{{"groupLabels": {{"scale": "{direction}"}}}}'
"""

# As a person types it; boto3 stands for `aws`, which reads the same variables.
EVERYTHING = """
source {env}
curl --silent --show-error --fail "$INGEST_URL/readyz" "$ALERTMANAGER_ADDRESS/-/ready" >&2
for url in $WORKER_URLS; do curl --silent --show-error --fail "$url/healthz" >&2; done
for pid in $INGEST_PID $WORKER_PIDS; do kill -0 "$pid"; done
docker service ls >&2
{python} - <<'END'
import boto3, os
told = os.environ
queues, groups = boto3.client("sqs"), boto3.client("autoscaling")
for name in ("SQS_QUEUE_URL", "SQS_DLQ_URL"):
    queues.get_queue_attributes(QueueUrl=told[name], AttributeNames=["QueueArn"])
boto3.client("dynamodb").describe_table(TableName=told["DYNAMODB_TABLE"])
for name in ("AWS_MANAGER_ASG", "AWS_WORKER_ASG"):
    [group] = groups.describe_auto_scaling_groups(AutoScalingGroupNames=[told[name]])["AutoScalingGroups"]
    print(group["AutoScalingGroupName"], group["DesiredCapacity"])
END
"""


async def shell(script: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "bash", "-ec", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output


async def test_everything_that_the_env_file_names_answers_to_ordinary_commands(driver: Driver, lab_env: object) -> None:
    told = await shell(EVERYTHING.format(env=lab_env, python=sys.executable))
    managers, workers = (line.split() for line in told.splitlines()[-2:])
    assert managers[0].startswith("lab-ManagerAsg-")
    assert workers[0].startswith("lab-NodeAsg-")
    assert (managers[1], workers[1]) == ("3", str(await desired_workers(driver)))


async def test_a_person_adds_and_removes_a_worker_with_curl(driver: Driver, lab_env: object) -> None:
    before = await desired_workers(driver)
    told = await shell(CURL.format(env=lab_env, direction="up"))
    assert '"status":"OK"' in told
    up = await driver.newest()
    record = await driver.succeeded(up["id"])
    assert (record["nodes_before"], record["nodes_after"]) == (before, before + 1)
    await driver.formed(workers=before + 1)
    new = newest_name(await driver.machines("worker"))
    listed = await shell(f"source {lab_env}; docker node ls; docker node ps {new}")
    assert new in listed
    assert "demo." in listed
    assert (await driver.running("demo"))[(await driver.node(new))["ID"]] > 0

    await shell(CURL.format(env=lab_env, direction="down"))
    down = await driver.newest()
    assert down["id"] != up["id"]
    record = await driver.succeeded(down["id"])
    assert (record["nodes_before"], record["nodes_after"]) == (before + 1, before)
    await driver.formed(workers=before)
    await driver.settled("demo", 6)
    assert len(await driver.machines("worker")) == before


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
    await driver.slack_says(f"{before + 1} worker nodes are up, demo rescheduled", said)

    await driver.alerts_over()
    said = len(await driver.slack())
    await driver.control("PUT", "/thresholds", {"below": 0.999})
    removed = await succeeded_after(driver, record["id"])
    await driver.control("PUT", "/thresholds", {})
    assert (removed["source"], removed["scale"]) == ("alertmanager", "down")
    await driver.formed(workers=before)
    await driver.slack_says(f"Changing the number of worker nodes on aws from {before + 1} to {before}", said)
    (gone,) = [one["name"] for one in removed["plan"]["leaving"]]
    await driver.slack_says(f"{before} worker nodes are up, {gone} removed", said)


async def succeeded_after(driver: Driver, last: str | None) -> Json:
    """Wait for a request that is newer than that one, and for its success."""

    async def newer() -> str | None:
        record = await driver.newest()
        return record.get("id") if record.get("id") != last else None

    return await driver.succeeded(await driver.eventually(newer, "a request by Alertmanager"))


def newest_name(machines: list[dict[str, str]]) -> str:
    return machines[-1]["name"]
