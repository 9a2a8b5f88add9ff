"""Somebody is woken at three: each trouble is caused, and all who look say what is wrong and what to do.

The page, `scaler status` and the metrics, within 10 seconds by a `Stopwatch`; what hangs on the verdicts about nodes
within the 60 that docs/reference.md allows them. The words of the page and of the terminal are the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.caller import Caller
from tests.e2e.environment import Environment, Measured
from tests.e2e.eyes import JUDGED, TOKEN, Eyes, over, shows, tells
from tests.waiting import until

pytestmark = pytest.mark.slow

SETTINGS: Final = {
    "WEBHOOK_TOKEN": TOKEN,
    "RESCHEDULE_TIMEOUT": "20",
    "DRAIN_TIMEOUT": "60",
    "LAUNCH_HOOK_RESULT": "CONTINUE",
    "DEFAULT_MAX_REPLICAS": "9",
    "LEASE_SECONDS": "3",
}


@pytest.fixture(scope="module")
def eyes(env: Environment) -> Iterator[Eyes]:
    """On the environment's own ingest and workers."""
    caller = Caller(env.variables["INGEST_URL"], {"Authorization": f"Bearer {TOKEN}"})
    pids = tuple(map(int, (env.variables["INGEST_PID"], *env.variables["WORKER_PIDS"].split())))
    yield Eyes(caller, tuple(env.worker_urls), pids=pids)
    caller.close()


@pytest.fixture(scope="module")
def late(env: Environment, eyes: Eyes) -> str:
    """A scale-up of which one instance never joins, and beside it a service that is pinned to the worker there was."""
    pinned = env.nodes()[0]["Description"]["Hostname"]
    placement = {"Constraints": [f"node.hostname=={pinned}"]}
    env.create("pinned", TaskTemplate={"ContainerSpec": {"Image": "pinned:1"}, "Placement": placement})
    env.fault("boot", never_join_next=1)
    return eyes.caller.queued("/v1/scale-nodes?scale=up&type=worker&by=2&reason=more+room")


@pytest.fixture(autouse=True)
def mended(env: Environment, eyes: Eyes, measured: Measured) -> Iterator[None]:
    """No fault outlives its test. How soon all was seen stands at the end."""
    eyes.notes[:] = [measured]
    yield
    env.mend()


def test_an_instance_that_has_not_joined_yet(eyes: Eyes, late: str) -> None:
    shows(
        eyes,
        {
            "page": r"3 instances, .* up 2 worker nodes running .* Waits for 3 .* i-\w+ worker \S+ still starting",
            "terminal": r"node\ti-\w+\tworker\tstill starting(.|\n)*waits for 3 worker nodes to be Ready in the Swarm",
            "metrics": r'scaler_waiting_requests\{reason="wait"\} [12]\.0',
        },
    )
    assert "Waits for 3 worker nodes to be Ready in the Swarm, at most until" in eyes.page(f"/requests/{late}")
    assert re.search(r'scaler_group_instances\{type="worker"\} 3\.0', eyes.metrics())
    assert re.search(r'scaler_group_ready\{type="worker"\} [12]\.0', eyes.metrics())


def test_an_instance_that_never_joins(eyes: Eyes, late: str) -> None:
    """Said with its request's end; of the node as soon as it is judged again."""
    record = eyes.caller.ended(late)
    assert record["state"] == "failed"
    said = r"never joined the Swarm: i-\w+ \S+ \(look at their boot log; the next scale-down takes them first\)"
    assert re.search(said, eyes.page(f"/requests/{late}"))
    assert re.search(said, eyes.terminal("show", late)[1])


