"""EC2 recommends to replace a machine: where people wish so, its node is drained before AWS comes for it."""

import asyncio
from typing import Any

from shared.records import Record, State
from tests.behaviour.happens import counted, event, send, taken
from tests.behaviour.scenario import Scenario, scenario


async def following(s: Scenario, **variables: Any) -> None:
    """A worker that follows recommendations, of a group that replaces what EC2 recommends to replace."""
    s.groups.groups["workers"].rebalances = True
    s.groups.follow("workers")
    await s.started(rebalance_action="drain", **variables)


def recommendation(s: Scenario, instance: str) -> dict[str, Any]:
    """The event."""
    return event("rebalance", s, instance)


async def spread(s: Scenario, replicas: int = 6, **wishes: Any) -> None:
    """A service that runs everywhere."""
    s.swarm.create("web", replicas, **wishes)
    await s.settled("web", replicas)


def leavings(s: Scenario) -> list[Record]:
    """All records of departures."""
    return [record for record in s.journal.records.values() if record.action == "node-leaving"]


async def test_unless_somebody_wishes_otherwise_it_is_counted_and_no_more() -> None:
    async with scenario() as s:
        s.groups.groups["workers"].rebalances = True
        await s.started()
        assert await taken(s, recommendation(s, s.workers[0])) == []
        assert counted(s, "rebalance", "ignored") == 1


async def test_its_node_is_drained_and_removed_once_aws_has_taken_the_machine() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await following(s)
        host = s.host(s.workers[0])
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        record = await s.at(name, "remove")
        assert (record.node, record.source) == (host, "eventbridge")
        assert s.swarm.running_on(s.node(s.workers[0]).id) == []
        assert s.running("web") == 6
        s.groups.kill(s.workers[0])
        record = await s.ended(name)
        assert (record.state, [step.name for step in record.steps]) == (State.SUCCEEDED, ["drain", "remove"])
        assert host not in {node.hostname for node in s.swarm.cluster.nodes.values()}
        said = [(posted.alert.status, posted.alert.request) for posted in s.alerts.posted]
        assert said == [
            (status, f"Node leaving: {host} (rebalance recommendation)") for status in ("pending", "success")
        ]


async def test_one_that_is_in_service_half_an_hour_later_is_given_back() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await following(s)
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        began = s.clock.now()
        record = await s.ended(name, within=2400)
        assert 1800 <= (s.clock.now() - began).total_seconds() < 1830
        assert "AWS did not take the machine, so the node was given back" in record.message
        assert s.node(s.workers[0]).availability == "active"


async def test_without_capacity_rebalance_nothing_would_replace_it_so_it_stays() -> None:
    async with scenario(workers=3) as s:
        await s.started(rebalance_action="drain")
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        record = await s.ended(name)
        assert record.state == State.SKIPPED
        assert record.message.startswith("Capacity rebalance of Auto Scaling group workers is off")
        assert s.node(s.workers[0]).availability == "active"


async def test_what_would_not_fit_elsewhere_refuses_it() -> None:
    async with scenario(workers=2) as s:
        host = s.host(s.workers[0])
        await spread(s, 1, constraints=(f"node.hostname=={host}",))
        await following(s)
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        record = await s.ended(name)
        assert record.state == State.FAILED
        assert record.message.startswith(f"{host} was not drained, though EC2 recommends to replace its machine: ")
        assert (s.node(s.workers[0]).availability, s.told[-1][2]) == ("active", "error")


async def test_what_does_not_move_in_time_undoes_it() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await following(s, drain_timeout=20)
        s.swarm.faults.unstoppable_services.add("web")
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        record = await s.ended(name)
        assert (record.state, "did not move within 20 seconds" in record.message) == (State.FAILED, True)
        assert [step.name for step in record.steps] == ["drain", "undo"]
        assert s.node(s.workers[0]).availability == "active"


async def test_the_active_workers_own_node_stays() -> None:
    async with scenario(managers=3) as s:
        s.groups.groups["managers"].rebalances = True
        await following(s, node=s.node(s.managers[0]).id)
        s.groups.follow("managers")
        (name,) = await taken(s, recommendation(s, s.managers[0]))
        assert "the active worker runs there" in (await s.ended(name)).message


