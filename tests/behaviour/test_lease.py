"""Who is active, and for how long that can be proved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.process import Clock, InterceptedPorts
from tests.behaviour.scenario import scenario
from tests.fakes import InMemoryLeaseStore
from worker.errors import LeaseLost
from worker.leadership.lease import HeldLease, Lease
from worker.leadership.watchdog import SILENCE_SECONDS, Watchdog
from worker.ports.storage import LeaseItem
from worker.ports.swarm import SwarmIdentity

FIFTEEN = timedelta(seconds=15)
PROOF = timedelta(seconds=5)


class Candidate:
    """One worker's lease, and nothing else of it."""

    def __init__(self, store: InMemoryLeaseStore, name: str, swarm: str | None = "cluster") -> None:
        self.ports, self.clock, self.swarm = InterceptedPorts(), Clock(), swarm
        self.lease = Lease(store.through(self.ports), self.clock, FIFTEEN, name)
        self.watchdog = Watchdog()
        self.leaves = False

    async def win(self) -> HeldLease:
        """Compete."""
        return await self.lease.win(self)

    async def identity(self) -> SwarmIdentity | None:
        """The Swarm it could serve."""
        return None if self.swarm is None else SwarmIdentity(self.swarm, "node")

    async def gives_way(self, _identity: SwarmIdentity) -> bool:
        """Whether its node leaves."""
        return self.leaves

    def keep(self, held: HeldLease) -> "asyncio.Task[None]":
        """Renew from now on."""
        return asyncio.ensure_future(self.lease.keep(held, self.watchdog))


@asynccontextmanager
async def keeping(candidate: Candidate, held: HeldLease) -> "AsyncIterator[asyncio.Task[None]]":
    """It renews inside."""
    task = candidate.keep(held)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


def now() -> float:
    """The loop's time."""
    return asyncio.get_running_loop().time()


async def test_a_lease_that_was_never_held_is_won_at_once() -> None:
    store = InMemoryLeaseStore()
    held = await Candidate(store, "a").win()
    assert store.item == held.item == LeaseItem("a", 1, 0, "cluster")


async def test_a_released_lease_is_won_at_once_and_its_token_rises() -> None:
    store = InMemoryLeaseStore()
    first = Candidate(store, "a")
    held = await first.win()
    await first.lease.release(held)
    assert store.item == LeaseItem(None, 1, 0, "cluster")
    began = now()
    assert (await Candidate(store, "b").win()).token == 2
    assert now() - began < 0.1


@pytest.mark.parametrize("released", [True, False])
async def test_one_whose_node_leaves_takes_it_when_it_has_been_free_for_a_whole_lease(released: bool) -> None:
    store = InMemoryLeaseStore()
    first = Candidate(store, "a")
    held = await first.win()
    if released:
        await first.lease.release(held)
    leaves = Candidate(store, "b")
    leaves.leaves = True
    began = now()
    taken = await leaves.win()
    free = 0 if released else 15.5
    assert free + 15 <= now() - began < free + 17
    assert (taken.token, taken.alone, held.alone) == (2, True, False)


async def test_one_whose_node_leaves_comes_after_the_others() -> None:
    store = InMemoryLeaseStore()
    leaves, other = Candidate(store, "a"), Candidate(store, "b")
    leaves.leaves = True
    first, second = asyncio.ensure_future(leaves.win()), None
    try:
        await asyncio.sleep(10)
        second = await other.win()
        await asyncio.sleep(10)
        assert (second.item.owner, first.done()) == ("b", False)
    finally:
        first.cancel()
        await asyncio.wait([first])


async def test_a_lease_that_is_renewed_is_never_won() -> None:
    store = InMemoryLeaseStore()
    first, second = Candidate(store, "a"), Candidate(store, "b")
    held = await first.win()
    async with keeping(first, held):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await second.win()
    assert store.item is not None
    assert (store.item.owner, store.item.token) == ("a", 1)


