"""Which scale-ups share a rollout."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.clock import rfc3339
from shared.errors import Unavailable
from shared.records import State
from tests.unit.desk import Desk, later, record
from worker.flows.batches import GATHER_SECONDS, Batches
from worker.flows.rollout import Rescheduler, RolloutResult
from worker.requests.plans import Rollout, UpPlan
from worker.requests.request import OpenRequest

pytestmark = pytest.mark.looptime(idle_timeout=1)


@asynccontextmanager
async def batches() -> AsyncIterator[tuple[Desk, Batches]]:
    """A desk with one labelled service, and the batches of its leadership period."""
    desk = Desk()
    desk.swarm.create("demo", 1, labels={"com.df.reschedule": "true"})
    await asyncio.sleep(2)
    events = asyncio.ensure_future(desk.leadership.events.run())
    try:
        yield desk, Batches(desk.leadership, Rescheduler(desk.leadership), desk.requests)
    finally:
        events.cancel()
        await asyncio.wait([events])


def waiting(desk: Desk, name: str, step: str, **plan: object) -> OpenRequest:
    """A scale-up in hand."""
    written = record(name, step=step, state=State.RUNNING, started_at=later(0), plan=plan)
    desk.journal.records[name] = written
    desk.requests.take(written)
    request = next(each for each in desk.requests.queued if each.id == name)
    desk.requests.begin(request)
    return request


def rollout_of(request: OpenRequest) -> Rollout | None:
    """What the record says."""
    return UpPlan.parse(request.record.plan).rollout


def serve(made: Batches, request: OpenRequest) -> "asyncio.Task[RolloutResult]":
    """Take part."""
    return asyncio.ensure_future(made.serve(request))


async def test_alone_nobody_is_waited_for() -> None:
    async with batches() as (desk, made):
        began = asyncio.get_running_loop().time()
        result = await made.serve(waiting(desk, "a", "reschedule"))
        assert result.succeeded == ("demo",)
        assert asyncio.get_running_loop().time() - began < GATHER_SECONDS + 0.4


async def test_those_whose_nodes_come_within_moments_share_one_rollout_which_all_records_name() -> None:
    async with batches() as (desk, made):
        requests = [waiting(desk, name, "wait") for name in "abc"]
        tasks = []
        for request in requests:
            await request.enter("reschedule")
            tasks.append(serve(made, request))
            await asyncio.sleep(GATHER_SECONDS / 2)
        results = [await task for task in tasks]
        assert len({id(result) for result in results}) == 1
        assert {rollout_of(request) for request in requests} == {Rollout(id="a", stamp="20261101T120002")}
        assert desk.hooks.calls.count("swarm.update_service") == 1


def raised(desk: Desk, name: str, at: float, **plan: object) -> OpenRequest:
    """A scale-up whose instances were asked for so many seconds after the start, and boot."""
    return waiting(desk, name, "wait", applied_at=rfc3339(later(at)), **plan)


@pytest.mark.parametrize(
    ("ready", "raised_at", "shared"),
    [
        (20.0, 0.0, True),
        (20.0, 9.0, True),
        (20.0, 12.0, False),  # later than half of what the first took
        (90.0, 14.0, True),
        (90.0, 16.0, False),  # nothing is waited for longer than that
    ],
)
async def test_nodes_that_come_seconds_apart_on_a_slow_machine_share_a_rollout_if_they_were_asked_for_together(
    ready: float, raised_at: float, shared: bool
) -> None:
    async with batches() as (desk, made):
        first, second = raised(desk, "a", 2.0), raised(desk, "b", 2.0 + raised_at)
        await asyncio.sleep(ready)
        await first.enter("reschedule")
        leading = serve(made, first)
        await asyncio.sleep(GATHER_SECONDS * 5)
        told = first.waiting is not None and first.waiting.what.startswith("the nodes of 1 scale-up that boot beside")
        assert told is shared
        await asyncio.sleep(5)
        await second.enter("reschedule")
        await asyncio.gather(leading, serve(made, second))
        assert (rollout_of(first) == rollout_of(second)) is shared


@pytest.mark.parametrize(
    ("failure", "least", "most"),
    [
        ({}, 10.0, 12.0),  # half as long as the first took
        ({"launch_failure": "no capacity"}, 0.0, GATHER_SECONDS + 2.0),
    ],
)
async def test_a_sibling_that_never_comes_is_waited_for_for_a_bounded_time(
    failure: dict[str, str], least: float, most: float
) -> None:
    async with batches() as (desk, made):
        first = raised(desk, "a", 2.0)
        raised(desk, "b", 2.0, **failure)
        await asyncio.sleep(20.0)
        await first.enter("reschedule")
        began = asyncio.get_running_loop().time()
        await made.serve(first)
        assert least <= asyncio.get_running_loop().time() - began < most


async def test_a_rollout_that_has_begun_is_closed() -> None:
    async with batches() as (desk, made):
        desk.swarm.times.stop_seconds = 5.0
        first = serve(made, waiting(desk, "a", "reschedule"))
        await asyncio.sleep(1)
        assert "swarm.update_service" in desk.hooks.calls
        late = waiting(desk, "b", "reschedule")
        second = serve(made, late)
        await asyncio.gather(first, second)
        (demo,) = await desk.swarm.services()
        assert rollout_of(late) == Rollout(id="b", stamp=demo.env["RESCHEDULE_DATE"])
        assert desk.hooks.calls.count("swarm.update_service") == 2


async def test_a_rollout_that_a_record_names_is_taken_up_again_without_waiting_for_anybody() -> None:
    async with batches() as (desk, made):
        rollout = {"id": "x", "stamp": "20261101T110000"}
        first = waiting(desk, "a", "reschedule", reschedule=rollout)
        second = waiting(desk, "b", "reschedule", reschedule=rollout)
        waiting(desk, "c", "wait")
        await asyncio.gather(serve(made, first), serve(made, second))
        assert rollout_of(first) == rollout_of(second) == Rollout.parse(rollout)
        assert desk.hooks.calls.count("swarm.update_service") == 1


async def test_where_the_leader_fails_all_of_its_batch_come_again() -> None:
    async with batches() as (desk, made):
        requests = [waiting(desk, name, "wait") for name in "abc"][:2]  # the third keeps the batch open
        desk.hooks.refuse("swarm.services", Unavailable("no answer"))
        for request in requests:
            await request.enter("reschedule")
        answers = await asyncio.gather(*(serve(made, each) for each in requests), return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
        again = await asyncio.gather(*(serve(made, each) for each in requests))
        assert [result.succeeded for result in again] == [("demo",), ("demo",)]


async def test_a_leader_that_is_cancelled_leaves_nobody_waiting() -> None:
    async with batches() as (desk, made):
        waiting(desk, "c", "wait")
        first = serve(made, waiting(desk, "a", "reschedule"))
        second = serve(made, waiting(desk, "b", "reschedule"))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.wait([first, second])
        assert second.cancelled()
