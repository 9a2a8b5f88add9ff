"""scaler.yaml: numbers that depend on each other, policies to the letter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cloudformation.templates import listed, read

TEMPLATE = Path(__file__).parents[3] / "infra" / "cloudformation" / "scaler.yaml"
OUTPUTS = {"QueueUrl", "DeadLetterQueueUrl", "TableName", "IngestPolicyArn", "WorkerPolicyArn"}
TEN_MINUTES = 600
FOURTEEN_DAYS = 14 * 24 * 3600
LEASE_SECONDS = 15
REQUEST_MAX_AGE = 1800

INGEST = {
    "sqs:SendMessage",
    "sqs:GetQueueAttributes",
    "dynamodb:Query",
    "dynamodb:BatchGetItem",
}
WORKER = {
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:SendMessage",
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:GetItem",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:Query",
    "autoscaling:SetDesiredCapacity",
    "autoscaling:TerminateInstanceInAutoScalingGroup",
    "autoscaling:CompleteLifecycleAction",
    "autoscaling:RecordLifecycleActionHeartbeat",
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeScalingActivities",
    "autoscaling:DescribeInstanceRefreshes",
    "autoscaling:DescribeLifecycleHooks",
    "ec2:DescribeInstances",
}
NOTHING = {"Ref": "AWS::NoValue"}
WITHOUT_RESOURCE_LEVEL = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeScalingActivities",
    "autoscaling:DescribeInstanceRefreshes",
    "autoscaling:DescribeLifecycleHooks",
    "ec2:DescribeInstances",
}


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    return read(TEMPLATE)


@pytest.fixture(scope="module")
def resources(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: resource.get("Properties", {}) for name, resource in template["Resources"].items()}


def statements(resources: dict[str, dict[str, Any]], policy: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = resources[policy]["PolicyDocument"]["Statement"]
    return found


def test_every_parameter_has_a_default_and_a_description(template: dict[str, Any]) -> None:
    assert list(template["Parameters"])[:3] == ["ClusterName", "ManagerAsgName", "WorkerAsgName"]
    assert template["Parameters"]["ClusterName"]["Default"] == "default"
    for parameter in template["Parameters"].values():
        assert "Default" in parameter
        assert parameter["Description"]


def test_sections_are_in_order_and_every_output_is_described(template: dict[str, Any]) -> None:
    sections = [
        *("AWSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Conditions", "Resources", "Outputs"),
    ]
    assert list(template) == sections
    assert template["Outputs"].keys() >= OUTPUTS
    assert all(output["Description"] for output in template["Outputs"].values())


def test_a_poisonous_message_is_tried_for_ten_minutes_before_it_is_put_aside(
    resources: dict[str, dict[str, Any]],
) -> None:
    inbox = resources["Inbox"]
    assert inbox["VisibilityTimeout"] == 30
    assert inbox["RedrivePolicy"]["maxReceiveCount"] == 20
    assert inbox["VisibilityTimeout"] * inbox["RedrivePolicy"]["maxReceiveCount"] == TEN_MINUTES
    assert inbox["RedrivePolicy"]["deadLetterTargetArn"] == {"GetAtt": "DeadLetters.Arn"}


def test_a_dead_letter_outlives_its_time_in_the_inbox(resources: dict[str, dict[str, Any]]) -> None:
    inbox, dead = (resources[name]["MessageRetentionPeriod"] for name in ("Inbox", "DeadLetters"))
    assert dead >= inbox == FOURTEEN_DAYS


def test_the_age_alarm_is_later_than_any_take_over_and_earlier_than_staleness(
    resources: dict[str, dict[str, Any]],
) -> None:
    alarm = resources["OldestRequestWaits"]
    fires_after = alarm["Threshold"] + alarm["Period"] * alarm["EvaluationPeriods"]
    assert alarm["Threshold"] > resources["Inbox"]["VisibilityTimeout"] + 1.25 * LEASE_SECONDS
    assert fires_after < REQUEST_MAX_AGE
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"GetAtt": "Inbox.QueueName"}}]


def test_the_first_dead_letter_is_an_alarm(resources: dict[str, dict[str, Any]]) -> None:
    alarm = resources["DeadLettersPresent"]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"GetAtt": "DeadLetters.QueueName"}}]


def test_queues_and_table_are_named_after_the_cluster_and_encrypted(
    resources: dict[str, dict[str, Any]],
) -> None:
    for name, key in (("Inbox", "QueueName"), ("DeadLetters", "QueueName"), ("Table", "TableName")):
        assert "${ClusterName}" in resources[name][key]["Sub"]
    assert resources["Inbox"]["SqsManagedSseEnabled"] is True
    assert resources["DeadLetters"]["SqsManagedSseEnabled"] is True
    assert resources["Table"]["SSESpecification"] == {"SSEEnabled": True}


def test_the_table_has_two_sparse_local_indexes_ttl_and_backups(
    resources: dict[str, dict[str, Any]],
) -> None:
    table = resources["Table"]
    keys = {
        index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]]
        for index in table["LocalSecondaryIndexes"]
    }
    assert keys == {"open": ["pk", "open_at"], "by-time": ["pk", "listed_at"]}
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
    assert {one["Projection"]["ProjectionType"] for one in table["LocalSecondaryIndexes"]} == {"ALL"}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


@pytest.mark.parametrize(("policy", "actions"), [("IngestPolicy", INGEST), ("WorkerPolicy", WORKER)])
def test_a_policy_allows_exactly_these_calls(
    resources: dict[str, dict[str, Any]], policy: str, actions: set[str]
) -> None:
    found = statements(resources, policy)
    assert {action for statement in found for action in listed(statement["Action"])} == actions
    assert {statement["Effect"] for statement in found} == {"Allow"}


@pytest.mark.parametrize("policy", ["IngestPolicy", "WorkerPolicy"])
def test_any_resource_is_allowed_only_where_the_api_has_no_resource_level(
    resources: dict[str, dict[str, Any]], policy: str
) -> None:
    for statement in statements(resources, policy):
        anything = listed(statement["Resource"]) == ["*"]
        assert anything == (set(listed(statement["Action"])) <= WITHOUT_RESOURCE_LEVEL)


def test_only_the_two_groups_by_their_exact_names_can_be_scaled(
    resources: dict[str, dict[str, Any]],
) -> None:
    [scaling] = [one for one in statements(resources, "WorkerPolicy") if one["Sid"] == "ScaleTheTwoGroups"]
    arns = [resource["Sub"] for resource in scaling["Resource"]]
    prefix = "arn:${AWS::Partition}:autoscaling:${AWS::Region}:${AWS::AccountId}:autoScalingGroup:*:"
    assert arns == [f"{prefix}autoScalingGroupName/${{{name}}}" for name in ("ManagerAsgName", "WorkerAsgName")]


def test_group_names_with_wildcards_are_refused(template: dict[str, Any]) -> None:
    for name in ("ManagerAsgName", "WorkerAsgName"):
        pattern = template["Parameters"][name]["AllowedPattern"]
        assert re.fullmatch(pattern, "Docker-NodeAsg-1ABC")
        assert not re.fullmatch(pattern, "Docker-*")


def test_nothing_goes_to_a_queue_over_an_unencrypted_connection(resources: dict[str, dict[str, Any]]) -> None:
    for queue in ("Inbox", "DeadLetters"):
        policy = resources[f"{queue}Policy"]
        [deny, *_] = policy["PolicyDocument"]["Statement"]
        assert policy["Queues"] == [{"Ref": queue}]
        assert (deny["Effect"], deny["Principal"], deny["Action"]) == ("Deny", "*", "sqs:*")
        assert deny["Resource"] == {"GetAtt": f"{queue}.Arn"}
        assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_only_named_topics_and_rules_of_this_account_may_write_to_the_inbox(
    resources: dict[str, dict[str, Any]],
) -> None:
    [_, _own, conditional] = resources["InboxPolicy"]["PolicyDocument"]["Statement"]
    condition, senders, nothing = conditional["If"]
    assert (condition, nothing) == ("WithSenders", {"Ref": "AWS::NoValue"})
    assert (senders["Effect"], senders["Action"]) == ("Allow", "sqs:SendMessage")
    assert senders["Condition"] == {
        "ArnEquals": {"aws:SourceArn": {"Ref": "SenderArns"}},
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
    }


def test_exactly_the_stacks_own_rules_may_write_to_the_inbox_beside_them(
    template: dict[str, Any], resources: dict[str, dict[str, Any]]
) -> None:
    rules = {name for name, one in template["Resources"].items() if one["Type"] == "AWS::Events::Rule"}
    [_, own, _senders] = resources["InboxPolicy"]["PolicyDocument"]["Statement"]
    assert (own["Effect"], own["Action"], own["Resource"]) == ("Allow", "sqs:SendMessage", {"GetAtt": "Inbox.Arn"})
    assert own["Principal"] == {"Service": "events.amazonaws.com"}
    arns = [one["GetAtt"] for one in own["Condition"]["ArnEquals"]["aws:SourceArn"]]
    assert sorted(arns) == sorted(f"{name}.Arn" for name in rules)
    assert own["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    for name in rules:
        assert resources[name]["Targets"] == [{"Id": "inbox", "Arn": {"GetAtt": "Inbox.Arn"}}]
        assert "RoleArn" not in resources[name], "a queue's own policy lets it in"


@pytest.mark.parametrize("policy", ["IngestPolicy", "WorkerPolicy"])
def test_the_managers_role_or_a_user_gets_both_policies(resources: dict[str, dict[str, Any]], policy: str) -> None:
    assert resources[policy]["Roles"] == {"If": ["WithManagerRole", [{"Ref": "ManagerRoleName"}], NOTHING]}
    assert resources[policy]["Users"] == {"If": ["WithUser", [{"Ref": "User"}], NOTHING]}


def test_no_access_key_is_in_the_template(template: dict[str, Any]) -> None:
    assert "AWS::IAM::AccessKey" not in {one["Type"] for one in template["Resources"].values()}


def test_the_reason_for_a_star_is_said_beside_it() -> None:
    lines = TEMPLATE.read_text().splitlines()
    [star] = [number for number, line in enumerate(lines) if line.strip() == 'Resource: "*"']
    assert "no resource level" in " ".join(lines[star - 3 : star])