def test_aws_refuses_launches(env: Environment, eyes: Eyes, late: str) -> None:
    eyes.caller.ended(late)
    env.fault("aws", refuse_launches="InsufficientInstanceCapacity")
    request = eyes.caller.queued("/v1/scale-nodes?scale=up&type=manager&by=1")
    tells(eyes, "launch-failed", "AWS could not launch 1 of 4 instances of local-ManagerAsg", "zone helps")
    reason = "We currently do not have sufficient"
    shows(
        eyes,
        {
            "page": reason,
            "terminal": rf"request\t{request}\t.*{reason}",
            "metrics": r'scaler_group_debt\{type="manager"\} 1\.0',
        },
        page=f"/requests/{request}",
    )
    env.mend()
    eyes.caller.ended(request)
    over(eyes, "launch-failed")


def test_docker_is_too_slow(env: Environment, eyes: Eyes) -> None:
    env.fault("docker", api=[{"prefix": "/", "delay": 20}])
    request = eyes.caller.queued("/v1/reschedule-service?service=demo")
    tells(eyes, "docker-silent", "Docker has not answered since", "docker node ls")
    shows(
        eyes,
        {
            "page": r"Waits for Docker to answer: Docker: no answer in time",
            "terminal": r"waits for Docker to answer",
            "metrics": r'scaler_waiting_requests\{reason="docker"\} 1\.0',
        },
        page=f"/requests/{request}",
    )
    env.mend()
    assert eyes.caller.ended(request)["state"] == "succeeded"
    over(eyes, "docker-silent")


def test_aws_is_away(env: Environment, eyes: Eyes) -> None:
    env.fault("aws", down=["autoscaling", "ec2"])
    request = eyes.caller.queued("/v1/scale-nodes?scale=up&type=manager&by=1")
    tells(eyes, "aws-silent", "AWS has not answered since", "DescribeAutoScalingGroups", "go on by themselves")
    shows(
        eyes,
        {
            "page": "Waits for AWS to answer: DescribeAutoScalingGroups",
            "terminal": "waits for AWS to answer",
            "metrics": r'scaler_waiting_requests\{reason="aws"\} 1\.0',
        },
        page=f"/requests/{request}",
    )
    env.fault("aws", down=["*"])
    shows(
        eyes,
        {
            "page": r"dynamodb-silent The table cannot be read: .* look at DYNAMODB_TABLE",
            "terminal": r"scaler: The table cannot be read: .* look at DYNAMODB_TABLE",
            "metrics": r'scaler_problems\{code="dynamodb-silent"\} 1\.0',
        },
    )
    assert "The table cannot be read" in eyes.page(f"/requests/{request}")
    env.mend()
    assert eyes.caller.ended(request, within=60)["state"] == "succeeded"
    over(eyes, "aws-silent")


def test_alertmanager_is_away(env: Environment, eyes: Eyes) -> None:
    env.fault("alertmanager", fault="hang")
    request = eyes.caller.queued("/v1/scale-service?service=demo&scale=up")
    tells(eyes, "alertmanager-silent", "Alertmanager has not answered since", "ALERTMANAGER_ADDRESS")
    shows(
        eyes,
        {"page": "Not taken by Alertmanager yet: Scaling demo from", "metrics": r"scaler_pending_notices [1-9]"},
        page=f"/requests/{request}",
    )
    env.mend()
    over(eyes, "alertmanager-silent")


def test_a_wrong_token(env: Environment, eyes: Eyes) -> None:
    """Who has it wrong is told that; who has the right one sees that somebody has not."""
    caller = Caller(env.variables["INGEST_URL"], {"Authorization": "Bearer guessed"})
    stranger = Eyes(caller, (), "guessed")
    assert caller.post("/v1/scale-nodes?scale=up&type=worker").status_code == 401
    assert stranger.page() == '{"status":"NOK","message":"The token is missing or wrong"}'
    code, said = stranger.terminal()
    assert (code, "does not take this token: correct SCALER_TOKEN (ingest's WEBHOOK_TOKEN)" in said) == (1, True)
    tells(eyes, "wrong-token", "in the last 5 minutes", "from 127.0.0.1 for ", "WEBHOOK_TOKEN")
    assert re.search(r"scaler_auth_failures_total [3-9]", eyes.metrics())
    caller.close()


