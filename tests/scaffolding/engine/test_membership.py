"""Nodes that die and come back, managers that change their role, and the quorum."""

import pytest

from infra.local.engine.errors import EngineError
from infra.local.engine.model import NodeState, Role, TaskState
from tests.scaffolding.engine.lab import Lab, seconds, until

pytestmark = pytest.mark.looptime


async def test_a_lost_node_is_down_after_a_while_and_its_tasks_run_elsewhere(lab: Lab) -> None:
    lab.create(replicas=6)
    await seconds(2)
    lost = lab.workers[0]
    lab.swarm.lose_node(lost)
    await seconds(14)
    assert lab.node(lost).state is NodeState.READY
    await seconds(1)
    assert (lab.node(lost).state, lab.node(lost).message) == (NodeState.DOWN, "heartbeat failure")
    await seconds(2)
    assert lab.per_node() == {"worker-1": 3, "worker-2": 3}
    ghosts = [task for task in lab.tasks() if task.node_id == lost]
    assert {(task.state, task.desired) for task in ghosts} == {(TaskState.RUNNING, TaskState.SHUTDOWN)}


async def test_the_restart_delay_counts_for_a_lost_node(lab: Lab) -> None:
    lab.create(replicas=3, template={"RestartPolicy": {}})
    await seconds(2)
    lab.swarm.lose_node(lab.workers[0])
    await until(lambda: lab.node(lab.workers[0]).state is NodeState.DOWN)
    # 5 s is Swarm's default delay; preparing lies within it.
    assert await until(lambda: len(lab.running()) == 3) == pytest.approx(5.5, abs=0.2)


async def test_a_drained_node_has_no_restart_delay(lab: Lab) -> None:
    lab.create(replicas=3, template={"RestartPolicy": {}})
    await seconds(2)
    lab.set_node(lab.workers[0], Availability="drain")
    assert await until(lambda: len(lab.running()) < 3) < 0.1
    # Stopping takes a second, then the prepared task starts.
    assert await until(lambda: len(lab.running()) == 3) == pytest.approx(1.5, abs=0.2)


async def test_a_drain_uses_a_restart_attempt_up_and_an_update_begins_a_new_count(lab: Lab) -> None:
    lab.create(replicas=1, template={"RestartPolicy": {"Delay": 0, "MaxAttempts": 1}})
    await seconds(2)

    async def drain_its_node() -> int:
        (task,) = lab.running()
        lab.set_node(task.node_id, Availability="drain")
        await seconds(3)
        lab.set_node(task.node_id, Availability="active")
        return len(lab.running())

    assert await drain_its_node() == 1
    lab.force()
    await seconds(9)
    assert await drain_its_node() == 1
    assert await drain_its_node() == 0
    await seconds(60)
    assert lab.running() == []


async def test_a_node_that_returns_is_ready_and_forgets_what_ran(lab: Lab) -> None:
    lab.create(replicas=6)
    await seconds(2)
    back = lab.workers[0]
    lab.swarm.lose_node(back)
    await seconds(20)
    lab.swarm.return_node(back)
    await seconds(1)
    assert lab.node(back).state is NodeState.READY
    assert lab.swarm.running_on(back) == ()
    assert len(lab.running()) == 6


async def test_a_node_that_reboots_unnoticed_restarts_its_tasks(lab: Lab) -> None:
    lab.create(replicas=3)
    await seconds(2)
    lab.swarm.lose_node(lab.workers[0])
    await seconds(5)
    lab.swarm.return_node(lab.workers[0])
    await seconds(30)
    assert lab.node(lab.workers[0]).state is NodeState.READY
    failed = [task for task in lab.tasks() if task.state is TaskState.FAILED]
    assert [task.error for task in failed] == ["task: non-zero exit (137)"]
    assert len(lab.running()) == 3


async def test_a_down_node_can_be_removed_and_its_tasks_are_orphans(lab: Lab) -> None:
    lab.create(replicas=3)
    await seconds(2)
    lost = lab.workers[0]
    with pytest.raises(EngineError, match="is not down and can't be removed"):
        lab.swarm.control.remove_node(lost, force=False)
    lab.swarm.lose_node(lost)
    await seconds(20)
    lab.swarm.control.remove_node(lost, force=False)
    assert {task.state for task in lab.tasks() if task.node_id == lost} == {TaskState.ORPHANED}
    with pytest.raises(EngineError, match=f"node {lost} not found"):
        lab.swarm.control.node(lost)


async def test_force_removes_a_ready_worker_and_its_tasks_run_elsewhere(lab: Lab) -> None:
    lab.create(replicas=6)
    await seconds(2)
    lab.swarm.control.remove_node(lab.workers[0], force=True)
    await seconds(3)
    assert lab.per_node() == {"worker-1": 3, "worker-2": 3}


