"""Memory after a thousand requests, and flat from there; from start to ready."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.table import Layout
from tests.e2e.caller import Caller
from tests.e2e.environment import Deployment, Environment, Measured
from tests.waiting import until

WORKERS = 0
REQUESTS = int(os.environ.get("E2E_REQUESTS", "1000"))
INGEST_MIB, WORKER_MIB, FLAT_MIB = 110, 150, 3
TRIES = 8
START_SECONDS = 2.0
_BATCH = 10
_CALLERS = 8

_BODIES = (
    {"action": "scale-service", "service": "mixed", "scale": "up"},
    {"action": "scale-nodes", "scale": "down", "type": "worker", "service": "mixed"},
    {"action": "scale-service", "service": "mixed", "scale": "down"},
    {"action": "reschedule-service", "service": "mixed"},
)
_PATHS = (
    "/v1/scale-service?service=mixed&scale=up",
    "/v1/scale-nodes?type=worker&scale=down&service=mixed",
    "/v1/scale-service?service=mixed&scale=down",
    "/v1/reschedule-service?service=mixed",
)


@pytest.fixture
def deployment(env: Environment) -> Iterator[Deployment]:
    """The processes that are measured. Their service's bounds leave nodes as they are."""
    bounds = {"com.df.scaleWorkerNodeMin": "1", "com.df.scaleWorkerNodeMax": "1", "com.df.scaleMax": "3"}
    env.create("mixed", 2, labels=bounds)
    with env.deployment({}) as deployment:
        yield deployment


def _ended(env: Environment, deployment: Deployment) -> int:
    """How many requests have ended, as the journal says: a worker that loses its lease may miss one in its count."""
    partition = Layout(str(deployment.variables["SCALER_CLUSTER"])).partition
    pages = env.client("dynamodb").get_paginator("query")
    found = pages.paginate(
        TableName=env.variables["DYNAMODB_TABLE"],
        KeyConditionExpression="pk = :pk AND begins_with(sk, :request)",
        FilterExpression="attribute_not_exists(open_at)",
        ExpressionAttributeValues={":pk": {"S": partition}, ":request": {"S": "request#"}},
        Select="COUNT",
    )
    return sum(int(page["Count"]) for page in found)


def _post(caller: Caller, number: int) -> None:
    codes = [caller.post(path).status_code for path in itertools.islice(itertools.cycle(_PATHS), number)]
    assert set(codes) == {202}


def _send(env: Environment, queue: str, number: int) -> None:
    import json

    for start in range(0, number, _BATCH):
        bodies = [_BODIES[(start + index) % len(_BODIES)] for index in range(min(_BATCH, number - start))]
        entries = [{"Id": str(index), "MessageBody": json.dumps(body)} for index, body in enumerate(bodies)]
        env.client("sqs").send_message_batch(QueueUrl=queue, Entries=entries)


def _serve(env: Environment, deployment: Deployment, number: int) -> tuple[float, float]:
    """Half of the requests over HTTP, half from the queue, to their end; ingest's and the worker's MiB afterwards."""
    before, half = _ended(env, deployment), number // 2
    callers = [Caller(deployment.ingest.url) for _ in range(_CALLERS)]
    with ThreadPoolExecutor(_CALLERS + 1) as pool:
        posts = [pool.submit(_post, caller, half // _CALLERS) for caller in callers]
        sends = pool.submit(_send, env, deployment.queue, number - half // _CALLERS * _CALLERS)
        for work in (*posts, sends):
            work.result()
    for caller in callers:
        caller.close()
    until(lambda: _ended(env, deployment) >= before + number, f"{number} ends", 400, look=1)
    return deployment.ingest.resident_mib(), deployment.worker.resident_mib()


@pytest.mark.slow
def test_memory_is_bounded_after_a_thousand_requests_and_flat_from_there(
    env: Environment, deployment: Deployment, measured: Measured
) -> None:
    """What has grown once is looked at once more: what leaks grows each time."""
    began = time.monotonic()
    held = [_serve(env, deployment, REQUESTS) for _ in range(2)]
    if max(_growth(held)) >= FLAT_MIB:
        held.append(_serve(env, deployment, REQUESTS))
    ingest, worker = held[0]
    shown = ", then ".join(f"ingest {one:.1f}, worker {other:.1f}" for one, other in held)
    measured(f"MiB after {REQUESTS} requests, and as many again", f"{shown} (in {time.monotonic() - began:.0f} s)")
    assert ingest <= INGEST_MIB
    assert worker <= WORKER_MIB
    ingest_grown, worker_grown = _growth(held)
    assert ingest_grown < FLAT_MIB
    assert worker_grown < FLAT_MIB


def _growth(held: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """By how much ingest and the worker have grown from one look to the next, where that was least."""
    steps = list(itertools.pairwise(held))
    return min(after[0] - before[0] for before, after in steps), min(after[1] - before[1] for before, after in steps)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["ingest", "worker"])
def test_a_process_is_ready_within_two_seconds_of_its_start(env: Environment, module: str, measured: Measured) -> None:
    """The best of some: the machine may be busy with other things, and nobody starts faster than they can."""
    taken: list[float] = []
    while len(taken) < TRIES and min(taken, default=START_SECONDS) >= START_SECONDS:
        with env.process(module, env.own_queue()) as process:
            until(process.is_ready if module == "ingest" else process.is_active, "ready")
            taken.append(time.monotonic() - process.began)
    measured(f"{module}: seconds from start to ready", [round(seconds, 2) for seconds in taken])
    assert min(taken) < START_SECONDS
