"""Scaling nodes down."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import Refused
from shared.records import State
from tests.behaviour.scenario import Scenario, scenario

ASKED = "Scale nodes down on: aws, by: 1, type: worker"
CHANGING = "Changing the number of worker nodes on aws from 3 to 2"


async def test_the_node_with_the_fewest_tasks_goes_after_its_tasks_run_elsewhere() -> None:
    async with scenario(workers=3) as s:
        s.swarm.create("demo", 8, constraints=("node.role == worker",))
        await s.settled("demo", 8)
        least = min(s.workers, key=lambda one: len(s.swarm.running_on(s.launcher.nodes[one])))
        host = s.host(least)
        await s.started()
        record = await s.ended(s.down())
        done = f"2 worker nodes are up, {host} removed"
        assert (record.state, record.message) == (State.SUCCEEDED, f"{CHANGING}; {done}")
        assert [step.name for step in record.steps] == ["plan", "drain", "terminate", "remove"]
        assert (record.nodes_before, record.nodes_after) == (3, 2)
        assert s.told == [
            ("scale_nodes", "aws", "success", ASKED, CHANGING),
            ("scale_nodes", "aws", "success", ASKED, done),
        ]
        assert s.desired == [3, 2]
        assert s.running("demo") == 8
        assert host not in {node.hostname for node in s.nodes()}
        assert s.groups.killed == []


async def test_managers_go_demoted_the_leader_last_and_the_workers_own_node_is_spared() -> None:
    async with scenario(managers=5) as s:
        own = s.launcher.nodes[s.managers[2]]
        await s.started(node=own)
        record = await s.ended(s.down(type="manager", by=2))
        assert record.state == State.SUCCEEDED, record.message
        left = s.nodes("manager")
        assert len(left) == 3
        assert own in {node.id for node in left}
        assert all(node.manager is not None and node.manager.reachable for node in left)
        assert s.groups.groups["managers"].desired_history == [5, 4, 3]
        assert s.told[-1][3] == "Scale nodes down on: aws, by: 2, type: manager"


@pytest.mark.parametrize("told", [True, False])
async def test_at_the_minimum_nothing_changes_and_no_cool_down_begins(told: bool) -> None:
    async with scenario(workers=1, default_min_worker_nodes=1, alert_node_min=told, scale_down_cooldown=600) as s:
        await s.started()
        summary = "worker nodes are already descaled to the minimum number of 1 node"
        for _ in range(2):
            record = await s.ended(s.down())
            assert (record.state, record.message) == (State.SKIPPED, summary)
        await s.passes(3)
        assert {one[4] for one in s.told} == ({summary} if told else set())


async def test_a_group_without_room_above_its_own_min_size_is_left_alone() -> None:
    async with scenario(workers=2, sizes=(2, 10)) as s:
        process = await s.started()
        record = await s.ended(s.down())
        summary = "worker nodes are already descaled to the minimum number of 2 nodes"
        assert (record.state, record.message) == (State.SKIPPED, summary)
        assert "swarm.update_node" not in process.ports.calls
        assert s.desired == [2]


async def protect(s: Scenario) -> None:
    """By a label."""
    for node in s.nodes():
        s.swarm.label(node.id, com_df_scaler_protect="true")


async def fill(s: Scenario) -> None:
    """With tasks that fit nowhere else."""
    s.swarm.create("big", 3, cpus=3 * 10**9, constraints=("node.role == worker",))
    await s.settled("big", 3)


async def unmatch(s: Scenario) -> None:
    """Nobody can tell which node is which instance."""
    for node in s.nodes():
        s.swarm.disguise(node.id, f"x-{node.id}")


async def suspend(s: Scenario) -> None:
    """A person keeps the group from terminating."""
    s.groups.groups["workers"].suspended.add("Terminate")
    s.groups.follow("workers")


async def refresh(s: Scenario) -> None:
    """The group is being replaced."""
    s.groups.groups["workers"].refreshing = True


async def protect_instances(s: Scenario) -> None:
    """By AWS, each by itself."""
    group = s.groups.groups["workers"]
    group.protects_new = False
    group.instances = {one.id: replace(one, protected=True) for one in group.instances.values()}
    s.groups.follow("workers")


async def owe(s: Scenario) -> None:
    """Somebody wants one more than AWS can launch."""
    group = s.groups.groups["workers"]
    group.desired, group.refusal = 4, "No p5 capacity"
    s.groups.follow("workers")
    await s.passes(1)


async def run_once(s: Scenario) -> None:
    """What never restarts on every node."""
    for number in range(3):
        s.swarm.create(f"once{number}", 1, restarts=False, constraints=("node.role == worker",))
    await s.passes(2)


async def weigh(s: Scenario) -> None:
    """A group whose capacity is no number of instances."""
    s.groups.groups["workers"].unit = "weights"
    s.groups.follow("workers")


async def at_work(s: Scenario) -> None:
    """A job on every node."""
    for number in range(3):
        s.swarm.create(f"job{number}", 1, mode="replicated-job", restarts=False, constraints=("node.role == worker",))
    await s.passes(2)


@pytest.mark.parametrize(
    ("prepare", "words", "remedy"),
    [
        (protect, "com.df.scaler.protect=true", "lift the protection (`docker node update --label-rm"),
        (protect_instances, "(protected from scale-in)", "set-instance-protection --no-protected-from-scale-in"),
        (fill, "tasks of big would find no place", "Make room (or wait), then repeat the request"),
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
    async with scenario(workers=3) as s:
        await prepare(s)
        process = await s.started()
        request = s.down(by=3) if prepare is fill else s.down()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert words in record.message
        assert remedy in record.message
        assert [one[:3] for one in s.told] == [("scale_nodes", "aws", "error")]
        assert s.told[0][4] == record.message
        assert "swarm.update_node" not in process.ports.calls
        assert s.desired == [3]


async def test_a_scale_down_that_would_cost_quorum_is_refused() -> None:
    async with scenario(managers=3, default_min_manager_nodes=1) as s:
        dead = s.launcher.nodes[s.managers[2]]
        s.swarm.label(dead, com_df_scaler_protect="true")
        s.swarm.lose(dead)
        await s.passes(3)
        process = await s.started()
        record = await s.ended(s.down(type="manager"))
        assert record.state == State.FAILED
        assert "quorum" in record.message or "last Ready manager" in record.message, record.message
        assert "(`docker node ls`" in record.message
        assert not {"swarm.update_node", "groups.terminate"} & set(process.ports.calls)


async def test_tasks_that_do_not_move_in_time_give_the_node_back_and_are_named() -> None:
    async with scenario(workers=2, drain_timeout=20) as s:
        s.swarm.create("demo", 4, constraints=("node.role == worker",))
        await s.settled("demo", 4)
        s.swarm.faults.unstoppable_services.add("demo")
        await s.started()
        record = await s.ended(s.down())
        assert record.state == State.FAILED
        assert "did not move within 20 seconds (DRAIN_TIMEOUT): demo." in record.message
        assert "was told to stop and has not" in record.message
        assert "make room" not in record.message
        assert (record.nodes_before, record.nodes_after) == (2, 2)
        assert [step.name for step in record.steps] == ["plan", "drain", "undo"]
        assert [node.availability for node in s.nodes()] == ["active", "active"]
        assert s.told[-1][:3] == ("scale_nodes", "aws", "error")
        assert s.desired == [2]


async def test_an_undo_of_managers_gives_back_their_role() -> None:
    async with scenario(managers=4, drain_timeout=20) as s:
        process = await s.started()
        process.ports.refuse("groups.terminate", Refused("no"))
        record = await s.ended(s.down(type="manager"))
        assert record.state == State.FAILED
        assert "no" in record.message
        await s.passes(2)
        assert [(n.availability, n.role, n.manager is not None) for n in s.nodes("manager")] == [
            ("active", "manager", True)
        ] * 4


@pytest.mark.parametrize("was", ["pause", "drain"])
async def test_an_undo_gives_a_node_back_as_a_person_had_set_it(was: Any) -> None:
    async with scenario(workers=2) as s:
        kept = s.node(s.workers[0])
        s.swarm.set_availability(kept.id, was)
        s.swarm.create("demo", 2, constraints=("node.role == worker",))
        await s.settled("demo", 2)
        process = await s.started()
        process.ports.refuse("groups.terminate", Refused("AWS says no"))
        record = await s.ended(s.down())
        assert (record.state, record.message) == (State.FAILED, "AWS says no")
        assert [one["node_id"] for one in record.plan["leaving"]] == [kept.id]
        assert s.node(s.workers[0]).availability == was
        assert s.desired == [2]


async def test_a_node_that_somebody_makes_active_again_stays() -> None:
    async with scenario(workers=2) as s:
        s.swarm.create("demo", 4, constraints=("node.role == worker",))
        await s.settled("demo", 4)
        s.swarm.faults.unstoppable_services.add("demo")
        await s.started()
        request = s.down()
        await s.until(lambda: any(node.availability == "drain" for node in s.nodes()))
        (node,) = [node for node in s.nodes() if node.availability == "drain"]
        await s.passes(3)
        s.swarm.set_availability(node.id, "active")
        record = await s.ended(request)
        assert record.message == f"Somebody made {node.hostname} active again while it was drained: it stays"
        assert [node.availability for node in s.nodes()] == ["active", "active"]
        assert s.desired == [2]


async def test_a_victim_that_aws_takes_after_the_intent_costs_no_second_one_and_both_numbers_are_told() -> None:
    async with scenario(workers=3, lease_seconds=3) as s:
        process = await s.started()
        process.ports.hold("groups.terminate")
        request = s.down()
        await s.until(lambda: "groups.terminate" in process.ports.waiting)
        process.kill()
        s.groups.kill(s.record(request).plan["leaving"][0]["instance_id"])
        s.start()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert "the desired capacity of workers is 3, not 2" in record.message
        assert s.desired == [3]
        await s.until(lambda: sum(node.ready and node.availability == "active" for node in s.nodes()) == 3)


async def test_a_victim_that_aws_takes_while_it_is_drained_is_told_with_both_numbers() -> None:
    async with scenario(workers=3) as s:
        process = await s.started()
        gate = process.ports.hold("swarm.update_node", after=True)
        request = s.down()
        await s.until(lambda: bool(process.ports.waiting))
        s.groups.kill(s.record(request).plan["leaving"][0]["instance_id"])
        gate.set()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert "Somebody else is terminating" in record.message
        assert "the desired capacity of workers is 3, 2 was asked for" in record.message
        assert s.desired == [3]


@pytest.mark.parametrize("state", ["ready", "down"])
async def test_a_victim_that_had_never_joined_and_does_so_before_it_goes_is_kept(state: str) -> None:
    async with scenario(workers=2) as s:
        process = await s.started(reschedule_timeout=60)
        s.launcher.never_joins = 1
        await s.ended(s.up(), within=200)
        request = s.down()
        gates: list[asyncio.Event] = []

        def hold(call: str) -> None:
            if call == "journal.save done" and s.record(request).step == "terminate" and not gates:
                gates.append(process.ports.hold("swarm.nodes"))

        process.ports.watchers.append(hold)
        await s.until(lambda: bool(gates) and bool(process.ports.waiting))
        (victim,) = s.record(request).plan["leaving"]
        instance = next(each for each in s.groups.groups["workers"].staying if each.id == victim["instance_id"])
        s.launcher.join("workers", instance)
        if state == "down":
            s.swarm.lose(s.node(instance.id).id)
        await s.until(lambda: s.node(instance.id).state == state)
        gates[0].set()
        record = await s.ended(request)
        assert (victim["node_id"], record.state) == (None, State.FAILED)
        assert f"{instance.id} has joined the Swarm after all" in record.message
        assert s.desired == [2, 3]


async def test_whom_we_have_terminated_is_not_chosen_again_by_a_description_from_before() -> None:
    async with scenario(workers=3, reschedule_timeout=60) as s:
        await s.started()
        await s.passes(61)  # without a node it would be taken for one that never joined, and go first
        before = s.clock.now()
        await s.passes(5)
        first = await s.ended(s.down())
        s.groups.groups["workers"].refusal = "no machine can be had"
        assert (await s.ended(s.up())).state == State.FAILED
        # It shows our last result, 3, as well as the newest does; and the activities say nothing yet.
        s.groups.times.describe_lag = s.groups.times.activities_lag = (s.clock.now() - before).total_seconds()
        second = await s.ended(s.down())
        assert second.state == State.SUCCEEDED, second.message
        victims = [one.plan["leaving"][0]["instance_id"] for one in (first, second)]
        assert len(set(victims)) == 2
        assert s.desired == [3, 2, 3, 2]


async def test_a_node_that_never_goes_down_is_removed_by_force_in_the_end() -> None:
    async with scenario(workers=3) as s:
        s.swarm.times.down_detection_seconds = 10_000.0
        await s.started()
        request = s.down()
        began = s.clock.now()
        record = await s.ended(request, within=200)
        assert record.state == State.SUCCEEDED
        assert 115 <= (s.clock.now() - began).total_seconds() <= 130
        assert len(s.nodes()) == 2


async def test_of_two_victims_the_first_stays_terminated_where_the_second_is_refused() -> None:
    async with scenario(workers=4) as s:
        process = await s.started()
        gate = process.ports.hold("groups.terminate")
        request = s.down(by=2)
        await s.until(lambda: "groups.terminate" in process.ports.waiting)
        process.ports.watchers.append(
            lambda call: (
                process.ports.refuse("groups.terminate", Refused("AWS says no"))
                if call == "groups.terminate done"
                else None
            )
        )
        gate.set()
        record = await s.ended(request)
        first, second = record.plan["leaving"]
        assert record.state == State.FAILED
        assert record.message == f"AWS says no; {first['name']} had been terminated before"
        assert s.desired == [4, 3]
        await s.passes(2)
        assert [node.availability for node in s.nodes() if node.ready] == ["active"] * 3
        assert second["name"] in {node.hostname for node in s.nodes()}


async def test_a_down_of_somebody_elses_surplus_never_raises() -> None:
    async with scenario(workers=2, default_min_worker_nodes=4) as s:
        await s.started()
        record = await s.ended(s.down())
        assert record.message == "worker nodes are already descaled to the minimum number of 2 nodes"
        assert s.desired == [2]


@pytest.mark.parametrize(
    ("to", "words"), [(2, "Somebody else lowered the desired capacity of workers to 2 while 3"), (4, "")]
)
async def test_what_somebody_else_sets_while_nodes_are_drained_is_neither_undercut_nor_denied(
    to: int, words: str
) -> None:
    async with scenario(workers=3, default_min_worker_nodes=2) as s:
        process = await s.started()
        gate = process.ports.hold("swarm.update_node", after=True)
        request = s.down()
        await s.until(lambda: bool(process.ports.waiting))
        s.groups.groups["workers"].desired = to
        s.groups.follow("workers")
        gate.set()
        record = await s.ended(request)
        assert words in record.message
        if words:
            assert (record.state, s.desired) == (State.FAILED, [3])
            assert [node.availability for node in s.nodes()] == ["active"] * 3
        else:
            assert (record.state, s.desired) == (State.SUCCEEDED, [3, 3])
            assert record.nodes_after == 3
            assert "; 2 worker nodes are up, " in record.message  # the third one boots


async def test_a_job_that_begins_on_a_chosen_node_before_it_is_paused_is_not_cut_off() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        gate = process.ports.hold("swarm.update_node")
        request = s.down()
        await s.until(lambda: bool(process.ports.waiting))
        (victim,) = s.record(request).plan["leaving"]
        where = (f"node.id == {victim['node_id']}",)
        s.swarm.create("backup", 1, mode="replicated-job", restarts=False, constraints=where)
        await s.settled("backup", 1)
        gate.set()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert f"has just begun on {victim['name']} and would be cut off" in record.message
        assert [node.availability for node in s.nodes()] == ["active", "active"]
        assert (s.running("backup"), s.desired) == (1, [2])


def tasks_of(s: Scenario, name: str) -> dict[str, str | None]:
    """The ids of a service's running tasks, and where they run."""
    tasks = s.swarm.cluster.tasks
    return {
        each.id: each.node_id for each in tasks if each.service_id == s.service(name).id and each.state == "running"
    }


