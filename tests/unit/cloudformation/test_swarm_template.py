"""swarm.yaml: what is open to whom, numbers that depend on each other."""

from __future__ import annotations

import re
from typing import Any

import pytest

from infra.cloudformation.embed import SCRIPT, bare, embedded, held
from infra.local.aws.templates import SWARM
from tests.unit.cloudformation.templates import allowed, listed, read, statements

OLD_PARAMETERS = {
    *("ManagerSize", "ClusterSize", "KeyName", "ManagerInstanceType", "InstanceType"),
    *("EnableSystemPrune", "EnableCloudWatchLogs", "EnableCloudStorEfs"),
}
OUTPUTS = {"DefaultDNSTarget", "ManagerAsgName", "WorkerAsgName", "ManagerRoleName"}
GROUPS = ("ManagerAsg", "NodeAsg")
TEMPLATES = ("ManagerTemplate", "NodeTemplate")
BODY_LIMIT = 51_200
KEPT_FREE = 4096
LONGEST_WAIT = 900
USER_DATA_LIMIT = 16_384
WITHOUT_RESOURCE_LEVEL = {
    *("autoscaling:DescribeAutoScalingGroups", "ec2:DescribeInstances", "ecr:GetAuthorizationToken"),
    "cloudwatch:PutMetricData",
}

NOTHING = {"Ref": "AWS::NoValue"}

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


def test_it_holds_the_script_as_it_is_and_can_be_passed_on_the_command_line_with_room_to_spare() -> None:
    assert SWARM.read_text() == embedded(SWARM.read_text(), SCRIPT.read_text()), "run `make templates`"
    assert held(SWARM.read_text()) == bare(SCRIPT.read_text())
    assert SWARM.read_text().count("!FindInMap [Bootstrap, Script, Packed]") == 2
    assert len(SWARM.read_bytes()) <= BODY_LIMIT - KEPT_FREE


def test_another_script_is_packed_anew_and_the_same_one_is_left_as_it_is() -> None:
    changed = embedded(SWARM.read_text(), SCRIPT.read_text() + "echo more\n")
    assert held(changed).endswith("echo more\n")
    assert embedded(changed, SCRIPT.read_text()) == SWARM.read_text()


def rules(resources: Properties, group: str) -> set[tuple[str, int, str]]:
    """Protocol, port and source of what is open in a security group."""
    own = [
        either
        for rule in resources[group].get("SecurityGroupIngress", [])
        for either in (rule["If"][1:] if "If" in rule else [rule])
    ]
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
    web = {("tcp", port, "LoadBalancerSG") for port in (80, 81, 443)}
    assert rules(resources, "SwarmSG") == gossip
    assert rules(resources, "ManagerVpcSG") == {("tcp", 2377, "SwarmSG"), ("tcp", 22, "SSHLocation"), *web}
    assert rules(resources, "NodeVpcSG") == {("tcp", 22, "ManagerVpcSG")}
    assert rules(resources, "LoadBalancerSG") == {("tcp", 80, "WebLocation"), ("tcp", 443, "WebLocation")}
    assert rules(resources, "EfsSG") == {("tcp", 2049, "SwarmSG")}


def test_no_rule_stands_for_a_range_of_ports(template: dict[str, Any]) -> None:
    text = SWARM.read_text()
    assert re.findall(r"FromPort: (\S+)", text) == re.findall(r"ToPort: (\S+)", text)


def test_nothing_is_open_to_anybody_unless_said(template: dict[str, Any]) -> None:
    for name in ("SSHLocation", "WebLocation"):
        assert template["Parameters"][name]["Default"] == "127.0.0.1/32"


def listener(template: dict[str, Any], name: str, **conditions: bool) -> dict[str, Any]:
    """A listener as it is under these conditions."""

    def chosen(value: Any) -> Any:
        if isinstance(value, dict) and "If" in value:
            condition, yes, no = value["If"]
            return chosen(yes if conditions.get(condition) else no)
        if isinstance(value, dict):
            return {key: chosen(one) for key, one in value.items()}
        return [chosen(one) for one in value] if isinstance(value, list) else value

    resource = template["Resources"][name]
    properties: dict[str, Any] = (
        chosen(resource["Properties"]) if conditions.get(resource.get("Condition"), True) else {}
    )
    return {key: value for key, value in properties.items() if value != {"Ref": "AWS::NoValue"}}


