"""The Swarm's contract, over memory and over the Docker API (the simulated engine, or CONTRACT_DOCKER_HOST)."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.errors import NotFound, Refused, Unavailable
from tests.adapters.conftest import CALL
from tests.adapters.swarms import HOSTS, MANAGER, ApiSetup, InMemorySetup, SwarmSetup, api_setup
from tests.waiting import eventually
from worker.adapters.swarm import DockerSwarm
from worker.ports.swarm import Node, Service, Task, Workload
from worker.ports.swarm_changes import REQUEST_LABEL, RESCHEDULE_LABEL, ServiceChange

pytestmark = [pytest.mark.asyncio, pytest.mark.engine]


@pytest.fixture(params=["in_memory", "docker_api"])
def setup(request: pytest.FixtureRequest) -> SwarmSetup:
    """Both."""
    found: SwarmSetup = request.getfixturevalue(request.param)
    return found


@pytest_asyncio.fixture
async def in_memory() -> InMemorySetup:
    """In memory."""
    return InMemorySetup()


@pytest_asyncio.fixture
async def docker_api(tmp_path: Path) -> AsyncIterator[ApiSetup]:
    """Behind the API, held by a task of its own: a fixture begins and ends in different ones."""
    ready: asyncio.Future[ApiSetup] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def hold() -> None:
        async with api_setup(tmp_path) as setup:
            ready.set_result(setup)
            await done.wait()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(hold())
        yield await ready
        done.set()


async def node_named(setup: SwarmSetup, hostname: str) -> Node:
    """The node with a host name; a real Swarm has names of its own."""
    nodes = await setup.swarm.nodes()
    if not setup.mortal:
        return next(node for node in nodes if (node.manager is not None) == (hostname == MANAGER))
    return next(node for node in nodes if node.hostname == hostname)


async def running(setup: SwarmSetup, service_id: str, count: int) -> Sequence[Task]:
    """Wait until so many tasks run, and nothing else is wanted or still stops."""
    found = await eventually(
        lambda: setup.swarm.tasks(service_id=service_id),
        lambda tasks: [task.state for task in tasks if task.alive] == ["running"] * count,
        seconds=40,
    )
    return [task for task in found if task.alive]


def needs_mortal_machines(setup: SwarmSetup) -> None:
    """For tests in which machines die."""
    if not setup.mortal:
        pytest.skip("no machine of a real Swarm is killed here")


class TestNodes:
    async def test_it_is_the_swarm_of_one_of_its_managers(self, setup: SwarmSetup) -> None:
        identity = await setup.swarm.identity()
        (own,) = [node for node in await setup.swarm.nodes() if node.id == identity.node_id]
        assert identity.cluster_id
        assert own.role == "manager"
        assert own.manager is not None
        assert own.manager.reachable

    async def test_nodes_tell_who_and_what_they_are(self, setup: SwarmSetup) -> None:
        nodes = await setup.swarm.nodes()
        assert len({node.id for node in nodes}) == len(nodes)
        assert sum(node.manager is not None and node.manager.leader for node in nodes) == 1
        for node in nodes:
            assert node.hostname
            assert node.ready
            assert node.availability == "active"
            assert (node.role == "manager") == (node.manager is not None)
            assert node.cpus >= 10**9
            assert node.memory > 2**28
            assert (node.os, node.architecture) == ("linux", "x86_64")
        if setup.mortal:
            workers = {node.hostname: node.engine_labels["instance_id"] for node in nodes if node.role == "worker"}
            assert workers == HOSTS

    async def test_drain_moves_the_tasks_and_active_brings_none_back(self, setup: SwarmSetup) -> None:
        if len(await setup.swarm.nodes()) < 2:
            pytest.skip("one node only")
        service_id = await setup.create(4)
        node = await node_named(setup, "ip-10-0-3-12")
        await running(setup, service_id, 4)
        await setup.swarm.update_node(node.id, availability="drain")
        assert (await node_named(setup, "ip-10-0-3-12")).availability == "drain"
        tasks = await eventually(
            lambda: setup.swarm.tasks(service_id=service_id),
            lambda found: sum(one.state == "running" and one.node_id != node.id for one in found) == 4,
            seconds=40,
        )
        await eventually(
            lambda: setup.swarm.tasks(node_id=node.id), lambda found: not any(one.alive for one in found), seconds=40
        )
        await setup.swarm.update_node(node.id, availability="active")
        assert {one.id for one in await running(setup, service_id, 4)} == {
            one.id for one in tasks if one.state == "running"
        }

    async def test_an_update_leaves_the_rest_of_the_node_alone(self, setup: SwarmSetup) -> None:
        node = await node_named(setup, "ip-10-0-3-12")
        await setup.label_node(node.id, "contract", "kept")
        await setup.swarm.update_node(node.id, availability="pause")
        paused = await node_named(setup, "ip-10-0-3-12")
        assert (paused.availability, paused.labels["contract"], paused.role) == ("pause", "kept", node.role)
        await setup.swarm.update_node(node.id, availability="active")

    async def test_a_worker_becomes_a_manager_and_a_worker_again(self, setup: SwarmSetup) -> None:
        if len([node for node in await setup.swarm.nodes() if node.role == "worker"]) < 1:
            pytest.skip("no worker")
        node = await node_named(setup, "ip-10-0-3-12")

        async def look() -> Node:
            return next(one for one in await setup.swarm.nodes() if one.id == node.id)

        await setup.swarm.update_node(node.id, role="manager")
        promoted = await eventually(look, lambda found: found.manager is not None, seconds=40)
        assert promoted.role == "manager"
        await setup.swarm.update_node(node.id, role="worker")
        demoted = await eventually(look, lambda found: found.manager is None, seconds=40)
        assert demoted.role == "worker"

    async def test_the_last_manager_is_not_demoted(self, setup: SwarmSetup) -> None:
        managers = [node for node in await setup.swarm.nodes() if node.manager is not None]
        if len(managers) > 1:
            pytest.skip("more managers than one")
        with pytest.raises(Refused, match="last manager"):
            await setup.swarm.update_node(managers[0].id, role="worker")

    async def test_a_node_that_is_not_there_is_not_found(self, setup: SwarmSetup) -> None:
        node = await node_named(setup, MANAGER)
        for wrong in ("nobody", node.id[:-3], node.hostname, "self", "", "..", "../info", "a b", "%2e"):
            with pytest.raises(NotFound, match="not found"):
                await setup.swarm.update_node(wrong, availability="drain")
        assert (await node_named(setup, MANAGER)).availability == "active"

    async def test_a_ready_node_is_not_removed_and_an_unknown_one_is_no_error(self, setup: SwarmSetup) -> None:
        nodes = await setup.swarm.nodes()
        for node in nodes:
            with pytest.raises(Refused):
                await setup.swarm.remove_node(node.id)
            await setup.swarm.remove_node(node.id[:-3], force=True)
        await setup.swarm.remove_node("nobody")
        assert {node.id for node in nodes} == {one.id for one in await setup.swarm.nodes()}

    async def test_a_manager_is_not_removed_by_force_either(self, setup: SwarmSetup) -> None:
        node = await node_named(setup, MANAGER)
        with pytest.raises(Refused, match="manager"):
            await setup.swarm.remove_node(node.id, force=True)

    async def test_a_machine_that_dies_goes_down_its_tasks_move_and_it_is_removed(self, setup: SwarmSetup) -> None:
        needs_mortal_machines(setup)
        service_id = await setup.create(6)
        await running(setup, service_id, 6)
        node = await node_named(setup, "ip-10-0-3-129")
        await setup.lose(node.hostname)
        await eventually(
            setup.swarm.nodes, lambda nodes: any(one.id == node.id and one.state == "down" for one in nodes)
        )
        await eventually(
            lambda: setup.swarm.tasks(service_id=service_id),
            lambda tasks: sum(one.state == "running" and one.node_id != node.id for one in tasks) == 6,
        )
        lost = [one for one in await setup.swarm.tasks(node_id=node.id) if one.service_id == service_id]
        assert lost
        assert all((one.state, one.desired) == ("running", "shutdown") for one in lost)
        await setup.swarm.remove_node(node.id)
        await setup.swarm.remove_node(node.id)
        assert node.id not in {one.id for one in await setup.swarm.nodes()}
        assert not any(one.alive for one in await setup.swarm.tasks(node_id=node.id))


WISHES: dict[str, Any] = {
    "labels": {"com.df.scaleMin": "2", "com.df.reschedule": "true"},
    "env": {"A": "1", "B": "x=y", "EMPTY": ""},
    "constraints": ("node.role == worker", "node.labels.zone != b"),
    "platforms": (("linux", "amd64"),),
    "max_per_node": 3,
    "cpus": 10**7,
    "memory": 2**22,
    "generic": {"gpu": 2},
    "host_ports": frozenset({("tcp", 8080), ("udp", 53)}),
    "restarts_completed": False,
    "max_attempts": 3,
    "attempts_window": timedelta(seconds=90),
    "local_volumes": ("data",),
    "start_first": True,
    "stop_grace": timedelta(seconds=45),
}


def identity(service: Service) -> dict[str, Any]:
    """What the engine gives a service; when it was updated, too, for a moment is nobody's wish."""
    assert service.updated_at is not None
    return {name: getattr(service, name) for name in ("id", "name", "version", "updated_at")}


