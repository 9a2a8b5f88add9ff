"""The environment as a whole, with the real processes: the main job through HTTP, SQS and a crash."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from localstack_client.session import Session

from infra.local.aws import WORKER_ASG
from infra.local.children import SetUpFailed
from infra.local.environment import Environment
from infra.local.facts import Eyes
from infra.local.loopback import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

QUICK = {**os.environ, "BOOT_DELAY": "0.5", "LEASE_SECONDS": "6"}
PATH = "/v1/scale-nodes?by=1&type=worker"
ENV_FILE = {
    *("INGEST_URL", "WORKER_URLS", "INGEST_PID", "WORKER_PIDS", "DOCKER_HOST", "AWS_ENDPOINT_URL"),
    *("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SQS_QUEUE_URL", "SQS_DLQ_URL"),
    *("DYNAMODB_TABLE", "AWS_MANAGER_ASG", "AWS_WORKER_ASG", "ALERTMANAGER_ADDRESS", "CONTROL_URL", "SCALER_URL"),
}


class Place:
    """One environment, and what a test does with it."""

    def __init__(self, environment: Environment, eyes: Eyes) -> None:
        self.environment = environment
        self.eyes = eyes

    async def scale(self, direction: str) -> str:
        """Where the record will be."""
        body = b'{"groupLabels": {"scale": "%s"}}' % direction.encode()
        status, location, _ = await self.eyes.post(PATH, body, "application/x-www-form-urlencoded")
        assert status == 202
        return location

    async def ended(self, location: str, within: float = 40.0) -> dict[str, Any]:
        async with asyncio.timeout(within):
            while True:
                record = await self.eyes.record(location)
                if record is not None and record["ended_at"] is not None:
                    return record
                await asyncio.sleep(0.05)

    async def step(self, location: str, name: str, within: float = 10.0) -> None:
        async with asyncio.timeout(within):
            while ((await self.eyes.record(location)) or {}).get("step") != name:  # noqa: ASYNC110 - see `ended`
                await asyncio.sleep(0.02)

    def changes(self, since: float) -> Counter[str]:
        return Counter({name: len(moments) for name, moments in self.eyes.changes_since(since).items()})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("environment")
    greeted: list[tuple[bool, bool]] = []

    async def greet(environment: Environment) -> None:
        greeted.append((environment.services.ingest.alive, (folder / "env").exists()))

    async with Environment(folder, QUICK, greet=greet) as environment, Eyes(environment) as eyes:
        assert greeted == [(True, False)], "who waits for the file may end everything as soon as it is there"
        yield Place(environment, eyes)
    assert not (folder / "env").exists()
    assert not any(child.alive for child in environment.services.all)


async def test_it_stands_as_the_contract_says(place: Place) -> None:
    cluster = await place.eyes.cluster()
    assert (len(cluster.managers), len(cluster.workers), cluster.desired) == (3, 1, 1)
    assert Counter(node.role for node in cluster.nodes if node.ready) == {"manager": 3, "worker": 1}
    assert cluster.running == 6
    assert len(place.environment.services.workers) == 2
    assert await place.environment.services.active_worker() is not None


async def test_the_env_file_can_be_sourced(place: Place) -> None:
    command = ["bash", "-c", f"set -u; source {place.environment.folder}/env; env -0"]
    output = await asyncio.to_thread(subprocess.check_output, command, env={"PATH": os.environ["PATH"]}, text=True)
    found = dict(line.split("=", 1) for line in output.split("\0") if line)
    assert found.keys() >= ENV_FILE
    assert found["WORKER_PIDS"].split() == [str(child.pid) for child in place.environment.services.workers]
    assert found.items() >= place.environment.variables.items()


async def test_one_node_more_and_one_less_by_http(place: Place) -> None:
    begun, before = time.time(), await place.eyes.cluster()
    up = await place.ended(await place.scale("up"))
    two = await place.eyes.cluster()
    assert up["message"].endswith("2 worker nodes are up, demo rescheduled")
    assert (two.desired, two.running) == (2, 6)
    [new] = [node for node in two.nodes if node.id not in {known.id for known in before.nodes}]
    assert new.ready
    assert new.tasks > 0
    down = await place.ended(await place.scale("down"))
    after = await place.eyes.cluster()
    assert down["state"] == "succeeded"
    assert (after.desired, after.running) == (1, 6)
    assert len(after.nodes) == 4
    assert place.changes(begun) == {"SetDesiredCapacity": 1, "TerminateInstanceInAutoScalingGroup": 1}
    summaries = [message.summary for message in place.environment.receiver.board.messages]
    assert [summary for summary, _ in groupby(summaries)] == [  # one whose answer is lost is told again
        "Changing the number of worker nodes on aws from 1 to 2",
        "Waiting for worker nodes to scale from 1 to 2 for rescheduling",
        "2 worker nodes are up, demo rescheduled",
        "Changing the number of worker nodes on aws from 2 to 1",
        down["message"].partition("; ")[2],
    ]


async def test_a_message_written_straight_to_sqs_does_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in place.environment.variables.items():
        monkeypatch.setenv(name, value)
    sqs = await asyncio.to_thread(Session().client, "sqs")
    for direction, desired in (("up", 2), ("down", 1)):
        body = f'{{"action": "scale-nodes", "scale": "{direction}", "type": "worker", "by": 1}}'
        queue = os.environ["SQS_QUEUE_URL"]
        sent = await asyncio.to_thread(sqs.send_message, QueueUrl=queue, MessageBody=body)
        record = await place.ended(f"/v1/requests/{sent['MessageId']}")
        assert (record["state"], record["source"]) == ("succeeded", "sqs")
        assert (await place.eyes.cluster()).desired == desired


async def test_a_worker_that_dies_in_the_middle_of_the_wait_is_replaced_and_nothing_is_done_twice(place: Place) -> None:
    """Invariants 1 and 2."""
    services, begun = place.environment.services, time.time()
    active = await services.active_worker()
    assert active is not None
    place.environment.boot.set(next_boot_delays=[10.0])
    location = await place.scale("up")
    await place.step(location, "wait")
    active.kill()
    assert await active.ended() == "killed by SIGKILL"
    async with asyncio.timeout(30):
        while (successor := await services.active_worker()) is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.02)
    assert successor is not active
    record = await place.ended(location)
    assert record["state"] == "succeeded"
    assert place.changes(begun) == {"SetDesiredCapacity": 1}
    assert not active.alive
    await place.ended(await place.scale("down"))


async def test_another_environment_may_stand_beside_it_but_not_in_its_folder(place: Place, tmp_path: Path) -> None:
    with pytest.raises(SetUpFailed, match="already"):
        await Environment(place.environment.folder, QUICK).__aenter__()
    deep = tmp_path / ("long" * 20)
    async with Environment(deep, QUICK, workers=1) as other, Eyes(other) as eyes:
        assert len(other.docker_socket) < 100
        assert (await eyes.cluster()).running == 6
        assert other.aws.endpoint != place.environment.aws.endpoint
        groups = other.aws.session().client("autoscaling")
        await asyncio.to_thread(groups.set_desired_capacity, AutoScalingGroupName=WORKER_ASG, DesiredCapacity=2)
        assert (await place.eyes.cluster()).desired == 1
    assert not Path(other.docker_socket).parent.joinpath("docker.sock").exists()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"LEASE_SECONDS": "1"}, "worker-1 ended with exit code 2.*LEASE_SECONDS"),
        ({"INGEST_PORT": "hundred"}, "ingest ended with exit code 2.*INGEST_PORT"),
        ({"BOOT_DELAY": "soon"}, "BOOT_DELAY"),
    ],
)
async def test_what_cannot_be_set_up_says_why_and_leaves_nothing(
    tmp_path: Path, settings: dict[str, str], complaint: str
) -> None:
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(SetUpFailed, match=f"(?s){complaint}"):
        await Environment(tmp_path, {**QUICK, **settings}, workers=1).__aenter__()
    assert not (tmp_path / "env").exists()
    assert set(psutil.Process().children(recursive=True)) <= before


async def test_settings_and_ports_are_passed_on(tmp_path: Path) -> None:
    port = next(free_ports())
    given = {"WEBHOOK_TOKEN": "secret", "SERVER_PREFIX": "/scaler", "INGEST_PORT": str(port), "WORKER_PORT": "0"}
    async with Environment(tmp_path, {**QUICK, **given}, workers=1) as environment, Eyes(environment) as eyes:
        assert environment.url == f"http://127.0.0.1:{port}"
        assert environment.variables["WORKER_URLS"] == ""
        told = (tmp_path / "env").read_text()
        assert "export WEBHOOK_TOKEN=secret\nexport SCALER_TOKEN=secret\n" in told
        assert f"export SCALER_URL={environment.url}\n" in told
        status, location, _ = await eyes.post(f"/scaler{PATH}&scale=up", b"", "text/plain")
        assert status == 202
        assert location.startswith("/scaler/v1/requests/")
