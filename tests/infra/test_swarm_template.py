"""swarm.yaml: what is open to whom, numbers that depend on each other, and that it deploys and updates."""

from __future__ import annotations

import base64
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from infra.cloudformation.embed import SCRIPT, bare, embedded
from infra.local.aws import EmbeddedAws, deploy_swarm
from infra.local.aws.templates import SWARM, for_emulator
from tests.infra.cloudformation import allowed, listed, read, statements

OLD_PARAMETERS = {
    *("ManagerSize", "ClusterSize", "KeyName", "ManagerInstanceType", "InstanceType"),
    *("EnableSystemPrune", "EnableCloudWatchLogs", "EnableCloudStorEfs"),
}
OUTPUTS = {"DefaultDNSTarget", "ManagerAsgName", "WorkerAsgName", "ManagerRoleName"}
GROUPS = ("ManagerAsg", "NodeAsg")
TEMPLATES = ("ManagerTemplate", "NodeTemplate")
BODY_LIMIT = 51_200
USER_DATA_LIMIT = 16_384
WITHOUT_RESOURCE_LEVEL = {
    *("autoscaling:DescribeAutoScalingInstances", "ec2:DescribeInstances", "ecr:GetAuthorizationToken"),
}

Properties = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return read(SWARM)


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> Properties:
    return {name: resource.get("Properties", {}) for name, resource in template["Resources"].items()}


def test_sections_are_in_order_and_everything_that_a_person_meets_is_described(template: dict[str, Any]) -> None:
    sections = ["Metadata", "Parameters", "Mappings", "Conditions", "Resources", "Outputs"]
    assert list(template) == ["AWSTemplateFormatVersion", "Description", *sections]
    for entry in (*template["Parameters"].values(), *template["Outputs"].values()):
        assert entry["Description"]
    assert template["Parameters"].keys() >= OLD_PARAMETERS
    assert template["Outputs"].keys() >= OUTPUTS
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert {name for group in groups for name in group["Parameters"]} == template["Parameters"].keys()


def test_it_holds_the_script_as_it_is_and_can_be_passed_on_the_command_line() -> None:
    assert SWARM.read_text() == embedded(SWARM.read_text(), SCRIPT.read_text()), "run `make templates`"
    assert SWARM.read_text().count("# begin swarm-node.sh") == 2
    assert len(SWARM.read_bytes()) <= BODY_LIMIT


def rules(resources: Properties, group: str) -> set[tuple[str, int, str]]:
    """Protocol, port and source of what is open in a security group."""
    own = resources[group].get("SecurityGroupIngress", [])
    added = [one for one in resources.values() if one.get("GroupId") == {"Ref": group}]
    return {
        (
            rule["IpProtocol"],
            rule["FromPort"],
            (rule.get("SourceSecurityGroupId") or rule["CidrIp"])["Ref"],
        )
        for rule in (*own, *added)
        if rule["FromPort"] == rule["ToPort"]
    }


def test_only_the_ports_that_swarm_needs_are_open_and_ssh_from_one_place(resources: Properties) -> None:
    gossip = {("tcp", 7946, "SwarmSG"), ("udp", 7946, "SwarmSG"), ("udp", 4789, "SwarmSG"), ("50", -1, "SwarmSG")}
    web = {("tcp", 80, "LoadBalancerSG"), ("tcp", 443, "LoadBalancerSG")}
    assert rules(resources, "SwarmSG") == gossip
    assert rules(resources, "ManagerVpcSG") == {("tcp", 2377, "SwarmSG"), ("tcp", 22, "SSHLocation"), *web}
    assert rules(resources, "NodeVpcSG") == {("tcp", 22, "ManagerVpcSG")}
    assert rules(resources, "LoadBalancerSG") == {("tcp", 80, "WebLocation"), ("tcp", 443, "WebLocation")}
    assert rules(resources, "EfsSG") == {("tcp", 2049, "SwarmSG")}


def test_no_rule_stands_for_a_range_of_ports(template: dict[str, Any]) -> None:
    text = SWARM.read_text()
    assert re.findall(r"FromPort: (\S+)", text) == re.findall(r"ToPort: (\S+)", text)


def test_ssh_is_open_to_nobody_unless_said(template: dict[str, Any]) -> None:
    assert template["Parameters"]["SSHLocation"]["Default"] == "127.0.0.1/32"


@pytest.mark.parametrize("name", TEMPLATES)
def test_instances_want_the_newer_metadata_service_and_their_disks_are_encrypted(
    resources: Properties, name: str
) -> None:
    data = resources[name]["LaunchTemplateData"]
    assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}
    assert all(device["Ebs"]["Encrypted"] is True for device in data["BlockDeviceMappings"])


def test_every_instance_type_has_an_image_and_the_defaults_are_among_them(template: dict[str, Any]) -> None:
    known = template["Mappings"]["ProcessorOf"]
    for name, processor in known.items():
        arm = re.match(r"(t4g|[a-z]+[0-9]+g[a-z]*)\.", name)
        assert processor == {"Name": "arm64" if arm else "x86-64"}
    for parameter in ("ManagerInstanceType", "InstanceType"):
        assert template["Parameters"][parameter]["Default"] in known


