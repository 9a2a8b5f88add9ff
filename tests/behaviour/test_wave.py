"""Scale-ups that wait for the lane at the same moment: one raise, a record each."""

from datetime import timedelta
from typing import Any

import pytest

from shared.records import State
from tests.behaviour.process import Process
from tests.behaviour.scenario import RESCHEDULED, Scenario, scenario

ROOM: dict[str, Any] = {"default_max_worker_nodes": 30, "sizes": (0, 30), "boot": 5.0}


async def raised_to(s: Scenario, requests: list[str]) -> list[int]:
    """The capacities that the requests were raised to, each from the one below it; all have succeeded."""
    records = [await s.ended(request) for request in requests]
    for record in records:
        assert record.state is State.SUCCEEDED, record.message
        assert record.nodes_before is not None
        assert record.nodes_after == record.nodes_before + 1
        assert (
            f"from {record.nodes_before} to {record.nodes_after}; {record.nodes_after} worker nodes" in record.message
        )
        assert [step.name for step in record.steps] == ["plan", "apply", "wait", "reschedule"]
    return sorted(int(record.nodes_after or 0) for record in records)


async def test_twenty_ups_at_once_are_raised_once_and_looked_at_once_with_a_target_each() -> None:
    async with scenario(**ROOM) as s:
        s.swarm.create("demo", 6, labels=RESCHEDULED)
        process = await s.started()
        requests = [s.up() for _ in range(20)]
        assert await raised_to(s, requests) == list(range(2, 22))
        assert s.desired == [1, 21]
        calls = process.ports.calls[: process.ports.calls.index("groups.set_desired")]
        assert calls.count("groups.describe") == 1
        assert calls.count("journal.save") == 21  # one for each target, and that the first one has begun
        assert s.swarm.rollouts[s.service("demo").id] == 2


async def test_ups_that_are_received_together_are_raised_together_however_long_it_takes_to_write_them_down() -> None:
    async with scenario(**ROOM) as s:
        process = await s.started()
        process.ports.latency = 0.02  # a raise would be done before the next message stands in the journal
        requests = [s.up() for _ in range(20)]
        assert await raised_to(s, requests) == list(range(2, 22))
        assert len(s.desired) <= 4, s.desired  # ten messages are received at a time


async def test_a_raise_waits_a_moment_at_most_for_messages_that_the_journal_does_not_take() -> None:
    async with scenario(**ROOM) as s:
        process = await s.started()
        taken: list[str] = []
        process.ports.watchers.append(lambda call: taken.append(call) if call == "journal.create done" else None)
        process.ports.watchers.append(lambda _: process.ports.away.update({"journal.create"} if taken else ()))
        first, second = s.up(), s.up()
        assert (await s.ended(first)).nodes_after == 2
        process.ports.watchers.clear()
        process.ports.away.clear()
        assert (await s.ended(second)).nodes_after == 3


async def test_all_who_wait_for_nodes_of_a_group_share_their_looks() -> None:
    looks = {}
    for number in (1, 20):
        async with scenario(**ROOM) as s:
            process = await s.started()
            requests = [s.up() for _ in range(number)]
            await raised_to(s, requests)
            after = process.ports.calls[process.ports.calls.index("groups.set_desired") :]
            looks[number] = after.count("groups.describe")
    assert looks[20] <= 4 * looks[1], looks


def killed_at(s: Scenario, process: Process, call: str, number: int) -> None:
    """The process dies with such a call, and another one is there."""
    seen: list[str] = []

    def watch(name: str) -> None:
        seen.append(name)
        if seen.count(call) == number:
            process.kill()

    process.ports.watchers.append(watch)
    s.start()


@pytest.mark.parametrize("save", [2, 3, 5, 6, 7])
async def test_a_worker_that_dies_while_targets_are_written_down_leaves_no_gap(save: int) -> None:
    async with scenario(**ROOM, lease_seconds=3) as s:
        killed_at(s, await s.started(), "journal.save done", save)
        assert await raised_to(s, [s.up() for _ in range(5)]) == [2, 3, 4, 5, 6]
        assert s.desired[-1] == 6


@pytest.mark.parametrize("call", ["groups.set_desired", "groups.set_desired done", "journal.remember"])
async def test_a_worker_that_dies_around_the_raise_is_followed_by_one_that_finds_all_targets(call: str) -> None:
    async with scenario(**ROOM, lease_seconds=3) as s:
        process = await s.started()
        await s.ended(s.up())
        killed_at(s, process, call, 1)
        assert await raised_to(s, [s.up() for _ in range(5)]) == [3, 4, 5, 6, 7]
        assert s.desired == [1, 2, 7]


async def test_where_aws_refuses_the_highest_target_each_is_raised_to_its_own() -> None:
    async with scenario(**ROOM) as s:
        process = await s.started()
        gate = process.ports.hold("groups.set_desired")
        requests = [s.up() for _ in range(3)]
        await s.until(lambda: "groups.set_desired" in process.ports.waiting)
        s.groups.groups["workers"].max_size = 3
        gate.set()
        records = [await s.ended(request) for request in requests]
        assert [record.state for record in records] == [State.SUCCEEDED, State.SUCCEEDED, State.FAILED]
        assert "is above max value 3" in records[2].message
        assert s.desired == [1, 2, 3]


async def test_one_that_the_wave_leaves_no_room_for_says_so_when_the_group_is_at_its_bound() -> None:
    async with scenario(**{**ROOM, "default_max_worker_nodes": 3}) as s:
        process = await s.started()
        gate = process.ports.hold("groups.set_desired")
        requests = [s.up() for _ in range(3)]
        await s.until(lambda: "groups.set_desired" in process.ports.waiting)
        await s.passes(5)
        assert not s.record(requests[2]).state.ended
        gate.set()
        record = await s.ended(requests[2])
        assert (record.state, record.nodes_before) == (State.SKIPPED, 3)
        assert s.desired == [1, 3]


async def test_at_a_take_over_the_wave_goes_on_before_one_that_waits_for_it_though_a_clock_shows_that_as_older() -> (
    None
):
    async with scenario(**{**ROOM, "default_max_worker_nodes": 2, "lease_seconds": 3}) as s:
        process = await s.started()
        process.ports.hold("groups.set_desired")
        first = s.up()
        await s.until(lambda: "groups.set_desired" in process.ports.waiting)
        process.clock.step(timedelta(seconds=-20))
        await s.passes(2)  # what the first has seen is old now
        second = s.up()
        await s.at(second, "plan")
        process.kill()
        s.start()
        assert (await s.ended(first)).state is State.SUCCEEDED
        assert (await s.ended(second)).state is State.SKIPPED
        assert s.desired == [1, 2]
