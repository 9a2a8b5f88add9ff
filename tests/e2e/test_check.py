"""`scaler-worker --check` on the embedded environment: all is well, and what it says of faults."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

import pytest

from tests.e2e.environment import Environment

pytestmark = pytest.mark.slow

WORKERS: Final = 1
_PARTS: Final = (
    "variables",
    "credentials",
    "clock",
    "permission sqs:ReceiveMessage",
    "permission dynamodb:PutItem",
    "permission autoscaling:SetDesiredCapacity on",
    "permission autoscaling:TerminateInstanceInAutoScalingGroup",
    "permission autoscaling:CompleteLifecycleAction",
    "permission autoscaling:RecordLifecycleActionHeartbeat",
    "SQS_QUEUE_URL",
    "SQS_DLQ_URL",
    "DYNAMODB_TABLE",
    "DOCKER_HOST",
    "Auto Scaling group",
    "engine labels",
    "nodes",
    "ALERTMANAGER_ADDRESS",
)


def check(env: Environment, settings: Mapping[str, str]) -> tuple[int, list[str]]:
    """The exit code, and the lines."""
    environ = {"PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1", **env.variables, **settings}
    command = [sys.executable, "-m", "worker", "--check"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.splitlines()


def wrong(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith("ok ")]


def test_where_all_is_well_each_part_is_ok_and_nothing_was_changed(env: Environment) -> None:
    groups = env.client("autoscaling")
    before = groups.describe_auto_scaling_groups()["AutoScalingGroups"]
    code, lines = check(env, {})
    assert wrong(lines) == []
    assert code == 0
    assert "ok    clock: within 10 s of AWS's" in lines
    assert [part for part in _PARTS if not any(line.startswith(f"ok    {part}") for line in lines)] == []
    after = groups.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert before == after
    assert _messages(env, "SQS_DLQ_URL") == "0"


def test_a_queue_that_is_gone_is_named_with_what_to_do(env: Environment) -> None:
    gone = env.own_queue()
    env.client("sqs").delete_queue(QueueUrl=gone["SQS_QUEUE_URL"])
    code, lines = check(env, {"SQS_QUEUE_URL": gone["SQS_QUEUE_URL"]})
    assert code == 1
    (line,) = [line for line in wrong(lines) if line.startswith("wrong SQS_QUEUE_URL: ")]
    assert "NonExistentQueue" in line
    assert "name a queue that is there" in line
    assert any(line.startswith("ok    DYNAMODB_TABLE") for line in lines)


def test_a_group_that_is_not_protected_is_named_with_the_command(env: Environment) -> None:
    name, groups = env.variables["AWS_WORKER_ASG"], env.client("autoscaling")
    change: dict[str, Any] = {"AutoScalingGroupName": name}
    groups.update_auto_scaling_group(**change, NewInstancesProtectedFromScaleIn=False)
    groups.suspend_processes(**change, ScalingProcesses=["Terminate"])
    try:
        code, lines = check(env, {})
    finally:
        groups.resume_processes(**change, ScalingProcesses=["Terminate"])
        groups.update_auto_scaling_group(**change, NewInstancesProtectedFromScaleIn=True)
    assert code == 1
    assert len(wrong(lines)) == 2
    assert any(
        line.endswith(f"--auto-scaling-group-name {name} --new-instances-protected-from-scale-in") for line in lines
    )
    assert any(line.endswith(f"--auto-scaling-group-name {name} --scaling-processes Terminate") for line in lines)


def test_an_alertmanager_and_an_engine_that_do_not_answer_are_named(env: Environment) -> None:
    code, lines = check(env, {"ALERTMANAGER_ADDRESS": "http://127.0.0.1:1", "DOCKER_HOST": "tcp://127.0.0.1:1"})
    assert code == 1
    assert [line.split(":")[0] for line in wrong(lines)] == [
        "wrong DOCKER_HOST",
        "wrong nodes",
        "wrong ALERTMANAGER_ADDRESS",
    ]
    assert all("connection refused" in line for line in wrong(lines))


@pytest.mark.parametrize("settings", [{"LEASE_SECONDS": "1"}, {"SQS_DLQ_URL": ""}])
def test_a_wrong_configuration_is_exit_2(env: Environment, settings: Mapping[str, str]) -> None:
    environ = {"PATH": os.environ["PATH"], **env.variables, **settings}
    command = [sys.executable, "-m", "worker", "--check"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(next(iter(settings)))


def _messages(env: Environment, queue: str) -> str:
    names = ["ApproximateNumberOfMessages"]
    found = env.client("sqs").get_queue_attributes(QueueUrl=env.variables[queue], AttributeNames=names)
    return str(found["Attributes"]["ApproximateNumberOfMessages"])