@pytest.mark.parametrize("name", GROUPS)
def test_only_named_instances_go_and_a_stack_update_leaves_the_size_alone(
    template: dict[str, Any], resources: Properties, name: str
) -> None:
    assert resources[name]["NewInstancesProtectedFromScaleIn"] is True
    update = template["Resources"][name]["UpdatePolicy"]
    assert update["AutoScalingScheduledAction"] == {"IgnoreUnmodifiedGroupSizeProperties": True}
    assert update["AutoScalingRollingUpdate"]["MaxBatchSize"] == 1
    assert update["AutoScalingRollingUpdate"]["WaitOnResourceSignals"] is True
    assert "LifecycleHookSpecificationList" not in resources[name]


@pytest.mark.parametrize("name", GROUPS)
def test_no_health_check_of_a_load_balancer_can_have_instances_replaced(resources: Properties, name: str) -> None:
    assert resources[name]["HealthCheckType"] == "EC2"


def test_sizes_are_around_what_the_scaler_allows_itself(resources: Properties) -> None:
    bounds = {name: (resources[name]["MinSize"], resources[name]["MaxSize"]) for name in GROUPS}
    assert bounds == {"ManagerAsg": ("1", "9"), "NodeAsg": ("0", "100")}


def test_an_instance_gives_up_before_cloudformation_does(template: dict[str, Any]) -> None:
    found = re.search(r"BOOT_SECONDS:-(\d+)", SCRIPT.read_text())
    assert found
    for name in GROUPS:
        pause = template["Resources"][name]["UpdatePolicy"]["AutoScalingRollingUpdate"]["PauseTime"]
        assert int(found[1]) < 60 * int(pause.removeprefix("PT").removesuffix("M"))


def test_overlay_networks_lie_outside_the_vpc(resources: Properties) -> None:
    assert resources["Vpc"]["CidrBlock"] == "10.0.0.0/16"
    assert "OVERLAYS:-10.128.0.0/9}" in SCRIPT.read_text()


@pytest.mark.parametrize("role", ["ManagerRole", "NodeRole"])
def test_any_resource_is_allowed_only_where_the_api_has_no_resource_level(resources: Properties, role: str) -> None:
    [policy] = resources[role]["Policies"]
    for statement in statements(policy["PolicyDocument"]):
        anything = listed(statement["Resource"]) == ["*"]
        assert anything == (set(listed(statement["Action"])) <= WITHOUT_RESOURCE_LEVEL)


def test_the_reason_for_a_star_is_said_beside_it() -> None:
    lines = SWARM.read_text().splitlines()
    stars = [number for number, line in enumerate(lines) if line.strip() == 'Resource: "*"']
    assert len(stars) == 2
    assert all("no resource level" in lines[star - 1] for star in stars)


def test_a_worker_reads_its_own_token_only_and_writes_nothing(resources: Properties) -> None:
    [policy] = resources["NodeRole"]["Policies"]
    assert not {
        action for action in allowed(policy["PolicyDocument"]) if re.search(r":(Put|Update|Delete)Item", action)
    }
    [books] = [one for one in statements(policy["PolicyDocument"]) if one["Sid"] == "ReadTheBooks"]
    keys = books["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
    assert keys == ["swarm", "manager", "token-worker"]


def test_the_roles_allow_what_the_script_calls(resources: Properties) -> None:
    called = set(re.findall(r"\b(?:aws (autoscaling|cloudformation|ec2)|(table)) ([a-z-]+)", bare(SCRIPT.read_text())))
    services = {(service or "dynamodb", operation) for service, _, operation in called}
    actions = {f"{service}:{operation.title().replace('-', '')}" for service, operation in services}
    [policy] = resources["ManagerRole"]["Policies"]
    extras = {"logs:CreateLogStream", "logs:PutLogEvents"}
    asked = {action for action in allowed(policy["PolicyDocument"]) if not action.startswith("ecr:")} - extras
    assert {action.lower() for action in actions} == {action.lower() for action in asked}


def test_the_books_are_encrypted(resources: Properties) -> None:
    assert resources["Books"]["SSESpecification"] == {"SSEEnabled": True}


# On the emulator


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
        held = re.sub(r"^# (begin|end) swarm-node.sh\n", "", text, flags=re.MULTILINE)
        assert bare(SCRIPT.read_text()) in held
        settings = dict(re.findall(r"^([A-Z_]+)=(.*)$", text.partition("END\n")[0], re.MULTILINE))
        assert settings == {
            "ROLE": role,
            "TABLE": outputs["BooksTable"],
            "STACK": "data",
            "LOGICAL_ID": "ManagerAsg" if role == "manager" else "NodeAsg",
            "LOG_GROUP": "/docker-swarm/data",
            "EFS": outputs["FileSystemId"],
            "PRUNE": "yes",
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