class TestServices:
    async def test_a_service_says_everything_that_it_wishes(self, setup: SwarmSetup) -> None:
        service = await setup.swarm.service(await setup.create(2, **WISHES))
        assert service == Service(**identity(service), mode="replicated", replicas=2, **WISHES)

    async def test_a_plain_service_wishes_nothing(self, setup: SwarmSetup) -> None:
        service = await setup.swarm.service(await setup.create(0))
        brief = timedelta(seconds=1)  # whatever a test makes stops soon
        assert service == Service(**identity(service), mode="replicated", stop_grace=brief)

    @pytest.mark.parametrize(
        ("mode", "replicas"), [("replicated", 2), ("global", 0), ("replicated-job", 2), ("global-job", 0)]
    )
    async def test_modes(self, setup: SwarmSetup, mode: str, replicas: int) -> None:
        service = await setup.swarm.service(await setup.create(2, mode=mode))
        assert (service.mode, service.replicas) == (mode, replicas)

    async def test_by_its_exact_name_or_id(self, setup: SwarmSetup) -> None:
        identity = await setup.create()
        service = await setup.swarm.service(identity)
        assert (await setup.swarm.service(service.name)).id == identity

    async def test_anything_else_is_not_found_in_the_engines_own_words(self, setup: SwarmSetup) -> None:
        service = await setup.swarm.service(await setup.create())
        for wrong in ("nobody", service.name[:-1], service.id[:-1], "", "..", ".", "../info", "a b", "ü", "x/y", "?a"):
            with pytest.raises(NotFound) as missed:
                await setup.swarm.service(wrong)
            assert str(missed.value) == f"service {wrong} not found"

    async def test_by_label(self, setup: SwarmSetup) -> None:
        key = "contract.label"
        true, false = await setup.create(labels={key: "true"}), await setup.create(labels={key: "false"})
        plain = await setup.create(labels={f"{key}.more": "true"})

        async def found(label: str | None) -> set[str]:
            return {service.id for service in await setup.swarm.services(label)} & {true, false, plain}

        assert await found(f"{key}=true") == {true}
        assert await found(key) == {true, false}
        assert await found(f"{key}=") == set()
        assert await found("contract.other") == set()
        assert await found(None) == {true, false, plain}