async def test_a_task_that_will_not_stop_keeps_its_drained_node(lab: Lab) -> None:
    lab.create(replicas=3)
    await seconds(2)
    stubborn = lab.workers[0]
    lab.swarm.faults.unstoppable_nodes.add(stubborn)
    lab.set_node(stubborn, Availability="drain")
    await seconds(30)
    assert len(lab.swarm.running_on(stubborn)) == 1
    lab.swarm.faults.release_tasks()
    await seconds(1.1)
    assert lab.swarm.running_on(stubborn) == ()


async def test_demotion_is_wanted_at_once_and_real_a_little_later(lab: Lab) -> None:
    demoted = lab.managers[1]
    lab.set_node(demoted, Role="worker")
    await seconds(1)
    assert (lab.node(demoted).spec.role, lab.node(demoted).role) == (Role.WORKER, Role.MANAGER)
    assert lab.swarm.raft.is_member(demoted)
    await seconds(1)
    assert lab.node(demoted).role is Role.WORKER
    assert not lab.swarm.raft.is_member(demoted)


async def test_demoting_the_leader_hands_leadership_over(lab: Lab) -> None:
    leader = lab.swarm.raft.leader
    assert leader is not None
    lab.set_node(leader, Role="worker")
    await seconds(2)
    assert lab.swarm.raft.leader in set(lab.managers) - {leader}


async def test_a_promoted_worker_becomes_a_member(lab: Lab) -> None:
    lab.set_node(lab.workers[0], Role="manager")
    await seconds(2)
    assert lab.swarm.raft.is_member(lab.workers[0])
    with pytest.raises(EngineError, match="It must be demoted to worker before removal"):
        lab.swarm.control.remove_node(lab.workers[0], force=True)


async def test_a_demotion_that_would_cost_the_quorum_is_refused(lab: Lab) -> None:
    lab.swarm.lose_node(lab.managers[1])
    await seconds(20)
    with pytest.raises(EngineError, match="this would result in a loss of quorum") as refused:
        lab.set_node(lab.managers[2], Role="worker")
    assert refused.value.status == 400
    lab.set_node(lab.managers[1], Role="worker")
    await seconds(3)
    assert lab.swarm.raft.members == (lab.managers[0], lab.managers[2])


async def test_the_last_manager_cannot_be_demoted(lab: Lab) -> None:
    for manager in lab.managers[1:]:
        lab.set_node(manager, Role="worker")
        await seconds(3)
    with pytest.raises(EngineError, match="attempting to demote the last manager of the swarm"):
        lab.set_node(lab.managers[0], Role="worker")


async def test_losing_the_leader_leaves_the_swarm_without_one_until_an_election(lab: Lab) -> None:
    leader = lab.swarm.raft.leader
    assert leader is not None
    lab.swarm.lose_node(leader)
    with pytest.raises(EngineError, match="The swarm does not have a leader") as refused:
        lab.swarm.control.node(lab.workers[0])
    assert refused.value.status == 500
    await seconds(5)
    assert lab.swarm.raft.leader in set(lab.managers) - {leader}
    await seconds(15)
    assert lab.node(leader).state is NodeState.DOWN


async def test_without_a_majority_nothing_is_decided_until_it_is_back(lab: Lab) -> None:
    lab.create(replicas=3)
    await seconds(2)
    for manager in lab.managers[:2]:
        lab.swarm.lose_node(manager)
    lab.swarm.lose_node(lab.workers[0])
    await seconds(60)
    assert lab.swarm.raft.leader is None
    assert lab.node(lab.workers[0]).state is NodeState.READY
    lab.swarm.return_node(lab.managers[0])
    await seconds(5)
    assert lab.swarm.raft.leader is not None
    await seconds(20)
    assert lab.node(lab.workers[0]).state is NodeState.DOWN
    assert len(lab.running()) == 3


async def test_joining_dying_and_leaving_are_events(lab: Lab) -> None:
    with lab.swarm.events.subscription(None) as (_, queue):
        node_id = lab.swarm.add_node("worker-new")
        lab.swarm.lose_node(node_id)
        await seconds(15)
        lab.swarm.control.remove_node(node_id, force=False)
        events = [queue.get_nowait() for _ in range(queue.qsize())]
    assert [event.action for event in events] == ["create", "update", "remove"]
    change = {"name": "worker-new", "state.old": "ready", "state.new": "down"}
    assert (events[1].actor_id, events[1].attributes) == (node_id, change)


async def test_a_role_that_was_wanted_while_nobody_led_is_taken_when_somebody_leads_again(lab: Lab) -> None:
    promoted, (first, second, *_) = lab.workers[0], lab.managers
    lab.set_node(promoted, Role="manager")
    lab.swarm.lose_node(first)
    lab.swarm.lose_node(second)
    await seconds(10)
    assert lab.node(promoted).role is Role.WORKER
    lab.swarm.return_node(second)
    await until(lambda: lab.node(promoted).role is Role.MANAGER)
