"""What becomes of requests when their worker dies, whatever it was doing."""

from datetime import timedelta

import pytest

from shared.records import State
from tests.behaviour.world import RESCHEDULED, World, world

UP_CALLS = [
    "journal.create",
    "journal.create done",
    "journal.save",
    "journal.save done",
    "groups.describe",
    "groups.set_desired",
    "groups.set_desired done",
    "journal.remember done",
    "swarm.update_service",
    "swarm.update_service done",
]


def kill_at(w: World, call: str, nth: int) -> None:
    """The first worker dies at its nth call of a kind, before it, or (`done`) after it."""
    victim, seen = w.processes[0], 0

    def watch(name: str) -> None:
        nonlocal seen
        seen += name == call
        if name == call and seen == nth:
            victim.kill()

    victim.stage.watchers.append(watch)


@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("call", UP_CALLS)
async def test_an_up_is_finished_by_the_next_worker_and_changes_once(call: str, nth: int) -> None:
    async with world(lease_seconds=3) as w:
        w.swarm.create("demo", 6, labels=RESCHEDULED)
        await w.started()
        kill_at(w, call, nth)
        w.start()
        record = await w.ended(w.up())
        assert (record.state, record.nodes_after) == (State.SUCCEEDED, 2)
        assert record.message.endswith("2 worker nodes are up, demo rescheduled")
        assert w.desired == [1, 2]
        await w.until(lambda: w.service("demo").update_state == "completed")
        assert len(w.nodes()) == 2


DOWN_CALLS = [
    "journal.save",
    "journal.save done",
    "swarm.update_node",
    "swarm.update_node done",
    "groups.terminate",
    "groups.terminate done",
    "swarm.remove_node",
    "swarm.remove_node done",
    "journal.remember",
    "journal.remember done",
]


@pytest.mark.parametrize(
    ("call", "nth", "lag"),
    [
        *((call, nth, 0.0) for call in DOWN_CALLS for nth in (1, 2, 3)),
        *((f"groups.terminate{done}", nth, 20.0) for done in ("", " done") for nth in (1, 2)),
    ],
)
async def test_a_down_is_finished_by_the_next_worker_and_changes_once(call: str, nth: int, lag: float) -> None:
    async with world(workers=4, lease_seconds=3) as w:
        w.swarm.create("demo", 6)
        await w.settled("demo", 6)
        await w.started()
        w.groups.times.describe_lag = lag
        kill_at(w, call, nth)
        w.start()
        record = await w.ended(w.down(by=2))
        assert (record.state, record.nodes_before, record.nodes_after) == (State.SUCCEEDED, 4, 2)
        assert w.desired == [4, 3, 2]
        assert len(w.nodes()) == 2
        assert w.running("demo") == 6


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
@pytest.mark.parametrize("call", ["swarm.update_node done", "groups.terminate", "groups.terminate done"])
async def test_a_down_of_managers_is_finished_by_the_next_worker(call: str, nth: int) -> None:
    async with world(managers=5, workers=1, lease_seconds=3, default_min_manager_nodes=3) as w:
        await w.started()
        kill_at(w, call, nth)
        w.start()
        record = await w.ended(w.down(type="manager", by=2))
        assert record.state == State.SUCCEEDED, record.message
        assert w.groups.groups["managers"].desired_history == [5, 4, 3]
        assert [node.manager is not None for node in w.nodes("manager")] == [True] * 3


async def test_what_had_begun_goes_on_before_anything_new_begins() -> None:
    async with world(lease_seconds=3) as w:
        await w.started()
        kill_at(w, "groups.set_desired", 1)
        first = w.up()
        second_worker = w.start()
        looking = second_worker.stage.hold("journal.open", after=True)
        await w.until(lambda: second_worker.stage.waiting == ["journal.open done"])
        second = w.up()
        await w.until(lambda: second in w.journal.records)
        looking.set()
        assert (await w.ended(first)).nodes_after == 2
        assert (await w.ended(second)).nodes_after == 3
        assert w.desired == [1, 2, 3]