@pytest.mark.parametrize(
    ("conditions", "plain", "encrypted"),
    [
        ({"WithHttps": False}, "HttpTargets", None),
        ({"WithHttps": True, "WithCertificate": True}, "RedirectTargets", ("TLS", "HttpTargets")),
        ({"WithHttps": True, "WithCertificateInProxy": True}, "RedirectTargets", ("TCP", "HttpsTargets")),
    ],
)
def test_port_443_answers_or_is_closed_and_port_80_redirects_where_it_answers(
    template: dict[str, Any], conditions: dict[str, bool], plain: str, encrypted: tuple[str, str] | None
) -> None:
    http, https = (listener(template, name, **conditions) for name in ("Http", "Https"))
    assert http["DefaultActions"] == [{"Type": "forward", "TargetGroupArn": {"Ref": plain}}]
    assert bool(https) == bool(encrypted)
    assert template["Resources"]["Encrypted"]["Condition"] == "WithHttps"
    if encrypted:
        protocol, targets = encrypted
        assert (https["Protocol"], "Certificates" in https) == (protocol, protocol == "TLS")
        assert https["DefaultActions"] == [{"Type": "forward", "TargetGroupArn": {"Ref": targets}}]


def test_a_flow_that_is_silent_for_as_long_as_a_wait_is_not_dropped(template: dict[str, Any]) -> None:
    passed_through = listener(template, "Https", WithHttps=True, WithCertificateInProxy=True)
    for one in (listener(template, "Http"), passed_through):
        [idle] = one["ListenerAttributes"]
        assert (idle["Key"], int(idle["Value"]) > LONGEST_WAIT) == ("tcp.idle_timeout.seconds", True)
    ended_here = listener(template, "Https", WithHttps=True, WithCertificate=True)
    assert "ListenerAttributes" not in ended_here, "AWS refuses it for TLS listeners"


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
        assert processor == {"Is": "arm" if arm else "x86"}
    for parameter in ("ManagerInstanceType", "InstanceType"):
        assert template["Parameters"][parameter]["Default"] in known


@pytest.mark.parametrize("name", GROUPS)
def test_groups_are_created_unprotected_and_a_stack_update_leaves_the_size_alone(
    template: dict[str, Any], resources: Properties, name: str
) -> None:
    assert "NewInstancesProtectedFromScaleIn" not in resources[name], "a create that fails could not be rolled back"
    update = template["Resources"][name]["UpdatePolicy"]
    assert update["AutoScalingScheduledAction"] == {"IgnoreUnmodifiedGroupSizeProperties": True}
    assert update["AutoScalingRollingUpdate"]["MaxBatchSize"] == 1
    assert update["AutoScalingRollingUpdate"]["WaitOnResourceSignals"] is True
    assert "LifecycleHookSpecificationList" not in resources[name]


def hooks(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: one for name, one in template["Resources"].items() if one["Type"] == "AWS::AutoScaling::LifecycleHook"
    }


def test_terminations_of_both_groups_and_launches_of_workers_are_held_by_hooks(template: dict[str, Any]) -> None:
    found = {
        (one["Properties"]["AutoScalingGroupName"]["Ref"], one["Properties"]["LifecycleHookName"]): one["Properties"][
            "LifecycleTransition"
        ]
        for one in hooks(template).values()
    }
    assert found == {
        ("ManagerAsg", "scaler-terminate"): "autoscaling:EC2_INSTANCE_TERMINATING",
        ("NodeAsg", "scaler-terminate"): "autoscaling:EC2_INSTANCE_TERMINATING",
        ("NodeAsg", "scaler-launch"): "autoscaling:EC2_INSTANCE_LAUNCHING",
    }


def test_a_hook_runs_out_by_itself_in_five_minutes_and_then_aws_goes_on(template: dict[str, Any]) -> None:
    for hook in hooks(template).values():
        assert hook["Condition"] == "WithHooks"
        assert (hook["Properties"]["HeartbeatTimeout"], hook["Properties"]["DefaultResult"]) == (300, "CONTINUE")


def test_hooks_are_made_once_the_managers_have_signalled(template: dict[str, Any]) -> None:
    """The group is complete when its signals have come, so whoever names it waits for them."""
    assert template["Resources"]["ManagerAsg"]["CreationPolicy"]["ResourceSignal"]["Count"] == {"Ref": "ManagerSize"}
    for hook in hooks(template).values():
        named = {hook["Properties"]["AutoScalingGroupName"]["Ref"], hook.get("DependsOn")}
        assert "ManagerAsg" in named


