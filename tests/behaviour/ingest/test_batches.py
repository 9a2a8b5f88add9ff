"""Sends that share a round trip, on fake time: who goes with whom, and who is told what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from ingest.batches import MOST_BYTES, MOST_MESSAGES, SENDERS, Batches
from shared.errors import Refused, ScalerError, Unavailable

pytestmark = pytest.mark.looptime

ROUND_TRIP = 0.01
LONGEST = timedelta(seconds=3.5)


@dataclass
class Queue:
    """What stands in for SQS: a round trip for each batch. `failing` messages fail alone."""

    batches: list[list[str]] = field(default_factory=list)
    failing: dict[str, ScalerError] = field(default_factory=dict)
    failure: ScalerError | None = None
    silent: bool = False
    under_way: int = 0
    most_under_way: int = 0

    async def deliver(self, bodies: Sequence[str]) -> Sequence[ScalerError | None]:
        self.batches.append(list(bodies))
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            await (asyncio.Event().wait() if self.silent else asyncio.sleep(ROUND_TRIP))
        finally:
            self.under_way -= 1
        if self.failure is not None:
            raise self.failure
        return [self.failing.get(body) for body in bodies]


@asynccontextmanager
async def sending(queue: Queue) -> AsyncIterator[tuple[Batches, asyncio.TaskGroup]]:
    """Batches over the queue, and a group for their callers, who are waited for at the end."""
    async with asyncio.TaskGroup() as senders:
        batches = Batches(queue.deliver, senders, LONGEST)
        async with asyncio.TaskGroup() as callers:
            yield batches, callers
        batches.stop()


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_lone_message_waits_for_nobody() -> None:
    queue = Queue()
    async with sending(queue) as (batches, _):
        for text in ("a", "b"):
            before = now()
            await batches.send(text)
            assert now() - before == pytest.approx(ROUND_TRIP)
    assert queue.batches == [["a"], ["b"]]


async def test_a_message_beside_others_under_way_goes_at_once_while_a_sender_is_free() -> None:
    queue = Queue()
    async with sending(queue) as (batches, callers):
        for number in range(SENDERS):
            callers.create_task(batches.send(f"{number}"))
            await asyncio.sleep(ROUND_TRIP / 10)
        assert queue.batches == [[f"{number}"] for number in range(SENDERS)]


async def test_what_comes_while_all_are_under_way_shares_the_next_batches() -> None:
    queue = Queue()
    async with sending(queue) as (batches, callers):
        for number in range(SENDERS):
            callers.create_task(batches.send(f"first {number}"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        later = [callers.create_task(batches.send(f"{number}")) for number in range(15)]
        await asyncio.sleep(ROUND_TRIP / 2)
        assert len(queue.batches) == SENDERS
        before = now()
        await asyncio.gather(*later)
        assert now() - before < 2 * ROUND_TRIP
    assert queue.batches[SENDERS:] == [[f"{number}" for number in range(10)], [f"{number}" for number in range(10, 15)]]


async def test_what_comes_in_one_turn_goes_together_ten_at_a_time() -> None:
    queue = Queue()
    async with sending(queue) as (batches, callers):
        for number in range(100):
            callers.create_task(batches.send(f"{number}"))
    assert [len(batch) for batch in queue.batches] == [MOST_MESSAGES] * 10
    assert sorted(int(body) for batch in queue.batches for body in batch) == list(range(100))
    assert queue.most_under_way == SENDERS


async def test_no_batch_is_longer_than_one_mib() -> None:
    queue = Queue()
    bodies = ["x" * (MOST_BYTES // 3)] * 4 + ["y" * MOST_BYTES, "z", "z" * (MOST_BYTES - 1), "z"]
    async with sending(queue) as (batches, callers):
        for body in bodies:
            callers.create_task(batches.send(body))
    assert [[len(body) for body in batch] for batch in queue.batches] == [
        [MOST_BYTES // 3] * 3,
        [MOST_BYTES // 3],
        [MOST_BYTES],
        [1, MOST_BYTES - 1],
        [1],
    ]


async def test_a_message_that_fails_fails_its_caller_alone() -> None:
    queue = Queue(failing={"3": Refused("SQS: no"), "5": Unavailable("SQS: later")})
    async with sending(queue) as (batches, callers):
        tasks = [callers.create_task(_outcome(batches, f"{number}")) for number in range(8)]
        outcomes = await asyncio.gather(*tasks)
    assert len(queue.batches) == 1
    assert {number: str(error) for number, error in enumerate(outcomes) if error} == {3: "SQS: no", 5: "SQS: later"}


async def test_a_call_that_fails_fails_those_who_were_in_it() -> None:
    queue = Queue(failure=Unavailable("SQS: away"))
    async with sending(queue) as (batches, callers):
        lost = await asyncio.gather(*[callers.create_task(_outcome(batches, f"{number}")) for number in range(3)])
        queue.failure = None
        assert await _outcome(batches, "next") is None
    assert [str(error) for error in lost] == ["SQS: away"] * 3


async def test_nobody_waits_longer_than_the_longest_time_not_even_behind_others() -> None:
    queue = Queue(silent=True)
    async with sending(queue) as (batches, callers):
        before = now()
        tasks = [callers.create_task(_outcome(batches, f"{number}")) for number in range(200)]
        outcomes = await asyncio.gather(*tasks)
        assert now() - before == pytest.approx(LONGEST.total_seconds(), abs=0.1)
    assert {str(error) for error in outcomes} == {"SQS: no answer in time"}
    assert len(queue.batches) == SENDERS  # what was not sent never is


async def test_who_goes_away_before_the_turn_is_not_sent_and_costs_nobody_anything() -> None:
    queue = Queue()
    async with sending(queue) as (batches, callers):
        tasks = [callers.create_task(_outcome(batches, f"{number}")) for number in range(60)]
        await asyncio.sleep(ROUND_TRIP / 2)
        tasks[0].cancel()  # under way
        tasks[59].cancel()  # waiting
        with suppress(asyncio.CancelledError):
            await tasks[59]
        assert await asyncio.gather(*tasks[1:59]) == [None] * 58
    assert "59" not in {body for batch in queue.batches for body in batch}


async def test_a_stop_gives_up_what_is_under_way() -> None:
    queue = Queue(silent=True)
    async with sending(queue) as (batches, callers):
        caller = callers.create_task(_outcome(batches, "a"))
        await asyncio.sleep(ROUND_TRIP)
        batches.stop()
        assert str(await caller) == "SQS: the send was given up"


async def _outcome(batches: Batches, body: str) -> ScalerError | None:
    """What a caller is told."""
    try:
        await batches.send(body)
    except ScalerError as error:
        return error
    return None
