"""What a Swarm manager promises its clients, as far as this project relies on it.

Runs against the simulated Swarm, and unchanged against a real one (see conftest). One node is enough for most; a test
that needs more says so.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.scaffolding.contract.client import SECOND, Json, RefusedError, SwarmClient
from tests.waiting import until

pytestmark = pytest.mark.engine

FAILING = ["sh", "-c", "exit 3"]
LONG = 10 * SECOND
"""An update that is watched for so long sees a failure however late a busy engine tells of it."""


def the_node(swarm: SwarmClient) -> Json:
    return swarm.nodes()[0]


def at_least(swarm: SwarmClient, count: int) -> list[Json]:
    nodes = swarm.nodes()
    if len(nodes) < count:
        pytest.skip(f"needs {count} nodes, this Swarm has {len(nodes)}")
    return nodes


def set_env(value: str) -> Any:
    def change(spec: Json) -> None:
        spec["TaskTemplate"]["ContainerSpec"]["Env"] = [f"CONTRACT={value}"]

    return change


def ids(tasks: list[Json]) -> set[str]:
    return {task["ID"] for task in tasks}


# Versions


def test_a_service_write_needs_the_present_version(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec())
    before = swarm.service(service_id)
    swarm.update(service_id, set_env("1"))
    with pytest.raises(RefusedError, match="update out of sequence") as refused:
        swarm.update_to(service_id, before["Version"]["Index"], before["Spec"])
    assert refused.value.status == 500
    assert refused.value.message == "rpc error: code = Unknown desc = update out of sequence"


def test_a_node_write_needs_the_present_version_and_makes_a_higher_one(swarm: SwarmClient) -> None:
    node = the_node(swarm)
    version = node["Version"]["Index"]
    swarm.update_node(node["ID"], version, {**node["Spec"], "Labels": {"contract": "yes"}})
    after = swarm.get(f"/nodes/{node['ID']}")
    assert after["Version"]["Index"] > version
    assert after["Spec"]["Labels"] == {"contract": "yes"}
    with pytest.raises(RefusedError, match="update out of sequence"):
        swarm.update_node(node["ID"], version, node["Spec"])


def test_a_write_without_a_version_is_a_bad_request(swarm: SwarmClient) -> None:
    with pytest.raises(RefusedError) as refused:
        swarm.call("POST", f"/nodes/{the_node(swarm)['ID']}/update", the_node(swarm)["Spec"])
    assert refused.value.status == 400


@pytest.mark.parametrize(("path", "kind"), [("/nodes", "node"), ("/services", "service"), ("/tasks", "task")])
def test_what_does_not_exist_is_not_found(swarm: SwarmClient, path: str, kind: str) -> None:
    with pytest.raises(RefusedError) as refused:
        swarm.get(f"{path}/no-such-thing")
    assert refused.value.status == 404
    assert refused.value.message == f"{kind} no-such-thing not found"


def test_a_service_name_is_taken_once(swarm: SwarmClient) -> None:
    spec = swarm.spec()
    swarm.create(spec)
    with pytest.raises(RefusedError, match=f"service {spec['Name']} already exists") as refused:
        swarm.create(spec)
    assert refused.value.status == 409


def test_any_known_api_version_is_spoken_and_a_newer_one_refused(swarm: SwarmClient) -> None:
    ping = swarm.raw("HEAD", "/_ping")
    assert ping.headers["Api-Version"]
    assert swarm.raw("GET", "/v1.30/nodes").status_code == swarm.raw("GET", "/nodes").status_code == 200
    with pytest.raises(RefusedError, match=r"client version 1\.99 is too new") as refused:
        swarm.call("GET", "/nodes", version="/v1.99")
    assert refused.value.status == 400


def test_unknown_filters_are_refused(swarm: SwarmClient) -> None:
    with pytest.raises(RefusedError) as refused:
        swarm.get("/nodes", filters={"colour": ["red"]})
    assert refused.value.status == 400


def test_impossible_values_are_refused_by_name(swarm: SwarmClient) -> None:
    node = the_node(swarm)
    spec = {**node["Spec"], "Role": "boss"}
    with pytest.raises(RefusedError, match='invalid Role: "boss"') as refused:
        swarm.update_node(node["ID"], node["Version"]["Index"], spec)
    assert refused.value.status == 400
    with pytest.raises(RefusedError, match="image reference must be provided") as refused:
        swarm.create(with_template(swarm.spec(), ContainerSpec={"Image": ""}))
    assert refused.value.status == 400
    with pytest.raises(RefusedError, match="constraint expected one operator from ==, !="):
        swarm.create(with_template(swarm.spec(), Placement={"Constraints": ["node.role"]}))


# Updates


def test_labels_of_the_service_replace_no_task_and_leave_no_update_status(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec(replicas=2))
    before = swarm.running(service_id, 2)
    swarm.update(service_id, lambda spec: spec.update(Labels={"contract": "labels"}))
    assert swarm.service(service_id).get("UpdateStatus") is None
    assert ids(swarm.running(service_id, 2)) == ids(before)
    assert swarm.service(service_id)["PreviousSpec"]["Labels"] == {}


def test_scaling_replaces_no_task_and_leaves_no_update_status(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec(replicas=2))
    before = swarm.running(service_id, 2)
    swarm.update(service_id, lambda spec: spec.update(Mode={"Replicated": {"Replicas": 3}}))
    assert ids(swarm.running(service_id, 3)) > ids(before)
    assert swarm.service(service_id).get("UpdateStatus") is None
    swarm.update(service_id, lambda spec: spec.update(Mode={"Replicated": {"Replicas": 1}}))
    swarm.running(service_id, 1)
    until(lambda: len(swarm.tasks(service_id)) == 1, "removed slots to be forgotten")


def test_an_environment_change_replaces_every_task_and_completes(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec(replicas=3))
    before = swarm.running(service_id, 3)
    swarm.update(service_id, set_env("1"))
    status = swarm.update_state(service_id, "completed")
    assert status["Message"] == "update completed"
    assert status["StartedAt"] < status["CompletedAt"]
    after = swarm.running(service_id, 3)
    assert ids(after).isdisjoint(ids(before))
    assert {task["Slot"] for task in after} == {task["Slot"] for task in before}


def test_a_later_change_without_tasks_to_replace_takes_the_old_status_away(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec())
    swarm.running(service_id, 1)
    swarm.update(service_id, set_env("1"))
    swarm.update_state(service_id, "completed")
    swarm.update(service_id, lambda spec: spec.update(Labels={"contract": "labels"}))
    assert swarm.service(service_id).get("UpdateStatus") is None


def test_a_forced_update_replaces_tasks_that_are_the_same(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec())
    before = swarm.running(service_id, 1)
    swarm.update(service_id, lambda spec: spec["TaskTemplate"].update(ForceUpdate=1))
    swarm.update_state(service_id, "completed")
    assert ids(swarm.running(service_id, 1)).isdisjoint(ids(before))


def test_an_update_whose_tasks_fail_is_paused_and_says_which(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec(replicas=2, UpdateConfig={"Parallelism": 0, "Monitor": LONG}))
    swarm.running(service_id, 2)
    swarm.update(service_id, lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Command=FAILING))
    status = swarm.update_state(service_id, "paused")
    assert status["Message"].startswith("update paused due to failure or early termination of task ")
    assert "CompletedAt" not in status


def test_an_update_whose_tasks_fail_can_roll_itself_back(swarm: SwarmClient) -> None:
    careful = {"Parallelism": 1, "Monitor": LONG, "FailureAction": "rollback"}
    back = {"Parallelism": 0, "Monitor": SECOND // 5}
    service_id = swarm.create(swarm.spec(replicas=2, UpdateConfig=careful, RollbackConfig=back))
    swarm.running(service_id, 2)
    swarm.update(service_id, lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Command=FAILING))
    assert swarm.update_state(service_id, "rollback_completed")["Message"] == "rollback completed"
    swarm.running(service_id, 2)
    assert swarm.service(service_id)["Spec"]["TaskTemplate"]["ContainerSpec"]["Command"] == swarm.command


def test_a_client_can_ask_for_the_previous_specification(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec(RollbackConfig={"Parallelism": 1, "Monitor": SECOND // 5}))
    swarm.running(service_id, 1)
    swarm.update(service_id, set_env("1"))
    swarm.update_state(service_id, "completed")
    service = swarm.service(service_id)
    swarm.update_to(service_id, service["Version"]["Index"], service["Spec"], rollback="previous")
    swarm.update_state(service_id, "rollback_completed")
    assert "Env" not in swarm.service(service_id)["Spec"]["TaskTemplate"]["ContainerSpec"]


def test_start_first_never_has_fewer_tasks_than_wanted(swarm: SwarmClient) -> None:
    order = {"Parallelism": 1, "Monitor": SECOND // 5, "Order": "start-first"}
    service_id = swarm.create(swarm.spec(replicas=2, UpdateConfig=order))
    swarm.running(service_id, 2)
    swarm.update(service_id, set_env("1"))
    counts = []

    def completed() -> bool:
        counts.append(sum(task["Status"]["State"] == "running" for task in swarm.tasks(service_id)))
        return (swarm.service(service_id).get("UpdateStatus") or {}).get("State") == "completed"

    until(completed, "the update")
    assert min(counts) >= 2


def test_mode_and_name_cannot_be_changed(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec())
    with pytest.raises(RefusedError, match="service mode change is not allowed"):
        swarm.update(service_id, lambda spec: spec.update(Mode={"Global": {}}))
    with pytest.raises(RefusedError, match="renaming services is not supported"):
        swarm.update(service_id, lambda spec: spec.update(Name="another-name"))


# Nodes


def test_drain_ends_the_tasks_of_a_node_and_active_lets_tasks_come_back(swarm: SwarmClient) -> None:
    nodes = swarm.nodes()
    service_id = swarm.create(swarm.spec(replicas=2))
    before = swarm.running(service_id, 2)
    for node in nodes:
        swarm.set_node(node["ID"], Availability="drain")
    waiting = swarm.pending(service_id, 2)
    assert ids(waiting).isdisjoint(ids(before))
    many = "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"
    assert waiting[0]["Status"]["Err"] == f"no suitable node ({many} not available for new tasks)"
    swarm.set_node(nodes[0]["ID"], Availability="active")
    assert {task["NodeID"] for task in swarm.running(service_id, 2)} == {nodes[0]["ID"]}


def test_drain_moves_tasks_and_nothing_moves_back(swarm: SwarmClient) -> None:
    drained = at_least(swarm, 2)[0]["ID"]
    service_id = swarm.create(swarm.spec(replicas=4))
    swarm.running(service_id, 4)
    swarm.set_node(drained, Availability="drain")
    until(lambda: all(t["NodeID"] != drained for t in swarm.running(service_id, 4)), "the move")
    moved = ids(swarm.running(service_id, 4))
    swarm.set_node(drained, Availability="active")
    other = swarm.create(swarm.spec())
    swarm.running(other, 1)
    assert ids(swarm.running(service_id, 4)) == moved


def test_pause_keeps_tasks_and_admits_none(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec())
    before = swarm.running(service_id, 1)
    for node in swarm.nodes():
        swarm.set_node(node["ID"], Availability="pause")
    swarm.update(service_id, lambda spec: spec.update(Mode={"Replicated": {"Replicas": 2}}))
    assert "not available for new tasks" in swarm.pending(service_id, 1)[0]["Status"]["Err"]
    assert ids(swarm.in_state(service_id, "running")) == ids(before)


def test_node_name_and_id_filters_match_prefixes(swarm: SwarmClient) -> None:
    nodes = swarm.nodes()
    hostname, identifier = nodes[0]["Description"]["Hostname"], nodes[0]["ID"]
    prefix = hostname[:-1]
    expected = {n["ID"] for n in nodes if n["Description"]["Hostname"].startswith(prefix)}
    assert {n["ID"] for n in swarm.get("/nodes", filters={"name": [prefix]})} == expected
    assert [n["ID"] for n in swarm.get("/nodes", filters={"id": [identifier[:12]]})] == [identifier]
    assert swarm.get("/nodes", filters={"name": [hostname + "-and-more"]}) == []


def test_nodes_are_filtered_by_role_label_and_membership(swarm: SwarmClient) -> None:
    node = the_node(swarm)
    swarm.set_node(node["ID"], Labels={"contract": "yes"})

    def found(**filters: list[str]) -> set[str]:
        named = {name.replace("node_label", "node.label"): value for name, value in filters.items()}
        return {each["ID"] for each in swarm.get("/nodes", filters=named)}

    managers = {each["ID"] for each in swarm.nodes() if each["Spec"]["Role"] == "manager"}
    assert found(role=["manager"]) == managers
    assert found(node_label=["contract"]) == found(node_label=["contract=yes"]) == {node["ID"]}
    assert found(node_label=["contract=no"]) == set()
    assert node["ID"] in found(membership=["pending"])  # an engine forgets it when a node is updated
    assert node["ID"] not in found(membership=["accepted"])


def test_a_node_that_is_ready_is_not_removed(swarm: SwarmClient) -> None:
    worker = next((n for n in at_least(swarm, 2) if n["Spec"]["Role"] == "worker"), None)
    if worker is None:
        pytest.skip("needs a worker, this Swarm has managers only")
    with pytest.raises(RefusedError) as refused:
        swarm.call("DELETE", f"/nodes/{worker['ID']}")
    text = f"rpc error: code = FailedPrecondition desc = node {worker['ID']} is not down and can't be removed"
    assert (refused.value.status, refused.value.message) == (400, text)


@pytest.mark.parametrize("force", ["false", "true"])
def test_a_manager_is_not_removed(swarm: SwarmClient, force: str) -> None:
    manager = next(node for node in swarm.nodes() if "ManagerStatus" in node)
    with pytest.raises(RefusedError, match="It must be demoted to worker before removal") as refused:
        swarm.call("DELETE", f"/nodes/{manager['ID']}", force=force)
    assert refused.value.status == 400


def test_the_last_manager_is_not_demoted(swarm: SwarmClient) -> None:
    managers = [node for node in swarm.nodes() if "ManagerStatus" in node]
    if len(managers) > 1:
        pytest.skip(f"needs a single manager, this Swarm has {len(managers)}")
    with pytest.raises(RefusedError, match="attempting to demote the last manager of the swarm"):
        swarm.set_node(managers[0]["ID"], Role="worker")


def test_info_tells_the_cluster_and_the_own_node(swarm: SwarmClient) -> None:
    info = swarm.get("/info")["Swarm"]
    assert info["ControlAvailable"] is True
    assert info["LocalNodeState"] == "active"
    assert info["Cluster"]["ID"] == swarm.get("/swarm")["ID"]
    own = swarm.get(f"/nodes/{info['NodeID']}")
    assert own["ManagerStatus"]["Reachability"] == "reachable"
    assert own["Status"]["Addr"] == info["NodeAddr"]
    assert info["Nodes"] == len(swarm.nodes())


# Placement


def test_a_constraint_that_no_node_satisfies_is_the_reason_told(swarm: SwarmClient) -> None:
    placement = {"Constraints": ["node.labels.contract==elsewhere"]}
    service_id = swarm.create(with_template(swarm.spec(), Placement=placement))
    count = len(swarm.nodes())
    where = "1 node" if count == 1 else f"{count} nodes"
    task = swarm.pending(service_id, 1)[0]
    assert task["Status"]["Err"] == f"no suitable node (scheduling constraints not satisfied on {where})"
    assert "NodeID" not in task
    node_id = the_node(swarm)["ID"]
    swarm.set_node(node_id, Labels={"contract": "elsewhere"})
    assert swarm.running(service_id, 1)[0]["NodeID"] == node_id


def test_a_task_leaves_a_node_that_satisfies_its_constraints_no_longer(swarm: SwarmClient) -> None:
    node_id = the_node(swarm)["ID"]
    swarm.set_node(node_id, Labels={"contract": "here"})
    placement = {"Constraints": ["node.labels.contract == here"]}
    service_id = swarm.create(with_template(swarm.spec(), Placement=placement))
    swarm.running(service_id, 1)
    swarm.set_node(node_id, Labels={})
    swarm.pending(service_id, 1)


def test_reservations_that_fit_nowhere_are_the_reason_told(swarm: SwarmClient) -> None:
    resources = {"Reservations": {"NanoCPUs": 4096 * SECOND}}
    service_id = swarm.create(with_template(swarm.spec(), Resources=resources))
    assert "insufficient resources on " in swarm.pending(service_id, 1)[0]["Status"]["Err"]


def test_a_host_port_is_given_once_per_node(swarm: SwarmClient) -> None:
    count = len(swarm.nodes())
    port = {"TargetPort": 80, "PublishedPort": 39181, "PublishMode": "host", "Protocol": "tcp"}
    service_id = swarm.create(swarm.spec(replicas=count + 1, EndpointSpec={"Ports": [port]}))
    waiting = swarm.pending(service_id, 1)
    assert "host-mode port already in use on " in waiting[0]["Status"]["Err"]
    nodes = until(lambda: full(swarm.in_state(service_id, "running"), count), "one task per node")
    assert len({task["NodeID"] for task in nodes}) == count


def test_max_replicas_per_node_is_kept(swarm: SwarmClient) -> None:
    count = len(swarm.nodes())
    service_id = swarm.create(with_template(swarm.spec(replicas=count + 1), Placement={"MaxReplicas": 1}))
    error = swarm.pending(service_id, 1)[0]["Status"]["Err"]
    assert error == "no suitable node (max replicas per node limit exceed)"


def test_tasks_are_spread(swarm: SwarmClient) -> None:
    nodes = at_least(swarm, 2)
    service_id = swarm.create(swarm.spec(replicas=len(nodes)))
    assert len({task["NodeID"] for task in swarm.running(service_id, len(nodes))}) == len(nodes)


def test_a_global_service_has_a_task_on_each_node_and_drain_ends_it(swarm: SwarmClient) -> None:
    nodes = {node["ID"] for node in swarm.nodes()}
    service_id = swarm.create(swarm.spec(Mode={"Global": {}}))
    tasks = swarm.running(service_id, len(nodes))
    assert {task["NodeID"] for task in tasks} == nodes
    assert all("Slot" not in task for task in tasks)
    drained = nodes.pop()
    swarm.set_node(drained, Availability="drain")
    until(lambda: not swarm.tasks(service_id, node=[drained], **{"desired-state": ["running"]}), "end")
    swarm.set_node(drained, Availability="active")
    swarm.running(service_id, len(nodes) + 1)


# Tasks that end


def test_without_restarts_a_task_that_ended_stays_the_last_of_its_slot(swarm: SwarmClient) -> None:
    template = {"RestartPolicy": {"Condition": "none"}}
    service_id = swarm.create(with_template(swarm.spec(command=FAILING), **template))

    def failed() -> list[Json]:
        return [task for task in swarm.tasks(service_id) if task["Status"]["State"] == "failed"]

    task = until(failed, "the failure")[0]
    assert task["Status"]["Err"] == "task: non-zero exit (3)"
    assert task["Status"]["ContainerStatus"]["ExitCode"] == 3
    until(lambda: swarm.tasks(service_id)[0]["DesiredState"] == "shutdown", "the end")
    assert len(swarm.tasks(service_id)) == 1


def test_a_task_that_ended_is_restarted_so_often(swarm: SwarmClient) -> None:
    policy = {"Condition": "on-failure", "Delay": 0, "MaxAttempts": 2}
    service_id = swarm.create(with_template(swarm.spec(command=FAILING), RestartPolicy=policy))

    def all_failed() -> bool:
        tasks = swarm.tasks(service_id)
        return len(tasks) == 3 and all(task["Status"]["State"] == "failed" for task in tasks)

    until(all_failed, "three attempts")


def test_a_replicated_job_runs_so_often_and_is_done(swarm: SwarmClient) -> None:
    mode = {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}}
    spec = with_template(swarm.spec(command=["sh", "-c", "exit 0"]), RestartPolicy={"Condition": "none"})
    del spec["UpdateConfig"]
    service_id = swarm.create({**spec, "Mode": mode})
    done = until(lambda: full(swarm.in_state(service_id, "complete"), 3), "three completions")
    assert {task["DesiredState"] for task in done} == {"complete"}
    listed = swarm.get("/services", filters={"id": [service_id]}, status="true")[0]
    assert listed["ServiceStatus"]["CompletedTasks"] == 3
    assert "JobStatus" in listed


def test_a_global_job_runs_once_on_each_node(swarm: SwarmClient) -> None:
    spec = with_template(swarm.spec(command=["sh", "-c", "exit 0"]), RestartPolicy={"Condition": "none"})
    del spec["UpdateConfig"]
    service_id = swarm.create({**spec, "Mode": {"GlobalJob": {}}})
    count = len(swarm.nodes())
    until(lambda: full(swarm.in_state(service_id, "complete"), count), "a completion per node")


# Lists


def test_services_are_filtered_by_name_prefix_label_and_mode(swarm: SwarmClient) -> None:
    spec = swarm.spec(Labels={"contract": "yes"})
    service_id = swarm.create(spec)

    def found(**filters: list[str]) -> list[str]:
        return [service["ID"] for service in swarm.get("/services", filters=filters)]

    assert found(name=[spec["Name"][:-1]]) == [service_id]
    assert found(name=[spec["Name"] + "x"]) == found(label=["contract=no"]) == []
    assert found(label=["contract"]) == found(label=["contract=yes"]) == [service_id]
    assert service_id in found(mode=["replicated"])
    assert service_id not in found(mode=["global"])


def test_tasks_are_filtered_by_service_node_and_desired_state(swarm: SwarmClient) -> None:
    spec = swarm.spec()
    service_id = swarm.create(spec)
    first = swarm.running(service_id, 1)[0]
    swarm.update(service_id, set_env("1"))
    swarm.update_state(service_id, "completed")
    second = swarm.running(service_id, 1)[0]

    def found(**filters: list[str]) -> set[str]:
        named = {name.replace("_", "-"): value for name, value in filters.items()}
        return ids(swarm.get("/tasks", filters={"service": [spec["Name"]], **named}))

    assert found() == {first["ID"], second["ID"]}
    assert found(desired_state=["running"]) == found(id=[second["ID"][:12]]) == {second["ID"]}
    assert second["ID"] in found(node=[second["NodeID"]])
    with pytest.raises(RefusedError, match="not found"):
        swarm.get("/tasks", filters={"service": ["no-such-service"]})


def test_the_status_of_services_is_listed_when_asked_for(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec(replicas=2))
    swarm.running(service_id, 2)
    listed = swarm.get("/services", filters={"id": [service_id]}, status="true")[0]
    assert listed["ServiceStatus"] == {"RunningTasks": 2, "DesiredTasks": 2, "CompletedTasks": 0}
    assert "ServiceStatus" not in swarm.get("/services", filters={"id": [service_id]})[0]


def test_removed_services_take_their_tasks_along(swarm: SwarmClient) -> None:
    service_id = swarm.create(swarm.spec())
    task = swarm.running(service_id, 1)[0]
    swarm.call("DELETE", f"/services/{service_id}")
    with pytest.raises(RefusedError, match="not found"):
        swarm.service(service_id)
    until(lambda: task["ID"] not in ids(swarm.get("/tasks")), "the end of the task")


# The SDK and the event stream


def test_the_sdk_sees_scales_and_updates_services(swarm: SwarmClient) -> None:
    spec = swarm.spec()
    service_id = swarm.create(spec)
    swarm.running(service_id, 1)
    service: Any = swarm.docker.services.list(filters={"name": spec["Name"]})[0]
    assert service.scale(2)
    swarm.running(service_id, 2)
    service.reload()
    service.force_update()
    swarm.update_state(service_id, "completed")
    assert {task["ServiceID"] for task in service.tasks()} == {service_id}
    managers = swarm.docker.nodes.list(filters={"role": "manager"})
    assert [node.attrs["ManagerStatus"].get("Leader") for node in managers].count(True) == 1
    assert swarm.docker.info()["Swarm"]["ControlAvailable"] is True
    assert swarm.docker.ping()


@contextmanager
def listening(swarm: SwarmClient, **filters: str) -> Iterator[list[Json]]:
    """The events from now on, as they come; some of just before too, for an engine answers before it listens."""
    stream = swarm.docker.events(decode=True, filters=filters, since=int(time.time()))
    seen: list[Json] = []
    listener = threading.Thread(target=lambda: deque(map(seen.append, stream), maxlen=0))
    listener.start()
    try:
        yield seen
    finally:
        stream.close()
        listener.join(10)


def of(identity: str, events: list[Json]) -> list[Json]:
    """Those of one object."""
    return [event for event in events if event["Actor"]["ID"] == identity]


def test_events_come_in_the_order_of_the_changes(swarm: SwarmClient) -> None:
    spec = swarm.spec()
    with listening(swarm, type="service") as seen:
        service_id = swarm.create(spec)
        swarm.running(service_id, 1)
        swarm.update(service_id, set_env("1"))
        swarm.update_state(service_id, "completed")
        swarm.update(service_id, lambda body: body.update(Mode={"Replicated": {"Replicas": 2}}))
        swarm.call("DELETE", f"/services/{service_id}")
        until(lambda: [one for one in of(service_id, seen) if one["Action"] == "remove"], "the last event")
    own = of(service_id, seen)
    actions = [event["Action"] for event in own]
    assert (actions[0], actions[-1]) == ("create", "remove")
    assert {event["scope"] for event in own} == {"swarm"}
    assert {event["Actor"]["Attributes"]["name"] for event in own} == {spec["Name"]}
    changes = [event["Actor"]["Attributes"] for event in own]
    states = [each["updatestate.new"] for each in changes if "updatestate.new" in each]
    assert states == ["updating", "completed"]
    assert ("1", "2") in [(each.get("replicas.old"), each.get("replicas.new")) for each in changes]
    times = [event["timeNano"] for event in own[:-1]]
    assert times == sorted(times)


def test_a_change_of_availability_is_an_event_of_the_node(swarm: SwarmClient) -> None:
    node = the_node(swarm)
    with listening(swarm, type="node", node=node["ID"]) as seen:
        swarm.set_node(node["ID"], Availability="pause")
        paused = until(lambda: next(filter(pauses, seen), None), "the event")
    attributes = paused["Actor"]["Attributes"]
    assert paused["Action"] == "update"
    assert attributes["name"] == node["Description"]["Hostname"]
    assert attributes["availability.old"] == "active"


def pauses(event: Json) -> bool:
    return bool(event["Actor"]["Attributes"].get("availability.new") == "pause")


def full(tasks: list[Json], count: int) -> list[Json] | None:
    return tasks if len(tasks) == count else None


def with_template(spec: Json, **change: object) -> Json:
    return {**spec, "TaskTemplate": {**spec["TaskTemplate"], **change}}
