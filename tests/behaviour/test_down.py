"""Scaling nodes down."""

from dataclasses import replace
from typing import Any

import pytest

from shared.errors import Refused
from shared.records import State
from tests.behaviour.world import World, world

ASKED = "Scale nodes down on: aws, by: 1, type: worker"
CHANGING = "Changing the number of worker nodes on aws from 3 to 2"


async def test_the_node_with_the_fewest_tasks_goes_after_its_tasks_run_elsewhere() -> None:
    async with world(workers=3) as w:
        w.swarm.create("demo", 8, constraints=("node.role == worker",))
        await w.settled("demo", 8)
        least = min(w.workers, key=lambda one: len(w.swarm.running_on(w.launcher.nodes[one])))
        host = w.host(least)
        await w.started()
        record = await w.ended(w.down())
        done = f"2 worker nodes are up, {host} removed"
        assert (record.state, record.message) == (State.SUCCEEDED, f"{CHANGING}; {done}")
        assert [step.name for step in record.steps] == ["plan", "drain", "terminate", "remove"]
        assert (record.nodes_before, record.nodes_after) == (3, 2)
        assert w.told == [
            ("scale_nodes", "aws", "success", ASKED, CHANGING),
            ("scale_nodes", "aws", "success", ASKED, done),
        ]
        assert w.desired == [3, 2]
        assert w.running("demo") == 8
        assert host not in {node.hostname for node in w.nodes()}
        assert w.groups.killed == []


async def test_managers_go_demoted_the_leader_last_and_the_workers_own_node_is_spared() -> None:
    async with world(managers=5) as w:
        own = w.launcher.nodes[w.managers[2]]
        await w.started(node=own)
        record = await w.ended(w.down(type="manager", by=2))
        assert record.state == State.SUCCEEDED, record.message
        left = w.nodes("manager")
        assert len(left) == 3
        assert own in {node.id for node in left}
        assert all(node.manager is not None and node.manager.reachable for node in left)
        assert w.groups.groups["managers"].desired_history == [5, 4, 3]
        assert w.told[-1][3] == "Scale nodes down on: aws, by: 2, type: manager"


@pytest.mark.parametrize("told", [True, False])
async def test_at_the_minimum_nothing_changes_and_no_cool_down_begins(told: bool) -> None:
    async with world(workers=1, default_min_worker_nodes=1, alert_node_min=told, scale_down_cooldown=600) as w:
        await w.started()
        summary = "worker nodes are already descaled to the minimum number of 1 nodes"
        for _ in range(2):
            record = await w.ended(w.down())
            assert (record.state, record.message) == (State.SKIPPED, summary)
        await w.passes(3)
        assert {one[4] for one in w.told} == ({summary} if told else set())


async def test_a_group_without_room_above_its_own_min_size_is_left_alone() -> None:
    async with world(workers=2, sizes=(2, 10)) as w:
        process = await w.started()
        record = await w.ended(w.down())
        summary = "worker nodes are already descaled to the minimum number of 2 nodes"
        assert (record.state, record.message) == (State.SKIPPED, summary)
        assert "swarm.update_node" not in process.stage.calls
        assert w.desired == [2]


async def protect(w: World) -> None:
    """By a label."""
    for node in w.nodes():
        w.swarm.label(node.id, com_df_scaler_protect="true")


async def fill(w: World) -> None:
    """With tasks that fit nowhere else."""
    w.swarm.create("big", 3, cpus=3 * 10**9, constraints=("node.role == worker",))
    await w.settled("big", 3)


async def unmatch(w: World) -> None:
    """Nobody can tell which node is which instance."""
    for node in w.nodes():
        w.swarm.disguise(node.id, f"x-{node.id}")


async def suspend(w: World) -> None:
    """A person keeps the group from terminating."""
    w.groups.groups["workers"].suspended.add("Terminate")
    w.groups.follow("workers")


async def refresh(w: World) -> None:
    """The group is being replaced."""
    w.groups.groups["workers"].refreshing = True


