"""What an engine may leave out, call null, or say in its own way."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from worker.adapters.swarm_json import nodes_of, service_of, tasks_of
from worker.ports.swarm import Manager, Node, Service, Task


def service(**spec: Any) -> Service:
    return service_of({"ID": "s", "Version": {"Index": 1}, "Spec": {"Name": "web", **spec}})


def test_an_object_with_nothing_in_it_is_plain() -> None:
    empty = {"Labels": None, "TaskTemplate": None, "Mode": None, "EndpointSpec": None, "UpdateConfig": None}
    plain = Service(id="s", name="web", version=1, mode="replicated", replicas=1)
    assert service() == service(**empty) == plain
    (node,) = nodes_of([{"ID": "n", "CreatedAt": "2026-11-03T12:00:00.123456789Z"}])
    assert node.created_at == datetime(2026, 11, 3, 12, 0, 0, 123456, tzinfo=UTC)
    assert nodes_of([{"ID": "n"}]) == [Node(id="n", hostname="", role="worker", state="unknown")]
    assert tasks_of([{"ID": "t"}]) == [
        Task(id="t", service_id="", node_id=None, slot=0, state="new", desired="running")
    ]


def test_only_ports_of_the_node_itself_take_room_there() -> None:
    ports = [
        {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 80, "PublishMode": "ingress"},
        {"Protocol": "tcp", "TargetPort": 81, "PublishedPort": 81},
        {"Protocol": "tcp", "TargetPort": 82, "PublishMode": "host"},
        {"TargetPort": 83, "PublishedPort": 8083, "PublishMode": "host"},
    ]
    assert service(EndpointSpec={"Ports": ports}).host_ports == {("tcp", 8083)}


def test_generic_resources_are_counted_whether_numbered_or_named() -> None:
    resources = [
        {"NamedResourceSpec": {"Kind": "gpu", "Value": "uuid-1"}},
        {"NamedResourceSpec": {"Kind": "gpu", "Value": "uuid-2"}},
        {"DiscreteResourceSpec": {"Kind": "ssd", "Value": 3}},
    ]
    (node,) = nodes_of([{"ID": "n", "Description": {"Resources": {"GenericResources": resources}}}])
    assert node.generic == {"gpu": 2, "ssd": 3}


def test_a_variable_without_a_value_is_empty_and_the_last_of_two_counts() -> None:
    lines = ["A", "B=", "C=1", "C=2=3"]
    assert service(TaskTemplate={"ContainerSpec": {"Env": lines}}).env == {"A": "", "B": "", "C": "2=3"}


def test_a_manager_that_can_not_be_reached() -> None:
    (node,) = nodes_of([{"ID": "n", "ManagerStatus": {"Leader": False, "Reachability": "unreachable"}}])
    assert node.manager == Manager(leader=False, reachable=False)


def test_an_update_tells_its_state() -> None:
    found = {
        "ID": "s",
        "Version": {"Index": 1},
        "Spec": {"Name": "web"},
        "UpdateStatus": {"State": "paused", "Message": "update paused due to failure"},
    }
    assert (service_of(found).update_state, service_of(found).update_message) == (
        "paused",
        "update paused due to failure",
    )


@pytest.mark.parametrize(
    ("started", "updated", "found"),
    [
        ("2026-11-01T12:00:05.123456789Z", "2026-11-01T12:00:09Z", datetime(2026, 11, 1, 12, 0, 5, 123456, tzinfo=UTC)),
        (None, "2026-11-01T12:00:09Z", datetime(2026, 11, 1, 12, 0, 9, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None, None),
        ("soon", "", None),
    ],
)
def test_an_update_began_when_it_says_so_or_when_the_service_was_written(
    started: str | None, updated: str | None, found: datetime | None
) -> None:
    status = None if started is None else {"State": "updating", "StartedAt": started}
    raw = {"ID": "s", "Version": {"Index": 1}, "Spec": {"Name": "web"}, "UpdateStatus": status, "UpdatedAt": updated}
    assert service_of(raw).updated_at == found


def volumes(*mounts: dict[str, Any]) -> tuple[str, ...]:
    return service(TaskTemplate={"ContainerSpec": {"Mounts": list(mounts)}}).local_volumes


def test_a_named_volume_that_is_written_and_stays_on_its_node_is_a_local_one() -> None:
    plain = {"Type": "volume", "Source": "data", "Target": "/data"}
    assert volumes(plain) == ("data",)
    assert volumes({**plain, "VolumeOptions": {"DriverConfig": {"Name": "local"}}}) == ("data",)
    own_folder = {"DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind"}}}
    assert volumes({**plain, "VolumeOptions": own_folder}, {**plain, "Source": "a"}) == ("a", "data")


def test_what_ends_with_the_container_is_only_read_or_lies_elsewhere_is_none() -> None:
    plain = {"Type": "volume", "Source": "data", "Target": "/data"}
    assert volumes({**plain, "ReadOnly": True}, {**plain, "Source": ""}, {"Type": "volume", "Target": "/x"}) == ()
    assert volumes({"Type": "bind", "Source": "/srv", "Target": "/srv"}, {"Type": "tmpfs", "Target": "/tmp"}) == ()
    for driver in ({"Name": "rexray/ebs"}, {"Name": "local", "Options": {"type": "nfs"}}):
        assert volumes({**plain, "VolumeOptions": {"DriverConfig": driver}}) == ()


def test_a_limit_of_restart_attempts_is_read_with_its_window() -> None:
    policy = {"Condition": "on-failure", "MaxAttempts": 3, "Window": 90 * 10**9}
    limited = service(TaskTemplate={"RestartPolicy": policy})
    assert (limited.restarts, limited.restarts_completed, limited.max_attempts) == (True, False, 3)
    assert limited.attempts_window == timedelta(seconds=90)


def test_tasks_tell_their_specification_and_times_only_where_attempts_are_limited() -> None:
    def one(identity: str, image: str, attempts: int) -> dict[str, Any]:
        spec = {"ContainerSpec": {"Image": image}, "RestartPolicy": {"MaxAttempts": attempts}}
        status = {"State": "running", "Timestamp": "2026-11-03T12:00:02Z"}
        return {"ID": identity, "CreatedAt": "2026-11-03T12:00:00Z", "Spec": spec, "Status": status}

    first, second, other, free = tasks_of([one("a", "x", 2), one("b", "x", 2), one("c", "y", 2), one("d", "x", 0)])
    assert first.template == second.template != other.template
    constrained = {"ID": "e", "Spec": {**one("e", "x", 2)["Spec"], "Placement": {"Constraints": ["node.id!=n"]}}}
    assert tasks_of([constrained])[0].template == first.template
    assert first.created_at == datetime(2026, 11, 3, 12, tzinfo=UTC)
    assert first.since == datetime(2026, 11, 3, 12, 0, 2, tzinfo=UTC)
    assert (free.template, free.created_at, free.since) == ("", None, None)
