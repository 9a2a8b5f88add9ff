"""What becomes of requests when their worker dies, whatever it was doing."""

import asyncio
from datetime import timedelta

import pytest

from shared.records import State
from tests.behaviour.scenario import RESCHEDULED, Scenario, scenario

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
ONCE = ("journal.create", "groups.set_desired", "swarm.update_service")
"""An up makes these calls once."""


class Kill:
    """The first worker dies at its nth call of a kind, before it, or (`done`) after it."""

    def __init__(self, s: Scenario, call: str, nth: int) -> None:
        self._victim, self._call, self._left = s.processes[0], call, nth
        self._victim.ports.watchers.append(self._watch)

    @property
    def struck(self) -> bool:
        """There were so many calls."""
        return self._left <= 0

    def _watch(self, name: str) -> None:
        self._left -= name == self._call
        if name == self._call and self._left == 0:
            self._victim.kill()


@pytest.mark.parametrize(
    ("call", "nth"), [(call, nth) for call in UP_CALLS for nth in ((1,) if call.startswith(ONCE) else (1, 2, 3))]
)
async def test_an_up_is_finished_by_the_next_worker_and_changes_once(call: str, nth: int) -> None:
    async with scenario(lease_seconds=3) as s:
        s.swarm.create("demo", 6, labels=RESCHEDULED)
        await s.started()
        kill = Kill(s, call, nth)
        s.start()
        record = await s.ended(s.up())
        assert kill.struck
        assert (record.state, record.nodes_after) == (State.SUCCEEDED, 2)
        assert record.message.endswith("2 worker nodes are up, demo rescheduled")
        assert s.desired == [1, 2]
        await s.until(lambda: s.service("demo").update_state == "completed")
        assert len(s.nodes()) == 2


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
TWICE = ("groups.terminate", "swarm.remove_node")
"""A down of two makes these calls twice."""


@pytest.mark.parametrize(
    ("call", "nth", "lag"),
    [
        *((call, nth, 0.0) for call in DOWN_CALLS for nth in ((1, 2) if call.startswith(TWICE) else (1, 2, 3))),
        *((f"groups.terminate{done}", nth, 20.0) for done in ("", " done") for nth in (1, 2)),
    ],
)
async def test_a_down_is_finished_by_the_next_worker_and_changes_once(call: str, nth: int, lag: float) -> None:
    async with scenario(workers=4, lease_seconds=3) as s:
        s.swarm.create("demo", 6)
        await s.settled("demo", 6)
        await s.started()
        s.groups.times.describe_lag = lag
        kill = Kill(s, call, nth)
        s.start()
        record = await s.ended(s.down(by=2))
        assert kill.struck
        assert (record.state, record.nodes_before, record.nodes_after) == (State.SUCCEEDED, 4, 2)
        assert s.desired == [4, 3, 2]
        assert len(s.nodes()) == 2
        assert s.running("demo") == 6


@pytest.mark.parametrize(
    ("call", "nth"),
    [
        *(("swarm.update_node done", nth) for nth in (1, 2, 3, 4)),
        *((f"groups.terminate{done}", nth) for done in ("", " done") for nth in (1, 2)),
    ],
)
async def test_a_down_of_managers_is_finished_by_the_next_worker(call: str, nth: int) -> None:
    async with scenario(managers=5, workers=1, lease_seconds=3, default_min_manager_nodes=3) as s:
        await s.started()
        kill = Kill(s, call, nth)
        s.start()
        record = await s.ended(s.down(type="manager", by=2))
        assert kill.struck
        assert record.state == State.SUCCEEDED, record.message
        assert s.groups.groups["managers"].desired_history == [5, 4, 3]
        assert [node.manager is not None for node in s.nodes("manager")] == [True] * 3


async def test_what_had_begun_goes_on_before_anything_new_begins() -> None:
    async with scenario(lease_seconds=3) as s:
        await s.started()
        Kill(s, "groups.set_desired", 1)
        first = s.up()
        second_worker, looking = s.start(), list[asyncio.Event]()

        def won(call: str) -> None:
            if call == "lease.replace done":
                looking.append(second_worker.ports.hold("journal.open", after=True))

        second_worker.ports.watchers.append(won)
        await s.until(lambda: second_worker.ports.waiting == ["journal.open done"])
        second_worker.ports.watchers.remove(won)
        second = s.up()
        await s.until(lambda: second in s.journal.records)
        looking[-1].set()
        assert (await s.ended(first)).nodes_after == 2
        assert (await s.ended(second)).nodes_after == 3
        assert s.desired == [1, 3]  # one raise for both


