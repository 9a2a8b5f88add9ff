"""Nothing is changed outside without the proof, and what was sent is awaited."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from tests.behaviour.test_lease import Candidate
from tests.fakes import InMemoryGroups, InMemoryLeaseStore, InMemorySwarm, LoopClock, Scripted
from worker.errors import LeaseLost
from worker.leadership.fence import Fence, FencedGroups, FencedSwarm, to_its_end
from worker.ports.swarm_changes import ServiceChange

pytestmark = pytest.mark.looptime(idle_timeout=1)

CALL_TIMEOUT = timedelta(seconds=5)


async def fence(candidate: Candidate) -> Fence:
    """One that holds the lease."""
    return Fence(candidate.lease, await candidate.win(), CALL_TIMEOUT)


@pytest.mark.parametrize("call", ["set_desired", "terminate", "update_node", "remove_node", "update_service"])
async def test_no_change_goes_out_once_the_lease_can_not_be_proved(call: str) -> None:
    candidate, hooks = Candidate(InMemoryLeaseStore(), "a"), Scripted()
    proof = await fence(candidate)
    groups = FencedGroups(InMemoryGroups(LoopClock()).through(hooks), proof)
    swarm = FencedSwarm(InMemorySwarm().through(hooks), proof)
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "set_desired": lambda: groups.set_desired("workers", 2),
        "terminate": lambda: groups.terminate("i-1"),
        "update_node": lambda: swarm.update_node("n", availability="drain"),
        "remove_node": lambda: swarm.remove_node("n"),
        "update_service": lambda: swarm.update_service("s", ServiceChange(request_id="r", replicas=1)),
    }
    candidate.clock.suspended(60)
    with pytest.raises(LeaseLost):
        await changes[call]()
    assert hooks.calls == []


async def test_a_call_that_the_lease_does_not_outlast_waits_for_a_renewal() -> None:
    candidate = Candidate(InMemoryLeaseStore(), "a")
    proof = await fence(candidate)
    made: list[float] = []

    async def call() -> None:
        made.append(candidate.lease.left(proof.held))

    await asyncio.sleep(10.5)
    guarded = asyncio.ensure_future(proof.guard(call))
    await asyncio.sleep(0.1)
    assert made == []
    await candidate.lease._renew(proof.held)
    await guarded
    assert made[0] > CALL_TIMEOUT.total_seconds()


async def test_a_call_that_was_sent_is_awaited_to_its_end_though_the_flow_is_cancelled() -> None:
    ended: list[str] = []

    async def call() -> None:
        await asyncio.sleep(3)
        ended.append("the call")

    task = asyncio.ensure_future(to_its_end(call()))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["the call"]
    assert asyncio.get_running_loop().time() == pytest.approx(3)


async def test_the_error_of_a_call_whose_flow_was_cancelled_troubles_nobody() -> None:
    async def call() -> None:
        await asyncio.sleep(1)
        raise RuntimeError

    task = asyncio.ensure_future(to_its_end(call()))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
