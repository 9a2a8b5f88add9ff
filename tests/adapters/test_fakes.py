"""The ports in memory together, under fake time: what the contracts do not say, and simulations rely on."""

import asyncio
from datetime import timedelta

import pytest

from shared.errors import Unavailable
from tests.fakes import (
    Hooks,
    InMemoryGroups,
    InMemoryInbox,
    InMemoryLeaseStore,
    InMemorySwarm,
    Launcher,
    LoopClock,
    Scripted,
)
from worker.ports.storage import LeaseItem
from worker.ports.swarm_changes import ServiceChange

pytestmark = pytest.mark.looptime


class Fakes:
    """Three managers and a worker, each on an instance, and `demo` with six replicas."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.groups = InMemoryGroups(self.clock)
        self.groups.add_group("managers", desired=3, min_size=1)
        self.groups.add_group("workers", desired=1)
        self.swarm = InMemorySwarm()
        self.launcher = Launcher(self.groups, self.swarm, {"managers": "manager", "workers": "worker"})
        self.demo = self.swarm.create("demo", 6)


async def test_a_raised_capacity_becomes_a_ready_node_after_the_boot() -> None:
    fakes = Fakes()
    await fakes.groups.set_desired("workers", 2)
    await asyncio.sleep(3.1)
    assert len(await fakes.swarm.nodes()) == 4
    await asyncio.sleep(0.2)
    nodes = await fakes.swarm.nodes()
    group = await fakes.groups.describe("workers")
    assert [node.engine_labels["instance_id"] for node in nodes if node.role == "worker"] == [
        instance.id for instance in group.instances
    ]
    assert nodes[-1].hostname == group.instances[-1].private_dns_name.partition(".")[0]
    assert fakes.swarm.running_on(nodes[-1].id) == []


async def test_a_lower_capacity_ends_unprotected_instances_that_nobody_named() -> None:
    fakes = Fakes()
    fakes.groups.add_group("unprotected", desired=2, protects_new=False)
    await fakes.groups.set_desired("unprotected", 1)
    await fakes.groups.set_desired("workers", 0)
    await asyncio.sleep(5)
    assert len(fakes.groups.killed) == 1
    assert len(fakes.groups.groups["workers"].staying) == 1


async def test_a_terminated_instance_takes_its_node_down_and_the_tasks_move() -> None:
    fakes = Fakes()
    await asyncio.sleep(2)
    (worker,) = fakes.groups.groups["workers"].staying
    node_id = fakes.launcher.nodes[worker.id]
    assert fakes.swarm.running_on(node_id)
    await fakes.groups.terminate(worker.id)
    await asyncio.sleep(5)
    states = {node.id: node.state for node in await fakes.swarm.nodes()}
    assert states[node_id] == "down"
    alive = [task for task in await fakes.swarm.tasks(service_id=fakes.demo) if task.desired == "running"]
    assert [task.state for task in alive] == ["running"] * 6
    assert await fakes.groups.gone([worker.id], ()) == {worker.id}
    fakes.groups.forget()
    assert await fakes.groups.gone([worker.id], ()) == frozenset()
    assert await fakes.groups.gone([worker.id], [worker.id]) == {worker.id}


async def test_aws_replaces_what_dies_and_some_instances_never_join() -> None:
    fakes = Fakes()
    fakes.launcher.never_joins = 1
    (worker,) = fakes.groups.groups["workers"].staying
    fakes.groups.kill(worker.id)
    await asyncio.sleep(60)
    (replacement,) = fakes.groups.groups["workers"].staying
    assert replacement.id != worker.id
    assert replacement.id not in fakes.launcher.nodes
    assert fakes.groups.groups["workers"].desired == 1


async def test_descriptions_lag_when_they_are_told_to() -> None:
    fakes = Fakes()
    await asyncio.sleep(100)
    fakes.groups.times.describe_lag = 30
    await fakes.groups.set_desired("workers", 2)
    await asyncio.sleep(29)
    assert (await fakes.groups.describe("workers")).desired == 1
    await asyncio.sleep(2)
    seen = await fakes.groups.describe("workers")
    assert (seen.desired, len(seen.instances)) == (2, 2)


async def test_a_launch_that_is_refused_is_tried_again_until_it_works() -> None:
    fakes = Fakes()
    fakes.groups.groups["workers"].refusal = "InsufficientInstanceCapacity"
    await fakes.groups.set_desired("workers", 2)
    await asyncio.sleep(12)
    recorded = (await fakes.groups.activities("workers")).recorded
    failures = [activity for activity in recorded if activity.kind == "launch" and activity.outcome == "failed"]
    assert len(failures) == 3
    fakes.groups.groups["workers"].refusal = None
    await asyncio.sleep(6)
    assert len(fakes.groups.groups["workers"].staying) == 2


async def test_an_update_whose_tasks_fail_is_paused() -> None:
    fakes = Fakes()
    await asyncio.sleep(2)
    fakes.swarm.faults.failing_services.add("demo")
    await fakes.swarm.update_service(fakes.demo, ServiceChange("request", force=True))
    await asyncio.sleep(10)
    service = await fakes.swarm.service("demo")
    assert service.update_state == "paused"
    assert "failure or early termination of task" in service.update_message


async def test_another_leader_is_elected_and_a_view_through_a_dead_node_is_away() -> None:
    fakes = Fakes()
    first, *_ = await fakes.swarm.nodes()
    view = fakes.swarm.through(Hooks(), first.id)
    assert (await view.identity()).node_id == first.id
    async with view.changes() as changes, fakes.swarm.changes() as others:
        fakes.swarm.lose(first.id)
        with pytest.raises(StopAsyncIteration):
            await anext(changes)
        await anext(others)
    with pytest.raises(Unavailable):
        await view.identity()
    await asyncio.sleep(1)
    leader = next(node for node in await fakes.swarm.nodes() if node.manager and node.manager.leader)
    assert leader.id != first.id


async def test_a_message_received_too_often_is_given_up() -> None:
    inbox = InMemoryInbox(LoopClock(), max_receives=3)
    inbox.send("poison")
    for _ in range(3):
        async with asyncio.timeout(60):
            while not await inbox.receive():
                pass
    assert await inbox.receive() == await inbox.receive() == []
    assert [(letter.body, letter.error) for letter in inbox.dead] == [("poison", None)]


async def test_an_empty_queue_answers_after_the_poll() -> None:
    inbox, loop = InMemoryInbox(LoopClock()), asyncio.get_running_loop()
    began = loop.time()
    assert await inbox.receive() == []
    assert loop.time() - began == pytest.approx(20)


async def test_a_refused_call_has_not_happened_and_one_whose_answer_was_lost_has() -> None:
    hooks, store = Scripted(), InMemoryLeaseStore()
    view = store.through(hooks)
    item = LeaseItem("a", 1, 0, "cluster")
    hooks.refuse("lease.replace", Unavailable("later"))
    with pytest.raises(Unavailable):
        await view.replace(None, item)
    assert store.item is None
    hooks.lose_answer("lease.replace", Unavailable("no answer"))
    with pytest.raises(Unavailable):
        await view.replace(None, item)
    assert store.item == item
    assert await view.replace(None, item)
    assert hooks.calls == ["lease.replace"] * 3


async def test_the_clock_follows_the_loop_and_steps_on_demand() -> None:
    clock = LoopClock()
    now, uptime = clock.now(), clock.uptime()
    await asyncio.sleep(60)
    clock.step(timedelta(hours=-1))
    assert clock.now() - now == timedelta(minutes=-59)
    assert clock.uptime() - uptime == pytest.approx(60)
