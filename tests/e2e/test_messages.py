"""The messages of docs/operations.md, each caused once from outside on real processes, and read word for word.

What needs a fault of our own, a newer worker, or a moment between two of a worker's calls is caused in
`tests/behaviour` instead. Bounds, duplicates, age, cool-downs and the time-out of a wait are `test_settings`'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.environment import Deployment, Environment
from tests.waiting import until

pytestmark = pytest.mark.slow

WORKERS = 1
SETTINGS = {  # short times, so that what does not come is told soon
    "RESCHEDULE_TICKER_INTERVAL": "60",
    "RESCHEDULE_TIMEOUT": "20",
    "DRAIN_TIMEOUT": "3",
    "LEASE_SECONDS": "15",
    "DEFAULT_MIN_MANAGER_NODES": "1",
    "DEFAULT_MAX_WORKER_NODES": "4",
}
DOWN_BY_ONE = "/v1/scale-nodes?scale=down&type=worker"
UP_BY_ONE = "/v1/scale-nodes?scale=up&type=worker"


@pytest.fixture(scope="module")
def hasty(env: Environment) -> Deployment:
    """The environment's own ingest and worker: what AWS does by itself is sent to their queue."""
    return Deployment(env.variables, env.caller)


@pytest.fixture(autouse=True)
def two_workers(env: Environment, hasty: Deployment) -> Iterator[None]:
    """Each test begins with two workers, and leaves no fault behind."""
    while (missing := 2 - env.desired()) != 0:
        way = "up" if missing > 0 else "down"
        record = _ended(hasty, f"/v1/scale-nodes?scale={way}&type=worker&by={abs(missing)}")
        assert record["state"] == "succeeded", record["message"]
    try:
        yield
    finally:
        env.mend()
        until(lambda: len(env.nodes()) == env.desired(), "a node for each instance")


def _ended(deployment: Deployment, path: str) -> dict[str, Any]:
    return deployment.caller.ended(deployment.caller.queued(path))


def _failed(deployment: Deployment, path: str) -> str:
    record = _ended(deployment, path)
    assert record["state"] == "failed", record["message"]
    assert record["nodes_before"] == record["nodes_after"], record
    return str(record["message"])


@contextmanager
def _service(env: Environment, name: str, replicas: int | None = 1, **spec: Any) -> Iterator[None]:
    """A service, as long as the test needs it."""
    env.create(name, replicas, **spec)
    try:
        yield
    finally:
        env.mend()
        env.docker.remove_service(name)


@contextmanager
def _node_spec(env: Environment, node_id: str, **change: Any) -> Iterator[None]:
    """What a person sets of a node, and takes back."""
    _set_node(env, node_id, change)
    try:
        yield
    finally:
        _set_node(env, node_id, {"Labels": {}, "Availability": "active"})


def _set_node(env: Environment, node_id: str, change: Mapping[str, Any]) -> None:
    node = env.docker.inspect_node(node_id)
    env.docker.update_node(node_id, node["Version"]["Index"], {**node["Spec"], **change})


def _hostname(node: Mapping[str, Any]) -> str:
    return str(node["Description"]["Hostname"])


def _instance(node: Mapping[str, Any]) -> str:
    return str(node["Description"]["Engine"]["Labels"]["instance_id"])


def _pinned(hostname: str) -> dict[str, Any]:
    """A service that runs on that node and nowhere else."""
    template = {"ContainerSpec": {"Image": "pinned:1"}, "Placement": {"Constraints": [f"node.hostname=={hostname}"]}}
    return {"TaskTemplate": template}


def _workers_only(**template: Any) -> dict[str, Any]:
    placement = {"Constraints": ["node.role==worker"]}
    return {"TaskTemplate": {"ContainerSpec": {"Image": "web:1"}, "Placement": placement, **template}}


def test_an_up_that_a_bound_cuts_short(env: Environment, hasty: Deployment) -> None:
    record = _ended(hasty, f"{UP_BY_ONE}&by=20")
    assert record["state"] == "succeeded"
    assert "; limited to the maximum of 4 (DEFAULT_MAX_WORKER_NODES), 20 more were asked for; " in record["message"]


def test_a_request_that_is_too_old(env: Environment, hasty: Deployment) -> None:
    moment = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    body = {"action": "scale-nodes", "scale": "up", "type": "worker", "requested_at": moment}
    record = hasty.caller.ended(env.send(body, hasty.queue))
    assert record["state"] == "skipped"
    assert record["message"].startswith("Stale: the request is 3")


