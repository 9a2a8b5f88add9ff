"""swarm.yaml deploys and updates: stacks over the embedded AWS."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from infra.cloudformation.embed import SCRIPT, bare, unpacked
from infra.local.aws import EmbeddedAws, deploy_swarm
from infra.local.aws.deploy import create_network
from infra.local.aws.templates import SWARM, for_emulator
from tests.unit.cloudformation.test_swarm_template import (
    OUTPUTS,
    USER_DATA_LIMIT,
)


@pytest.fixture(scope="module")
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as aws:
        aws.session().client("ec2").create_key_pair(KeyName="key")
        yield aws


def parameters(**values: str) -> list[dict[str, str]]:
    chosen = {"KeyName": "key", **values}
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in chosen.items()]


def create(aws: EmbeddedAws, stack: str, **values: str) -> dict[str, str]:
    cloudformation = aws.session().client("cloudformation")
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=for_emulator(SWARM.read_text()),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=parameters(**values),
    )
    [described] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    assert described["StackStatus"] == "CREATE_COMPLETE"
    return {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}


def user_data(aws: EmbeddedAws, stack: str, group: str) -> str:
    described = aws.session().client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
    template = described["AutoScalingGroups"][0]["LaunchTemplate"]["LaunchTemplateId"]
    versions = aws.session().client("ec2").describe_launch_template_versions(LaunchTemplateId=template)
    return base64.b64decode(versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]).decode()


def stack_id(aws: EmbeddedAws, stack: str) -> str:
    [described] = aws.session().client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    return str(described["StackId"])


def test_it_deploys_with_names_that_begin_as_the_contract_says(aws: EmbeddedAws) -> None:
    outputs = create(aws, "devops22", ManagerSize="3", ClusterSize="1")
    assert outputs.keys() >= OUTPUTS
    assert outputs["ManagerAsgName"].startswith("devops22-ManagerAsg-")
    assert outputs["WorkerAsgName"].startswith("devops22-NodeAsg-")
    instances = [
        one
        for reservation in aws.session().client("ec2").describe_instances()["Reservations"]
        for one in reservation["Instances"]
    ]
    names = [group["GroupName"] for instance in instances for group in instance["SecurityGroups"]]
    assert sum(name.startswith("devops22-ManagerVpcSG-") for name in names) == 3
    assert len(instances) == 4


def test_user_data_is_a_sound_script_within_its_limit_that_holds_the_script_exactly(aws: EmbeddedAws) -> None:
    outputs = create(aws, "data", EnableCloudWatchLogs="yes", EnableCloudStorEfs="yes", EnableSystemPrune="yes")
    for role, group in (("manager", outputs["ManagerAsgName"]), ("worker", outputs["WorkerAsgName"])):
        text = user_data(aws, "data", group)
        assert len(text.encode()) <= USER_DATA_LIMIT
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        script = text.partition("gunzip >/usr/local/sbin/swarm-node\n")[2].partition("END\n")[0]
        assert unpacked(script) == bare(SCRIPT.read_text())
        settings = dict(re.findall(r"^([A-Z_]+)=(.*)$", text.partition("END\n")[0], re.MULTILINE))
        assert settings == {
            "ROLE": role,
            "TABLE": outputs["BooksTable"],
            "STACK": stack_id(aws, "data"),
            "LOGICAL_ID": "ManagerAsg" if role == "manager" else "NodeAsg",
            "LOG_GROUP": "/docker-swarm/data",
            "EFS": outputs["FileSystemId"],
            "PRUNE": "yes",
            "OVERLAYS": "10.128.0.0/9",
            "AWS_DEFAULT_REGION": aws.environment["AWS_DEFAULT_REGION"],
        }


def test_the_lab_has_its_groups_from_it_in_a_network_that_the_machine_does_not_use(aws: EmbeddedAws) -> None:
    outputs = deploy_swarm(aws.session(), "lab", "10.73.0.0/16", managers=1, workers=2)
    groups = [outputs["ManagerAsgName"], outputs["WorkerAsgName"]]
    described = aws.session().client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=groups)
    sizes = {one["AutoScalingGroupName"]: one["DesiredCapacity"] for one in described["AutoScalingGroups"]}
    assert sizes == dict(zip(groups, (1, 2), strict=True))
    filters = [{"Name": "tag:aws:autoscaling:groupName", "Values": groups}]
    found = aws.session().client("ec2").describe_instances(Filters=filters)["Reservations"]
    addresses = [one["PrivateIpAddress"] for reservation in found for one in reservation["Instances"]]
    assert len(addresses) == 3
    assert all(address.startswith("10.73.") for address in addresses)


def test_two_zones_are_enough(aws: EmbeddedAws) -> None:
    outputs = create(aws, "small", Zones="2", ManagerSize="1")
    described = (
        aws.session()
        .client("autoscaling")
        .describe_auto_scaling_groups(AutoScalingGroupNames=[outputs["WorkerAsgName"]])
    )
    [group] = described["AutoScalingGroups"]
    assert len(group["VPCZoneIdentifier"].split(",")) == 2


def test_zones_are_those_that_one_names(aws: EmbeddedAws) -> None:
    zones = [f"{aws.environment['AWS_DEFAULT_REGION']}{letter}" for letter in "cb"]
    outputs = create(aws, "zones", Zones="2", ZoneNames=",".join(zones))
    assert set(group(aws, outputs["ManagerAsgName"])["AvailabilityZones"]) == set(zones)


def test_a_network_that_is_there_is_used_and_none_is_made(aws: EmbeddedAws) -> None:
    ec2 = aws.session().client("ec2")
    subnets = create_network(aws.session(), "10.77.0.0/16")
    [vpc] = ec2.describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.77.0.0/16"]}])["Vpcs"]
    before = len(ec2.describe_vpcs()["Vpcs"])
    given = {"ExistingVpc": vpc["VpcId"], "OverlayPool": "192.168.0.0/17"}
    lists = {name: ",".join(subnets) for name in ("ExistingSubnets", "ExistingBalancerSubnets")}
    outputs = create(aws, "private", BalancerScheme="internal", EnableCloudStorEfs="yes", **given, **lists)
    assert outputs["VpcId"] == vpc["VpcId"]
    assert group(aws, outputs["ManagerAsgName"])["VPCZoneIdentifier"].split(",") == subnets
    assert len(ec2.describe_vpcs()["Vpcs"]) == before
    assert "OVERLAYS=192.168.0.0/17" in user_data(aws, "private", outputs["WorkerAsgName"])


def group(aws: EmbeddedAws, name: str) -> dict[str, Any]:
    found = aws.session().client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    [described] = found["AutoScalingGroups"]
    return dict(described)


def test_an_update_changes_the_instance_type_and_leaves_the_groups_where_they_are(aws: EmbeddedAws) -> None:
    before = create(aws, "updated")
    cloudformation = aws.session().client("cloudformation")
    cloudformation.update_stack(
        StackName="updated",
        UsePreviousTemplate=True,
        Capabilities=["CAPABILITY_IAM"],
        Parameters=parameters(InstanceType="t3.small"),
    )
    [described] = cloudformation.describe_stacks(StackName="updated")["Stacks"]
    assert described["StackStatus"] == "UPDATE_COMPLETE"
    assert {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]} == before


@pytest.mark.parametrize(("wanted", "workers"), [("yes", {"scaler-launch", "scaler-terminate"}), ("no", set())])
def test_hooks_are_deployed_where_they_are_wanted(aws: EmbeddedAws, wanted: str, workers: set[str]) -> None:
    outputs = create(aws, f"hooks-{wanted}", LifecycleHooks=wanted, ClusterSize="1")
    asking = aws.session().client("autoscaling")

    def names(group: str) -> set[str]:
        found = asking.describe_lifecycle_hooks(AutoScalingGroupName=outputs[group])["LifecycleHooks"]
        return {one["LifecycleHookName"] for one in found}

    assert names("WorkerAsgName") == workers
    assert names("ManagerAsgName") == workers - {"scaler-launch"}
    states = {one["LifecycleState"] for one in group(aws, outputs["WorkerAsgName"])["Instances"]}
    assert states <= {"Pending", "InService"}, "the first ones are held by nobody"


def test_workers_on_spot_are_launched_from_the_same_template(aws: EmbeddedAws) -> None:
    outputs = create(aws, "spot", WorkerSpotPercentage="30", ClusterSize="2")
    workers = group(aws, outputs["WorkerAsgName"])
    assert len(workers["Instances"]) == 2
    share = workers["MixedInstancesPolicy"]["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"]
    assert int(share) == 70
