"""bootstrap/swarm-node.sh about the two groups and the logins to ECR, over the stack of swarm.yaml on the embedded AWS.

The Swarm is simulated, with the group's own first instance in it; what CloudFormation is doing is told by the test.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from infra.local.aws import EmbeddedAws
from infra.local.aws.templates import SWARM, for_emulator
from tests.e2e.cloudformation.commands import Answer, AwsCommand, on_path
from tests.e2e.cloudformation.docker_swarm import DockerCommand, Service
from tests.e2e.cloudformation.machines import Cluster, Machine, nothing

IMAGE: Final = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/docker-scaler-worker:0.1.0"
HOUR: Final = 3600
SETTLED: Final = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
)
GOING: Final = ("ROLLBACK_IN_PROGRESS", "ROLLBACK_FAILED", "DELETE_IN_PROGRESS", "DELETE_FAILED")


class Aws(AwsCommand):
    """With a stack in any state, a password for ECR, and a memory of what CloudWatch was told."""

    status = "CREATE_COMPLETE"

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.ages: list[int] = []
        self.without_password = False

    def __call__(self, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        words = [one for one in arguments if not one.startswith("--cli-") and one not in ("5", "20")]
        if words[:2] == ["cloudformation", "describe-stacks"]:
            return 0, f"{self.status}\n", ""
        if words[:2] == ["ecr", "get-login-password"]:
            return (255, "", "no\n") if self.without_password else (0, f"{words[-1]} password\n", "")
        if words[:2] == ["cloudwatch", "put-metric-data"]:
            [datum] = json.loads(words[-1])
            assert (datum["MetricName"], words[3]) == ("RegistryLoginAge", "DockerSwarm")
            self.ages.append(datum["Value"])
        return super().__call__(arguments, stdin, environ)


class Stack:
    """A deployed stack, and its first manager, which leads a Swarm."""

    def __init__(self, aws: EmbeddedAws, cluster: Cluster, command: Aws, name: str) -> None:
        self.command, self._cluster, self._name = command, cluster, name
        self._client = aws.session().client("autoscaling")
        cloudformation = aws.session().client("cloudformation")
        values = {"ManagerSize": "3", "ClusterSize": "2"}
        cloudformation.create_stack(
            StackName=name,
            TemplateBody=for_emulator(SWARM.read_text()),
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        )
        [described] = cloudformation.describe_stacks(StackName=name)["Stacks"]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
        self.id = described["StackId"]
        self.groups = [outputs["ManagerAsgName"], outputs["WorkerAsgName"]]
        self._until_in_service()
        instances = [one["InstanceId"] for one in self.group(self.groups[0])["Instances"]]
        self.leader, self.other, _ = (
            Machine(cluster, "manager", one, f"10.0.0.{number}") for number, one in enumerate(instances, 10)
        )
        self.swarm = cluster.docker.found(self.leader.instance, self.leader.address)

    def _until_in_service(self) -> None:
        deadline = time.monotonic() + 30
        while self.states() != {("InService", False)}:
            assert time.monotonic() < deadline, self.states()
            time.sleep(0.05)

    def group(self, name: str) -> dict[str, Any]:
        [group] = self._client.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        return dict(group)

    def states(self) -> set[tuple[str, bool]]:
        """Life-cycle state and protection of each instance of both groups."""
        members = [one for name in self.groups for one in self.group(name)["Instances"]]
        assert len(members) == 5
        return {(one["LifecycleState"], one["ProtectedFromScaleIn"]) for one in members}

    def protected(self) -> dict[str, list[bool]]:
        """What is protected in each group, the default for new instances first."""
        return {
            name: [
                self.group(name)["NewInstancesProtectedFromScaleIn"],
                *(one["ProtectedFromScaleIn"] for one in self.group(name)["Instances"]),
            ]
            for name in self.groups
        }

    def all_protected(self) -> set[bool]:
        return {one for every in self.protected().values() for one in every}

    def run(self, what: str, machine: Machine | None = None, **settings: str) -> tuple[int, str]:
        machine = machine or self.leader
        process = machine.start("bash", str(SCRIPT), what, STACK=self.id, **settings)
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    def suspended(self) -> set[tuple[str, ...]]:
        return {tuple(one["ProcessName"] for one in self.group(name)["SuspendedProcesses"]) for name in self.groups}


SCRIPT: Final = SWARM.parent / "bootstrap" / "swarm-node.sh"


@pytest.fixture
def stack(aws: EmbeddedAws, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    docker, command = DockerCommand(), Aws(aws.session().client)
    with on_path(tmp_path / "bin", aws=command, docker=docker, iptables=nothing) as path:
        cluster = Cluster(aws, docker, command, tmp_path, path)
        yield Stack(aws, cluster, command, f"devops{time.monotonic_ns()}")


def test_groups_are_created_unprotected_and_stay_so_until_the_stack_is_complete(stack: Stack) -> None:
    stack.command.status = "CREATE_IN_PROGRESS"
    assert stack.run("groups")[0] == 0
    assert stack.all_protected() == {False}
    assert stack.suspended() == {("AZRebalance",)}
    stack.command.status = "CREATE_COMPLETE"
    assert stack.run("groups")[0] == 0
    assert stack.all_protected() == {True}


@pytest.mark.slow
def test_while_the_stack_goes_any_manager_takes_all_protection_off(stack: Stack) -> None:
    stack.run("groups")
    for status in GOING:
        stack.command.status = "CREATE_COMPLETE"
        stack.run("groups")
        assert stack.all_protected() == {True}
        stack.command.status = status
        code, said = stack.run("groups", stack.other)
        assert code == 0, said
        assert stack.all_protected() == {False}, status


@pytest.mark.slow
@pytest.mark.parametrize("status", SETTLED)
def test_in_a_stack_at_rest_new_instances_are_born_protected(stack: Stack, status: str) -> None:
    stack.command.status = status
    stack.run("groups")
    assert stack.all_protected() == {True}
    stack.run("groups")
    assert stack.all_protected() == {True}


@pytest.mark.slow
def test_only_the_leader_sets_protection(stack: Stack) -> None:
    assert stack.run("groups", stack.other)[0] == 0
    assert stack.all_protected() == {False}


@pytest.mark.slow
def test_a_worker_touches_no_group(stack: Stack) -> None:
    stack.command.calls.clear()
    assert stack.run("groups", ROLE="worker")[0] == 0
    assert stack.command.calls == []


@pytest.mark.slow
def test_the_scaler_never_sees_the_clusters_protection_as_a_persons(stack: Stack) -> None:
    """Which is: an instance that is protected in a group that does not protect new ones."""
    for status in ("CREATE_COMPLETE", "DELETE_IN_PROGRESS"):
        stack.command.status, stack.command.calls[:] = status, []
        stack.run("groups")
        order = [one for one in stack.command.calls if one.split()[1].startswith(("set-", "update-"))]
        on = ["autoscaling update-auto-scaling-group", "autoscaling set-instance-protection"]
        assert order == (on if status == "CREATE_COMPLETE" else on[::-1]) * 2


def test_an_update_of_the_stack_may_take_what_it_replaces_and_nothing_else(aws: EmbeddedAws, stack: Stack) -> None:
    stack.run("groups")
    group = stack.group(stack.groups[1])
    template = group["LaunchTemplate"]["LaunchTemplateId"]
    data = {"InstanceType": "t3.large"}
    newer = (
        aws.session()
        .client("ec2")
        .create_launch_template_version(LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData=data)[
            "LaunchTemplateVersion"
        ]["VersionNumber"]
    )
    aws.session().client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=group["AutoScalingGroupName"],
        LaunchTemplate={"LaunchTemplateId": template, "Version": str(newer)},
    )
    for status in ("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"):
        stack.command.status = status
        code, said = stack.run("groups")
        assert code == 0, said
        assert stack.protected() == {stack.groups[0]: [True] * 4, stack.groups[1]: [True, False, False]}


# Logins


def service(stack: Stack, name: str, image: str = IMAGE, doing: str = "") -> Service:
    stack.swarm.services[name] = Service(image, doing)
    return stack.swarm.services[name]


def renewed(stack: Stack) -> int:
    return int(stack._cluster.written("registry", "login").get("renewed_at", "0"))


def test_the_leader_renews_the_login_of_every_service_from_ecr_and_of_no_other(stack: Stack) -> None:
    worker, demo = service(stack, "worker"), service(stack, "demo", "alpine:3.22")
    code, said = stack.run("logins")
    assert code == 0, said
    assert (worker.login, demo.login) == ("eu-west-1 password", "")
    assert time.time() - renewed(stack) < 60
    assert stack.command.ages == [0]


@pytest.mark.slow
def test_a_login_is_renewed_again_after_six_hours_by_whoever_leads_then(stack: Stack) -> None:
    worker, now = service(stack, "worker"), int(time.time())
    stack._cluster.write("registry", "login", renewed_at=str(now - 5 * HOUR))
    stack.run("logins")
    assert worker.login == ""
    assert 5 * HOUR <= stack.command.ages.pop() < 6 * HOUR
    stack._cluster.write("registry", "login", renewed_at=str(now - 7 * HOUR))
    stack.run("logins")
    assert worker.login == "eu-west-1 password"


@pytest.mark.slow
def test_a_login_that_is_not_renewed_grows_older_until_the_alarm_sees_it(stack: Stack) -> None:
    service(stack, "worker")
    stack.command.without_password = True
    stack._cluster.write("registry", "login", renewed_at=str(int(time.time()) - 9 * HOUR))
    code, said = stack.run("logins")
    assert code == 0, said
    assert stack.command.ages.pop() >= 9 * HOUR
    assert "exit code 255 of: password=" in said


@pytest.mark.slow
def test_a_service_whose_update_is_paused_or_under_way_is_left_alone(stack: Stack) -> None:
    paused, other = service(stack, "a", doing="paused"), service(stack, "b", doing="completed")
    stack.run("logins")
    assert (paused.login, other.login) == ("", "eu-west-1 password")


@pytest.mark.slow
def test_where_nothing_comes_from_ecr_nobody_logs_in(stack: Stack) -> None:
    service(stack, "demo", "alpine:3.22")
    stack.run("logins")
    assert (stack.command.ages, stack._cluster.docker.logins) == ([0], {})


@pytest.mark.slow
def test_who_does_not_lead_renews_nothing(stack: Stack) -> None:
    service(stack, "worker")
    assert stack.run("logins", stack.other)[0] == 0
    assert stack.command.ages == []