def test_a_stuck_drain(env: Environment, eyes: Eyes, late: str) -> None:
    eyes.caller.ended(late)
    placement = {"Constraints": ["node.role==worker"]}
    env.create("stubborn", 2, TaskTemplate={"ContainerSpec": {"Image": "stubborn:1"}, "Placement": placement})
    empty = [each for each in env.nodes() if not env.running("pinned", each["ID"])]
    node = until(lambda: next((each for each in empty if env.running("stubborn", each["ID"])), None), "a task there")
    name = node["Description"]["Hostname"]
    env.fault("docker", unstoppable_services=["stubborn"])
    request = eyes.caller.queued(f"/v1/drain-node?node={name}")
    said = rf"aits for what ran on {name} to run elsewhere; stubborn\.\d .* was told to stop and has not: look at its"
    try:
        shows(
            eyes,
            {"page": said, "terminal": said, "metrics": r'scaler_waiting_requests\{reason="drain"\} 1\.0'},
            page=f"/requests/{request}",
        )
        shows(eyes, {"page": said, "metrics": r'scaler_nodes_drained\{type="worker"\} 1\.0'})
    finally:
        env.mend()
        eyes.caller.ended(request)
        eyes.caller.ended(eyes.caller.queued(f"/v1/drain-node?node={name}&back=true"))
        env.docker.remove_service("stubborn")


def test_a_node_drained_by_hand(env: Environment, eyes: Eyes) -> None:
    node = env.nodes("manager")[0]
    name = node["Description"]["Hostname"]

    def set_to(availability: str) -> None:
        found = env.docker.inspect_node(node["ID"])
        env.docker.update_node(node["ID"], found["Version"]["Index"], {**found["Spec"], "Availability": availability})

    set_to("drain")
    tells(eyes, "out-of-use", name, "docker node update --availability active NODE")
    assert re.search(r'scaler_nodes_drained\{type="manager"\} 1\.0', eyes.metrics())
    set_to("active")
    over(eyes, "out-of-use")


def test_a_pinned_service_and_the_instance_that_never_joined_once_nodes_are_judged(eyes: Eyes, late: str) -> None:
    """At most every 60 seconds; by now most of them are over."""
    eyes.caller.ended(late)
    shows(
        eyes,
        {
            "page": r"would-not-fit .*pinned",
            "terminal": r"node\t.*\twould-not-fit: .*pinned",
            "metrics": r'scaler_nodes_unremovable\{reason="would-not-fit"\} 1\.0',
        },
        within=JUDGED,
    )
    tells(eyes, "not-joined", "no node of the Swarm: i-", "cloud-init log", "takes it first", within=JUDGED)
    code, said = eyes.terminal("explain", "down", "-n", "3")
    assert (code, "would-not-fit" in said) == (1, True), said


def test_both_workers_are_dead(env: Environment) -> None:
    with env.deployment({}, workers=2, token=TOKEN) as deployment:
        pids = tuple(process.pid for process in deployment.processes)
        eyes = Eyes(deployment.caller, tuple(worker.url for worker in deployment.workers), pids=pids)
        until(lambda: not eyes.problem("no-worker"), "that all is well")
        for worker in deployment.workers:
            worker.kill()
        tells(eyes, "no-worker", "No worker is active", "start a worker, or see what keeps it from starting")
        request = deployment.caller.post("/v1/scale-nodes?scale=up&type=worker").json()["id"]
        assert "no worker has taken it yet" in eyes.page(f"/requests/{request}")
        shows(
            eyes,
            {
                "page": "Queue 1 waiting",
                "terminal": r"\nqueue\t1\t",
                "metrics": r'scaler_queue_messages\{queue="inbox"\} 1\.0',
            },
        )