async def use_an_attempt(s: Scenario, name: str) -> None:
    """Each of the service's tasks fails once, and another follows it."""
    running = tasks_of(s, name)
    for task_id in running:
        s.swarm.fail(task_id)
    await s.until(lambda: len(tasks_of(s, name).keys() - running.keys()) == len(running))


WORKERS = ("node.role == worker",)


@pytest.mark.parametrize("wishes", [{"start_first": True}, {"max_attempts": 1}])
async def test_only_the_tasks_on_the_leaving_node_move_and_the_request_ends_after_the_update(
    wishes: dict[str, Any],
) -> None:
    async with scenario(workers=3) as s:
        s.swarm.create("web", 6, constraints=WORKERS, **wishes)
        await s.settled("web", 6)
        if "max_attempts" in wishes:
            await use_an_attempt(s, "web")
        before = tasks_of(s, "web")
        await s.started()
        record = await s.ended(s.down())
        assert record.state == State.SUCCEEDED, record.message
        (victim,) = record.plan["leaving"]
        stayed = {task for task, node_id in before.items() if node_id != victim["node_id"]}
        assert len(stayed) == 4
        assert stayed < set(tasks_of(s, "web"))
        assert s.running("web") == 6
        web = s.service("web")
        assert web.constraints == WORKERS
        assert web.update_state in {None, "completed"}


