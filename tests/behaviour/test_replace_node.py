"""Replacing one node that somebody names."""

from dataclasses import replace
from typing import Any

import pytest

from shared.records import State
from tests.behaviour.scenario import RESCHEDULED, Scenario, scenario
from worker.ports.scaling import Phase

STEPS = ["plan", "drain", "terminate", "remove", "wait", "reschedule"]


def ask(s: Scenario, node: str, **fields: Any) -> str:
    """Ask for it."""
    return s.ask("replace-node", node=node, **fields)


async def busy(s: Scenario, replicas: int = 4) -> None:
    """Tasks on all workers, that want to be rescheduled."""
    s.swarm.create("demo", replicas, constraints=("node.role == worker",), labels=RESCHEDULED)
    await s.settled("demo", replicas)


def workers(s: Scenario) -> set[str]:
    """The instances that stay."""
    return {each.id for each in s.groups.groups["workers"].staying}


async def test_a_node_is_replaced_by_a_new_one_and_the_capacity_stays() -> None:
    async with scenario(workers=2, boot=20.0) as s:
        await busy(s)
        victim, host = s.workers[0], s.host(s.workers[0])
        process = await s.started()
        record = await s.ended(ask(s, host))
        done = f"{host} was terminated, its group launches another; 2 worker nodes are up, demo rescheduled"
        assert (record.state, record.message) == (State.SUCCEEDED, done)
        assert [step.name for step in record.steps] == STEPS
        assert (record.node, record.type, record.nodes_before, record.nodes_after) == (host, "worker", 2, 2)
        assert s.desired == [2]
        assert (victim in workers(s), len(workers(s)), s.groups.killed) == (False, 2, [])
        assert host not in {node.hostname for node in s.nodes()}
        assert {node.availability for node in s.nodes()} == {"active"}
        assert s.running("demo") == 4
        told = [posted.alert for posted in s.alerts.posted]
        assert {(one.alertname, one.service, one.request, one.node) for one in told} == {
            ("scale_nodes", "aws", f"Replace node: {host}", host)
        }
        assert [one.status for one in told] == ["pending", "pending", "success"]
        assert "2 tasks to move" in told[0].summary
        assert told[1].summary.endswith("Waiting for 2 worker nodes to be Ready again")
        assert process.ports.calls.count("groups.replace") == 1
        assert "groups.terminate" not in process.ports.calls


async def test_a_replacement_begins_no_cool_down_and_ignores_the_bounds() -> None:
    async with scenario(
        workers=2, sizes=(2, 2), default_min_worker_nodes=2, scale_up_cooldown=600, scale_down_cooldown=600
    ) as s:
        await s.started()
        for _ in range(2):
            assert (await s.ended(ask(s, s.host(min(workers(s)))))).state == State.SUCCEEDED
        assert s.desired == [2]


async def test_a_manager_is_demoted_first_and_the_quorum_is_whole_again() -> None:
    async with scenario(managers=3) as s:
        leader = s.swarm.cluster.leader
        assert leader is not None
        await s.started()
        record = await s.ended(ask(s, leader.hostname))
        assert record.state == State.SUCCEEDED, record.message
        assert len(s.nodes("manager")) == 3
        assert all(node.manager is not None and node.manager.reachable for node in s.nodes("manager"))
        assert s.groups.groups["managers"].desired_history == [3]


async def test_a_description_that_still_has_the_old_instance_is_not_taken_for_the_new_one() -> None:
    async with scenario(workers=2, boot=5.0) as s:
        s.groups.times.describe_lag = 20.0
        s.groups.times.terminate = 30.0
        await s.started()
        old = s.workers[0]
        request = ask(s, s.host(old))
        await s.at(request, "reschedule")
        assert {node.hostname for node in s.nodes() if node.ready} == {s.host(each) for each in workers(s)}
        assert len(workers(s)) == 2
        assert old not in workers(s)


async def test_progress_is_told_while_the_replacement_boots() -> None:
    async with scenario(workers=1, boot=30.0, reschedule_ticker_interval=10) as s:
        await s.started()
        host = s.host(s.workers[0])
        await s.ended(ask(s, host))
        ticks = [one for one in (posted.alert for posted in s.alerts.posted) if one.summary.startswith("Waited")]
        assert [(one.alertname, one.service, one.node) for one in ticks] == [("scale_nodes", "aws", host)] * len(ticks)
        assert len(ticks) >= 2


async def test_a_node_that_is_down_has_nothing_to_move_and_is_replaced_at_once() -> None:
    async with scenario(workers=2) as s:
        await busy(s)
        await s.started()
        s.swarm.lose(s.launcher.nodes[s.workers[0]])
        await s.until(lambda: s.node(s.workers[0]).state == "down" and s.running("demo") == 4)
        record = await s.ended(ask(s, s.host(s.workers[0])))
        assert record.state == State.SUCCEEDED, record.message
        assert s.workers[0] not in workers(s)


