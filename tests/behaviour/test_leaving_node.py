"""Which node it is whose machine leaves: two that claim it, one that has still to join, one that joins once more."""

from datetime import datetime, timedelta

from shared.records import State
from tests.behaviour.happens import event, launched, taken
from tests.behaviour.scenario import scenario
from tests.behaviour.test_node_leaving import ends, hooked, leavings, left, spread


async def test_of_two_nodes_that_claim_an_instance_the_one_that_its_hostname_bears_out_is_drained() -> None:
    async with scenario(workers=3) as s:
        hooked(s)
        await spread(s)
        own, host = s.node(s.workers[0]), s.host(s.workers[0])
        other = s.swarm.join("ip-10-9-9-9", engine_labels=dict(own.engine_labels))
        await s.started()
        s.groups.retire(s.workers[0])
        (record,) = await left(s)
        assert (record.state, host in record.message) == (State.SUCCEEDED, True)
        assert ends(s) == [(s.workers[0], "CONTINUE")]
        assert [node.availability for node in s.nodes() if node.id == other] == ["active"]
        assert s.running("web") == 6


async def test_a_look_that_takes_its_time_costs_a_node_nothing_of_its_own() -> None:
    async with scenario(workers=3) as s:
        hooked(s)
        process = await s.started(drain_timeout=60)
        process.ports.latency = 1.0
        s.groups.retire(s.workers[0])
        await s.until(lambda: any(each.step == "drain" for each in leavings(s)), within=30)
        (record,) = leavings(s)
        began, until = record.started_at, datetime.fromisoformat(record.plan["until"])
        assert began is not None
        assert until - began >= timedelta(seconds=60)


async def test_where_nothing_tells_which_of_two_it_is_both_are_named_and_neither_is_drained() -> None:
    async with scenario(workers=2, reschedule_timeout=100) as s:
        hooked(s)
        instance = await launched(s, joins=False)
        strays = [s.swarm.join(name, engine_labels={"instance_id": instance}) for name in ("build-1", "build-2")]
        await s.started(drain_timeout=60)
        began = s.clock.now()
        s.groups.retire(instance)
        (record,) = await left(s)
        assert record.state is State.FAILED
        assert all(
            f"{name} ({node})" in record.message for name, node in zip(("build-1", "build-2"), strays, strict=True)
        )
        assert "Neither was drained" in record.message
        assert ends(s) == [(instance, "CONTINUE")]
        assert (s.clock.now() - began).total_seconds() >= 60
        assert {node.availability for node in s.nodes() if node.id in strays} == {"active"}
        said = [posted.alert for posted in s.alerts.posted if posted.alert.node == instance]
        assert ["Neither is drained" in said[0].summary, "Neither was drained" in said[-1].summary] == [True, True]


async def test_who_settles_the_dispute_in_time_has_the_node_drained() -> None:
    async with scenario(workers=3) as s:
        instance = await launched(s, joins=False)
        strays = [s.swarm.join(name, engine_labels={"instance_id": instance}) for name in ("build-1", "build-2")]
        await spread(s, replicas=10)
        await s.started()
        (name,) = await taken(s, event("spot_interruption", s, instance))
        await s.at(name, "wait")
        s.swarm.lose(strays[1])
        await s.at(name, "remove", within=60)
        assert s.swarm.running_on(strays[0]) == []
        assert s.running("web") == 10
        s.groups.kill(instance)
        s.swarm.lose(strays[0])
        assert (await s.ended(name)).state is State.SUCCEEDED


async def test_what_joins_after_its_notice_is_paused_and_drained_before_its_machine_ends() -> None:
    async with scenario(workers=2, boot=30.0) as s:
        await s.started()
        instance = await launched(s)
        (name,) = await taken(s, event("spot_interruption", s, instance))
        await s.at(name, "wait")
        s.swarm.create("agent", mode="global")
        await s.until(lambda: instance in s.launcher.nodes, within=40)
        await s.until(lambda: s.node(instance).availability != "active", within=1)
        await s.at(name, "remove", within=60)
        assert s.swarm.running_on(s.node(instance).id) == []
        s.groups.kill(instance)
        assert (await s.ended(name)).state is State.SUCCEEDED


async def test_what_has_not_joined_by_the_deadline_ran_nothing() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        instance = await launched(s, joins=False)
        began = s.clock.now()
        (name,) = await taken(s, event("spot_interruption", s, instance))
        record = await s.ended(name, within=130)
        assert 119 <= (s.clock.now() - began).total_seconds() <= 125
        assert record.state is State.SUCCEEDED
        assert record.message == f"{instance} is no node of the Swarm: nothing runs there to be moved"


async def test_an_engine_that_joins_again_during_its_departure_is_drained_too() -> None:
    async with scenario(workers=3) as s:
        await spread(s)
        await s.started()
        own, host = s.node(s.workers[0]), s.host(s.workers[0])
        (name,) = await taken(s, event("spot_interruption", s, s.workers[0]))
        await s.at(name, "remove")
        s.swarm.lose(own.id)
        again = s.swarm.join(host, engine_labels=dict(own.engine_labels))
        s.swarm.create("more", 9)
        await s.until(lambda: s.record(name).step == "remove" and len(s.record(name).steps) > 3, within=60)
        assert s.record(name).plan["leaving"][0]["node_id"] == again
        assert s.swarm.running_on(again) == []
        assert s.running("web") + s.running("more") == 15
        s.groups.kill(s.workers[0])
        s.swarm.lose(again)
        record = await s.ended(name)
        assert (record.state, host in record.message) == (State.SUCCEEDED, True)