async def test_the_constraint_that_moves_a_service_is_taken_back_when_the_worker_dies_and_the_down_is_undone() -> None:
    async with scenario(workers=2, drain_timeout=20, lease_seconds=3) as s:
        s.swarm.create("web", 2, constraints=WORKERS, start_first=True)
        await s.settled("web", 2)
        process = await s.started()
        process.ports.hold("swarm.update_service", after=True)
        request = s.down()
        await s.until(lambda: "swarm.update_service done" in [*process.ports.calls] or bool(process.ports.waiting))
        assert len(s.service("web").constraints) == 2
        s.swarm.faults.unstoppable_services.add("web")
        process.kill()
        s.start()
        record = await s.ended(request)
        assert "did not move within 20 seconds" in record.message
        assert s.service("web").constraints == WORKERS
        assert [node.availability for node in s.nodes()] == ["active", "active"]


async def test_after_an_undo_a_slot_that_swarm_has_given_up_is_told() -> None:
    async with scenario(workers=2, drain_timeout=20) as s:
        s.swarm.create("web", 2, constraints=WORKERS, max_attempts=1)
        s.swarm.create("hang", 2, constraints=WORKERS)
        await s.settled("web", 2)
        await s.settled("hang", 2)
        s.swarm.faults.unstoppable_services.add("hang")
        # Swarm has counted an attempt of which it shows no task any more.
        s.swarm.count_attempts("web")
        await s.started()
        record = await s.ended(s.down())
        assert record.state == State.FAILED
        (node,) = record.plan["leaving"]
        slot = next(slot for name, slot in record.plan["slots"] if name == s.service("web").id)
        assert record.message.endswith(
            f"Swarm will not start web.{slot} again by itself: `docker service update --force web` does"
        ), record.message
        assert node["name"] in record.message