async def test_a_request_that_ended_is_not_done_again_for_a_late_answer_about_it() -> None:
    async with scenario() as s:
        s.swarm.create("web", 2)
        process = await s.started()
        late = process.ports.hold("journal.create", after=True)
        request = s.ask("scale-service", id="same", service="web", scale="up")
        await s.until(lambda: process.ports.waiting == ["journal.create done"])
        late.set()
        await s.ended(request)
        s.ask("scale-service", id="same", service="web", scale="up")
        await s.until(lambda: not s.inbox.waiting)
        assert s.service("web").replicas == 3
        assert s.record(request).message == "Scaling web from 2 to 3 replicas (min: 1, max: 5)"


async def test_a_sweep_that_read_a_request_before_it_ended_does_not_begin_it_again() -> None:
    async with scenario(default_max_replicas=3) as s:
        s.swarm.create("web", 2)
        process = await s.started()
        late = process.ports.hold("journal.claim", after=True)
        created = process.ports.hold("journal.create", after=True)
        request = s.ask("scale-service", service="web", scale="up")
        await s.until(lambda: process.ports.waiting == ["journal.create done"])
        await s.until(lambda: "journal.claim done" in process.ports.waiting, within=90)
        created.set()
        await s.ended(request)
        late.set()
        await s.until(lambda: not process.ports.waiting)
        await s.until(lambda: process.ports.calls.count("journal.open") >= 3, within=90)
        assert [record.state for record in s.journal.writes if record.id == request][-1] == State.SUCCEEDED
        assert s.service("web").replicas == 3
        assert len(s.told) == 1


async def test_a_person_who_changed_the_replicas_back_meanwhile_has_the_last_word() -> None:
    async with scenario(lease_seconds=3) as s:
        s.swarm.create("web", 2)
        await s.started()
        Kill(s, "swarm.update_service done", 1)
        request = s.ask("scale-service", service="web", scale="up")
        await s.until(lambda: s.service("web").replicas == 3)
        s.swarm.scale("web", 2)
        s.start()
        record = await s.ended(request)
        assert (record.state, s.service("web").replicas) == (State.SUCCEEDED, 2)


@pytest.mark.parametrize("call", ["journal.save", "swarm.update_service", "swarm.update_service done"])
@pytest.mark.parametrize("nth", [1, 2])
async def test_a_reschedule_is_finished_by_the_next_worker_in_one_pass(call: str, nth: int) -> None:
    async with scenario(lease_seconds=3) as s:
        for name in ("api", "web"):
            s.swarm.create(name, 2, labels=RESCHEDULED)
        await s.settled("web", 2)
        await s.started()
        Kill(s, call, nth)
        s.start()
        record = await s.ended(s.ask("reschedule-services"))
        assert (record.state, record.message) == (State.SUCCEEDED, "api, web rescheduled")
        stamps = {s.service(name).env["RESCHEDULE_DATE"] for name in ("api", "web")}
        assert stamps == {record.plan["reschedule"]["stamp"]}
        assert [s.swarm.rollouts[s.service(name).id] for name in ("api", "web")] == [2, 2]


async def test_a_termination_is_known_as_ours_by_its_activity_where_somebody_raised_the_group_meanwhile() -> None:
    async with scenario(workers=3, lease_seconds=3) as s:
        await s.started()
        Kill(s, "groups.terminate done", 1)
        request = s.down()
        await s.until(lambda: s.desired == [3, 2])
        group = s.groups.groups["workers"]
        group.desired = 3
        s.groups.follow("workers")
        s.start()
        record = await s.ended(request)
        assert record.state == State.SUCCEEDED, record.message
        assert s.groups.killed == []


async def test_who_finds_a_victim_written_off_as_lost_tells_so_and_takes_no_other() -> None:
    async with scenario(workers=4, lease_seconds=3) as s:
        first = await s.started()
        first.ports.hold("groups.terminate")
        request = s.down(by=2)
        await s.until(lambda: "groups.terminate" in first.ports.waiting)
        first.kill()
        lost, spared = s.record(request).plan["leaving"]
        s.groups.kill(lost["instance_id"])
        second = s.start()
        second.ports.watchers.append(
            lambda call: second.kill() if call == "journal.save done" and s.record(request).plan.get("lost") else None
        )
        await s.until(second.task.done)
        s.start()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert f"Somebody else terminated {lost['name']} while it was being removed" in record.message
        assert "the desired capacity of workers is 4, not 3" in record.message
        assert s.desired == [4]
        assert s.node(spared["instance_id"]).availability == "active"


