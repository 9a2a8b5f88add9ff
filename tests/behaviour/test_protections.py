"""Protections that nothing else would miss: each test fails with one careless change (tests/mutants has them)."""

import asyncio
from datetime import timedelta

import pytest

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.scenario import RESCHEDULED, Scenario, scenario
from tests.behaviour.test_lease import FIFTEEN, Candidate, keeping, now
from tests.fakes import InMemoryLeaseStore, people
from worker.leadership.fence import Fence
from worker.ports.swarm import Availability

ENDED = {"complete", "shutdown", "failed", "rejected", "orphaned"}


async def test_a_cool_down_after_an_up_counts_from_its_end() -> None:
    async with scenario(boot=50.0, scale_up_cooldown=60) as s:
        await s.started()
        assert (await s.ended(s.up())).state == State.SUCCEEDED
        await s.passes(30)  # more than 60 seconds since it began
        assert (await s.ended(s.up())).message.startswith("Cool-down")
        await s.passes(31)
        assert (await s.ended(s.up())).state == State.SUCCEEDED


async def test_a_cool_down_after_a_down_counts_from_its_end() -> None:
    async with scenario(workers=3, scale_down_cooldown=60) as s:
        s.swarm.times.down_detection_seconds = 50.0
        await s.started()
        assert (await s.ended(s.down())).state == State.SUCCEEDED
        await s.passes(30)
        assert (await s.ended(s.down())).message.startswith("Cool-down")
        await s.passes(31)
        assert (await s.ended(s.down())).state == State.SUCCEEDED


async def test_a_launch_failure_from_before_the_raise_is_not_ours() -> None:
    async with scenario(boot=30.0) as s:
        process = await s.started()
        raising = process.ports.hold("groups.set_desired")
        request = s.up()
        await s.until(lambda: bool(process.ports.waiting))
        await s.passes(1)
        s.groups.groups["workers"].activities.launch_failed("somebody else's", "", {})
        await s.passes(1)
        raising.set()
        record = await s.ended(request)
        assert record.state == State.SUCCEEDED
        assert not any("somebody else's" in told[4] for told in s.told)
        assert all("somebody else's" not in written.message for written in s.journal.writes)


async def test_a_lease_is_not_taken_before_its_whole_time_and_the_margin_are_over() -> None:
    store = InMemoryLeaseStore()
    await Candidate(store, "a").win()
    began = now()
    await Candidate(store, "b").win()
    assert now() - began >= 15.5


async def test_of_several_managers_the_leader_is_demoted_last() -> None:
    async with scenario(managers=5) as s:
        nodes = [s.swarm.cluster.nodes[s.launcher.nodes[instance]] for instance in s.managers]
        leader, other = nodes[-1], nodes[-2]
        people.hand_over(s.swarm, leader.id)
        for node in nodes[:-2]:
            s.swarm.label(node.id, com_df_scaler_protect="true")
        process = await s.started(node=nodes[0].id)
        demoted: list[str] = []

        def watch(call: str) -> None:
            if call == "swarm.update_node done":
                workers = (n.id for n in s.swarm.cluster.nodes.values() if n.role == "worker" and n.id not in demoted)
                demoted.extend(node_id for node_id in workers if node_id in {leader.id, other.id})

        process.ports.watchers.append(watch)
        assert (await s.ended(s.down(type="manager", by=2))).state == State.SUCCEEDED
        assert demoted == [other.id, leader.id]


async def test_an_up_does_not_succeed_while_the_group_wants_fewer_than_its_target() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        request = s.up()
        await s.at(request, "wait")
        looking = process.ports.hold("groups.describe")
        await s.until(lambda: len(s.nodes()) == 3)
        group = s.groups.groups["workers"]
        group.desired = 2  # its instances are protected, and stay
        s.groups.follow("workers")
        await s.passes(1)
        looking.set()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert "Somebody else lowered the desired capacity of workers to 2" in record.message


async def test_an_update_that_was_rolled_back_has_ended() -> None:
    async with scenario() as s:
        s.swarm.create("demo", 2, labels=RESCHEDULED)
        await s.settled("demo", 2)
        s.swarm.faults.unstoppable_services.add("demo")
        await s.started()
        request = s.ask("reschedule-service", service="demo")
        await s.until(lambda: s.service("demo").update_state == "updating")
        people.roll_back(s.swarm, "demo")
        s.swarm.faults.release_tasks()
        record = await s.ended(request, within=30)
        assert record.state == State.FAILED
        assert "its update is rollback_completed: rollback completed" in record.message


