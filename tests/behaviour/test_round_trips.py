"""How many round trips lie behind each other: each call takes a while of virtual time, which counts them."""

import asyncio

import pytest

from shared.records import State
from tests.behaviour.process import Process
from tests.behaviour.scenario import Scenario, scenario

SEND_MESSAGE = 1
"""The one that lies before the worker's own."""
ROUND_TRIP = 0.1


async def depth_of_a_raise(s: Scenario, process: Process) -> int:
    """How many round trips of the worker lie between a message and the raised capacity. The request ends well."""
    moments: list[float] = []

    def watch(call: str) -> None:
        if call == "groups.set_desired done":
            moments.append(asyncio.get_running_loop().time())

    process.ports.watchers.append(watch)
    process.ports.latency = ROUND_TRIP
    began = asyncio.get_running_loop().time()
    assert (await s.ended(s.up(service="web"))).state is State.SUCCEEDED
    process.ports.latency = 0.0
    return round((moments[0] - began) / ROUND_TRIP)


@pytest.mark.parametrize("first", [True, False])
async def test_desired_capacity_is_raised_at_most_five_round_trips_behind_the_post(first: bool) -> None:
    async with scenario(boot=1.0) as s:
        s.swarm.create("web", 1)
        process = await s.started()
        if not first:
            assert (await s.ended(s.up())).state is State.SUCCEEDED
        await s.passes(1)
        assert SEND_MESSAGE + await depth_of_a_raise(s, process) <= 5 + first  # the first remembers who is there, too


async def test_a_plan_reads_nothing_twice() -> None:
    async with scenario(boot=1.0) as s:
        process = await s.started()
        await s.ended(s.up())
        del process.ports.calls[:]
        request = s.up()
        await s.at(request, "wait")
        calls = process.ports.calls[: process.ports.calls.index("groups.set_desired")]
        reads = [call for call in calls if call.startswith(("groups.", "swarm.")) and call != "swarm.identity"]
        assert sorted(reads) == ["groups.activities", "groups.describe", "groups.refreshing", "swarm.nodes"]


async def test_a_plan_whose_look_has_become_old_looks_again_before_the_raise() -> None:
    async with scenario(workers=3, boot=1.0) as s:
        process = await s.started()
        gate = process.ports.hold("groups.refreshing")
        request = s.up()
        await s.at(request, "plan")
        writing = process.ports.hold("journal.save")
        gate.set()
        await s.until(lambda: "journal.save" in process.ports.waiting)
        await s.groups.set_desired("workers", 5)  # by somebody else, while our target is being written down
        await s.passes(2)
        writing.set()
        assert (await s.ended(request)).nodes_after == 4
        assert s.desired == [3, 5]


async def test_the_lease_costs_a_write_each_third_of_it_and_a_standby_a_read_each_tenth() -> None:
    async with scenario(lease_seconds=15) as s:
        active = await s.started()
        standby = s.start()
        await s.passes(10)
        del active.ports.calls[:], standby.ports.calls[:]
        await s.passes(60)
        assert [call for call in active.ports.calls if call.startswith("lease.")] == ["lease.replace"] * 12
        assert set(standby.ports.calls) == {"lease.read"}
        assert 39 <= len(standby.ports.calls) <= 41


async def test_a_scale_down_reads_all_tasks_once_for_its_choice_and_then_only_what_it_drains() -> None:
    async with scenario(workers=3) as s:
        s.swarm.create("web", 6)
        await s.settled("web", 6)
        process = await s.started()
        assert (await s.ended(s.down())).state is State.SUCCEEDED
        assert process.ports.calls.count("swarm.tasks") == 1
        assert process.ports.calls.count("swarm.services") == 1
        assert process.ports.calls.count("swarm.workload") >= 4