async def test_an_instance_that_never_joined_is_replaced_by_its_id() -> None:
    async with scenario(workers=1, reschedule_timeout=60) as s:
        await s.started()
        s.launcher.never_joins = 1
        await s.groups.set_desired("workers", 2)
        await s.passes(90)
        (missing,) = workers(s) - {s.workers[0]}
        record = await s.ended(ask(s, missing))
        assert record.state == State.SUCCEEDED, record.message
        assert (missing in workers(s), len(s.nodes())) == (False, 2)


# --- Refusals ---------------------------------------------------------------------------------------------------


async def protect(s: Scenario) -> None:
    s.swarm.label(s.launcher.nodes[s.workers[0]], com_df_scaler_protect="true")


async def protect_instance(s: Scenario) -> None:
    group = s.groups.groups["workers"]
    group.protects_new = False
    group.instances = {one.id: replace(one, protected=True) for one in group.instances.values()}
    s.groups.follow("workers")


async def fill(s: Scenario) -> None:
    s.swarm.create("big", 2, cpus=3 * 10**9, constraints=("node.role == worker",))
    await s.settled("big", 2)


async def work(s: Scenario) -> None:
    here = (f"node.id == {s.launcher.nodes[s.workers[0]]}",)
    s.swarm.create("job", 1, mode="replicated-job", restarts=False, constraints=here)
    await s.passes(2)


async def suspend_launch(s: Scenario) -> None:
    s.groups.groups["workers"].suspended.add("Launch")
    s.groups.follow("workers")


async def suspend_terminate(s: Scenario) -> None:
    s.groups.groups["workers"].suspended.add("Terminate")
    s.groups.follow("workers")


async def refresh(s: Scenario) -> None:
    s.groups.groups["workers"].refreshing = True


async def owe(s: Scenario) -> None:
    group = s.groups.groups["workers"]
    group.desired, group.refusal = 3, "No p5 capacity"
    s.groups.follow("workers")
    await s.passes(1)


async def weigh(s: Scenario) -> None:
    s.groups.groups["workers"].unit = "weights"
    s.groups.follow("workers")


async def stand_by(s: Scenario) -> None:
    group = s.groups.groups["workers"]
    group.instances = {
        each.id: replace(each, phase=Phase.STANDBY if each.id == s.workers[0] else each.phase)
        for each in group.instances.values()
    }
    s.groups.follow("workers")
    await s.passes(1)


async def disguise(s: Scenario) -> None:
    s.swarm.disguise(s.launcher.nodes[s.workers[0]], "stranger")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (protect, "com.df.scaler.protect=true"),
        (protect_instance, "protected from scale-in"),
        (fill, "big"),
        (work, "job"),
        (suspend_launch, "The process Launch of Auto Scaling group workers is suspended"),
        (suspend_terminate, "The process Terminate of Auto Scaling group workers is suspended"),
        (refresh, "An instance refresh"),
        (owe, "No p5 capacity"),
        (weigh, "counts its capacity in weights"),
        (stand_by, "in standby"),
        (disguise, "no instance of the groups can be matched to it"),
    ],
)
async def test_a_node_that_must_not_be_replaced_is_refused_untouched(prepare: Any, words: str) -> None:
    async with scenario(workers=2) as s:
        await prepare(s)
        process = await s.started()
        record = await s.ended(ask(s, s.launcher.nodes[s.workers[0]]))
        assert record.state == State.FAILED
        assert words in record.message
        assert record.nodes_before == record.nodes_after
        assert not {"swarm.update_node", "groups.replace"} & set(process.ports.calls)
        assert [posted.alert.status for posted in s.alerts.posted] == ["error"]


async def test_the_last_manager_is_not_replaced() -> None:
    async with scenario(managers=1) as s:
        await s.started()
        record = await s.ended(ask(s, s.host(s.managers[0])))
        assert (record.state, "last Ready manager" in record.message) == (State.FAILED, True)


async def test_an_instance_that_may_still_join_is_not_replaced() -> None:
    async with scenario(workers=1, boot=500.0) as s:
        await s.groups.set_desired("workers", 2)
        await s.passes(2)
        (young,) = workers(s) - {s.workers[0]}
        await s.started()
        record = await s.ended(ask(s, young))
        assert (record.state, "has not joined the Swarm yet" in record.message) == (State.FAILED, True)


async def test_without_node_scaling_nothing_is_replaced() -> None:
    async with scenario(workers=2, node_scaler_backend="none") as s:
        await s.started()
        record = await s.ended(ask(s, s.host(s.workers[0])))
        assert (record.state, "NODE_SCALER_BACKEND is none" in record.message) == (State.FAILED, True)


async def test_while_the_cluster_is_paused_nothing_is_replaced_and_drains_go_on() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        await s.ended(s.ask("pause", reason="maintenance"))
        record = await s.ended(ask(s, s.host(s.workers[0])))
        assert (record.state, "maintenance" in record.message) == (State.SKIPPED, True)
        assert (await s.ended(s.ask("drain-node", node=s.host(s.workers[0])))).state == State.SUCCEEDED


# --- Trouble ----------------------------------------------------------------------------------------------------