async def protect_instances(w: World) -> None:
    """By AWS, each by itself."""
    group = w.groups.groups["workers"]
    group.protects_new = False
    group.instances = {one.id: replace(one, protected=True) for one in group.instances.values()}
    w.groups.follow("workers")


async def owe(w: World) -> None:
    """Somebody wants one more than AWS can launch."""
    group = w.groups.groups["workers"]
    group.desired, group.refusal = 4, "No p5 capacity"
    w.groups.follow("workers")
    await w.passes(1)


async def run_once(w: World) -> None:
    """What never restarts on every node."""
    for number in range(3):
        w.swarm.create(f"once{number}", 1, restarts=False, constraints=("node.role == worker",))
    await w.passes(2)


async def weigh(w: World) -> None:
    """A group whose capacity is no number of instances."""
    w.groups.groups["workers"].unit = "weights"
    w.groups.follow("workers")


async def at_work(w: World) -> None:
    """A job on every node."""
    for number in range(3):
        w.swarm.create(f"job{number}", 1, mode="replicated-job", restarts=False, constraints=("node.role == worker",))
    await w.passes(2)


@pytest.mark.parametrize(
    ("prepare", "words", "remedy"),
    [
        (protect, "com.df.scaler.protect=true", "lift the protection (`docker node update --label-rm"),
        (protect_instances, "(protected from scale-in)", "set-instance-protection --no-protected-from-scale-in"),
        (fill, "3 tasks of big would find no place", "Make room (or wait), then repeat the request"),
        (unmatch, "no node of the Swarm can be matched", "Give the Docker engines the label instance_id="),
        (suspend, "The process Terminate of Auto Scaling group workers is suspended", "aws autoscaling resume-proc"),
        (refresh, "An instance refresh of Auto Scaling group workers is running", "Wait until it has ended, or cancel"),
        (weigh, "workers counts its capacity in weights", "Take the weights out of its mixed-instances policy"),
        (owe, "AWS could not launch the rest: No p5 capacity", "set the desired capacity back to what there is"),
        (at_work, "A task of the job job", "Wait until it has ended, or remove the job"),
        (run_once, "(restart condition none)", "Wait until it has ended, or give the service another restart"),
    ],
)
async def test_what_can_not_be_done_is_refused_before_anything_is_touched(
    prepare: Any, words: str, remedy: str
) -> None:
    async with world(workers=3) as w:
        await prepare(w)
        process = await w.started()
        request = w.down(by=3) if prepare is fill else w.down()
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert words in record.message
        assert remedy in record.message
        assert [one[:3] for one in w.told] == [("scale_nodes", "aws", "error")]
        assert w.told[0][4] == record.message
        assert "swarm.update_node" not in process.stage.calls
        assert w.desired == [3]


async def test_a_scale_down_that_would_cost_quorum_is_refused() -> None:
    async with world(managers=3, default_min_manager_nodes=1) as w:
        dead = w.launcher.nodes[w.managers[2]]
        w.swarm.label(dead, com_df_scaler_protect="true")
        w.swarm.lose(dead)
        await w.passes(3)
        process = await w.started()
        record = await w.ended(w.down(type="manager"))
        assert record.state == State.FAILED
        assert "quorum" in record.message or "last Ready manager" in record.message, record.message
        assert "(`docker node ls`" in record.message
        assert not {"swarm.update_node", "groups.terminate"} & set(process.stage.calls)


async def test_tasks_that_do_not_move_in_time_give_the_node_back_and_are_named() -> None:
    async with world(workers=2, drain_timeout=20) as w:
        w.swarm.create("demo", 4, constraints=("node.role == worker",))
        await w.settled("demo", 4)
        w.swarm.faults.unstoppable_services.add("demo")
        await w.started()
        record = await w.ended(w.down())
        assert record.state == State.FAILED
        assert "did not move within 20 seconds (DRAIN_TIMEOUT): demo." in record.message
        assert [step.name for step in record.steps] == ["plan", "drain", "undo"]
        assert [node.availability for node in w.nodes()] == ["active", "active"]
        assert w.told[-1][:3] == ("scale_nodes", "aws", "error")
        assert w.desired == [2]