async def test_a_step_is_not_retried_for_ever() -> None:
    async with scenario(reschedule_timeout=60) as s:
        process = await s.started()
        process.ports.away.add("groups.set_desired")
        record = await s.ended(s.up(), within=80)
        assert record.state == State.FAILED
        assert "It was tried for 60 seconds" in record.message


# --- What only the simulation would tell ------------------------------------------------------------------------


async def test_a_process_that_is_stopped_between_the_proof_and_the_call_does_not_make_it() -> None:
    candidate = Candidate(InMemoryLeaseStore(), "a")
    fence = Fence(candidate.lease, await candidate.win(), timedelta(seconds=5))
    made: list[str] = []

    async def call() -> None:
        made.append("the call")

    guarded = asyncio.ensure_future(fence.guard(call))
    asyncio.get_running_loop().call_soon(candidate.clock.suspended, 60.0)
    await asyncio.wait([guarded])
    assert made == []
    assert guarded.exception() is not None


async def test_a_bad_message_stays_in_the_queue_until_its_copy_is_a_dead_letter() -> None:
    async with scenario() as s:
        process = await s.started()
        seen: list[int] = []

        def watch(call: str) -> None:
            if call == "inbox.dead_letter":
                seen.append(len(s.inbox.waiting))

        process.ports.watchers.append(watch)
        process.ports.refuse("inbox.dead_letter", Unavailable("no answer"))
        s.inbox.send("not json")
        await s.until(lambda: not s.inbox.waiting)
        assert seen == [1, 1]
        assert len(s.inbox.dead) == 1


async def test_a_node_is_not_terminated_while_a_task_still_stops_there() -> None:
    async with scenario(workers=2) as s:
        s.swarm.create("agent", mode="global", constraints=("node.role == worker",))
        await s.settled("agent", 2)
        s.swarm.times.stop_seconds = 10.0
        process = await s.started()
        tasks: list[str] = []

        def watch(call: str) -> None:
            if call == "groups.terminate":
                drained = {node.id for node in s.nodes() if node.availability == "drain"}
                held = (task for task in s.swarm.cluster.tasks if task.node_id in drained and task.state not in ENDED)
                tasks.extend(task.state for task in held)

        process.ports.watchers.append(watch)
        assert (await s.ended(s.down())).state == State.SUCCEEDED
        assert tasks == []


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize(
    ("availability", "said"), [("active", "active again"), ("pause", "to pause while it was drained")]
)
async def test_a_node_that_somebody_takes_back_after_the_intent_is_not_terminated(
    availability: Availability, said: str, replaced: bool
) -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        request = s.ask("replace-node", node=s.host(s.workers[0])) if replaced else s.down()

        def take_back(call: str) -> None:
            if call == "journal.save done" and s.record(request).plan.get("intent"):
                for node in s.nodes():
                    s.swarm.set_availability(node.id, availability)

        process.ports.watchers.append(take_back)
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert said in record.message
        assert "may have terminated" not in record.message
        assert record.plan.get("intent") is None
        assert (s.desired, s.groups.killed) == ([2], [])


async def test_a_proof_counts_from_before_the_renewal_was_sent() -> None:
    store = InMemoryLeaseStore()
    candidate = Candidate(store, "a")
    held = await candidate.win()
    async with keeping(candidate, held):
        renewal = candidate.ports.hold("lease.replace", after=True)
        await asyncio.sleep(8)  # sent after a third of the lease
        renewal.set()
        await asyncio.sleep(0.1)
        assert held.item.renewals == 1
        assert held.until <= FIFTEEN.total_seconds() / 3 + FIFTEEN.total_seconds() + 0.01


async def test_a_rollout_that_has_begun_serves_nobody_who_comes_later() -> None:
    async with scenario(boot=1.0) as s:
        await _slow_service(s)
        await s.started()
        first = s.up()
        await s.until(lambda: s.service("demo").update_state == "updating")
        second = s.up()
        records = [await s.ended(request, within=300) for request in (first, second)]
        assert [record.state for record in records] == [State.SUCCEEDED] * 2
        assert records[0].plan["reschedule"] != records[1].plan["reschedule"]
        assert s.swarm.rollouts[s.service("demo").id] == 3


async def _slow_service(s: Scenario) -> None:
    s.swarm.create("demo", 4, labels=RESCHEDULED)
    await s.settled("demo", 4)
    s.swarm.times.stop_seconds = 5.0
