"""What people do to a node while it is being removed counts, and a worker that wakes up too late writes nothing."""

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.world import World, world


async def moving(w: World) -> tuple[str, str]:
    """A scale-down that is moving a start-first service off its victim: the request, and the victim's node id."""
    w.swarm.create("web", 2, start_first=True, constraints=("node.role == worker",))
    await w.settled("web", 2)
    request = w.down()
    await w.until(lambda: request in w.journal.records and bool(w.record(request).plan.get("rolled")))
    return request, w.record(request).plan["leaving"][0]["node_id"]


async def test_a_node_that_somebody_makes_active_during_the_rolling_move_is_not_drained() -> None:
    async with world(workers=2) as w:
        await w.started()
        w.swarm.times.update_begin_seconds = 30.0
        request, victim = await moving(w)
        w.swarm.set_availability(victim, "active")
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert "active again" in record.message
        assert w.swarm.cluster.nodes[victim].availability == "active"
        assert w.desired == [2]


async def test_what_lands_on_a_node_between_its_pause_and_its_drain_has_to_run_elsewhere_too() -> None:
    async with world(workers=2) as w:
        process = await w.started()
        w.swarm.times.update_begin_seconds = 30.0
        request, victim = await moving(w)
        drain = process.stage.hold("swarm.update_node")
        w.swarm.set_availability(victim, "active")
        w.swarm.create("late", 1, constraints=(f"node.id == {victim}",))
        await w.settled("late", 1)
        w.swarm.set_availability(victim, "pause")
        drain.set()
        record = await w.ended(request, within=600)
        assert record.state == State.FAILED
        assert "late.1" in record.message
        assert w.desired == [2]
        await w.settled("late", 1)


async def test_an_undo_leaves_alone_what_somebody_has_set_since() -> None:
    async with world(workers=2, drain_timeout=20) as w:
        w.swarm.create("demo", 4, constraints=("node.role == worker",))
        await w.settled("demo", 4)
        w.swarm.faults.unstoppable_services.add("demo")
        await w.started()
        request = w.down()
        await w.until(lambda: request in w.journal.records and w.record(request).plan.get("draining") == "done")
        victim = w.record(request).plan["leaving"][0]["node_id"]
        w.swarm.set_availability(victim, "pause")
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert w.swarm.cluster.nodes[victim].availability == "pause"
        assert w.desired == [2]


async def test_a_worker_that_was_suspended_past_its_lease_creates_no_record() -> None:
    async with world(lease_seconds=3) as w:
        first = await w.started()
        create = first.stage.hold("journal.first_of")
        request = w.ask("reschedule-services", dedup_key="once")
        await w.until(lambda: "journal.first_of" in first.stage.waiting)
        first.clock.suspended(60)
        create.set()
        await w.ended(request)
        assert w.record(request).token == 2
        assert first.stage.calls.count("journal.create") == 1


async def test_the_capacity_that_a_termination_left_survives_a_write_that_fails_after_it() -> None:
    async with world(workers=3) as w:
        process = await w.started()
        answers = process.stage.hold("groups.terminate", after=True)
        request = w.down()
        await w.until(lambda: "groups.terminate done" in process.stage.waiting)
        process.stage.refuse("journal.remember", Unavailable("no answer"))
        answers.set()
        record = await w.ended(request)
        assert record.state == State.SUCCEEDED, record.message
        assert "; 2 worker nodes are up, " in record.message
        assert process.stage.calls.count("groups.terminate") == 1


async def test_an_engine_that_joins_again_during_the_drain_keeps_its_machine() -> None:
    async with world(workers=2) as w:
        process = await w.started()
        gate = process.stage.hold("swarm.update_node", after=True)
        request = w.down()
        await w.until(lambda: bool(process.stage.waiting))
        victim = w.record(request).plan["leaving"][0]
        w.swarm.lose(victim["node_id"])
        twin = w.swarm.join(w.host(victim["instance_id"]), engine_labels={"instance_id": victim["instance_id"]})
        gate.set()
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert twin in record.message
        assert w.desired == [2]