async def test_an_undo_of_managers_gives_back_their_role() -> None:
    async with world(managers=4, drain_timeout=20) as w:
        process = await w.started()
        process.stage.refuse("groups.terminate", Refused("no"))
        record = await w.ended(w.down(type="manager"))
        assert record.state == State.FAILED
        assert "no" in record.message
        await w.passes(2)
        assert [(n.availability, n.role, n.manager is not None) for n in w.nodes("manager")] == [
            ("active", "manager", True)
        ] * 4


@pytest.mark.parametrize("was", ["pause", "drain"])
async def test_an_undo_gives_a_node_back_as_a_person_had_set_it(was: Any) -> None:
    async with world(workers=2) as w:
        kept = w.node(w.workers[0])
        w.swarm.set_availability(kept.id, was)
        w.swarm.create("demo", 2, constraints=("node.role == worker",))
        await w.settled("demo", 2)
        process = await w.started()
        process.stage.refuse("groups.terminate", Refused("AWS says no"))
        record = await w.ended(w.down())
        assert (record.state, record.message) == (State.FAILED, "AWS says no")
        assert [one["node_id"] for one in record.plan["leaving"]] == [kept.id]
        assert w.node(w.workers[0]).availability == was
        assert w.desired == [2]


async def test_a_node_that_somebody_makes_active_again_stays() -> None:
    async with world(workers=2) as w:
        w.swarm.create("demo", 4, constraints=("node.role == worker",))
        await w.settled("demo", 4)
        w.swarm.faults.unstoppable_services.add("demo")
        await w.started()
        request = w.down()
        await w.until(lambda: any(node.availability == "drain" for node in w.nodes()))
        (node,) = [node for node in w.nodes() if node.availability == "drain"]
        await w.passes(3)
        w.swarm.set_availability(node.id, "active")
        record = await w.ended(request)
        assert record.message == f"Somebody made {node.hostname} active again while it was drained: it stays"
        assert [node.availability for node in w.nodes()] == ["active", "active"]
        assert w.desired == [2]


async def test_a_victim_that_aws_takes_after_the_intent_costs_no_second_one_and_both_numbers_are_told() -> None:
    async with world(workers=3, lease_seconds=3) as w:
        process = await w.started()
        process.stage.hold("groups.terminate")
        request = w.down()
        await w.until(lambda: "groups.terminate" in process.stage.waiting)
        process.kill()
        w.groups.kill(w.record(request).plan["leaving"][0]["instance_id"])
        w.start()
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert "the desired capacity of workers is 3, not 2" in record.message
        assert w.desired == [3]
        await w.until(lambda: sum(node.ready and node.availability == "active" for node in w.nodes()) == 3)


async def test_a_victim_that_aws_takes_while_it_is_drained_is_told_with_both_numbers() -> None:
    async with world(workers=3) as w:
        process = await w.started()
        gate = process.stage.hold("swarm.update_node", after=True)
        request = w.down()
        await w.until(lambda: bool(process.stage.waiting))
        w.groups.kill(w.record(request).plan["leaving"][0]["instance_id"])
        gate.set()
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert "Somebody else is terminating" in record.message
        assert "the desired capacity of workers is 3, 2 was asked for" in record.message
        assert w.desired == [3]