async def test_while_scaling_is_paused_it_is_skipped() -> None:
    async with scenario(workers=3) as s:
        await following(s)
        await s.ended(s.ask("pause"))
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        assert (await s.ended(name)).state == State.SKIPPED


async def test_one_node_at_a_time() -> None:
    async with scenario(workers=4) as s:
        await spread(s)
        await following(s)
        first, second = await taken(s, *(recommendation(s, each) for each in s.workers[:2]))
        await s.at(first, "remove")
        await s.passes(60)
        assert s.record(second).step is None
        assert s.node(s.workers[1]).availability == "active"
        s.groups.kill(s.workers[0])
        await s.at(second, "remove")
        assert s.record(first).state == State.SUCCEEDED


async def test_node_scales_wait_only_while_it_is_drained() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await following(s)
        held = s.processes[0].ports.hold("swarm.update_node", after=True)
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        await s.at(name, "drain")
        down = s.down()
        await s.passes(20)
        assert s.record(down).step is None
        held.set()
        await s.at(name, "remove")
        record = await s.ended(down)
        assert record.state == State.SUCCEEDED
        assert record.plan["leaving"][0]["instance_id"] != s.workers[0]
        assert s.record(name).step == "remove"


async def test_a_cause_that_cannot_wait_takes_the_node_over() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await following(s)
        s.swarm.faults.unstoppable_services.add("web")
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        await s.until(lambda: s.node(s.workers[0]).availability == "drain")
        (spot,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        record = await s.ended(name)
        assert record.state is State.SUCCEEDED  # skipped is what has changed nothing
        assert f"which request {spot} sees to" in record.message
        assert s.node(s.workers[0]).availability != "active"
        assert s.record(spot).plan["leaving"][0]["availability"] == "active"
        s.swarm.faults.unstoppable_services.clear()
        await s.at(spot, "remove", within=200)
        s.groups.kill(s.workers[0])
        await s.ended(spot)


async def test_the_hook_through_which_aws_takes_an_emptied_node_is_completed() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        s.groups.groups["workers"].holds.add("scaler-terminate", 300)

        def forward(body: dict[str, Any]) -> None:
            asyncio.get_running_loop().call_later(0.1, send, s, {**body, "time": s.clock.now().isoformat()})

        s.groups.listen(forward)
        await following(s)
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        await s.at(name, "remove")
        s.groups.retire(s.workers[0])
        await s.until(lambda: all(record.state.ended for record in leavings(s)) and len(leavings(s)) == 2)
        assert [(one, how) for one, _, how in s.groups.groups["workers"].holds.ended] == [(s.workers[0], "CONTINUE")]
        assert {record.state for record in leavings(s)} <= {State.SUCCEEDED, State.SKIPPED}
        await s.until(lambda: len(s.nodes()) == 3)


async def test_a_recommendation_about_a_machine_that_leaves_already_joins_it() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await following(s)
        (spot,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.at(spot, "drain")
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        await s.at(spot, "remove")
        s.groups.kill(s.workers[0])
        record = await s.ended(name)
        assert (record.state, record.duplicate_of) == (State.SKIPPED, spot)


async def test_a_worker_that_takes_over_in_between_goes_on_and_counts_the_half_hour_from_the_drain() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await following(s)
        (name,) = await taken(s, recommendation(s, s.workers[0]))
        await s.at(name, "remove")
        began = s.clock.now()
        await s.passes(600)
        s.processes[0].ports.kill()
        second = s.start(rebalance_action="none")
        second.clock.step(s.clock.now() - second.clock.now())
        await s.ended(name, within=2400)
        assert 1790 <= (s.clock.now() - began).total_seconds() < 1830
        assert s.node(s.workers[0]).availability == "active"


async def test_one_that_lacks_what_it_needs_is_a_dead_letter() -> None:
    async with scenario() as s:
        await following(s)
        body = recommendation(s, s.workers[0])
        del body["detail"]["instance-id"]
        await taken(s, body)
        assert [letter.error for letter in s.inbox.dead] == ["The event has no instance-id"]
