"""The two policies against a run: every call that ingest and a worker make is allowed, and nothing that they do not."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from infra.local import children
from infra.local.aws import ACCESS_KEY
from infra.local.aws.templates import SCALER
from infra.local.environment import Environment
from infra.local.loopback import HOST, free_ports
from infra.local.surroundings import OWN, inherited
from shared.table import Layout, record_of
from tests.unit.cloudformation.templates import allowed, read

pytestmark = pytest.mark.slow

WITHIN: Final = 60.0
INGEST_KEY: Final = "AKIAINGESTALONE00001"
BODIES: Final[list[dict[str, Any]]] = [
    {"action": "scale-nodes", "scale": "up", "type": "worker", "by": 1, "idempotency_key": "once"},
    {"action": "scale-nodes", "scale": "down", "type": "worker", "by": 1},
    {"action": "scale-nodes", "scale": "up", "type": "manager", "by": 2},
    {"action": "scale-nodes", "scale": "down", "type": "manager", "by": 1},
    {"action": "reschedule-services"},
    {"action": "scale-service", "service": "demo", "scale": "down"},
]


def actions(calls: Mapping[str, int]) -> set[str]:
    """Calls as IAM names them: a batch of SQS's needs what one message needs."""
    return {call.replace(".", ":").removesuffix("Batch") for call in calls}


async def until(probe: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(WITHIN):
            while not probe():  # noqa: ASYNC110 - the table says when, and tells nobody
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {WITHIN:.0f} s: {what}") from None


class Run:
    """Requests of every kind, first through ingest, then past it."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._aws = environment.aws
        self._sqs = environment.aws.session("AKIASENDER").client("sqs")
        self._dynamodb = environment.aws.session("AKIASENDER").client("dynamodb")

    async def through_ingest(self) -> set[str]:
        """What ingest calls, from its start: one that is told apart from the workers by its access key."""
        url = f"http://{HOST}:{next(free_ports())}"
        ingest = await self._start_ingest(url)
        try:
            await children.until(lambda: self._ready(url), [ingest], "A ready ingest", WITHIN)
            await self._ask_each_route(url)
        finally:
            await children.stop([ingest])
        return actions(self._aws.calls.counts(INGEST_KEY))

    async def _start_ingest(self, url: str) -> children.Child:
        own = {name: self._environment.variables[name] for name in OWN}
        listening = {"INGEST_HOST": HOST, "INGEST_PORT": url.rpartition(":")[2]}
        environ = {**inherited(os.environ), **own, **listening, "AWS_ACCESS_KEY_ID": INGEST_KEY}
        return await children.start("ingest", "ingest", environ, self._environment.logs / "alone.log", url)

    @staticmethod
    async def _ready(url: str) -> bool:
        with suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as http, http.get(f"{url}/readyz") as answer:
                return answer.status == 200
        return False

    @staticmethod
    async def _ask_each_route(url: str) -> None:
        async with aiohttp.ClientSession() as http:
            body = json.dumps({"groupLabels": {"scale": "up"}})
            async with http.post(f"{url}/v1/scale-service?service=demo&by=1&wait=30", data=body) as answer:
                assert answer.status == 200, await answer.text()
            async with http.get(f"{url}/v1/status") as answer:
                assert (await answer.json())["queue"]["dead_letters"] == 0
            async with http.get(f"{url}/v1/requests") as answer:
                [record] = (await answer.json())["requests"]
            async with http.get(f"{url}/v1/requests/{record['id']}") as answer:
                assert answer.status == 200, await answer.text()

    async def past_ingest(self) -> set[str]:
        """What the workers call, from their start to an end of each kind."""
        for process in self._environment.services.all:
            process.kill()
        self._aws.calls.clear()
        await self._environment.services.start_worker()
        for number, body in enumerate(BODIES):
            await self._ask({**body, "id": f"run-{number}"})
            await self._ended(f"run-{number}")
        await self._ask({"action": "nonsense"})
        await until(self._put_aside, "the dead letter")
        await self._check()
        return actions(self._aws.calls.counts(ACCESS_KEY))

    async def _check(self) -> None:
        own = {name: self._environment.variables[name] for name in OWN}
        environ = {**inherited(os.environ), **own, "AWS_ACCESS_KEY_ID": ACCESS_KEY}
        checking = await asyncio.create_subprocess_exec(sys.executable, "-m", "worker", "--check", env=environ)
        assert await checking.wait() in {0, 1}

    async def _ask(self, body: dict[str, Any]) -> None:
        queue = self._environment.variables["SQS_QUEUE_URL"]
        await asyncio.to_thread(self._sqs.send_message, QueueUrl=queue, MessageBody=json.dumps(body))

    async def _ended(self, id_: str) -> None:
        table, key = self._environment.variables["DYNAMODB_TABLE"], Layout("default").request(id_)

        def ended() -> bool:
            item = self._dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")
            return item is not None and record_of(item).state.ended

        await until(ended, f"the end of {id_}")

    def _put_aside(self) -> bool:
        queue = self._environment.variables["SQS_DLQ_URL"]
        names = ["ApproximateNumberOfMessages"]
        found = self._sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return bool(found["ApproximateNumberOfMessages"] != "0")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    async def run(folder: Path) -> tuple[set[str], set[str]]:
        async with Environment(folder, {"BOOT_DELAY": "0.2"}) as environment:
            play = Run(environment)
            return await play.through_ingest(), await play.past_ingest()

    return asyncio.run(run(tmp_path_factory.mktemp("policies")))


def policy(name: str) -> set[str]:
    return allowed(read(SCALER)["Resources"][name]["Properties"]["PolicyDocument"])


def test_a_worker_may_do_what_it_does_and_nothing_else(recorded: tuple[set[str], set[str]]) -> None:
    _, worker = recorded
    assert worker == policy("WorkerPolicy")


def test_ingest_may_do_what_it_does_and_nothing_else(recorded: tuple[set[str], set[str]]) -> None:
    ingest, _ = recorded
    assert ingest == policy("IngestPolicy")
