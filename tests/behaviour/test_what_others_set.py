"""What people do to a node while it is being removed counts, and a worker that wakes up too late writes nothing."""

import pytest

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.process import Process
from tests.behaviour.scenario import Scenario, scenario


async def moving(s: Scenario) -> tuple[str, str]:
    """A scale-down that is moving a start-first service off its victim: the request, and the victim's node id."""
    s.swarm.create("web", 2, start_first=True, constraints=("node.role == worker",))
    await s.settled("web", 2)
    request = s.down()
    await s.until(lambda: request in s.journal.records and bool(s.record(request).plan.get("avoiding")))
    return request, s.record(request).plan["leaving"][0]["node_id"]


async def test_a_node_that_somebody_makes_active_during_the_rolling_move_is_not_drained() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        s.swarm.times.update_begin_seconds = 30.0
        request, victim = await moving(s)
        s.swarm.set_availability(victim, "active")
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert "active again" in record.message
        assert s.swarm.cluster.nodes[victim].availability == "active"
        assert s.desired == [2]


async def test_what_lands_on_a_node_between_its_pause_and_its_drain_has_to_run_elsewhere_too() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        s.swarm.times.update_begin_seconds = 30.0
        request, victim = await moving(s)
        drain = process.ports.hold("swarm.update_node")
        s.swarm.set_availability(victim, "active")
        s.swarm.create("late", 1, constraints=(f"node.id == {victim}",))
        await s.settled("late", 1)
        s.swarm.set_availability(victim, "pause")
        drain.set()
        record = await s.ended(request, within=600)
        assert record.state == State.FAILED
        assert "late.1" in record.message
        assert s.desired == [2]
        await s.settled("late", 1)


async def test_an_undo_leaves_alone_what_somebody_has_set_since() -> None:
    async with scenario(workers=2, drain_timeout=20) as s:
        s.swarm.create("demo", 4, constraints=("node.role == worker",))
        await s.settled("demo", 4)
        s.swarm.faults.unstoppable_services.add("demo")
        await s.started()
        request = s.down()
        await s.until(lambda: request in s.journal.records and s.record(request).plan.get("draining") == "done")
        victim = s.record(request).plan["leaving"][0]["node_id"]
        s.swarm.set_availability(victim, "pause")
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert s.swarm.cluster.nodes[victim].availability == "pause"
        assert s.desired == [2]


async def test_a_worker_that_was_suspended_past_its_lease_creates_no_record() -> None:
    async with scenario(lease_seconds=3) as s:
        first = await s.started()
        create = first.ports.hold("journal.first_of")
        request = s.ask("reschedule-services", dedup_key="once")
        await s.until(lambda: "journal.first_of" in first.ports.waiting)
        first.clock.suspended(60)
        create.set()
        await s.ended(request)
        assert s.record(request).token == 2
        assert first.ports.calls.count("journal.create") == 1


async def test_the_capacity_that_a_termination_left_survives_a_write_that_fails_after_it() -> None:
    async with scenario(workers=3) as s:
        process = await s.started()
        answers = process.ports.hold("groups.terminate", after=True)
        request = s.down()
        await s.until(lambda: "groups.terminate done" in process.ports.waiting)
        process.ports.refuse("journal.remember", Unavailable("no answer"))
        answers.set()
        record = await s.ended(request)
        assert record.state == State.SUCCEEDED, record.message
        assert "; 2 worker nodes are up, " in record.message
        assert process.ports.calls.count("groups.terminate") == 1


def away_from_the_raise_on(process: Process, call: str) -> None:
    process.ports.watchers.append(
        lambda name: process.ports.away.add(call) if name == "groups.set_desired done" else None
    )


async def test_the_next_up_begins_from_a_raise_that_could_not_be_remembered_before_its_request_gave_up() -> None:
    async with scenario(reschedule_timeout=5) as s:
        s.groups.times.describe_lag = 29
        process = await s.started()
        away_from_the_raise_on(process, "journal.remember")
        first = s.up()
        await s.until(lambda: s.desired == [1, 2])
        await s.passes(12)
        process.ports.watchers.clear()
        process.ports.away.clear()
        record = await s.ended(first)
        assert (record.state, record.nodes_after) == (State.FAILED, 2)
        assert (await s.ended(s.up())).nodes_before == 2
        assert s.desired[-1] == 3


async def test_a_raise_is_remembered_once_though_its_request_gives_up_after_it() -> None:
    async with scenario(reschedule_timeout=5) as s:
        process = await s.started()
        away_from_the_raise_on(process, "journal.save")
        request = s.up()
        await s.until(lambda: s.desired == [1, 2])
        before = process.ports.calls.count("journal.remember")
        await s.passes(12)
        process.ports.away.clear()
        assert (await s.ended(request)).state is State.FAILED
        assert process.ports.calls.count("journal.remember") == before


@pytest.mark.parametrize("lost", [False, True], ids=["up", "down"])
async def test_an_engine_that_joins_again_during_the_drain_keeps_its_machine(*, lost: bool) -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        gate = process.ports.hold("swarm.update_node", after=True)
        request = s.down()
        await s.until(lambda: bool(process.ports.waiting))
        victim = s.record(request).plan["leaving"][0]
        s.swarm.lose(victim["node_id"])
        await s.passes(1)
        twin = s.swarm.join(s.host(victim["instance_id"]), engine_labels={"instance_id": victim["instance_id"]})
        if lost:
            s.swarm.lose(twin)
            await s.until(lambda: s.swarm.cluster.nodes[twin].state == "down")
        gate.set()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert twin in record.message
        assert s.desired == [2]


async def test_what_a_person_drains_before_we_have_paused_it_stays_drained() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        gate = process.ports.hold("swarm.update_node")
        request = s.down()
        await s.until(lambda: bool(process.ports.waiting))
        node_id = s.record(request).plan["leaving"][0]["node_id"]
        await s.swarm.update_node(node_id, availability="drain")
        gate.set()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert "to drain while it was drained: it stays" in record.message
        assert s.swarm.cluster.nodes[node_id].availability == "drain"


async def test_a_node_that_was_drained_by_hand_and_is_wanted_again_meanwhile_is_not_taken() -> None:
    async with scenario(workers=3, lease_seconds=3) as s:
        spare = s.node(s.workers[0])
        s.swarm.set_availability(spare.id, "drain")
        first = await s.started()
        request = s.down()
        first.ports.watchers.append(
            lambda call: first.kill() if call == "journal.save done" and s.record(request).step == "drain" else None
        )
        await s.at(request, "drain")
        s.swarm.set_availability(spare.id, "pause")
        s.start()
        record = await s.ended(request)
        assert record.state == State.FAILED, record.message
        assert s.swarm.cluster.nodes[spare.id].availability == "pause"
        assert s.desired == [3]