async def test_of_two_that_race_for_it_one_wins() -> None:
    store = InMemoryLeaseStore()
    first, second = Candidate(store, "a"), Candidate(store, "b")
    races = [asyncio.ensure_future(one.win()) for one in (first, second)]
    await asyncio.sleep(10)
    assert sorted(race.done() for race in races) == [False, True]
    races[0 if races[1].done() else 1].cancel()
    assert [item.token for item in store.history] == [1]


async def test_a_worker_of_another_swarm_never_gets_it() -> None:
    store = InMemoryLeaseStore()
    first = Candidate(store, "a")
    await first.lease.release(await first.win())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100):
            await Candidate(store, "b", swarm="another").win()
    assert store.item == LeaseItem(None, 1, 0, "cluster")


async def test_a_worker_without_a_swarm_does_not_compete() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a", swarm=None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(100):
            await candidate.win()
    assert store.item is None


async def test_a_take_whose_answer_was_lost_is_ours_within_moments() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    candidate.ports.lose_answer("lease.replace", Unavailable("no answer"))
    began = now()
    held = await candidate.win()
    assert now() - began < 3
    assert held.token == 1
    assert candidate.lease.left(held) <= 15 - (now() - began)


async def test_a_take_that_arrives_late_is_proved_from_before_it_was_sent_first() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    began = now()
    candidate.ports.refuse("lease.replace", Unavailable("no answer in time"))
    winning = asyncio.ensure_future(candidate.win())
    await asyncio.sleep(1)
    second = candidate.ports.hold("lease.replace")
    await asyncio.sleep(2)
    assert candidate.ports.waiting == ["lease.replace"]
    store.history.append(LeaseItem("a", 1, 0, "cluster"))  # the first, which others count from now on
    second.set()
    held = await winning
    assert held.token == 1
    assert held.until <= began + 15


async def test_a_renewal_that_an_earlier_call_wrote_proves_nothing_anew() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    held = await candidate.win()
    began = now()
    candidate.ports.lose_answer("lease.replace", Unavailable("no answer"))
    candidate.ports.away.add("lease.read")
    async with keeping(candidate, held):
        await asyncio.sleep(12)
        assert candidate.ports.calls.count("lease.replace") == 3
        assert [item.renewals for item in store.history] == [0, 1]
        assert held.until <= began + 5 + 15


async def test_a_renewal_whose_answer_was_lost_costs_nothing() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    held = await candidate.win()
    candidate.ports.lose_answer("lease.replace", Unavailable("no answer"))
    async with keeping(candidate, held) as kept:
        await asyncio.sleep(100)
        assert not kept.done()
        assert candidate.lease.left(held) >= 9
    assert held.token == 1


@pytest.mark.parametrize("nth", [1, 2])
async def test_one_slow_renewal_in_a_row_costs_no_lease(nth: int) -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    held = await candidate.win()
    async with keeping(candidate, held) as kept:
        await asyncio.sleep(5 * nth - 1)
        renewal = candidate.ports.hold("lease.replace")
        await asyncio.sleep(6)
        candidate.ports.refuse("lease.replace", Unavailable("no answer in time"))
        renewal.set()
        await asyncio.sleep(3)
        assert candidate.lease.left(held) > 5
        assert not kept.done()


async def test_a_holder_that_can_not_renew_stops_before_its_proof_ends() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    held = await candidate.win()
    async with keeping(candidate, held) as kept:
        candidate.ports.hold("lease.replace")
        with pytest.raises(LeaseLost):
            await kept
    assert now() <= held.until + 0.01


async def test_a_holder_hears_that_another_has_it() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    held = await candidate.win()
    store.history.append(LeaseItem("b", 2, 0, "cluster"))
    with pytest.raises(LeaseLost, match="gone to b"):
        await candidate.lease.keep(held, candidate.watchdog)