def test_a_launch_that_aws_refuses_and_the_debt_it_leaves(env: Environment, hasty: Deployment) -> None:
    env.fault("aws", refuse_launches="InsufficientInstanceCapacity")
    waiting = hasty.caller.queued(UP_BY_ONE)
    hasty.caller.at_step(waiting, "wait")
    told = until(lambda: [one for one in env.said() if one.summary.startswith("AWS could not launch ")], "why")
    assert (told[0].status, "We currently do not have sufficient" in told[0].summary) == ("pending", True)
    record = hasty.caller.ended(waiting)
    assert record["state"] == "failed"
    assert "Timeout: waited 20 seconds for 3 worker nodes to activate" in record["message"]
    refusal = _failed(hasty, UP_BY_ONE)
    assert " wants 3 instances and has 2, because AWS could not launch the rest" in refusal


def test_somebody_lowers_the_group_while_an_up_waits(env: Environment) -> None:
    """Told when no description can be older than the raise any more."""
    with env.deployment({"RESCHEDULE_TIMEOUT": "100"}) as deployment:
        env.fault("aws", refuse_launches="InsufficientInstanceCapacity")
        waiting = deployment.caller.queued(UP_BY_ONE)
        deployment.caller.at_step(waiting, "wait")
        groups = env.client("autoscaling")
        groups.set_desired_capacity(AutoScalingGroupName=env.variables["AWS_WORKER_ASG"], DesiredCapacity=2)
        record = deployment.caller.ended(waiting, within=90)
    assert record["state"] == "failed"
    assert "Somebody else lowered the desired capacity" in record["message"]


def test_the_nodes_come_and_a_service_does_not_follow(env: Environment, hasty: Deployment) -> None:
    settings = {"UpdateConfig": {"Parallelism": 1, "FailureAction": "pause", "Monitor": 10**9}}
    with _service(env, "web", 1, labels={"com.df.reschedule": "true"}, **settings):
        until(lambda: env.running("web"), "a task of web")
        env.fault("docker", missing_images=["web:1"])
        record = _ended(hasty, UP_BY_ONE)
    assert record["state"] == "failed"
    assert (
        " worker nodes are up, web failed to reschedule (demo succeeded): web: its update is paused: "
        in record["message"]
    )


def test_no_choice_of_nodes_fits(env: Environment, hasty: Deployment) -> None:
    first, second = map(_hostname, env.nodes())
    with _service(env, "one", **_pinned(first)), _service(env, "other", **_pinned(second)):
        until(lambda: env.running("one") and env.running("other"), "their tasks")
        message = _failed(hasty, DOWN_BY_ONE)
    assert "Nothing was removed: of the 2 instances of Auto Scaling group " in message
    assert " that may go, no 1 can: " in message
    assert first in message
    assert second in message


def test_the_cheaper_node_cannot_go(env: Environment, hasty: Deployment) -> None:
    cheap, busy = env.nodes()
    with _service(env, "rigid", **_pinned(_hostname(cheap))), _node_spec(env, cheap["ID"], Availability="pause"):
        until(lambda: env.running("rigid"), "a task of rigid")
        env.create("filler", 9, **_workers_only())
        until(lambda: len(env.running("filler", busy["ID"])) == 9, "all of filler beside it")
        _set_node(env, cheap["ID"], {"Availability": "active"})
        record = _ended(hasty, DOWN_BY_ONE)
        env.docker.remove_service("filler")
    assert record["state"] == "succeeded", record
    assert f"; passed over: {_hostname(cheap)} (would-not-fit); " in record["message"]
    assert f"{_hostname(busy)} removed" in record["message"]
    assert [each["name"] for each in record["plan"]["passed_over"]] == [_hostname(cheap)]


def test_a_node_that_somebody_had_drained_goes_first(env: Environment, hasty: Deployment) -> None:
    drained = env.nodes()[0]
    _set_node(env, drained["ID"], {"Availability": "drain"})
    until(lambda: not env.running("demo", drained["ID"]), "an empty node")
    record = _ended(hasty, DOWN_BY_ONE)
    assert record["state"] == "succeeded", record
    assert f"; {_hostname(drained)} was drained already; " in record["message"]
    assert f"{_hostname(drained)} removed" in record["message"]


