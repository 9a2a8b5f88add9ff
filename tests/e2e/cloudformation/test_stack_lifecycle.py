"""Both templates are created, updated and deleted, on ministack, which applies them: see ministack.py for what differs.

It does not hold scale-in protection against a deletion, as AWS does: why the tutorial deletes the two groups first.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from infra.local.aws.templates import SCALER, SWARM
from infra.local.loopback import HOST, free_ports
from tests.e2e.cloudformation.ministack import GIVEN, REFUSED, for_ministack
from tests.unit.cloudformation.templates import read

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).parents[3]
PROGRAM: Final = ROOT / ".ministack" / "bin" / "ministack"
READY_SECONDS: Final = 30
STACK_SECONDS: Final = 60
LOOK_SECONDS: Final = 0.1
ROLE: Final = "managers"
SWARM_VALUES: Final = {
    **{name: f"/own/{name}" for name in GIVEN},
    "KeyName": "key",
    "ClusterSize": "2",
    "EnableCloudStorEfs": "yes",
    "EnableCloudWatchLogs": "yes",
    "LifecycleHooks": "yes",
}
BOTH_HOOKS: Final = {"scaler-launch", "scaler-terminate"}
NOT_ASKED: Final = {"WithHttps", "WithCertificateInProxy"}
SCALER_VALUES: Final = {"ClusterName": "one", "ManagerRoleName": ROLE, "AccessKeyUser": "yes"}


class Stacks:
    """One emulator, and what tests ask of it."""

    def __init__(self, url: str) -> None:
        self._session = boto3.Session("test", "test", region_name="us-east-1")
        self._url = url
        self._cloudformation = self.client("cloudformation")

    def client(self, service: str) -> Any:
        """Of boto3's."""
        return self._session.client(service, endpoint_url=self._url)

    def create(self, name: str, template: Path, values: Mapping[str, str]) -> dict[str, str]:
        """Its outputs."""
        self._cloudformation.create_stack(**self._asked(name, template, values))
        return self._outputs(name, "CREATE_COMPLETE")

    def update(self, name: str, template: Path, values: Mapping[str, str]) -> dict[str, str]:
        """Its outputs."""
        self._cloudformation.update_stack(**self._asked(name, template, values))
        return self._outputs(name, "UPDATE_COMPLETE")

    def delete(self, name: str) -> None:
        """Return when it is gone."""
        self._cloudformation.delete_stack(StackName=name)
        assert self._settled(name) is None

    def resources(self, name: str) -> dict[str, str]:
        """Physical ids by logical ones, of those that are there."""
        found = self._cloudformation.describe_stack_resources(StackName=name)["StackResources"]
        return {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for one in found
            if one["ResourceStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        }

    @staticmethod
    def _asked(name: str, template: Path, values: Mapping[str, str]) -> dict[str, Any]:
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()]
        body = for_ministack(template.read_text())
        return {
            "StackName": name,
            "TemplateBody": body,
            "Parameters": parameters,
            "Capabilities": ["CAPABILITY_IAM"],
        }

    def _outputs(self, name: str, expected: str) -> dict[str, str]:
        stack = self._settled(name)
        assert stack is not None
        assert stack["StackStatus"] == expected, self._failures(name)
        return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}

    def _settled(self, name: str) -> dict[str, Any] | None:
        deadline = time.monotonic() + STACK_SECONDS
        while True:
            try:
                [stack] = self._cloudformation.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if "does not exist" in str(error):
                    return None
                raise
            if not stack["StackStatus"].endswith("IN_PROGRESS"):
                return dict(stack)
            assert time.monotonic() < deadline, stack["StackStatus"]
            time.sleep(LOOK_SECONDS)

    def _failures(self, name: str) -> list[str]:
        events = self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        failed = [one for one in events if "FAILED" in one["ResourceStatus"]]
        return [f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason')}" for one in failed]


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    assert PROGRAM.exists(), "run `make .ministack/.ready`"
    port = str(next(free_ports()))
    log = tmp_path_factory.mktemp("ministack") / "log"
    own = {"BIND_HOST": HOST, "MINISTACK_HOST": HOST, "GATEWAY_PORT": port}
    with log.open("wb") as said:
        process = subprocess.Popen([PROGRAM], env=own, stdout=said, stderr=said, cwd=log.parent)
    try:
        stacks = Stacks(f"http://{HOST}:{port}")
        until_it_answers(stacks, log)
        prepare(stacks)
        yield stacks
    finally:
        process.terminate()
        process.wait(READY_SECONDS)


def until_it_answers(stacks: Stacks, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            stacks.client("sts").get_caller_identity()
        except EndpointConnectionError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(LOOK_SECONDS)
        else:
            return


def prepare(stacks: Stacks) -> None:
    """What is there before the stacks."""
    stacks.client("ec2").create_key_pair(KeyName="key")
    stacks.client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument="{}")
    for name in GIVEN:
        stacks.client("ssm").put_parameter(Name=f"/own/{name}", Value=f"ami-0{len(name):016x}", Type="String")


def everything(stacks: Stacks) -> dict[str, list[str]]:
    """The names of whatever a stack could leave behind, by kind."""
    ec2, iam, sqs = stacks.client("ec2"), stacks.client("iam"), stacks.client("sqs")
    groups = stacks.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    systems = stacks.client("efs").describe_file_systems()["FileSystems"]
    balancing = stacks.client("elbv2")
    return {
        "groups": [one["AutoScalingGroupName"] for one in groups],
        "templates": [one["LaunchTemplateId"] for one in ec2.describe_launch_templates()["LaunchTemplates"]],
        "networks": [one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]],
        "subnets": [one["SubnetId"] for one in ec2.describe_subnets()["Subnets"]],
        "routes": [one["RouteTableId"] for one in ec2.describe_route_tables()["RouteTables"]],
        "security groups": [one["GroupId"] for one in ec2.describe_security_groups()["SecurityGroups"]],
        "gateways": [one["InternetGatewayId"] for one in ec2.describe_internet_gateways()["InternetGateways"]],
        "balancers": [one["LoadBalancerArn"] for one in balancing.describe_load_balancers()["LoadBalancers"]],
        "targets": [one["TargetGroupArn"] for one in balancing.describe_target_groups()["TargetGroups"]],
        "roles": [one["RoleName"] for one in iam.list_roles()["Roles"]],
        "policies": [one["PolicyName"] for one in iam.list_policies(Scope="Local")["Policies"]],
        "users": [one["UserName"] for one in iam.list_users()["Users"]],
        "queues": sqs.list_queues().get("QueueUrls", []),
        "tables": stacks.client("dynamodb").list_tables()["TableNames"],
        "alarms": [one["AlarmName"] for one in stacks.client("cloudwatch").describe_alarms()["MetricAlarms"]],
        "rules": [one["Name"] for one in stacks.client("events").list_rules()["Rules"]],
        "logs": [one["logGroupName"] for one in stacks.client("logs").describe_log_groups()["logGroups"]],
        "file systems": [one["FileSystemId"] for one in systems],
    }


