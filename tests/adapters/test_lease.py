"""The lease store's contract, over memory and over DynamoDB."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from infra.local.aws import EmbeddedAws
from shared.errors import Unavailable
from shared.table import Layout
from tests.adapters.conftest import CALL
from tests.fakes import InMemoryLeaseStore
from worker.adapters.lease import DynamoLeaseStore
from worker.ports.storage import LeaseItem, LeaseStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIRST = LeaseItem(owner="a", token=1, renewals=0, swarm="cluster")


@pytest.fixture(params=["memory", "dynamodb"])
def store(request: pytest.FixtureRequest) -> LeaseStore:
    """Both."""
    if request.param == "memory":
        return InMemoryLeaseStore()
    found: LeaseStore = request.getfixturevalue("dynamo_store")
    return found


@pytest.fixture
def dynamo_store(dynamodb: Any, table: str, layout: Layout) -> DynamoLeaseStore:
    """The real thing."""
    return DynamoLeaseStore(dynamodb, table, layout, CALL)


async def test_a_lease_that_was_never_written_is_none(store: LeaseStore) -> None:
    assert await store.read() is None


async def test_the_first_one_writes_it_where_none_is(store: LeaseStore) -> None:
    assert await store.replace(None, FIRST)
    assert await store.read() == FIRST
    assert not await store.replace(None, replace(FIRST, owner="b"))
    assert await store.read() == FIRST


async def test_the_holder_renews_releases_and_another_takes_over(store: LeaseStore) -> None:
    renewed = replace(FIRST, renewals=1)
    released = replace(renewed, owner=None)
    taken = LeaseItem(owner="b", token=2, renewals=0, swarm="cluster")
    await store.replace(None, FIRST)
    assert await store.replace(FIRST, renewed)
    assert await store.replace(renewed, released)
    assert await store.read() == released
    assert await store.replace(released, taken)
    assert await store.read() == taken


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        replace(FIRST, token=2),
        replace(FIRST, renewals=1),
        replace(FIRST, owner="b"),
        replace(FIRST, owner=None),
    ],
)
async def test_nothing_is_written_where_something_else_stands(store: LeaseStore, wrong: LeaseItem | None) -> None:
    await store.replace(None, FIRST)
    assert not await store.replace(wrong, LeaseItem(owner="c", token=3, renewals=0, swarm="cluster"))
    assert await store.read() == FIRST


async def test_a_lease_that_was_renewed_meanwhile_is_not_taken(store: LeaseStore) -> None:
    await store.replace(None, FIRST)
    renewed = replace(FIRST, renewals=1)
    await store.replace(FIRST, renewed)
    assert not await store.replace(FIRST, LeaseItem("b", 2, 0, "cluster"))
    assert await store.read() == renewed


async def test_a_late_renewal_does_not_resurrect_a_released_lease(store: LeaseStore) -> None:
    await store.replace(None, FIRST)
    released = replace(FIRST, owner=None)
    await store.replace(FIRST, released)
    assert not await store.replace(FIRST, replace(FIRST, renewals=1))
    assert await store.read() == released


async def test_a_released_lease_is_not_mistaken_for_a_held_one(store: LeaseStore) -> None:
    await store.replace(None, FIRST)
    assert not await store.replace(replace(FIRST, owner=None), LeaseItem("b", 2, 0, "cluster"))


@pytest.mark.parametrize("expected", [None, FIRST])
async def test_what_an_earlier_call_wrote_is_not_taken_for_written_now(
    store: LeaseStore, expected: LeaseItem | None
) -> None:
    if expected is not None:
        await store.replace(None, expected)
    item = replace(FIRST, renewals=1)
    assert await store.replace(expected, item)
    assert not await store.replace(expected, replace(item))
    assert await store.read() == item


@pytest.mark.parametrize("expected", [None, FIRST, replace(FIRST, owner=None)])
async def test_of_fifty_who_take_it_at_once_exactly_one_does(store: LeaseStore, expected: LeaseItem | None) -> None:
    if expected is not None:
        await store.replace(None, expected)
    takers = [LeaseItem(owner=f"owner-{n}", token=2, renewals=0, swarm="cluster") for n in range(50)]
    taken = await asyncio.gather(*(store.replace(expected, taker) for taker in takers))
    assert taken.count(True) == 1
    assert await store.read() == takers[taken.index(True)]


class TestOverDynamoDB:
    async def test_a_take_over_whose_answer_was_lost_is_found_done(
        self, aws: EmbeddedAws, dynamo_store: DynamoLeaseStore
    ) -> None:
        aws.knobs.set(lose_answers={"dynamodb.PutItem": 1})
        assert await dynamo_store.replace(None, FIRST)
        aws.knobs.set(lose_answers={"dynamodb.PutItem": 1})
        assert await dynamo_store.replace(FIRST, replace(FIRST, owner=None))

    async def test_a_table_that_is_away_is_no_lost_lease(
        self, aws: EmbeddedAws, dynamo_store: DynamoLeaseStore
    ) -> None:
        await dynamo_store.replace(None, FIRST)
        aws.knobs.set(down=["dynamodb"])
        with pytest.raises(Unavailable):
            await dynamo_store.replace(FIRST, replace(FIRST, renewals=1))
        with pytest.raises(Unavailable):
            await dynamo_store.read()