async def test_whom_we_have_terminated_is_not_chosen_again_by_a_description_from_before() -> None:
    async with world(workers=3, reschedule_timeout=60) as w:
        await w.started()
        await w.passes(61)  # without a node it would be taken for one that never joined, and go first
        before = w.clock.now()
        await w.passes(5)
        first = await w.ended(w.down())
        w.groups.groups["workers"].refusal = "no machine can be had"
        assert (await w.ended(w.up())).state == State.FAILED
        # It shows our last result, 3, as well as the newest does; and the activities say nothing yet.
        w.groups.times.describe_lag = w.groups.times.activities_lag = (w.clock.now() - before).total_seconds()
        second = await w.ended(w.down())
        assert second.state == State.SUCCEEDED, second.message
        victims = [one.plan["leaving"][0]["instance_id"] for one in (first, second)]
        assert len(set(victims)) == 2
        assert w.desired == [3, 2, 3, 2]


async def test_a_node_that_never_goes_down_is_removed_by_force_in_the_end() -> None:
    async with world(workers=3) as w:
        w.swarm.times.down_detection_seconds = 10_000.0
        await w.started()
        request = w.down()
        began = w.clock.now()
        record = await w.ended(request, within=200)
        assert record.state == State.SUCCEEDED
        assert 115 <= (w.clock.now() - began).total_seconds() <= 130
        assert len(w.nodes()) == 2


async def test_of_two_victims_the_first_stays_terminated_where_the_second_is_refused() -> None:
    async with world(workers=4) as w:
        process = await w.started()
        gate = process.stage.hold("groups.terminate")
        request = w.down(by=2)
        await w.until(lambda: "groups.terminate" in process.stage.waiting)
        process.stage.watchers.append(
            lambda call: (
                process.stage.refuse("groups.terminate", Refused("AWS says no"))
                if call == "groups.terminate done"
                else None
            )
        )
        gate.set()
        record = await w.ended(request)
        first, second = record.plan["leaving"]
        assert record.state == State.FAILED
        assert record.message == f"AWS says no; {first['name']} had been terminated before"
        assert w.desired == [4, 3]
        await w.passes(2)
        assert [node.availability for node in w.nodes() if node.ready] == ["active"] * 3
        assert second["name"] in {node.hostname for node in w.nodes()}


async def test_a_down_of_somebody_elses_surplus_never_raises() -> None:
    async with world(workers=2, default_min_worker_nodes=4) as w:
        await w.started()
        record = await w.ended(w.down())
        assert record.message == "worker nodes are already descaled to the minimum number of 2 nodes"
        assert w.desired == [2]


@pytest.mark.parametrize(
    ("to", "words"), [(2, "Somebody else lowered the desired capacity of workers to 2 while 3"), (4, "")]
)
async def test_what_somebody_else_sets_while_nodes_are_drained_is_neither_undercut_nor_denied(
    to: int, words: str
) -> None:
    async with world(workers=3, default_min_worker_nodes=2) as w:
        process = await w.started()
        gate = process.stage.hold("swarm.update_node", after=True)
        request = w.down()
        await w.until(lambda: bool(process.stage.waiting))
        w.groups.groups["workers"].desired = to
        w.groups.follow("workers")
        gate.set()
        record = await w.ended(request)
        assert words in record.message
        if words:
            assert (record.state, w.desired) == (State.FAILED, [3])
            assert [node.availability for node in w.nodes()] == ["active"] * 3
        else:
            assert (record.state, w.desired) == (State.SUCCEEDED, [3, 3])
            assert "; 3 worker nodes are up, " in record.message


async def test_a_job_that_begins_on_a_chosen_node_before_it_is_paused_is_not_cut_off() -> None:
    async with world(workers=2) as w:
        process = await w.started()
        gate = process.stage.hold("swarm.update_node")
        request = w.down()
        await w.until(lambda: bool(process.stage.waiting))
        (victim,) = w.record(request).plan["leaving"]
        where = (f"node.id == {victim['node_id']}",)
        w.swarm.create("backup", 1, mode="replicated-job", restarts=False, constraints=where)
        await w.settled("backup", 1)
        gate.set()
        record = await w.ended(request)
        assert record.state == State.FAILED
        assert f"has just begun on {victim['name']} and would be cut off" in record.message
        assert [node.availability for node in w.nodes()] == ["active", "active"]
        assert (w.running("backup"), w.desired) == (1, [2])