def changing(request_id: str = "request-1", **change: Any) -> ServiceChange:
    return ServiceChange(request_id=request_id, **change)


class TestServiceUpdates:
    async def test_replicas_and_the_request_that_set_them(self, setup: SwarmSetup) -> None:
        service_id = await setup.create(1, labels={"kept": "yes"}, env={"A": "1"})
        await running(setup, service_id, 1)
        await setup.swarm.update_service(service_id, changing(replicas=3))
        service = await setup.swarm.service(service_id)
        assert service.replicas == 3
        assert service.labels == {"kept": "yes", REQUEST_LABEL: "request-1"}
        assert service.env == {"A": "1"}
        await running(setup, service_id, 3)
        await setup.swarm.update_service(service_id, changing("request-2", replicas=0))
        await running(setup, service_id, 0)

    async def test_a_request_changes_a_service_once(self, setup: SwarmSetup) -> None:
        service_id = await setup.create(1)
        await setup.swarm.update_service(service_id, changing(replicas=2))
        await setup.swarm.update_service(service_id, changing(replicas=3))
        assert (await setup.swarm.service(service_id)).replicas == 2
        await setup.swarm.update_service(service_id, changing(env=("DATE", "today")))
        await setup.swarm.update_service(service_id, changing(env=("DATE", "tomorrow")))
        service = await setup.swarm.service(service_id)
        assert service.env == {"DATE": "today"}
        assert service.labels == {REQUEST_LABEL: "request-1", RESCHEDULE_LABEL: "request-1"}

    async def test_a_rescheduling_leaves_the_proof_of_a_scale_alone(self, setup: SwarmSetup) -> None:
        service_id = await setup.create(1)
        await setup.swarm.update_service(service_id, changing("scale", replicas=2))
        await setup.swarm.update_service(service_id, changing("reschedule", force=True))
        service = await setup.swarm.service(service_id)
        assert service.labels == {REQUEST_LABEL: "scale", RESCHEDULE_LABEL: "reschedule"}

    @pytest.mark.parametrize("start_first", [True, False])
    async def test_a_service_that_avoids_a_node_moves_only_the_tasks_there(
        self, setup: SwarmSetup, start_first: bool
    ) -> None:
        service_id = await setup.create(4, labels={"kept": "yes"}, start_first=start_first)
        before = await running(setup, service_id, 4)
        node_id = str(before[0].node_id)
        elsewhere = {task.id for task in before if task.node_id != node_id}
        await setup.swarm.update_service(service_id, changing(avoid=(node_id,)))
        service = await setup.swarm.service(service_id)
        assert (service.constraints, service.labels) == ((f"node.id!={node_id}",), {"kept": "yes"})
        if not elsewhere:
            return  # a real Swarm of one node: there is no other place
        service = await eventually(lambda: setup.swarm.service(service_id), lambda it: it.update_state == "completed")
        moved = await running(setup, service_id, 4)
        assert node_id not in {task.node_id for task in moved}
        assert elsewhere < {task.id for task in moved}
        await setup.swarm.update_service(service_id, changing(avoid=(node_id,)))
        assert await setup.swarm.service(service_id) == service
        await setup.swarm.update_service(service_id, changing(allow=(node_id,)))
        assert (await setup.swarm.service(service_id)).constraints == ()
        assert await running(setup, service_id, 4) == moved

    @pytest.mark.parametrize("mode", ["global", "replicated-job"])
    async def test_other_services_than_replicated_ones_have_no_replicas_to_set(
        self, setup: SwarmSetup, mode: str
    ) -> None:
        service_id = await setup.create(2, mode=mode)
        with pytest.raises(Refused, match="not a replicated service"):
            await setup.swarm.update_service(service_id, changing(replicas=3))
        assert REQUEST_LABEL not in (await setup.swarm.service(service_id)).labels

    async def test_a_service_that_is_not_there_is_not_found(self, setup: SwarmSetup) -> None:
        for wrong in ("nobody", ""):
            with pytest.raises(NotFound, match=f"service {wrong} not found"):
                await setup.swarm.update_service(wrong, changing(replicas=3))

    async def test_an_environment_variable_is_appended_and_replaced_and_tasks_are_replaced(
        self, setup: SwarmSetup
    ) -> None:
        service_id = await setup.create(2, env={"A": "1"})
        first = {task.id for task in await running(setup, service_id, 2)}
        for request_id, date in (("request-1", "today"), ("request-2", "tomorrow=")):
            await setup.swarm.update_service(service_id, changing(request_id, env=("DATE", date)))
            done = await eventually(
                lambda: setup.swarm.service(service_id), lambda found: found.update_state == "completed", seconds=40
            )
            assert done.env == {"A": "1", "DATE": date}
            assert done.labels == {RESCHEDULE_LABEL: request_id}
            tasks = await running(setup, service_id, 2)
            assert all(task.env == done.env for task in tasks)
            assert not {task.id for task in tasks} & first

    @pytest.mark.parametrize("start_first", [False, True])
    async def test_force_replaces_the_tasks_though_nothing_else_changes(
        self, setup: SwarmSetup, start_first: bool
    ) -> None:
        service_id = await setup.create(2, start_first=start_first)
        first = {task.id for task in await running(setup, service_id, 2)}
        await setup.swarm.update_service(service_id, changing(force=True))
        await eventually(
            lambda: setup.swarm.service(service_id), lambda found: found.update_state == "completed", seconds=40
        )
        assert not {task.id for task in await running(setup, service_id, 2)} & first

    async def test_an_update_without_tasks_has_no_status(self, setup: SwarmSetup) -> None:
        service_id = await setup.create(0)
        await setup.swarm.update_service(service_id, changing(env=("DATE", "today")))
        await asyncio.sleep(0.2)  # long enough for a status to come, were there to be one
        assert (await setup.swarm.service(service_id)).update_state is None

    async def test_a_new_update_forgets_the_last_ones_status(self, setup: SwarmSetup) -> None:
        service_id = await setup.create(1)
        await running(setup, service_id, 1)
        await setup.swarm.update_service(service_id, changing(force=True))
        await eventually(
            lambda: setup.swarm.service(service_id), lambda found: found.update_state == "completed", seconds=40
        )
        await setup.swarm.update_service(service_id, changing("request-2", replicas=1))
        assert (await setup.swarm.service(service_id)).update_state is None