@pytest.mark.parametrize("lag", [0.0, 20.0])
async def test_the_next_up_begins_from_what_a_call_left_for_an_instance_that_aws_was_ending_already(lag: float) -> None:
    async with scenario(workers=3, lease_seconds=3) as s:
        first = await s.started()
        gate = first.ports.hold("groups.terminate")
        request = s.down()
        await s.until(lambda: "groups.terminate" in first.ports.waiting)
        s.groups.times.terminate, s.groups.times.describe_lag = 40.0, lag
        (victim,) = s.record(request).plan["leaving"]
        s.groups.kill(victim["instance_id"])
        Kill(s, "groups.terminate done", 1)
        gate.set()
        await s.until(first.task.done)
        s.start()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert f"Somebody else terminated {victim['name']} while" in record.message
        assert "the desired capacity of workers is 2. Repeat" in record.message
        assert (await s.ended(s.up())).nodes_before == 2
        assert s.desired == [3, 2, 3]


@pytest.mark.parametrize("step", [-20, 25, 3600])
@pytest.mark.parametrize("made", ["", " done"])
async def test_a_wall_clock_that_steps_makes_no_second_call_for_an_instance(step: int, made: str) -> None:
    async with scenario(workers=3, lease_seconds=3) as s:
        await s.started()
        second = s.start()
        s.groups.times.describe_lag = s.groups.times.activities_lag = 20.0
        Kill(s, f"groups.terminate{made}", 1)
        request = s.down()
        await s.until(lambda: second.active)
        second.clock.step(timedelta(seconds=step))
        record = await s.ended(request)
        assert record.state == State.SUCCEEDED, record.message
        assert s.desired == [3, 2]


async def test_the_end_of_a_services_update_is_not_counted_anew() -> None:
    async with scenario(lease_seconds=3, reschedule_timeout=60) as s:
        s.swarm.create("demo", 2, labels=RESCHEDULED)
        await s.settled("demo", 2)
        s.swarm.faults.unstoppable_services.add("demo")
        first = await s.started()
        second = s.start()
        request = s.ask("reschedule-services")
        await s.until(lambda: s.service("demo").update_state == "updating")
        began = second.clock.now()
        await s.passes(45)
        first.kill()
        record = await s.ended(request)
        assert record.message == "demo failed to reschedule: demo: its update has not ended within 60 seconds"
        assert 59 <= (second.clock.now() - began).total_seconds() <= 66


async def test_the_end_of_a_demotion_is_not_counted_anew() -> None:
    async with scenario(managers=4, lease_seconds=3, drain_timeout=60) as s:
        s.swarm.times.role_change_seconds = 10_000.0
        own = [s.launcher.nodes[one] for one in s.managers[:2]]
        first = await s.started(node=own[0])
        second = s.start(node=own[1])
        request = s.down(type="manager")
        await s.until(lambda: len(s.nodes("manager")) == 3)
        began = second.clock.now()
        await s.passes(45)
        first.kill()
        record = await s.ended(request)
        assert "was demoted, but is still a manager after 60 seconds" in record.message
        assert 59 <= (second.clock.now() - began).total_seconds() <= 66
        assert len(s.nodes("manager")) == 4


async def test_what_ran_on_a_drained_node_is_looked_for_once_more_before_it_is_terminated() -> None:
    async with scenario(workers=2, lease_seconds=3, drain_timeout=20) as s:
        s.swarm.create("demo", 2, constraints=("node.role == worker",))
        await s.settled("demo", 2)
        process = await s.started()
        s.start()
        process.ports.hold("groups.terminate")
        request = s.down()
        await s.until(lambda: "groups.terminate" in process.ports.waiting)
        process.kill()
        (victim,) = s.record(request).plan["leaving"]
        (other,) = [node for node in s.nodes() if node.id != victim["node_id"]]
        s.swarm.lose(other.id)
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert "did not move within 20 seconds (DRAIN_TIMEOUT): demo." in record.message
        assert "(pending: no suitable node (scheduling constraints not satisfied on 3 nodes; " in record.message
        assert "AWS may have" not in record.message
        assert s.desired == [2]
        await s.settled("demo", 2)