def logical_ids(template: Path) -> set[str]:
    """Of the resources that the emulator takes, and these values make."""
    made = {name for name, one in read(template)["Resources"].items() if one.get("Condition") not in NOT_ASKED}
    return made - REFUSED.keys()


def test_the_scalers_stack_lives_from_creation_through_an_update_to_its_end(stacks: Stacks) -> None:
    before = everything(stacks)
    created = stacks.create("scaler", SCALER, SCALER_VALUES)
    assert stacks.resources("scaler").keys() == logical_ids(SCALER)
    updated = stacks.update("scaler", SCALER, {**SCALER_VALUES, "WorkerAsgName": "other-NodeAsg"})
    assert updated == created
    iam = stacks.client("iam")
    version = iam.get_policy(PolicyArn=updated["WorkerPolicyArn"])["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=updated["WorkerPolicyArn"], VersionId=version)["PolicyVersion"]
    assert "autoScalingGroupName/other-NodeAsg" in str(found["Document"])
    attached = iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"]
    assert {one["PolicyArn"] for one in attached} == {updated["IngestPolicyArn"], updated["WorkerPolicyArn"]}
    stacks.delete("scaler")
    assert everything(stacks) == before


def test_the_swarms_stack_lives_from_creation_through_an_update_to_its_end(stacks: Stacks) -> None:
    before = everything(stacks)
    created = stacks.create("swarm", SWARM, SWARM_VALUES)
    made = stacks.resources("swarm")
    assert made.keys() == logical_ids(SWARM)
    assert hooks(stacks, created) == {"ManagerAsgName": {"scaler-terminate"}, "WorkerAsgName": BOTH_HOOKS}
    changed = {"InstanceType": "t3.large", "EnableCloudStorEfs": "no", "WorkerSpotPercentage": "50"}
    updated = stacks.update("swarm", SWARM, {**SWARM_VALUES, **changed})
    assert created.keys() - updated.keys() == {"FileSystemId"}
    assert updated.items() <= created.items()
    assert instance_type(stacks, made["NodeTemplate"]) == "t3.large"
    stacks.delete("swarm")
    assert everything(stacks) == before


def test_a_cluster_comes_to_https_by_an_update_and_leaves_it_by_one(stacks: Stacks) -> None:
    before = everything(stacks)
    certificate = {"CertificateArn": "arn:aws:acm:us-east-1:000000000000:certificate/one"}
    stacks.create("https", SWARM, SWARM_VALUES)
    assert "Https" not in stacks.resources("https")
    for how in (certificate, {"ProxyHasCertificate": "yes"}):
        stacks.update("https", SWARM, {**SWARM_VALUES, **how})
        assert {"Http", "Https", "RedirectTargets"} <= stacks.resources("https").keys()
    stacks.delete("https")
    assert everything(stacks) == before


def hooks(stacks: Stacks, outputs: Mapping[str, str]) -> dict[str, set[str]]:
    """Names of the hooks of both groups."""
    asking = stacks.client("autoscaling")
    found = {
        one: asking.describe_lifecycle_hooks(AutoScalingGroupName=outputs[one])["LifecycleHooks"]
        for one in ("ManagerAsgName", "WorkerAsgName")
    }
    return {group: {one["LifecycleHookName"] for one in each} for group, each in found.items()}


def instance_type(stacks: Stacks, template: str) -> str:
    """Of the newest version."""
    versions = stacks.client("ec2").describe_launch_template_versions(LaunchTemplateId=template)
    newest = max(versions["LaunchTemplateVersions"], key=lambda one: one["VersionNumber"])
    return str(newest["LaunchTemplateData"]["InstanceType"])


def test_what_is_taken_out_for_the_emulator_is_all_that_it_refuses() -> None:
    types = {name: one["Type"] for name, one in read(SWARM)["Resources"].items()}
    assert {types[name] for name in REFUSED} == {"AWS::EC2::SecurityGroupIngress"}
    assert "AWS::EC2::SecurityGroupIngress" not in {types[name] for name in logical_ids(SWARM)}