async def test_what_writes_a_local_volume_is_not_moved_without_leave() -> None:
    async with scenario(workers=1) as s:
        s.swarm.create("db", 1, constraints=WORKERS, local_volumes=("data",))
        await s.settled("db", 1)
        process = await s.started()
        record = await s.ended(s.down())
        assert record.state == State.FAILED
        assert "writes the local volume data" in record.message
        assert "`docker service update --label-add com.df.scaler.movable=true db`" in record.message
        assert "swarm.update_node" not in process.ports.calls


async def test_a_service_pinned_to_the_cheapest_node_does_not_keep_another_from_going() -> None:
    async with scenario(workers=2) as s:
        pinned, other = s.node(s.workers[0]), s.node(s.workers[1])
        s.swarm.create("db", 1, constraints=(f"node.id == {pinned.id}",))
        s.swarm.label(other.id, web="yes")
        s.swarm.create("web", 3, constraints=("node.labels.web == yes",))
        await s.settled("db", 1)
        await s.settled("web", 3)
        s.swarm.label(s.nodes("manager")[0].id, web="yes")
        await s.started()
        record = await s.ended(s.down())
        assert record.state == State.SUCCEEDED, record.message
        assert record.plan["chosen"] == {other.hostname: "3 tasks to move"}
        (passed,) = record.plan["passed_over"]
        assert (passed["name"], passed["reason"]) == (pinned.hostname, "would-not-fit")
        assert f"its constraint node.id == {pinned.id} holds on no other node" in passed["text"]
        assert f"; passed over: {pinned.hostname} (would-not-fit); " in record.message
        assert s.running("db") == 1


async def test_a_node_that_somebody_drained_goes_first_and_the_message_says_so() -> None:
    async with scenario(workers=3) as s:
        spare = s.node(s.workers[0])
        s.swarm.set_availability(spare.id, "drain")
        await s.started()
        record = await s.ended(s.down())
        assert record.state == State.SUCCEEDED
        assert record.message == (
            f"{CHANGING}; {spare.hostname} was drained already; 2 worker nodes are up, {spare.hostname} removed"
        )
        assert record.plan["chosen"] == {spare.hostname: "its node was drained already"}


async def test_what_an_up_has_waited_for_in_vain_goes_first_however_late_it_came_into_service() -> None:
    async with scenario(workers=2, reschedule_timeout=60) as s:
        s.launcher.never_joins = 1
        await s.started()
        assert (await s.ended(s.up())).state == State.FAILED
        (stuck,) = set(s.groups.groups["workers"].instances) - set(s.workers)
        record = await s.ended(s.down())
        assert record.state == State.SUCCEEDED, record.message
        assert record.message.endswith(f"2 worker nodes are up, {stuck} removed")