async def test_a_request_that_ended_is_not_done_again_for_a_late_answer_about_it() -> None:
    async with world() as w:
        w.swarm.create("web", 2)
        process = await w.started()
        late = process.stage.hold("journal.create", after=True)
        request = w.ask("scale-service", id="same", service="web", scale="up")
        await w.until(lambda: process.stage.waiting == ["journal.create done"])
        late.set()
        await w.ended(request)
        w.ask("scale-service", id="same", service="web", scale="up")
        await w.until(lambda: not w.inbox.waiting)
        assert w.service("web").replicas == 3
        assert w.record(request).message == "Scaling web from 2 to 3 replicas (min: 1, max: 5)"


async def test_a_sweep_that_read_a_request_before_it_ended_does_not_begin_it_again() -> None:
    async with world(default_max_replicas=3) as w:
        w.swarm.create("web", 2)
        process = await w.started()
        late = process.stage.hold("journal.claim", after=True)
        created = process.stage.hold("journal.create", after=True)
        request = w.ask("scale-service", service="web", scale="up")
        await w.until(lambda: process.stage.waiting == ["journal.create done"])
        await w.until(lambda: "journal.claim done" in process.stage.waiting, within=90)
        created.set()
        await w.ended(request)
        late.set()
        await w.until(lambda: not process.stage.waiting)
        await w.until(lambda: process.stage.calls.count("journal.open") >= 3, within=90)
        assert [record.state for record in w.journal.writes if record.id == request][-1] == State.SUCCEEDED
        assert w.service("web").replicas == 3
        assert len(w.told) == 1


async def test_a_person_who_changed_the_replicas_back_meanwhile_has_the_last_word() -> None:
    async with world(lease_seconds=3) as w:
        w.swarm.create("web", 2)
        await w.started()
        kill_at(w, "swarm.update_service done", 1)
        request = w.ask("scale-service", service="web", scale="up")
        await w.until(lambda: w.service("web").replicas == 3)
        w.swarm.scale("web", 2)
        w.start()
        record = await w.ended(request)
        assert (record.state, w.service("web").replicas) == (State.SUCCEEDED, 2)


