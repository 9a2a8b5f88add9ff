"""moto under one lock: conditional writes have one winner, and without the lock they would not.

Straight into the gateway from many threads, with threads switched as often as Python can: as dense a race as
there is. Invariant 3 (one at a time) rests on these writes.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from infra.local.aws.calls import CallLog
from infra.local.aws.gateway import Gateway
from infra.local.aws.request import Request
from infra.local.aws.world import World, close_world, open_world

WRITERS = 12
ROUNDS = 40
MOST_ROUNDS_UNTIL_CAUGHT = 400


@pytest.fixture
def world() -> Iterator[World]:
    world = open_world()
    yield world
    close_world(world)


@pytest.fixture
def restless_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless_threads")
def test_a_conditional_write_has_exactly_one_winner(world: World) -> None:
    gateway = _gateway_with_table(world)
    assert [_winners(gateway, turn) for turn in range(ROUNDS)] == [1] * ROUNDS


@pytest.mark.usefixtures("restless_threads")
def test_twin_without_the_lock_two_win_sooner_or_later(world: World) -> None:
    world.lock = nullcontext()  # type: ignore[assignment] # the protection that is taken away
    gateway = _gateway_with_table(world)
    assert any(_winners(gateway, turn) != 1 for turn in range(MOST_ROUNDS_UNTIL_CAUGHT))


def _gateway_with_table(world: World) -> Gateway:
    gateway = Gateway(world, CallLog())
    table = {
        "TableName": "race",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    }
    assert gateway.handle(_request("CreateTable", table)).status == 200
    return gateway


def _winners(gateway: Gateway, turn: int) -> int:
    start = threading.Barrier(WRITERS)
    answers: list[int] = []

    def put(writer: int) -> None:
        request = _request(
            "PutItem",
            {
                "TableName": "race",
                "Item": {"pk": {"S": str(turn)}, "writer": {"N": str(writer)}},
                "ConditionExpression": "attribute_not_exists(pk)",
            },
        )
        start.wait()
        answers.append(gateway.handle(request).status)

    writers = [threading.Thread(target=put, args=[writer]) for writer in range(WRITERS)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    return answers.count(200)


def _request(action: str, body: dict[str, Any]) -> Request:
    headers = {
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIATEST/20261122/us-east-1/dynamodb/aws4_request, x",
        "x-amz-target": f"DynamoDB_20120810.{action}",
        "content-type": "application/x-amz-json-1.0",
        "host": "localhost",
    }
    return Request("POST", "/", headers, json.dumps(body).encode())