def test_a_container_that_does_not_stop(env: Environment, hasty: Deployment) -> None:
    env.fault("docker", unstoppable_services=["demo"])
    message = _failed(hasty, DOWN_BY_ONE)
    assert " did not move within 3 seconds (DRAIN_TIMEOUT): demo." in message
    assert "The nodes were given back as they were" in message
    assert "was told to stop and has not: look at its container" in message


def test_jobs_are_not_rescheduled(env: Environment, hasty: Deployment) -> None:
    labels = {"com.df.reschedule": "true"}
    env.create("backup", labels=labels, Mode={"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}})
    try:
        every, alone = (_ended(hasty, f"/v1/reschedule-service{path}") for path in ("s", "?service=backup"))
    finally:
        env.docker.remove_service("backup")
    assert every["state"] == "succeeded"
    assert every["message"].endswith("; passed over: backup (a job: it would begin anew)")
    assert alone["state"] == "failed", alone["message"]
    assert alone["message"].startswith("backup is not rescheduled: ")


def test_only_protected_nodes_are_there(env: Environment, hasty: Deployment) -> None:
    first, second = env.nodes()
    protected = {"com.df.scaler.protect": "true"}
    with _node_spec(env, first["ID"], Labels=protected), _node_spec(env, second["ID"], Labels=protected):
        message = _failed(hasty, DOWN_BY_ONE)
    assert "Only 0 of the 2 instances" in message
    assert "can be removed, 1 should be: " in message
    assert "protected" in message


def test_a_demotion_that_would_cost_the_quorum(env: Environment, hasty: Deployment) -> None:
    lost = next(node for node in env.nodes("manager") if not node["ManagerStatus"].get("Leader"))
    env.power(_hostname(lost), "lose")
    until(lambda: len(env.nodes("manager")) == 2, "two managers")
    try:
        _set_node(env, lost["ID"], {"Labels": {"com.df.scaler.protect": "true"}})
        message = _failed(hasty, "/v1/scale-nodes?scale=down&type=manager")
    finally:
        _set_node(env, lost["ID"], {"Labels": {}})
        env.power(_hostname(lost), "return")
        until(lambda: len(env.nodes("manager")) == 3, "three managers")
    assert "would cost the managers' quorum" in message


def test_a_process_of_the_group_is_suspended(env: Environment, hasty: Deployment) -> None:
    group = {"AutoScalingGroupName": env.variables["AWS_WORKER_ASG"], "ScalingProcesses": ["Terminate"]}
    env.client("autoscaling").suspend_processes(**group)
    try:
        message = _failed(hasty, DOWN_BY_ONE)
    finally:
        env.client("autoscaling").resume_processes(**group)
    assert f"The process Terminate of Auto Scaling group {group['AutoScalingGroupName']} is suspended" in message
    assert "aws autoscaling resume-processes" in message


def test_two_nodes_claim_one_instance(env: Environment, hasty: Deployment) -> None:
    first, second = env.nodes()
    with _machine(env, second["ID"], engine_labels={"instance_id": _instance(first)}):
        message = _failed(hasty, DOWN_BY_ONE)
    claimed = f"{_instance(first)} (claimed by two Ready nodes, "
    assert claimed in message
    assert _hostname(first) in message
    assert _hostname(second) in message


def test_no_node_can_be_matched(env: Environment, hasty: Deployment) -> None:
    first, second = env.nodes()
    stranger: dict[str, Any] = {"engine_labels": {}, "address": "192.0.2.1"}
    with (
        _machine(env, first["ID"], hostname="one", **stranger),
        _machine(env, second["ID"], hostname="other", **stranger),
    ):
        message = _failed(hasty, DOWN_BY_ONE)
    assert "no node of the Swarm can be matched to any of them" in message


def test_an_instance_that_has_not_joined_might_be_a_node_that_says_nothing(env: Environment, hasty: Deployment) -> None:
    silent = env.nodes()[0]
    with _machine(env, silent["ID"], hostname="build-3", engine_labels={}, address="0.0.0.0"):
        until(lambda: _old_enough(env, 20), "instances older than a boot may take")
        message = _failed(hasty, DOWN_BY_ONE)
    assert "Nobody can tell whether these instances have joined the Swarm" in message
    assert "it could be build-3" in message


def test_somebody_takes_the_victim_before_we_do(env: Environment, hasty: Deployment) -> None:
    env.fault("docker", unstoppable_services=["demo"])
    request = hasty.caller.queued(DOWN_BY_ONE)
    victim = hasty.caller.at_step(request, "drain")["plan"]["leaving"][0]
    env.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=victim["instance_id"], ShouldDecrementDesiredCapacity=True
    )
    env.fault("docker", unstoppable_services=[])
    record = hasty.caller.ended(request)
    assert record["state"] == "failed"
    assert f"{victim['name']} leaves by itself meanwhile, which request hook-" in record["message"]


def test_somebody_wants_the_node_back(env: Environment, hasty: Deployment) -> None:
    env.fault("docker", unstoppable_services=["demo"])
    request = hasty.caller.queued(DOWN_BY_ONE)
    victim = hasty.caller.at_step(request, "drain")["plan"]["leaving"][0]
    until(lambda: env.docker.inspect_node(victim["node_id"])["Spec"]["Availability"] == "drain", "a drained node")
    _set_node(env, victim["node_id"], {"Availability": "active"})
    record = hasty.caller.ended(request)
    assert record["state"] == "failed"
    assert f"Somebody made {victim['name']} active again while it was drained: it stays" in record["message"]


def test_docker_does_not_let_a_node_go(env: Environment, hasty: Deployment) -> None:
    env.fault("docker", api=[{"prefix": "/nodes", "method": "DELETE", "status": 500}])
    record = hasty.caller.ended(hasty.caller.queued(DOWN_BY_ONE), within=90)
    assert record["state"] == "failed"
    assert " terminated, but not removed from the Swarm: " in record["message"]
    assert record["nodes_after"] == 1
    env.mend()
    for node in env.nodes(state="down"):
        env.docker.remove_node(node["ID"], force=True)


def test_docker_does_not_take_the_node_back(env: Environment, hasty: Deployment) -> None:
    env.fault("docker", unstoppable_services=["demo"])
    request = hasty.caller.queued(DOWN_BY_ONE)
    victim = hasty.caller.at_step(request, "drain")["plan"]["leaving"][0]
    until(lambda: env.docker.inspect_node(victim["node_id"])["Spec"]["Availability"] == "drain", "a drained node")
    env.fault("docker", api=[{"prefix": "/nodes/", "method": "POST", "status": 500}])
    message = hasty.caller.ended(request, within=90)["message"]
    env.mend()
    _set_node(env, victim["node_id"], {"Availability": "active"})
    assert f"{victim['name']} could not be given back: " in message
    assert "docker node update --availability active" in message


def test_node_scaling_is_off_on_the_worker(env: Environment) -> None:
    with env.deployment({"NODE_SCALER_BACKEND": "none"}) as deployment:
        body = {"action": "scale-nodes", "scale": "up", "type": "worker"}
        record = deployment.caller.ended(env.send(body, deployment.queue))
    assert record["state"] == "failed"
    assert record["message"].startswith("Node scaling is off (NODE_SCALER_BACKEND is none). Set it to aws, ")


def test_aws_is_away_for_a_minute(env: Environment, hasty: Deployment) -> None:
    """Told once, while the request goes on."""
    env.fault("aws", down=["autoscaling"])
    request = hasty.caller.queued(UP_BY_ONE)
    told = until(
        lambda: [one for one in env.said() if one.summary.startswith("Waiting for AWS to answer for 6")], "it", 90
    )
    assert told[0].status == "pending"
    env.mend()
    assert hasty.caller.ended(request)["state"] in {"succeeded", "failed"}


@contextmanager
def _machine(env: Environment, node_id: str, **change: Any) -> Iterator[None]:
    """An engine that says something else of its machine, for as long as the test needs it."""

    def set_machine(machine: Any) -> None:
        node = env.swarm.store.nodes[node_id]
        env.swarm.store.put_node(replace(node, machine=machine))

    before = env.on_loop(lambda: env.swarm.store.nodes[node_id].machine)
    env.on_loop(lambda: set_machine(replace(before, **change)))
    try:
        yield
    finally:
        env.on_loop(lambda: set_machine(before))


def _old_enough(env: Environment, seconds: float) -> bool:
    """Whether the group's instances have been there for so long."""
    described = env.client("ec2").describe_instances()["Reservations"]
    launched = [each["LaunchTime"] for one in described for each in one["Instances"]]
    return all(datetime.now(UTC) - moment > timedelta(seconds=seconds) for moment in launched)