def test_the_shares_of_on_demand_and_spot_make_a_hundred(template: dict[str, Any]) -> None:
    shares = template["Mappings"]["OnDemand"]["Of"]
    assert {int(spot) + rest for spot, rest in shares.items()} == {100}
    allowed = template["Parameters"]["WorkerSpotPercentage"]["AllowedValues"]
    assert list(shares) == allowed
    assert template["Parameters"]["WorkerSpotPercentage"]["Default"] == "0"


def test_workers_on_spot_are_replaced_before_they_are_taken(resources: Properties) -> None:
    workers = resources["NodeAsg"]
    assert workers["CapacityRebalance"] == {"If": ["WithSpot", True, NOTHING]}
    condition, mixed, nothing = workers["MixedInstancesPolicy"]["If"]
    assert (condition, nothing) == ("WithSpot", NOTHING)
    assert workers["LaunchTemplate"]["If"][:2] == ["WithSpot", NOTHING], "AWS takes one of the two"
    assert mixed["LaunchTemplate"]["LaunchTemplateSpecification"] == workers["LaunchTemplate"]["If"][2]
    assert "Overrides" not in mixed["LaunchTemplate"], "weights would be counted as capacity"
    assert not {"CapacityRebalance", "MixedInstancesPolicy"} & resources["ManagerAsg"].keys()


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
    assert len(stars) == 2, "none of a worker"
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
    known = "autoscaling|cloudformation|cloudwatch|ec2"
    called = set(re.findall(rf"\b(?:aws ({known})|(table)) ([a-z-]+)", bare(SCRIPT.read_text())))
    services = {(service or "dynamodb", operation) for service, _, operation in called}
    actions = {f"{service}:{operation.title().replace('-', '')}" for service, operation in services}
    [policy] = resources["ManagerRole"]["Policies"]
    extras = {"logs:CreateLogStream", "logs:PutLogEvents"}
    asked = {action for action in allowed(policy["PolicyDocument"]) if not action.startswith("ecr:")} - extras
    assert {action.lower() for action in actions} == {action.lower() for action in asked}


def test_only_managers_change_groups_beyond_giving_themselves_up(resources: Properties) -> None:
    asked = {
        role: {
            one for one in allowed(resources[role]["Policies"][0]["PolicyDocument"]) if one.startswith("autoscaling")
        }
        for role in ("ManagerRole", "NodeRole")
    }
    assert asked["NodeRole"] == {"autoscaling:SetInstanceHealth"}
    assert asked["ManagerRole"] > asked["NodeRole"]


@pytest.mark.parametrize("role", ["ManagerRole", "NodeRole"])
def test_what_is_said_to_the_stack_is_allowed_by_its_name_and_by_its_id(resources: Properties, role: str) -> None:
    """AWS documents neither which of the two it takes for a call that names the stack by its id."""
    [policy] = resources[role]["Policies"]
    [stack] = [
        one for one in statements(policy["PolicyDocument"]) if "cloudformation:SignalResource" in listed(one["Action"])
    ]
    assert stack["Resource"]["Sub"].endswith(":stack/${AWS::StackName}/*")


@pytest.mark.parametrize("role", ["ManagerRole", "NodeRole"])
def test_session_manager_leads_to_every_node_and_a_key_pair_is_not_needed(
    template: dict[str, Any], resources: Properties, role: str
) -> None:
    [policy] = resources[role]["ManagedPolicyArns"]
    assert policy["Sub"].endswith("policy/AmazonSSMManagedInstanceCore")
    assert template["Parameters"]["KeyName"]["Default"] == ""


@pytest.mark.parametrize("name", TEMPLATES)
def test_disks_take_a_key_of_ones_own(resources: Properties, name: str) -> None:
    [device] = resources[name]["LaunchTemplateData"]["BlockDeviceMappings"]
    assert device["Ebs"]["KmsKeyId"] == {"If": ["WithVolumeKey", {"Ref": "VolumeKey"}, {"Ref": "AWS::NoValue"}]}


def test_the_alarm_on_logins_comes_while_they_still_hold(resources: Properties) -> None:
    alarm = resources["RegistryLoginsAge"]
    [renewed] = re.findall(r"RENEW_SECONDS:-(\d+)", SCRIPT.read_text())
    assert int(renewed) < alarm["Threshold"] < 12 * 3600
    for word in (alarm["Namespace"], alarm["MetricName"]):
        assert word in SCRIPT.read_text()
    assert alarm["AlarmActions"] == alarm["InsufficientDataActions"]


def test_the_books_are_encrypted(resources: Properties) -> None:
    assert resources["Books"]["SSESpecification"] == {"SSEEnabled": True}