@pytest.mark.parametrize("call", ["journal.save", "swarm.update_service", "swarm.update_service done"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_reschedule_is_finished_by_the_next_worker_in_one_pass(call: str, nth: int) -> None:
    async with world(lease_seconds=3) as w:
        for name in ("api", "web"):
            w.swarm.create(name, 2, labels=RESCHEDULED)
        await w.settled("web", 2)
        await w.started()
        kill_at(w, call, nth)
        w.start()
        record = await w.ended(w.ask("reschedule-services"))
        assert (record.state, record.message) == (State.SUCCEEDED, "api, web rescheduled")
        stamps = {w.service(name).env["RESCHEDULE_DATE"] for name in ("api", "web")}
        assert stamps == {record.plan["reschedule"]["stamp"]}
        assert [w.swarm.rollouts[w.service(name).id] for name in ("api", "web")] == [2, 2]


async def test_a_termination_is_known_as_ours_by_its_activity_where_somebody_raised_the_group_meanwhile() -> None:
    async with world(workers=3, lease_seconds=3) as w:
        await w.started()
        kill_at(w, "groups.terminate done", 1)
        request = w.down()
        await w.until(lambda: w.desired == [3, 2])
        group = w.groups.groups["workers"]
        group.desired = 3
        w.groups.follow("workers")
        w.start()
        record = await w.ended(request)
        assert record.state == State.SUCCEEDED, record.message
        assert w.groups.killed == []


async def test_who_finds_a_victim_written_off_as_lost_tells_so_and_takes_no_other() -> None:
    async with world(workers=4, lease_seconds=3) as w:
        first = await w.started()
        first.stage.hold("groups.terminate")
        request = w.down(by=2)
        await w.until(lambda: "groups.terminate" in first.stage.waiting)
        first.kill()
        lost, spared = w.record(request).plan["leaving"]
        w.groups.kill(lost["instance_id"])
        second = w.start()
        second.stage.watchers.append(
            lambda call: second.kill() if call == "journal.save done" and w.record(request).plan.get("lost") else None
        )
        await w.until(second.task.done)
        w.start()
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert f"Somebody else terminated {lost['name']} while it was being removed" in record.message
        assert "the desired capacity of workers is 4, not 3" in record.message
        assert w.desired == [4]
        assert w.node(spared["instance_id"]).availability == "active"


@pytest.mark.parametrize("step", [-20, 25, 3600])
@pytest.mark.parametrize("made", ["", " done"])
async def test_a_wall_clock_that_steps_makes_no_second_call_for_an_instance(step: int, made: str) -> None:
    async with world(workers=3, lease_seconds=3) as w:
        await w.started()
        second = w.start()
        w.groups.times.describe_lag = w.groups.times.activities_lag = 20.0
        kill_at(w, f"groups.terminate{made}", 1)
        request = w.down()
        await w.until(lambda: second.active)
        second.clock.step(timedelta(seconds=step))
        record = await w.ended(request)
        assert record.state == State.SUCCEEDED, record.message
        assert w.desired == [3, 2]


async def test_the_end_of_a_services_update_is_not_counted_anew() -> None:
    async with world(lease_seconds=3, reschedule_timeout=60) as w:
        w.swarm.create("demo", 2, labels=RESCHEDULED)
        await w.settled("demo", 2)
        w.swarm.faults.unstoppable_services.add("demo")
        first = await w.started()
        second = w.start()
        request = w.ask("reschedule-services")
        await w.until(lambda: w.service("demo").update_state == "updating")
        began = second.clock.now()
        await w.passes(45)
        first.kill()
        record = await w.ended(request)
        assert record.message == "demo failed to reschedule: demo: its update has not ended within 60 seconds"
        assert 59 <= (second.clock.now() - began).total_seconds() <= 66


async def test_the_end_of_a_demotion_is_not_counted_anew() -> None:
    async with world(managers=4, lease_seconds=3, drain_timeout=60) as w:
        w.swarm.times.role_change_seconds = 10_000.0
        own = [w.launcher.nodes[one] for one in w.managers[:2]]
        first = await w.started(node=own[0])
        second = w.start(node=own[1])
        request = w.down(type="manager")
        await w.until(lambda: len(w.nodes("manager")) == 3)
        began = second.clock.now()
        await w.passes(45)
        first.kill()
        record = await w.ended(request)
        assert "was demoted, but is still a manager after 60 seconds" in record.message
        assert 59 <= (second.clock.now() - began).total_seconds() <= 66
        assert len(w.nodes("manager")) == 4


async def test_what_ran_on_a_drained_node_is_looked_for_once_more_before_it_is_terminated() -> None:
    async with world(workers=2, lease_seconds=3, drain_timeout=20) as w:
        w.swarm.create("demo", 2, constraints=("node.role == worker",))
        await w.settled("demo", 2)
        process = await w.started()
        w.start()
        process.stage.hold("groups.terminate")
        request = w.down()
        await w.until(lambda: "groups.terminate" in process.stage.waiting)
        process.kill()
        (victim,) = w.record(request).plan["leaving"]
        (other,) = [node for node in w.nodes() if node.id != victim["node_id"]]
        w.swarm.lose(other.id)
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert "did not move within 20 seconds (DRAIN_TIMEOUT): demo." in record.message
        assert "(pending: no suitable node (scheduling constraints not satisfied on 3 nodes; " in record.message
        assert "AWS may have" not in record.message
        assert w.desired == [2]
        await w.settled("demo", 2)