async def test_a_request_without_heartbeats_is_not_renewed_for() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    held = await candidate.win()
    with candidate.watchdog.watching("a request that hangs"):
        async with keeping(candidate, held) as kept:
            with pytest.raises(LeaseLost, match="progress"):
                await kept
    assert SILENCE_SECONDS - 5 <= now() <= SILENCE_SECONDS + 5
    assert held.item.renewals == SILENCE_SECONDS / 5 - 1


async def test_the_proof_waits_for_a_renewal_where_too_little_is_left() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    held = await candidate.win()
    await asyncio.sleep(10.5)
    proving = asyncio.ensure_future(candidate.lease.prove(held, PROOF))
    await asyncio.sleep(0.1)
    assert not proving.done()
    async with keeping(candidate, held):
        await asyncio.sleep(0)
        renewing = asyncio.ensure_future(candidate.lease._renew(held))
        await proving
        await renewing
    assert candidate.lease.left(held) > PROOF.total_seconds()


async def test_the_proof_fails_where_no_renewal_comes() -> None:
    candidate = Candidate(InMemoryLeaseStore(), "a")
    held = await candidate.win()
    await asyncio.sleep(12)
    with pytest.raises(LeaseLost):
        await candidate.lease.prove(held, PROOF)
    assert now() <= held.until + 0.01


async def test_a_machine_that_was_suspended_can_prove_nothing() -> None:
    candidate = Candidate(InMemoryLeaseStore(), "a")
    held = await candidate.win()
    candidate.clock.suspended(15)
    with pytest.raises(LeaseLost):
        await candidate.lease.prove(held, PROOF)


async def test_a_release_lets_go_though_a_renewal_was_under_way() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    held = await candidate.win()
    async with keeping(candidate, held):
        candidate.ports.hold("lease.replace", after=True)
        await asyncio.sleep(6)
    candidate.ports._held.clear()
    await candidate.lease.release(held)
    assert store.item is not None
    assert (store.item.owner, store.item.token) == (None, 1)


async def test_a_release_takes_nothing_from_the_next_holder() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    held = await candidate.win()
    store.history.append(LeaseItem("b", 2, 0, "cluster"))
    await candidate.lease.release(held)
    assert store.item == LeaseItem("b", 2, 0, "cluster")


# --- The whole worker -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lease", [3, 15])
async def test_the_take_over_is_within_a_quarter_more_than_the_lease(lease: int) -> None:
    for phase in range(10):
        async with scenario(lease_seconds=lease) as s:
            first = await s.started()
            second = s.start()
            await s.passes(2 * lease + phase * lease / 30)
            first.kill()
            await s.until(lambda second=second: second.active, within=1.25 * lease)  # type: ignore[misc]


async def test_a_worker_that_is_stopped_lets_another_in_at_once() -> None:
    async with scenario() as s:
        first = await s.started()
        second = s.start()
        await s.passes(5)
        stopping = now()
        await first.stop()
        await s.until(lambda: second.active)
        assert now() - stopping <= 2
        assert not first.active
        assert s.leases.item is not None
        assert s.leases.item.token == 2


async def test_a_worker_that_was_suspended_in_the_middle_of_a_scale_changes_nothing_more() -> None:
    async with scenario(lease_seconds=3) as s:
        first = await s.started()
        second = s.start()
        gate = first.ports.hold("journal.save", after=True)
        request = s.up()
        await s.until(lambda: bool(first.ports.waiting))
        first.ports.away.add("lease")
        s.leases.history.append(LeaseItem("worker-2", 9, 0, s.swarm.simulated.cluster_id))
        first.clock.suspended(60)
        gate.set()
        await s.until(lambda: second.active or not first.active)
        first.ports.away.clear()
        assert "groups.set_desired" not in first.ports.calls
        await s.until(lambda: second.active)
        first_calls = list(first.ports.calls)
        assert (await s.ended(request)).state == State.SUCCEEDED
        assert s.desired == [1, 2]
        assert "groups.set_desired" not in first_calls
