"""AWS takes a machine away: what runs there moves in time, and its hook is completed once, at the right moment."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from shared.records import Record, State
from tests.behaviour.happens import counted, event, send, taken
from tests.behaviour.scenario import Scenario, scenario
from worker.ports.scaling import Phase


def hooked(s: Scenario, *, timeout: float = 300.0, delay: float = 0.1) -> None:
    """Both groups have our hook, and its events reach the queue."""
    for name in ("workers", "managers"):
        s.groups.groups[name].holds.add("scaler-terminate", timeout)

    def forward(body: dict[str, Any]) -> None:
        asyncio.get_running_loop().call_later(delay, send, s, {**body, "time": s.clock.now().isoformat()})

    s.groups.listen(forward)


def leavings(s: Scenario) -> list[Record]:
    return [record for record in s.journal.records.values() if record.action == "node-leaving"]


async def left(s: Scenario, number: int = 1, within: float = 1200.0) -> list[Record]:
    """The records of departures, once so many have ended and none is open."""
    await s.until(
        lambda: len(leavings(s)) >= number and all(record.state.ended for record in leavings(s)), within=within
    )
    return leavings(s)


def ends(s: Scenario, group: str = "workers") -> list[tuple[str, str]]:
    """Instances whose holds are over, and how."""
    return [(instance, how) for instance, _, how in s.groups.groups[group].holds.ended]


async def spread(s: Scenario, name: str = "web", replicas: int = 6, **wishes: Any) -> None:
    """A service that runs everywhere."""
    s.swarm.create(name, replicas, **wishes)
    await s.settled(name, replicas)


async def test_a_terminated_machine_is_drained_before_it_goes_and_its_node_removed() -> None:
    async with scenario(workers=3) as s:
        hooked(s)
        await spread(s)
        await s.started()
        gone, host = s.workers[0], s.host(s.workers[0])
        s.groups.retire(gone)
        (record,) = await left(s)
        assert (record.state, record.source) == (State.SUCCEEDED, "eventbridge")
        assert [step.name for step in record.steps] == ["drain", "complete", "remove"]
        assert record.message == (
            f"{host} left (termination): everything that ran there runs elsewhere; its node is removed"
        )
        assert ends(s) == [(gone, "CONTINUE")]
        assert host not in {node.hostname for node in s.swarm.cluster.nodes.values()}
        assert s.running("web") == 6
        said = [(posted.alert.status, posted.alert.node, posted.alert.request) for posted in s.alerts.posted]
        assert said == [(status, host, f"Node leaving: {host} (termination)") for status in ("pending", "success")]


async def test_from_the_notice_to_the_pause_it_takes_less_than_a_second_whatever_else_waits() -> None:
    async with scenario(workers=3, boot=900.0) as s:
        await spread(s, labels={"com.df.reschedule": "true"})
        await s.started()
        up = s.up()
        await s.at(up, "wait")
        s.ask("reschedule-services")
        send(s, event("spot_interruption", s, s.workers[0]))
        await s.until(lambda: s.node(s.workers[0]).availability != "active", within=1.0)


async def test_several_at_once_leave_together() -> None:
    async with scenario(workers=6) as s:
        hooked(s)
        await spread(s, replicas=12)
        await s.started()
        for instance in s.workers[:4]:
            s.groups.retire(instance)
        await s.until(lambda: all(s.node(each).availability != "active" for each in s.workers[:4]), within=2.0)
        records = await left(s, 4)
        assert {record.state for record in records} == {State.SUCCEEDED}
        assert sorted(ends(s)) == [(instance, "CONTINUE") for instance in sorted(s.workers[:4])]
        assert s.running("web") == 12


async def test_a_spot_machine_is_empty_before_its_two_minutes_are_over() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await s.started()
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.at(name, "remove")
        assert s.swarm.running_on(s.node(s.workers[0]).id) == []
        assert s.running("web") == 6
        s.groups.kill(s.workers[0])
        record = await s.ended(name)
        assert record.state == State.SUCCEEDED
        assert "(spot interruption)" in record.message


async def test_what_does_not_fit_elsewhere_runs_until_shortly_before_the_deadline_and_is_named() -> None:
    async with scenario(workers=2) as s:
        s.swarm.create("pinned", 1, constraints=(f"node.hostname=={s.host(s.workers[0])}",))
        await s.settled("pinned", 1)
        await s.started()
        before = s.clock.now()
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.until(lambda: s.running("pinned") == 0, within=200)
        assert 90 < (s.clock.now() - before).total_seconds() < 110
        await s.at(name, "remove")
        s.groups.kill(s.workers[0])
        record = await s.ended(name)
        assert (record.state, "pinned.1" in record.message) == (State.FAILED, True)
        assert s.told[-1][2] == "error"


async def test_what_takes_longer_to_stop_is_told_so_earlier() -> None:
    async with scenario(workers=2) as s:
        pinned = (f"node.hostname=={s.host(s.workers[0])}",)
        s.swarm.create("slow", 1, constraints=pinned, stop_grace=timedelta(seconds=40))
        await s.settled("slow", 1)
        await s.started()
        before = s.clock.now()
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.until(lambda: s.node(s.workers[0]).availability == "drain", within=200)
        assert 64 < (s.clock.now() - before).total_seconds() < 67
        await s.at(name, "remove")


async def test_what_fits_elsewhere_moves_at_once_though_something_else_does_not() -> None:
    async with scenario(workers=2) as s:
        await spread(s)
        s.swarm.create("pinned", 1, constraints=(f"node.hostname=={s.host(s.workers[0])}",))
        await s.settled("pinned", 1)
        await s.started()
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        node = s.node(s.workers[0]).id
        await s.until(lambda: [task.service_id for task in s.swarm.running_on(node)] == [s.service("pinned").id], 30)
        await s.until(lambda: s.running("web") == 6, within=10)
        await s.until(lambda: s.service("web").constraints == (), within=10)
        assert (s.node(s.workers[0]).availability, s.running("pinned")) == ("pause", 1)
        await s.at(name, "remove", within=200)


async def test_a_worker_that_takes_over_while_what_fits_moves_goes_on() -> None:
    async with scenario(workers=2) as s:
        await spread(s)
        s.swarm.create("pinned", 1, constraints=(f"node.hostname=={s.host(s.workers[0])}",))
        await s.settled("pinned", 1)
        first = await s.started()
        held = first.ports.hold("swarm.update_service")
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.until(lambda: bool(first.ports.waiting))
        assert s.record(name).plan["avoiding"] == [s.service("web").id]
        first.ports.kill()
        held.set()
        s.start()
        node = s.node(s.workers[0]).id
        await s.until(lambda: [task.service_id for task in s.swarm.running_on(node)] == [s.service("pinned").id], 40)
        await s.until(lambda: s.running("web") == 6, within=10)
        await s.until(lambda: s.service("web").constraints == (), within=10)
        assert s.node(s.workers[0]).availability == "pause"


async def test_a_hook_is_held_by_heartbeats_while_tasks_have_no_place_and_completed_after_the_drain_timeout() -> None:
    async with scenario(workers=2) as s:
        hooked(s, timeout=60)
        s.swarm.create("pinned", 1, constraints=(f"node.hostname=={s.host(s.workers[0])}",))
        await s.settled("pinned", 1)
        await s.started()
        s.groups.retire(s.workers[0])
        (record,) = await left(s)
        assert record.state == State.FAILED
        assert ends(s) == [(s.workers[0], "CONTINUE")]
        assert 9 <= s.groups.groups["workers"].holds.beats[s.workers[0]] <= 11


async def test_our_own_termination_completes_its_hook_at_once_and_is_drained_once() -> None:
    async with scenario(workers=3) as s:
        hooked(s)
        await spread(s)
        await s.started()
        request = await s.ended(s.down())
        assert request.state == State.SUCCEEDED
        victim = request.plan["terminated"][0]
        (record,) = await left(s)
        assert record.message == f"Request {request.id} terminates {victim}: nothing is left to do"
        assert ends(s) == [(victim, "CONTINUE")]
        assert s.desired == [3, 2]


async def test_a_departure_takes_a_node_over_from_a_scale_down_which_ends() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        process = await s.started()
        held = process.ports.hold("swarm.update_node", after=True)
        down = s.down()
        await s.at(down, "drain")
        await s.until(lambda: bool(process.ports.waiting))
        victim = s.record(down).plan["leaving"][0]["instance_id"]
        (name,) = await taken(s, event("spot_interruption", s, victim))
        await s.at(name, "drain")
        held.set()
        record = await s.ended(down)
        assert record.state == State.FAILED
        assert s.node(victim).availability != "active"
        assert s.record(name).plan["leaving"][0]["availability"] == "active"
        s.groups.kill(victim)
        assert (await s.ended(name)).state == State.SUCCEEDED
        assert s.desired == [3]


async def test_a_node_that_somebody_made_active_since_another_request_had_it_is_given_back_active() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        s.swarm.set_availability(s.node(s.workers[0]).id, "pause")
        process = await s.started()
        gate = process.ports.hold("swarm.update_node", after=True)
        drain = s.ask("drain-node", node=s.host(s.workers[0]))
        await s.until(lambda: bool(process.ports.waiting))
        s.swarm.set_availability(s.node(s.workers[0]).id, "active")
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.at(name, "drain")
        assert s.record(drain).plan["leaving"][0]["availability"] == "pause"
        gate.set()
        record = await s.ended(name, within=1500)
        assert "AWS did not take the machine, so the node was given back" in record.message
        assert s.node(s.workers[0]).availability == "active"


async def test_a_node_that_somebody_makes_active_while_its_tasks_wait_for_room_is_given_back_active() -> None:
    async with scenario(workers=2) as s:
        s.swarm.create("pinned", 1, constraints=(f"node.hostname=={s.host(s.workers[0])}",))
        await s.settled("pinned", 1)
        s.swarm.set_availability(s.node(s.workers[0]).id, "pause")
        await s.started()
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.at(name, "drain")
        await s.passes(30)
        assert s.record(name).plan["leaving"][0]["availability"] == "pause"
        s.swarm.set_availability(s.node(s.workers[0]).id, "active")
        await s.until(lambda: s.node(s.workers[0]).availability == "drain", within=120)
        await s.ended(name, within=1500)
        assert s.node(s.workers[0]).availability == "active"


async def test_a_node_that_another_request_has_drained_is_not_opened_again() -> None:
    async with scenario(workers=3, drain_timeout=300) as s:
        s.swarm.create("demo", 3, constraints=("node.role == worker",))
        await s.settled("demo", 3)
        process = await s.started()
        drain = s.ask("drain-node", node=s.host(s.workers[0]))
        seen: list[str] = []
        process.ports.watchers.append(lambda call: seen.append(s.node(s.workers[0]).availability))
        await s.until(lambda: s.node(s.workers[0]).availability == "drain")
        gate = process.ports.hold("swarm.workload")
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.at(name, "drain")
        gate.set()
        assert (await s.ended(drain)).state is State.FAILED
        await s.ended(name, within=1200)
        assert "pause" not in seen[seen.index("drain") :]


async def test_where_ready_nodes_are_only_counted_one_that_leaves_does_not_count() -> None:
    async with scenario() as s:
        s.swarm.disguise(s.node(s.workers[0]).id, "other")
        await s.started()
        await s.passes(2000)
        s.launcher.never_joins = 1
        request = s.up()
        await s.at(request, "wait")
        (name,) = await taken(s, event("spot_interruption", s, s.managers[1]))
        await s.at(name, "remove")
        assert s.node(s.managers[1]).role == "worker"
        s.swarm.join("twin", engine_labels={"instance_id": s.managers[1]})
        await s.passes(20)
        assert s.record(request).step == "wait"
        s.swarm.join("somebody")
        record = await s.ended(request)
        assert (record.state, "2 worker nodes are up" in record.message) == (State.SUCCEEDED, True)


async def test_a_later_cause_joins_the_first_and_completes_its_own_hook_when_the_work_is_done() -> None:
    async with scenario(workers=3) as s:
        hooked(s, delay=0.5)
        await spread(s)
        await s.started()
        (spot,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        s.groups.retire(s.workers[0])
        records = await left(s, 2)
        states = {record.id: record.state for record in records}
        joined = next(record for record in records if record.id != spot)
        assert states[spot] == State.SUCCEEDED
        assert ends(s) == [(s.workers[0], "CONTINUE")]
        assert (joined.state, joined.duplicate_of) in [(State.SKIPPED, spot), (State.SUCCEEDED, None)]


async def test_causes_that_come_at_the_same_moment_are_one_departure() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        process = await s.started()
        held = process.ports.hold("inbox.receive", after=True)
        spot = event("spot_interruption", s, s.workers[0])
        hook = event("terminate_hook", s, s.workers[0], AutoScalingGroupName="workers")
        send(s, spot, hook, {**spot, "time": "2026-11-01T12:00:00.500Z"})
        held.set()
        await s.until(lambda: len(leavings(s)) == 3)
        await s.until(lambda: any(record.step == "remove" for record in leavings(s)))
        s.groups.kill(s.workers[0])
        records = await left(s, 3)
        assert sorted(record.state for record in records) == [State.SKIPPED, State.SKIPPED, State.SUCCEEDED]


async def test_a_scale_down_chooses_no_node_that_leaves_and_none_while_aws_replaces() -> None:
    async with scenario(workers=3) as s:
        await s.started()
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.at(name, "remove")
        down = await s.ended(s.down())
        assert down.state == State.SUCCEEDED
        assert down.plan["leaving"][0]["instance_id"] != s.workers[0]
        s.groups.groups["workers"].desired -= 1
        s.groups.follow("workers")
        refused = await s.ended(s.down())
        assert (refused.state, "AWS is replacing some" in refused.message) == (State.FAILED, True)


async def test_a_node_whose_machine_somebody_elses_hook_holds_is_not_forced_out() -> None:
    async with scenario(workers=3) as s:
        s.groups.groups["workers"].holds.add("theirs", 500)
        await s.started()
        down = await s.ended(s.down(), within=300)
        victim = down.plan["terminated"][0]
        assert (down.state, "a lifecycle hook still holds" in down.message) == (State.FAILED, True)
        node = s.node(victim).id
        assert node in s.swarm.cluster.nodes
        await s.until(lambda: node not in s.swarm.cluster.nodes, within=600)


async def test_a_nearer_deadline_of_a_later_cause_counts() -> None:
    async with scenario(workers=2) as s:
        hooked(s)
        s.swarm.create("pinned", 1, constraints=(f"node.hostname=={s.host(s.workers[0])}",))
        await s.settled("pinned", 1)
        await s.started()
        s.groups.retire(s.workers[0])
        await s.until(lambda: any(record.step == "drain" for record in leavings(s)))
        before = s.clock.now()
        send(s, event("spot_interruption", s, s.workers[0]))
        await s.until(lambda: s.running("pinned") == 0, within=200)
        assert 90 < (s.clock.now() - before).total_seconds() < 110
        await left(s, 2)
        assert ends(s) == [(s.workers[0], "CONTINUE")]


async def test_a_manager_is_demoted_before_it_goes() -> None:
    async with scenario(managers=3) as s:
        hooked(s)
        await s.started(node=s.node(s.managers[0]).id)
        gone = s.node(s.managers[1]).id
        demoted: list[bool] = []
        s.groups.watch(
            launched=lambda _group, _instance: None,
            ended=lambda _group, _instance: demoted.append(s.swarm.cluster.nodes[gone].manager is None),
        )
        s.groups.retire(s.managers[1])
        (record,) = await left(s)
        assert (record.state, demoted) == (State.SUCCEEDED, [True])
        assert ends(s, "managers") == [(s.managers[1], "CONTINUE")]
        assert gone not in s.swarm.cluster.nodes


async def test_where_quorum_forbids_it_a_manager_is_held_until_a_replacement_is_a_reachable_manager() -> None:
    async with scenario(managers=3, boot=650.0) as s:
        hooked(s, timeout=60)
        await s.started(node=s.node(s.managers[0]).id)
        s.swarm.lose(s.node(s.managers[2]).id)
        await s.passes(30)
        s.groups.retire(s.managers[1])
        await s.passes(600)
        assert (ends(s, "managers"), s.swarm.cluster.has_quorum) == ([], True)
        assert [one[2] for one in s.told if "would cost the managers' quorum" in one[4]] == ["pending"]
        (record,) = await left(s)
        assert (record.state, ends(s, "managers")) == (State.SUCCEEDED, [(s.managers[1], "CONTINUE")])
        assert s.groups.groups["managers"].holds.beats[s.managers[1]] >= 19
        assert s.swarm.cluster.has_quorum


async def test_two_of_three_managers_are_demoted_one_after_the_other() -> None:
    async with scenario(managers=3) as s:
        hooked(s)
        await s.started(node=s.node(s.managers[0]).id)
        s.groups.retire(s.managers[1])
        s.groups.retire(s.managers[2])
        records = await left(s, 2)
        assert {record.state for record in records} == {State.SUCCEEDED}
        assert sorted(ends(s, "managers")) == [(each, "CONTINUE") for each in sorted(s.managers[1:])]
        assert s.swarm.cluster.has_quorum


async def test_spot_does_not_wait_for_a_quorum_and_that_is_told_before() -> None:
    async with scenario(managers=3, boot=650.0) as s:
        await s.started(node=s.node(s.managers[0]).id)
        s.swarm.lose(s.node(s.managers[2]).id)
        await s.passes(30)
        (name,) = await taken(s, event("spot_interruption", s, s.managers[1]))
        await s.at(name, "remove")
        assert [one[2] for one in s.told if "AWS does not wait" in one[4]] == ["error"]


async def test_the_worker_whose_own_node_leaves_lets_another_go_on() -> None:
    async with scenario(managers=3) as s:
        hooked(s)
        first = await s.started(node=s.node(s.managers[0]).id)
        second = s.start(node=s.node(s.managers[1]).id)
        s.groups.retire(s.managers[0])
        await s.until(lambda: second.active, within=10)
        assert not first.active
        (record,) = await left(s)
        assert (record.state, ends(s, "managers")) == (State.SUCCEEDED, [(s.managers[0], "CONTINUE")])


async def test_a_worker_on_a_leaving_node_lets_others_take_the_lease_first() -> None:
    async with scenario(managers=3, boot=900.0) as s:
        hooked(s)
        first = await s.started(node=s.node(s.managers[2]).id)
        leaves = s.start(node=s.node(s.managers[0]).id)
        stays = s.start(node=s.node(s.managers[2]).id)
        stays.ports.latency = 1.0  # and so it would come second
        s.swarm.lose(s.node(s.managers[1]).id)  # so that the leaving one stays a manager
        await s.passes(30)
        s.groups.retire(s.managers[0])
        await s.until(lambda: s.node(s.managers[0]).availability != "active")
        first.ports.kill()
        await s.until(lambda: stays.active or leaves.active)
        assert (stays.active, leaves.active) == (True, False)
        stays.ports.kill()
        await s.until(lambda: leaves.active)  # nobody else is left


async def test_alone_a_worker_drains_its_own_node_last() -> None:
    async with scenario(managers=3, workers=2) as s:
        hooked(s)
        s.swarm.create("pinned", 1, constraints=(f"node.hostname=={s.host(s.workers[0])}",))
        await s.settled("pinned", 1)
        await s.started(node=s.node(s.managers[0]).id)
        s.groups.retire(s.managers[0])
        s.groups.retire(s.workers[0])
        await s.until(lambda: s.node(s.managers[0]).availability == "pause")
        await s.passes(120)
        assert s.node(s.managers[0]).availability == "pause"
        s.swarm.remove(s.service("pinned").id)
        await s.until(lambda: ends(s) == [(s.workers[0], "CONTINUE")], within=60)
        await s.until(lambda: s.node(s.managers[0]).availability == "drain", within=30)


async def test_alone_a_worker_sees_to_its_own_node_too() -> None:
    async with scenario(managers=3, workers=2) as s:
        hooked(s)
        await spread(s)
        await s.started(node=s.node(s.managers[0]).id)
        s.groups.retire(s.managers[0])
        await s.until(lambda: bool(ends(s, "managers")), within=100)
        assert ends(s, "managers") == [(s.managers[0], "CONTINUE")]
        s.start(node=s.node(s.managers[1]).id)
        (record,) = await left(s)
        assert record.state == State.SUCCEEDED


async def test_a_worker_that_takes_over_goes_on_and_the_hook_is_completed_once() -> None:
    async with scenario(workers=3) as s:
        hooked(s)
        await spread(s)
        first = await s.started()
        held = first.ports.hold("swarm.update_node", after=True)
        s.groups.retire(s.workers[0])
        await s.until(lambda: bool(first.ports.waiting))
        first.kill()
        held.set()
        s.start()
        (record,) = await left(s)
        assert (record.state, ends(s)) == (State.SUCCEEDED, [(s.workers[0], "CONTINUE")])


async def test_after_an_outage_longer_than_its_timeout_it_still_drains_what_a_hook_holds() -> None:
    """Docker answers nobody for longer than DRAIN_TIMEOUT, and than the hook waits without heartbeats."""
    async with scenario(workers=3) as s:
        hooked(s, timeout=60)
        await spread(s)
        process = await s.started(drain_timeout=30)
        process.ports.away.add("swarm.update_node")
        s.groups.retire(s.workers[0])
        await s.passes(200)
        assert ends(s) == []
        process.ports.away.clear()
        (record,) = await left(s)
        assert (record.state, ends(s)) == (State.SUCCEEDED, [(s.workers[0], "CONTINUE")])
        assert s.running("web") == 6


async def test_a_worker_that_begins_after_the_timeout_still_drains_what_a_hook_holds() -> None:
    async with scenario(workers=3) as s:
        hooked(s)
        await spread(s, start_first=True)
        first = await s.started(drain_timeout=30)
        first.ports.away.add("swarm.update_node")
        s.groups.retire(s.workers[0])
        await s.until(lambda: any(record.step == "drain" for record in leavings(s)))
        first.ports.kill()
        await s.passes(100)
        second = s.start(drain_timeout=30)
        second.clock.step(s.clock.now() - second.clock.now())
        await s.until(lambda: second.active)
        running = [s.running("web")]

        def over() -> bool:
            running.append(s.running("web"))
            return bool(ends(s))

        await s.until(over)
        assert min(running) == 6  # they had the time to move at their own pace
        (record,) = await left(s)
        assert (record.state, ends(s)) == (State.SUCCEEDED, [(s.workers[0], "CONTINUE")])
        assert "everything that ran there runs elsewhere" in record.message


async def test_where_no_time_was_left_it_is_not_said_to_have_been_tried() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        process = await s.started()
        process.ports.away.add("swarm.update_node")
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0], time="2026-11-01T11:50:00Z"))
        await s.until(lambda: bool(s.record(name).plan.get("cut_off")))
        (said,) = s.record(name).plan["cut_off"]
        assert said.endswith("No time was left to try it again")


async def test_a_hold_that_aws_does_not_know_any_more_is_over() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await s.started()
        body = event("terminate_hook", s, s.workers[0], AutoScalingGroupName="workers")
        (name,) = await taken(s, body)
        await s.at(name, "remove")
        s.groups.kill(s.workers[0])
        assert (await s.ended(name)).state == State.SUCCEEDED


async def test_a_hold_that_is_found_late_gets_a_heartbeat_at_once() -> None:
    async with scenario(workers=2, drain_timeout=60) as s:
        s.groups.groups["workers"].holds.add("scaler-terminate", 60)
        s.swarm.create("pinned", 1, constraints=(f"node.hostname=={s.host(s.workers[0])}",))
        await s.settled("pinned", 1)
        s.groups.retire(s.workers[0])
        await s.passes(40)
        await s.started()
        await left(s)
        assert ends(s) == [(s.workers[0], "CONTINUE")]


async def test_one_that_aws_does_not_take_is_given_back_though_docker_does_not_answer_at_that_moment() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        process = await s.started()
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.at(name, "remove")
        await s.passes(1000)
        process.ports.away.add("swarm.update_node")
        await s.passes(60)
        assert not s.record(name).state.ended
        process.ports.away.clear()
        record = await s.ended(name)
        assert "AWS did not take the machine, so the node was given back" in record.message
        assert s.node(s.workers[0]).availability == "active"


async def test_a_machine_that_aws_does_not_take_is_given_back() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await s.started()
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        record = await s.ended(name, within=1500)
        assert "AWS did not take the machine, so the node was given back" in record.message
        assert s.node(s.workers[0]).availability == "active"


async def test_somebody_elses_hook_and_somebody_elses_group_are_left_alone() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        theirs = event("terminate_hook", s, s.workers[0], AutoScalingGroupName="workers", LifecycleHookName="theirs")
        foreign = event("terminate_hook", s, s.workers[0])
        warm = event("terminate_hook", s, s.workers[0], AutoScalingGroupName="workers", Destination="WarmPool")
        assert await taken(s, theirs, foreign, warm) == []
        assert (counted(s, "termination", "ignored"), counted(s, "termination", "foreign")) == (2, 1)


async def test_a_hook_that_sends_straight_to_the_queue_is_the_same() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        via_bridge = event("terminate_hook", s, s.workers[0], AutoScalingGroupName="workers")
        direct = {**via_bridge["detail"], "Service": "AWS Auto Scaling", "Time": "2026-11-01T12:00:00.183Z"}
        (name,) = await taken(s, direct, via_bridge)
        assert s.record(name).source == "autoscaling"


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("LifecycleActionToken", "The event has no LifecycleActionToken"),
        ("AutoScalingGroupName", "The event has no AutoScalingGroupName"),
        ("LifecycleHookName", "The event has no LifecycleHookName"),
        ("EC2InstanceId", "The event has no EC2InstanceId"),
    ],
)
async def test_a_hooks_event_that_lacks_what_it_needs_is_a_dead_letter(missing: str, reason: str) -> None:
    async with scenario() as s:
        await s.started()
        body = event("terminate_hook", s, s.workers[0])
        del body["detail"][missing]
        await taken(s, body)
        assert [letter.error for letter in s.inbox.dead] == [reason]


async def test_a_spot_notice_without_a_time_is_a_dead_letter() -> None:
    async with scenario() as s:
        await s.started()
        body = event("spot_interruption", s, s.workers[0])
        del body["time"]
        await taken(s, body)
        assert [letter.error for letter in s.inbox.dead] == ["The event has no time"]


async def test_a_scale_up_waits_on_for_the_replacement_of_a_member_that_leaves() -> None:
    async with scenario(workers=2, boot=20.0) as s:
        await s.started()
        up = s.up()
        await s.at(up, "wait")
        await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.passes(60)
        assert s.record(up).step == "wait"
        s.groups.kill(s.workers[0])
        assert (await s.ended(up)).state == State.SUCCEEDED
        serving = [each for each in s.groups.groups["workers"].staying if each.phase is Phase.IN_SERVICE]
        assert len(serving) == 3


async def test_nobody_s_state_changes_make_records_beside_a_departure() -> None:
    async with scenario(workers=3) as s:
        hooked(s)
        await spread(s)
        await s.started()
        s.groups.retire(s.workers[0])
        await s.until(lambda: any(record.step == "drain" for record in leavings(s)))
        assert await taken(s, event("state_change", s, s.workers[0])) == []
        (record,) = await left(s)
        assert record.state == State.SUCCEEDED
