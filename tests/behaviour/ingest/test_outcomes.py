"""Waiting: one reader for all, on fake time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from ingest.outcomes import INTERVAL, MOST, NotYet, Outcome, Outcomes
from shared.errors import Unavailable
from shared.records import State
from tests.fakes.ingest import FakeJournal, record

pytestmark = pytest.mark.looptime

MINUTE = timedelta(minutes=1)


@asynccontextmanager
async def reading(journal: FakeJournal) -> AsyncIterator[tuple[Outcomes, asyncio.TaskGroup]]:
    outcomes = Outcomes(journal)
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(outcomes.run())
        yield outcomes, group
        reader.cancel()


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_an_end_is_seen_within_one_interval() -> None:
    journal = FakeJournal()
    async with reading(journal) as (outcomes, group):
        waiter = group.create_task(outcomes.outcome("r", MINUTE))
        await asyncio.sleep(10.07)
        journal.write(record("r", State.RUNNING))
        await asyncio.sleep(1)
        assert not waiter.done()
        ended = journal.write(record("r", message="done"))
        before = now()
        assert await waiter == ended
        assert now() - before <= INTERVAL.total_seconds()


async def test_what_does_not_end_in_time_is_not_yet() -> None:
    async with reading(FakeJournal()) as (outcomes, _):
        before = now()
        assert await outcomes.outcome("r", MINUTE) == NotYet("not ended within 60 seconds")
        assert now() - before == pytest.approx(60)
        assert outcomes.waiting == 0


async def test_nobody_waiting_nothing_is_read() -> None:
    journal = FakeJournal()
    async with reading(journal) as (outcomes, _):
        await asyncio.sleep(3600)
        assert journal.reads == []
        await outcomes.outcome("r", timedelta(seconds=1))
        reads = len(journal.reads)
        await asyncio.sleep(3600)
        assert reads <= 7
        assert len(journal.reads) <= reads + 1


async def test_a_hundred_wait_on_one_read_each_interval_and_no_more_than_a_hundred() -> None:
    journal = FakeJournal()
    async with reading(journal) as (outcomes, group):
        waiters = [group.create_task(outcomes.outcome(f"r{n}", MINUTE)) for n in range(MOST)]
        await asyncio.sleep(10)
        assert await outcomes.outcome("one more", MINUTE) == NotYet("too many are waiting already")
        assert len(journal.reads) <= 10 / INTERVAL.total_seconds() + 2
        assert len(journal.reads[-1]) == 100
        for n in range(MOST):
            journal.write(record(f"r{n}", message=f"{n}"))
        ends = await asyncio.gather(*waiters)
        assert [messages(end) for end in ends] == [f"{n}" for n in range(MOST)]


async def test_a_duplicate_gets_the_outcome_of_the_first() -> None:
    journal = FakeJournal()
    async with reading(journal) as (outcomes, group):
        journal.write(record("first", State.RUNNING))
        journal.write(record("second", State.SKIPPED, "duplicate of first", duplicate_of="first"))
        waiters = [group.create_task(outcomes.outcome(name, MINUTE)) for name in ("second", "first", "second")]
        await asyncio.sleep(5)
        assert not any(waiter.done() for waiter in waiters)
        first = journal.write(record("first", State.FAILED, "no room"))
        again = first.but(message="Duplicate of request first: no room")
        assert await asyncio.gather(*waiters) == [again, first, again]


async def test_a_duplicate_of_nothing_ends_as_itself() -> None:
    journal = FakeJournal()
    second = journal.write(record("second", State.SKIPPED, "duplicate of first", duplicate_of="first"))
    async with reading(journal) as (outcomes, _):
        assert await outcomes.outcome("second", MINUTE) == second


async def test_records_that_name_each_other_do_not_go_round_in_circles() -> None:
    journal = FakeJournal()
    for name, other in (("a", "b"), ("b", "a"), ("c", "c")):
        journal.write(record(name, State.SKIPPED, f"I am {name}", duplicate_of=other))
    async with reading(journal) as (outcomes, _):
        assert messages(await outcomes.outcome("a", MINUTE)) == "Duplicate of request b: I am b"
        assert messages(await outcomes.outcome("c", MINUTE)) == "Duplicate of request c: I am c"


async def test_a_journal_that_fails_for_a_while_is_asked_again() -> None:
    journal = FakeJournal(failure=Unavailable("DynamoDB: no answer in time"))
    async with reading(journal) as (outcomes, group):
        ended = journal.write(record("r"))
        waiter = group.create_task(outcomes.outcome("r", MINUTE))
        await asyncio.sleep(30)
        assert not waiter.done()
        journal.failure = None
        assert await waiter == ended


async def test_who_goes_away_is_forgotten() -> None:
    journal = FakeJournal()
    async with reading(journal) as (outcomes, group):
        waiter = group.create_task(outcomes.outcome("r", MINUTE))
        await asyncio.sleep(1)
        waiter.cancel()
        await asyncio.sleep(1)
        reads = len(journal.reads)
        await asyncio.sleep(60)
        assert outcomes.waiting == 0
        assert len(journal.reads) == reads


async def test_a_stop_lets_everyone_go_at_once_and_nobody_in() -> None:
    async with reading(FakeJournal()) as (outcomes, group):
        waiter = group.create_task(outcomes.outcome("r", MINUTE))
        await asyncio.sleep(1)
        before = now()
        outcomes.stop()
        assert await waiter == NotYet("ingest is stopping")
        assert await outcomes.outcome("r2", MINUTE) == NotYet("ingest is stopping")
        assert now() == before


def messages(outcome: Outcome) -> str:
    assert not isinstance(outcome, NotYet)
    return outcome.message