class TestTasks:
    async def test_of_a_service_and_on_a_node(self, setup: SwarmSetup) -> None:
        node = await node_named(setup, MANAGER)
        here = await setup.create(2, constraints=(f"node.id == {node.id}",), env={"A": "1"})
        other = await setup.create(1)
        tasks = await running(setup, here, 2)
        await running(setup, other, 1)
        assert sorted(task.slot for task in tasks) == [1, 2]
        for task in tasks:
            assert (task.service_id, task.node_id, task.state, task.desired) == (here, node.id, "running", "running")
            assert (task.env, task.error) == ({"A": "1"}, "")
        on_node = {task.id for task in await setup.swarm.tasks(node_id=node.id)}
        assert {task.id for task in tasks} <= on_node
        both = await setup.swarm.tasks(service_id=other, node_id=node.id)
        assert {task.service_id for task in both} <= {other}
        everything = {task.id for task in await setup.swarm.tasks()}
        assert everything >= on_node | {task.id for task in await setup.swarm.tasks(service_id=other)}

    async def test_a_workload_is_what_nodes_have_and_all_of_the_services_there_and_no_more(
        self, setup: SwarmSetup
    ) -> None:
        node = await node_named(setup, MANAGER)
        here = await setup.create(2, constraints=(f"node.id == {node.id}",))
        apart = await setup.create(1, constraints=(f"node.id != {node.id}",))
        named = await setup.create(1, constraints=(f"node.id != {node.id}",))
        for service_id, number in ((here, 2), (apart, 1), (named, 1)):
            await running(setup, service_id, number)
        await setup.swarm.update_service(here, changing("request-1", replicas=3))
        await running(setup, here, 3)
        for service_ids in ([named], [named, "nobody"]):
            load = await setup.swarm.workload([node.id, "nobody"], service_ids)
            assert (
                {here, named}
                <= {service.id for service in load.services}
                <= {task.service_id for task in await setup.swarm.tasks(node_id=node.id)} | {named}
            )
            assert len({task.id for task in load.tasks}) == len(load.tasks)
            mine = [task for task in load.tasks if task.service_id in {here, named, apart}]
            assert sorted((task.service_id, task.slot) for task in mine) == sorted(
                [(here, 1), (here, 2), (here, 3), (named, 1)]
            )
        assert await setup.swarm.workload([]) == Workload((), ())

    async def test_a_workload_leaves_out_a_service_that_is_gone_and_keeps_its_tasks(self, setup: SwarmSetup) -> None:
        node = await node_named(setup, MANAGER)
        gone, stays = [await setup.create(1, constraints=(f"node.id == {node.id}",)) for _ in range(2)]
        for service_id in (gone, stays):
            await running(setup, service_id, 1)
        await setup.remove(gone)
        load = await setup.swarm.workload([node.id], [gone])
        ids = {service.id for service in load.services}
        assert (gone in ids, stays in ids) == (False, True)
        assert stays in {task.service_id for task in load.tasks}

    async def test_nodes_of_some_ids(self, setup: SwarmSetup) -> None:
        node = await node_named(setup, MANAGER)
        assert [each.id for each in await setup.swarm.nodes([node.id, "nobody"])] == [node.id]
        assert await setup.swarm.nodes([]) == []

    async def test_a_global_service_has_one_on_each_node_and_no_slots(self, setup: SwarmSetup) -> None:
        nodes = await setup.swarm.nodes()
        tasks = await running(setup, await setup.create(mode="global"), len(nodes))
        assert {task.node_id for task in tasks} == {node.id for node in nodes}
        assert {task.slot for task in tasks} == {0}

    async def test_a_task_without_a_place_is_pending_and_says_why(self, setup: SwarmSetup) -> None:
        service_id = await setup.create(1, constraints=("node.labels.nowhere == true",))
        (task,) = await eventually(
            lambda: setup.swarm.tasks(service_id=service_id), lambda found: bool(found and found[0].error), seconds=40
        )
        assert (task.state, task.node_id, task.alive) == ("pending", None, False)
        assert "no suitable node" in task.error

    async def test_what_is_gone_has_none(self, setup: SwarmSetup) -> None:
        service_id = await setup.create(1)
        await running(setup, service_id, 1)
        await setup.remove(service_id)
        await eventually(lambda: setup.swarm.tasks(service_id=service_id), lambda tasks: not tasks, seconds=40)
        assert await setup.swarm.tasks(service_id="nobody") == []
        assert await setup.swarm.tasks(node_id="nobody") == []


