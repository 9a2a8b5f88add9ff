"""Which node is which instance: a doubt about one costs no other one its life."""

from dataclasses import replace

import pytest

from shared.records import State
from tests.behaviour.happens import launched
from tests.behaviour.scenario import Scenario, scenario


async def broken(s: Scenario) -> str:
    """One more instance, which boots and never joins; its id."""
    instance = await launched(s, joins=False)
    await s.passes(148)
    return instance


async def test_what_never_joined_goes_whatever_else_is_in_the_swarm() -> None:
    async with scenario(workers=1, reschedule_timeout=100) as s:
        await s.started()
        instance = await broken(s)
        stray = s.swarm.join("build-3", engine_labels={"instance_id": "i-0fedcba9876543210"})
        record = await s.ended(s.down())
        assert (record.state, [each["instance_id"] for each in record.plan["leaving"]]) == (State.SUCCEEDED, [instance])
        assert {node.availability for node in s.nodes()} == {"active"}
        assert {node.id for node in s.nodes()} == {stray, s.node(s.workers[0]).id}
        assert s.groups.killed == []


async def test_where_a_node_could_be_what_has_no_node_nothing_healthy_goes_in_its_place() -> None:
    async with scenario(workers=1, reschedule_timeout=100) as s:
        process = await s.started()
        instance = await broken(s)
        stray = s.swarm.join("build-3")
        record = await s.ended(s.down())
        assert record.state == State.FAILED
        assert f"{instance}: no node of the Swarm can be matched to it, but it could be build-3 ({stray})" in (
            record.message
        )
        assert "swarm.update_node" not in process.ports.calls
        assert len(s.groups.groups["workers"].instances) == 2


async def test_an_instance_that_two_ready_nodes_claim_is_left_alone() -> None:
    async with scenario(workers=1) as s:
        own = s.node(s.workers[0])
        twin = s.swarm.join("ip-10-9-9-9", engine_labels=dict(own.engine_labels))
        process = await s.started()
        record = await s.ended(s.down())
        assert record.state == State.FAILED
        assert "claimed by two Ready nodes, " in record.message
        assert f"{own.hostname} ({own.id})" in record.message
        assert f"ip-10-9-9-9 ({twin})" in record.message
        assert "swarm.update_node" not in process.ports.calls


async def test_an_instance_out_of_a_warm_pool_is_as_old_as_its_service() -> None:
    async with scenario(workers=1, reschedule_timeout=100) as s:
        await s.started()
        await s.passes(300)
        s.launcher.boot_seconds = 60
        group = s.groups.groups["workers"]
        group.desired = 2
        s.groups.follow("workers")
        await s.passes(5)
        (warm,) = set(group.instances) - set(s.workers)
        long_ago = group.instances[s.workers[0]].launched_at
        group.instances[warm] = replace(group.instances[warm], launched_at=long_ago)
        s.groups.follow("workers")
        record = await s.ended(s.down())
        assert [each["instance_id"] for each in record.plan["leaving"]] == s.workers
        assert warm in group.instances


async def lost(s: Scenario, *, labelled: bool = True, forgotten: bool = True) -> str:
    """AWS takes the first worker, after a request has seen the group and while no worker process is there to see it;
    an hour later one is. The id of its node."""
    if not labelled:
        for node in s.nodes():
            s.swarm.disguise(node.id, node.hostname)
    process = await s.started()
    await s.ended(s.up())
    await process.stop()
    node_id = s.launcher.nodes[s.workers[0]]
    s.groups.kill(s.workers[0])
    await s.passes(30)
    if forgotten:
        s.groups.forget()
    assert s.swarm.cluster.nodes[node_id].state == "down"
    s.start()
    return node_id


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("forgotten", [True, False])
async def test_the_node_of_an_instance_that_aws_took_is_removed_however_it_is_matched_and_however_late(
    *, labelled: bool, forgotten: bool
) -> None:
    async with scenario(workers=2) as s:
        node_id = await lost(s, labelled=labelled, forgotten=forgotten)
        await s.ended(s.up())
        assert node_id not in s.swarm.cluster.nodes


async def test_a_node_whose_label_names_an_instance_of_another_account_is_left_while_it_reboots() -> None:
    async with scenario(workers=1) as s:
        stranger = s.swarm.join("ip-10-7-0-4", engine_labels={"instance_id": "i-0fedcba9876543210"})
        nameless = s.swarm.join("build-3")
        for node_id in (stranger, nameless):
            s.swarm.lose(node_id)
        await s.started()
        await s.passes(30)
        assert (await s.ended(s.up())).state == State.SUCCEEDED
        assert {stranger, nameless} <= set(s.swarm.cluster.nodes)


async def test_a_down_node_stays_while_an_instance_that_lives_has_its_hostname() -> None:
    async with scenario(workers=2) as s:
        node_id = await lost(s, labelled=False)
        group = s.groups.groups["workers"]
        heir = next(reversed(group.instances))
        name = f"{s.swarm.cluster.nodes[node_id].hostname}.ec2.internal"
        group.instances[heir] = replace(group.instances[heir], private_dns_name=name)
        s.groups.follow("workers")
        await s.ended(s.up())  # sees who has the name now
        await s.ended(s.up())
        assert node_id in s.swarm.cluster.nodes
