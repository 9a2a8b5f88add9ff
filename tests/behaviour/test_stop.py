"""A stop lets a call that changes something end, then gives the lease up; the next worker finishes the request."""

import pytest

from shared.records import State
from tests.behaviour.scenario import RESCHEDULED, scenario

CHANGES = ["groups.set_desired", "groups.terminate", "swarm.update_node", "swarm.remove_node", "swarm.update_service"]


@pytest.mark.parametrize("call", CHANGES)
async def test_a_stop_awaits_the_call_that_is_under_way_and_then_releases_the_lease(call: str) -> None:
    async with scenario(workers=2) as s:
        s.swarm.create("demo", 4, labels=RESCHEDULED)
        await s.settled("demo", 4)
        first = await s.started()
        gate = first.ports.hold(call)
        requests = [s.up(), s.down()]
        await s.until(lambda: call in first.ports.waiting)
        first.task.cancel()
        await s.passes(2)
        assert not first.task.done()
        assert s.leases.item is not None
        assert s.leases.item.owner == "worker-1"
        gate.set()
        await s.until(first.task.done, within=1)
        assert s.leases.item.owner is None
        assert first.ports.calls.index(call) < len(first.ports.calls) - 1 - first.ports.calls[::-1].index(
            "lease.replace"
        )
        await s.started()
        assert [(await s.ended(request)).state for request in requests] == [State.SUCCEEDED] * 2
        assert s.desired == [2, 3, 2]


@pytest.mark.parametrize("call", ["inbox.receive", "journal.create", "journal.save", "groups.describe", "alerts.post"])
async def test_a_stop_waits_for_nothing_that_changes_nothing(call: str) -> None:
    async with scenario() as s:
        first = await s.started()
        first.ports.hold(call)
        request = s.up()
        await s.passes(25)
        await first.stop()
        assert s.leases.item is not None
        assert s.leases.item.owner is None
        await s.started()
        assert (await s.ended(request)).state == State.SUCCEEDED
        assert s.desired == [1, 2]


async def test_a_stop_while_standing_by_is_quiet() -> None:
    async with scenario() as s:
        await s.started()
        second = s.start()
        await s.passes(5)
        await second.stop()
        assert s.leases.item is not None
        assert (s.leases.item.owner, s.leases.item.token) == ("worker-1", 1)