class TestChanges:
    async def test_a_change_after_entering_is_told(self, setup: SwarmSetup) -> None:
        node = await node_named(setup, MANAGER)
        async with setup.swarm.changes() as changes:
            for change in (
                lambda: setup.create(0),
                lambda: setup.label_node(node.id, "contract", "1"),
                lambda: setup.label_node(node.id, "contract", "2"),
            ):
                await quiet(changes)
                await change()
                async with asyncio.timeout(5):
                    await anext(changes)

    async def test_many_changes_may_be_one_item_and_none_is_missed(self, setup: SwarmSetup) -> None:
        async with setup.swarm.changes() as changes:
            await quiet(changes)
            for _ in range(20):
                await setup.create(0)
            async with asyncio.timeout(5):
                await anext(changes)
            assert await quiet(changes) < 20

    async def test_every_subscriber_is_told(self, setup: SwarmSetup) -> None:
        async with setup.swarm.changes() as first, setup.swarm.changes() as second:
            await quiet(first)
            await quiet(second)
            await setup.create(0)
            async with asyncio.timeout(5):
                await anext(first)
                await anext(second)

    async def test_it_ends_without_an_error_when_the_engine_goes_away(self, setup: SwarmSetup) -> None:
        needs_mortal_machines(setup)
        async with setup.swarm.changes() as changes:
            await setup.go_away()
            async with asyncio.timeout(5):
                async for _ in changes:
                    pass

    async def test_who_leaves_in_the_middle_of_waiting_leaves_nothing_behind(self, setup: SwarmSetup) -> None:
        before = len(asyncio.all_tasks())
        async with setup.swarm.changes() as changes:
            await quiet(changes)
        await eventually(no_coroutine(lambda: len(asyncio.all_tasks())), lambda count: count <= before)


