"""An instance ends by somebody else's hand: its node is removed, once it is Down and its instance terminated."""

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.happens import counted, event, taken
from tests.behaviour.scenario import Scenario, scenario


def hosts(s: Scenario) -> set[str]:
    return {node.hostname for node in s.swarm.cluster.nodes.values()}


async def test_the_node_of_a_terminated_instance_is_removed() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        dead = s.host(s.workers[0])
        s.groups.kill(s.workers[0])
        (name,) = await taken(s, event("state_change", s, s.workers[0]))
        record = await s.ended(name)
        assert (record.state, dead in hosts(s)) == (State.SUCCEEDED, False)
        assert record.message == f"{dead} removed from the Swarm: its instance {s.workers[0]} has ended"
        assert [step.name for step in record.steps] == ["remove"]
        (posted,) = s.alerts.posted
        assert posted.alert.node == dead
        assert posted.alert.request == f"Node gone: {dead} (instance shutting-down)"


async def test_the_events_of_one_death_are_one_record() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        s.groups.times.terminate = 60.0
        s.groups.kill(s.workers[0])
        (name,) = await taken(s, event("state_change", s, s.workers[0]))
        await s.at(name, "remove")
        assert await taken(s, event("state_change", s, s.workers[0], state="terminated")) == []
        assert counted(s, "state-change", "joined") == 1
        assert (await s.ended(name)).state == State.SUCCEEDED


async def test_a_manager_is_demoted_and_removed() -> None:
    async with scenario(managers=3) as s:
        await s.started()
        dead = s.node(s.managers[1]).id
        s.groups.kill(s.managers[1])
        (name,) = await taken(s, event("state_change", s, s.managers[1]))
        assert (await s.ended(name)).state == State.SUCCEEDED
        assert dead not in s.swarm.cluster.nodes


async def test_an_instance_that_was_only_stopped_keeps_its_node() -> None:
    async with scenario(workers=2) as s:
        await s.started(reschedule_timeout=100)
        s.swarm.lose(s.node(s.workers[0]).id)
        (name,) = await taken(s, event("state_change", s, s.workers[0], state="stopped"))
        record = await s.ended(name, within=200)
        assert (record.state, s.alerts.posted) == (State.SKIPPED, [])
        assert f"{s.host(s.workers[0])} stays in the Swarm: {s.workers[0]} was reported as stopped" in record.message
        s.groups.kill(s.workers[0])
        (name,) = await taken(s, event("state_change", s, s.workers[0], state="terminated"))
        assert (await s.ended(name)).state == State.SUCCEEDED


async def test_a_node_that_lives_is_never_removed_whatever_an_event_says() -> None:
    async with scenario(workers=2) as s:
        await s.started(reschedule_timeout=100)
        before = hosts(s)
        (name,) = await taken(s, event("state_change", s, s.workers[0], state="terminated"))
        assert (await s.ended(name, within=200)).state == State.SKIPPED
        assert hosts(s) == before


async def test_a_node_without_a_label_goes_by_the_hostname_that_its_instance_had() -> None:
    async with scenario(workers=2) as s:
        await s.started()
        s.launcher.never_joins, s.groups.groups["workers"].desired = 1, 3
        s.groups.follow("workers")
        await s.until(lambda: len(s.groups.groups["workers"].instances) == 3)
        instance = list(s.groups.groups["workers"].instances.values())[-1]
        bare = s.swarm.join(instance.private_dns_name.partition(".")[0], "worker")
        s.groups.kill(instance.id)
        s.swarm.lose(bare)
        (name,) = await taken(s, event("state_change", s, instance.id))
        assert (await s.ended(name)).state == State.SUCCEEDED
        assert bare not in s.swarm.cluster.nodes


async def test_our_own_victims_are_left_to_their_request() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        held = process.ports.hold("swarm.remove_node")
        request = s.down()
        await s.at(request, "remove")
        await s.until(lambda: bool(process.ports.waiting))
        victim = s.record(request).plan["leaving"][0]["instance_id"]
        assert await taken(s, event("state_change", s, victim)) == []
        held.set()
        assert (await s.ended(request)).state == State.SUCCEEDED
        (name,) = [*await taken(s, event("state_change", s, victim, state="terminated")), "none"][:1]
        assert name == "none" or (await s.ended(name)).state == State.SKIPPED


async def test_a_worker_that_takes_over_goes_on() -> None:
    async with scenario(workers=2) as s:
        first = await s.started()
        s.groups.times.terminate = 30.0
        s.groups.kill(s.workers[0])
        (name,) = await taken(s, event("state_change", s, s.workers[0]))
        await s.at(name, "remove")
        first.kill()
        s.start()
        assert (await s.ended(name)).state == State.SUCCEEDED
        assert s.groups.groups["workers"].instances.get(s.workers[0]) is None


async def test_without_ec2_it_is_tried_again_and_then_told() -> None:
    async with scenario(workers=2) as s:
        process = await s.started(reschedule_timeout=60)
        s.groups.kill(s.workers[0])
        process.ports.refuse("groups.gone", *[Unavailable("AWS: no answer")] * 500)
        (name,) = await taken(s, event("state_change", s, s.workers[0]))
        record = await s.ended(name, within=300)
        assert (record.state, s.told[-1][2]) == (State.FAILED, "error")


async def test_an_outage_meanwhile_is_told_about_the_instance() -> None:
    async with scenario(workers=2) as s:
        process = await s.started()
        process.ports.away.add("groups.gone")
        s.groups.kill(s.workers[0])
        (name,) = await taken(s, event("state_change", s, s.workers[0]))
        about = f"Remove the node of an instance that has ended: {s.workers[0]}"
        await s.until(lambda: ("pending", about) in [one[2:4] for one in s.told], within=120)
        process.ports.away.clear()
        assert (await s.ended(name)).state == State.SUCCEEDED
