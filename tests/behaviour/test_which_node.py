"""Which node is which instance: a doubt about one costs no other one its life."""

from dataclasses import replace

import pytest

from shared.records import State
from tests.behaviour.world import World, world


async def broken(w: World) -> str:
    """One more instance, which boots and never joins; its id."""
    w.launcher.never_joins = 1
    group = w.groups.groups["workers"]
    group.desired += 1
    w.groups.follow("workers")
    await w.passes(150)
    (instance,) = set(group.instances) - set(w.launcher.nodes)
    return instance


async def test_what_never_joined_goes_whatever_else_is_in_the_swarm() -> None:
    async with world(workers=1, reschedule_timeout=100) as w:
        await w.started()
        instance = await broken(w)
        stray = w.swarm.join("build-3", engine_labels={"instance_id": "i-0fedcba9876543210"})
        record = await w.ended(w.down())
        assert (record.state, [each["instance_id"] for each in record.plan["leaving"]]) == (State.SUCCEEDED, [instance])
        assert {node.availability for node in w.nodes()} == {"active"}
        assert {node.id for node in w.nodes()} == {stray, w.node(w.workers[0]).id}
        assert w.groups.killed == []


async def test_where_a_node_could_be_what_has_no_node_nothing_healthy_goes_in_its_place() -> None:
    async with world(workers=1, reschedule_timeout=100) as w:
        process = await w.started()
        instance = await broken(w)
        stray = w.swarm.join("build-3")
        record = await w.ended(w.down())
        assert record.state == State.FAILED
        assert f"{instance}: no node of the Swarm can be matched to it, but it could be build-3 ({stray})" in (
            record.message
        )
        assert "swarm.update_node" not in process.stage.calls
        assert len(w.groups.groups["workers"].instances) == 2


async def test_an_instance_that_two_ready_nodes_claim_is_left_alone() -> None:
    async with world(workers=1) as w:
        own = w.node(w.workers[0])
        twin = w.swarm.join("ip-10-9-9-9", engine_labels=dict(own.engine_labels))
        process = await w.started()
        record = await w.ended(w.down())
        assert record.state == State.FAILED
        assert "claimed by two Ready nodes, " in record.message
        assert f"{own.hostname} ({own.id})" in record.message
        assert f"ip-10-9-9-9 ({twin})" in record.message
        assert "swarm.update_node" not in process.stage.calls


async def test_an_instance_out_of_a_warm_pool_is_as_old_as_its_service() -> None:
    async with world(workers=1, reschedule_timeout=100) as w:
        await w.started()
        await w.passes(300)
        w.launcher.boot_seconds = 60
        group = w.groups.groups["workers"]
        group.desired = 2
        w.groups.follow("workers")
        await w.passes(5)
        (warm,) = set(group.instances) - set(w.workers)
        long_ago = group.instances[w.workers[0]].launched_at
        group.instances[warm] = replace(group.instances[warm], launched_at=long_ago)
        w.groups.follow("workers")
        record = await w.ended(w.down())
        assert [each["instance_id"] for each in record.plan["leaving"]] == w.workers
        assert warm in group.instances


async def lost(w: World, *, labelled: bool = True, forgotten: bool = True) -> str:
    """AWS takes the first worker, after a request has seen the group; an hour later. The id of its node."""
    if not labelled:
        for node in w.nodes():
            w.swarm.disguise(node.id, node.hostname)
    await w.started()
    await w.ended(w.up())
    node_id = w.launcher.nodes[w.workers[0]]
    w.groups.kill(w.workers[0])
    await w.passes(30)
    if forgotten:
        w.groups.forget()
    assert w.swarm.cluster.nodes[node_id].state == "down"
    return node_id


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("forgotten", [True, False])
async def test_the_node_of_an_instance_that_aws_took_is_removed_however_it_is_matched_and_however_late(
    *, labelled: bool, forgotten: bool
) -> None:
    async with world(workers=2) as w:
        node_id = await lost(w, labelled=labelled, forgotten=forgotten)
        await w.ended(w.up())
        assert node_id not in w.swarm.cluster.nodes


async def test_a_node_whose_label_names_an_instance_of_another_account_is_left_while_it_reboots() -> None:
    async with world(workers=1) as w:
        stranger = w.swarm.join("ip-10-7-0-4", engine_labels={"instance_id": "i-0fedcba9876543210"})
        nameless = w.swarm.join("build-3")
        for node_id in (stranger, nameless):
            w.swarm.lose(node_id)
        await w.started()
        await w.passes(30)
        assert (await w.ended(w.up())).state == State.SUCCEEDED
        assert {stranger, nameless} <= set(w.swarm.cluster.nodes)


async def test_a_down_node_stays_while_an_instance_that_lives_has_its_hostname() -> None:
    async with world(workers=2) as w:
        node_id = await lost(w, labelled=False)
        group = w.groups.groups["workers"]
        heir = next(reversed(group.instances))
        name = f"{w.swarm.cluster.nodes[node_id].hostname}.ec2.internal"
        group.instances[heir] = replace(group.instances[heir], private_dns_name=name)
        w.groups.follow("workers")
        await w.ended(w.up())  # sees who has the name now
        await w.ended(w.up())
        assert node_id in w.swarm.cluster.nodes