async def test_tasks_that_do_not_move_in_time_give_the_node_back() -> None:
    async with scenario(workers=2, drain_timeout=20) as s:
        await busy(s)
        s.swarm.faults.unstoppable_services.add("demo")
        process = await s.started()
        record = await s.ended(ask(s, s.host(s.workers[0])))
        assert record.state == State.FAILED
        assert "did not move within 20 seconds" in record.message
        assert [step.name for step in record.steps] == ["plan", "drain", "undo"]
        assert s.node(s.workers[0]).availability == "active"
        assert "groups.replace" not in process.ports.calls


async def test_a_refused_termination_gives_the_node_back() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        hold = process.ports.hold("groups.replace")
        request = ask(s, s.host(s.workers[0]))
        await s.until(lambda: "groups.replace" in process.ports.waiting)
        s.groups.groups["workers"].suspended.add("Terminate")
        s.groups.follow("workers")
        hold.set()
        record = await s.ended(request)
        assert (record.state, "Terminate process" in record.message) == (State.FAILED, True)
        assert s.node(s.workers[0]).availability == "active"
        assert s.desired == [2]


async def test_a_manager_whose_termination_is_refused_is_promoted_again() -> None:
    async with scenario(managers=3) as s:
        process = await s.started()
        hold = process.ports.hold("groups.replace")
        request = ask(s, s.host(s.managers[0]))
        await s.until(lambda: "groups.replace" in process.ports.waiting)
        s.groups.groups["managers"].suspended.add("Terminate")
        s.groups.follow("managers")
        hold.set()
        assert (await s.ended(request)).state == State.FAILED
        assert len(s.nodes("manager")) == 3


async def test_a_replacement_that_does_not_come_fails_with_the_reason_and_undoes_nothing() -> None:
    async with scenario(workers=2, reschedule_timeout=40) as s:
        host = s.host(s.workers[0])
        process = await s.started()
        hold = process.ports.hold("groups.replace")
        request = ask(s, host)
        await s.until(lambda: "groups.replace" in process.ports.waiting)
        s.groups.groups["workers"].refusal = "No p5 capacity"
        hold.set()
        record = await s.ended(request)
        assert record.state == State.FAILED
        assert record.message.startswith(
            f"{host} was terminated, its group launches another; Timeout: waited 40 seconds"
        )
        assert "No p5 capacity" in record.message
        assert [step.name for step in record.steps] == STEPS[:-1]
        assert s.desired == [2]


async def test_what_somebody_else_ends_meanwhile_is_replaced_all_the_same_and_once() -> None:
    async with scenario(workers=2) as s:
        await busy(s)
        s.swarm.times.update_begin_seconds = 5.0
        process = await s.started()
        hold = process.ports.hold("swarm.update_node", after=True)
        request = ask(s, s.host(s.workers[0]))
        await s.until(lambda: bool(process.ports.waiting))
        s.groups.kill(s.workers[0])
        hold.set()
        record = await s.ended(request)
        assert record.state == State.SUCCEEDED, record.message
        assert "groups.replace" not in process.ports.calls
        assert len(workers(s)) == 2


async def test_a_group_that_somebody_lowers_meanwhile_is_complete_with_less() -> None:
    async with scenario(workers=3, boot=60.0, protects_new=False) as s:
        await s.started()
        request = ask(s, s.host(s.workers[0]))
        await s.at(request, "wait")
        await s.groups.set_desired("workers", 2)
        record = await s.ended(request)
        assert (record.state, record.nodes_before, record.nodes_after) == (State.SUCCEEDED, 3, 2)


MOMENTS = [
    *(
        (call, after)
        for call in ("swarm.update_node", "groups.replace", "swarm.remove_node")
        for after in (False, True)
    ),
    ("swarm.update_service", False),
    ("swarm.update_service", True),
]


@pytest.mark.parametrize(("call", "after"), MOMENTS)
async def test_a_worker_that_dies_at_any_step_is_succeeded_by_one_that_replaces_the_node_once(
    call: str, after: bool
) -> None:
    async with scenario(workers=2) as s:
        await busy(s)
        process = await s.started()
        process.ports.hold(call, after=after)
        request = ask(s, s.host(s.workers[0]))
        await s.until(lambda: bool(process.ports.waiting))
        process.kill()
        second = await s.started()
        record = await s.ended(request, within=300)
        assert record.state == State.SUCCEEDED, record.message
        calls = [*process.ports.calls, *second.ports.calls].count("groups.replace")
        assert calls == 1
        assert (s.desired, len(workers(s)), len(s.nodes()), s.groups.killed) == ([2], 2, 2, [])
        assert s.running("demo") == 4


@pytest.mark.parametrize("step", STEPS[1:])
async def test_a_worker_that_dies_at_the_beginning_of_a_step_is_succeeded_by_one_that_ends_it(step: str) -> None:
    async with scenario(workers=2, boot=10.0) as s:
        await busy(s)
        process = await s.started()
        request = ask(s, s.host(s.workers[0]))
        await s.at(request, step)
        process.kill()
        await s.started()
        record = await s.ended(request, within=300)
        assert (record.state, [each.name for each in record.steps]) == (State.SUCCEEDED, STEPS)
        assert (s.desired, len(workers(s))) == ([2], 2)