class TestAway:
    async def test_an_engine_that_is_not_there_is_unavailable(self, tmp_path: Path) -> None:
        async with DockerSwarm(f"unix://{tmp_path}/nothing.sock", CALL) as swarm:
            with pytest.raises(Unavailable) as away:
                await swarm.identity()
            assert away.value.__cause__ is not None
            with pytest.raises(Unavailable):
                async with swarm.changes():
                    pass

    async def test_a_lost_quorum_is_unavailable_and_comes_back(self, in_memory: InMemorySetup) -> None:
        swarm = in_memory.swarm
        second = swarm.join("second", "manager")
        third = swarm.join("third", "manager")
        swarm.lose(second)
        await swarm.identity()
        swarm.lose(third)
        with pytest.raises(Unavailable, match="leader"):
            await swarm.identity()
        swarm.revive(third)

        async def answers() -> bool:
            with suppress(Unavailable):
                return bool((await swarm.identity()).cluster_id)
            return False

        await eventually(answers, bool)


async def quiet(changes: AsyncIterator[None]) -> int:
    """Take what there is until nothing comes for a while; how many items that was."""
    count = 0
    while True:
        try:
            async with asyncio.timeout(0.15):
                await anext(changes)
        except TimeoutError:
            return count
        count += 1


def no_coroutine(look: Any) -> Any:
    async def looking() -> Any:
        return look()

    return looking
