"""Puts the project's own CloudFormation on the emulator: the stack of scaler.yaml, and the two Auto Scaling groups.

The groups come from swarm.yaml (`deploy_swarm`), or stand beside the stack as bare groups of a size of one's own
(`create_groups`). Works through the AWS API only, so that it deploys on any emulator a session points to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from localstack_client.session import Session

from infra.local.aws.templates import SCALER, SWARM, for_emulator, moved
from infra.local.aws.world import REGION

MANAGER_ASG: Final = "local-ManagerAsg"
WORKER_ASG: Final = "local-NodeAsg"
NETWORK: Final = "10.0.0.0/16"
ZONES: Final = (f"{REGION}a", f"{REGION}b", f"{REGION}c")
IMAGE: Final = "ami-12c6146b"  # one that moto knows
TTL_ATTRIBUTE: Final = "expires_at"
HOOK_SECONDS: Final = 300  # as in swarm.yaml


@dataclass(frozen=True, slots=True)
class Size:
    """A group's bounds and its desired capacity."""

    low: int
    high: int
    desired: int


MANAGERS: Final = Size(1, 9, 3)
WORKERS: Final = Size(0, 10, 1)


def deploy(
    session: Session,
    cluster: str = "default",
    manager_asg: str = MANAGER_ASG,
    worker_asg: str = WORKER_ASG,
    manager_role: str = "",
) -> dict[str, str]:
    """Create the stack `docker-scaler-CLUSTER` and return its outputs. Raises RuntimeError where it fails."""
    names = {"ClusterName": cluster, "ManagerAsgName": manager_asg, "WorkerAsgName": worker_asg}
    outputs = _create(session, f"docker-scaler-{cluster}", SCALER.read_text(), ManagerRoleName=manager_role, **names)
    complete_table(session, outputs["TableName"])
    return outputs


def deploy_swarm(
    session: Session,
    stack: str,
    block: str = NETWORK,
    managers: int = MANAGERS.desired,
    workers: int = WORKERS.desired,
    hooks: bool = False,
) -> dict[str, str]:
    """Create a stack of swarm.yaml, as far as the emulator takes it, and return its outputs.

    Its groups' names begin with `STACK-ManagerAsg-` and `STACK-NodeAsg-`; `block` is its network, a /16; `hooks`:
    whether its groups have lifecycle hooks. Raises RuntimeError where it fails.
    """
    session.client("ec2").create_key_pair(KeyName=stack)
    body = moved(for_emulator(SWARM.read_text()), ".".join(block.split(".")[:2]))
    sizes = {"ManagerSize": str(managers), "ClusterSize": str(workers)}
    outputs = _create(session, stack, body, KeyName=stack, LifecycleHooks="yes" if hooks else "no", **sizes)
    protect(session, [outputs["ManagerAsgName"], outputs["WorkerAsgName"]])
    return outputs


def protect(session: Session, groups: Sequence[str]) -> None:
    """New instances of the groups are protected from scale-in: what a cluster does itself when its stack is complete.

    The first ones are still pending here, and cannot be.
    """
    for group in groups:
        session.client("autoscaling").update_auto_scaling_group(
            AutoScalingGroupName=group, NewInstancesProtectedFromScaleIn=True
        )


def complete_table(session: Session, table: str) -> None:
    """Set by API what moto's CloudFormation ignores of the template: TTL and point-in-time recovery.

    On an emulator that applies the template there is nothing left to do.
    """
    dynamodb = session.client("dynamodb")
    ttl = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    if ttl["TimeToLiveStatus"] not in ("ENABLED", "ENABLING"):
        dynamodb.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
        )
    backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        dynamodb.update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )


def create_groups(session: Session, workers: Size = WORKERS) -> None:
    """A network of three zones, and in it both groups, each from a launch template of its own."""
    subnets = create_network(session)
    create_group(session, MANAGER_ASG, MANAGERS, subnets, "t3.small")
    create_group(session, WORKER_ASG, workers, subnets, "t3.micro")


def put_hooks(session: Session) -> None:
    """The hooks of swarm.yaml, which hold whoever comes or goes from now on."""
    launch, terminate = ("scaler-launch", "LAUNCHING"), ("scaler-terminate", "TERMINATING")
    for group, (name, transition) in ((MANAGER_ASG, terminate), (WORKER_ASG, terminate), (WORKER_ASG, launch)):
        session.client("autoscaling").put_lifecycle_hook(
            AutoScalingGroupName=group,
            LifecycleHookName=name,
            LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
            HeartbeatTimeout=HOOK_SECONDS,
            DefaultResult="CONTINUE",
        )


def create_network(session: Session, block: str = NETWORK) -> list[str]:
    """A VPC with a subnet per zone (`10.0.0.0/20`, `10.0.16.0/20` ...); the subnets' ids."""
    ec2 = session.client("ec2")
    vpc = ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
    prefix = ".".join(block.split(".")[:2])
    return [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"{prefix}.{16 * number}.0/20", AvailabilityZone=zone)["Subnet"][
            "SubnetId"
        ]
        for number, zone in enumerate(ZONES)
    ]


def create_group(
    session: Session,
    name: str,
    size: Size,
    subnets: Sequence[str],
    instance_type: str = "t3.micro",
    protect_new: bool = True,
) -> None:
    """One group; its instances are protected from scale-in, so that only named ones ever go."""
    session.client("ec2").create_launch_template(
        LaunchTemplateName=name, LaunchTemplateData={"ImageId": IMAGE, "InstanceType": instance_type}
    )
    session.client("autoscaling").create_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=size.low,
        MaxSize=size.high,
        DesiredCapacity=size.desired,
        VPCZoneIdentifier=",".join(subnets),
        LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
        NewInstancesProtectedFromScaleIn=protect_new,
        Tags=[{"Key": "Name", "Value": name, "PropagateAtLaunch": True}],
    )


def _create(session: Session, stack: str, template: str, **parameters: str) -> dict[str, str]:
    """The outputs of a new stack. Raises RuntimeError where there are none: one bad one makes all of them vanish."""
    cloudformation = session.client("cloudformation")
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=template,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    described: Mapping[str, Any] = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}
    if not outputs:
        raise RuntimeError(f"stack {stack} has no outputs: {described.get('StackStatusReason', '')}")
    return outputs
