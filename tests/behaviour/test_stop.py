"""A stop lets a call that changes something end, then gives the lease up; the next worker finishes the request."""

import pytest

from shared.records import State
from tests.behaviour.world import RESCHEDULED, world

CHANGES = ["groups.set_desired", "groups.terminate", "swarm.update_node", "swarm.remove_node", "swarm.update_service"]


@pytest.mark.parametrize("call", CHANGES)
async def test_a_stop_awaits_the_call_that_is_under_way_and_then_releases_the_lease(call: str) -> None:
    async with world(workers=2) as w:
        w.swarm.create("demo", 4, labels=RESCHEDULED)
        await w.settled("demo", 4)
        first = await w.started()
        gate = first.stage.hold(call)
        requests = [w.up(), w.down()]
        await w.until(lambda: call in first.stage.waiting)
        first.task.cancel()
        await w.passes(2)
        assert not first.task.done()
        assert w.leases.item is not None
        assert w.leases.item.owner == "worker-1"
        gate.set()
        await w.until(first.task.done, within=1)
        assert w.leases.item.owner is None
        assert first.stage.calls.index(call) < len(first.stage.calls) - 1 - first.stage.calls[::-1].index(
            "lease.replace"
        )
        await w.started()
        assert [(await w.ended(request)).state for request in requests] == [State.SUCCEEDED] * 2
        assert w.desired == [2, 3, 2]


@pytest.mark.parametrize("call", ["inbox.receive", "journal.create", "journal.save", "groups.describe", "alerts.post"])
async def test_a_stop_waits_for_nothing_that_changes_nothing(call: str) -> None:
    async with world() as w:
        first = await w.started()
        first.stage.hold(call)
        request = w.up()
        await w.passes(25)
        await first.stop()
        assert w.leases.item is not None
        assert w.leases.item.owner is None
        await w.started()
        assert (await w.ended(request)).state == State.SUCCEEDED
        assert w.desired == [1, 2]


async def test_a_stop_while_standing_by_is_quiet() -> None:
    async with world() as w:
        await w.started()
        second = w.start()
        await w.passes(5)
        await second.stop()
        assert w.leases.item is not None
        assert (w.leases.item.owner, w.leases.item.token) == ("worker-1", 1)
