"""scaler.yaml deploys as written: the stack, over the embedded AWS, is what the template says."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from infra.local.aws import REGION, EmbeddedAws, deploy
from infra.local.aws.eventbridge import emit
from infra.local.aws.world import world_of
from infra.local.scaling import messages
from infra.local.scaling.messages import Event
from tests.unit.cloudformation.templates import listed
from tests.unit.cloudformation.test_scaler_template import FOURTEEN_DAYS, OUTPUTS, TEMPLATE, WORKER

PLACE = messages.Place("123456789012", REGION)
ENDING = ("stopping", "stopped", "shutting-down", "terminated")


def changed(event: Event, **detail: str) -> Event:
    """The same with another detail."""
    return {**event, "detail": {**event["detail"], **detail}}


def test_the_stack_deploys_as_written_and_several_clusters_live_side_by_side(aws: EmbeddedAws) -> None:
    outputs = deploy(aws.session())
    assert outputs.keys() >= OUTPUTS
    other = deploy(aws.session(), cluster="second")
    assert not set(outputs.values()) & set(other.values())


def test_the_deployed_queues_and_table_have_the_templates_settings(aws: EmbeddedAws) -> None:
    outputs = deploy(aws.session(), cluster="settings")
    sqs, dynamodb = aws.session().client("sqs"), aws.session().client("dynamodb")
    inbox = sqs.get_queue_attributes(QueueUrl=outputs["QueueUrl"], AttributeNames=["All"])["Attributes"]
    assert (inbox["VisibilityTimeout"], inbox["MessageRetentionPeriod"]) == ("30", str(FOURTEEN_DAYS))
    redrive = json.loads(inbox["RedrivePolicy"])
    assert redrive == {"deadLetterTargetArn": outputs["DeadLetterQueueArn"], "maxReceiveCount": 20}
    ttl = dynamodb.describe_time_to_live(TableName=outputs["TableName"])["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


def test_the_deployed_policies_are_the_templates(aws: EmbeddedAws) -> None:
    iam = aws.session().client("iam")
    arn = deploy(aws.session(), cluster="policies")["WorkerPolicyArn"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    allowed = {action for one in document["Statement"] for action in listed(one["Action"])}
    assert allowed == WORKER


def test_the_alarms_are_deployed(aws: EmbeddedAws) -> None:
    deploy(aws.session(), cluster="alarms")
    found = aws.session().client("cloudwatch").describe_alarms(AlarmNamePrefix="docker-scaler-alarms")
    names = {alarm["AlarmName"] for alarm in found["MetricAlarms"]}
    assert names == {"docker-scaler-alarms-dead-letters", "docker-scaler-alarms-oldest-request"}


def test_the_instance_profile_variant_deploys_and_the_stack_can_be_deleted(aws: EmbeddedAws) -> None:
    cloudformation, iam = aws.session().client("cloudformation"), aws.session().client("iam")
    iam.create_role(RoleName="managers", AssumeRolePolicyDocument="{}")
    values = {"ClusterName": "roles", "ManagerRoleName": "managers", "AccessKeyUser": "yes"}
    parameters = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    cloudformation.create_stack(
        StackName="roles", TemplateBody=TEMPLATE.read_text(), Parameters=parameters, Capabilities=["CAPABILITY_IAM"]
    )
    described = cloudformation.describe_stacks(StackName="roles")["Stacks"][0]
    outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
    policies = {outputs["IngestPolicyArn"], outputs["WorkerPolicyArn"]}
    for attached in (
        iam.list_attached_role_policies(RoleName="managers"),
        iam.list_attached_user_policies(UserName=outputs["UserName"]),
    ):
        assert {one["PolicyArn"] for one in attached["AttachedPolicies"]} == policies
    for policy in policies:  # AWS does this itself when the stack goes
        iam.detach_role_policy(RoleName="managers", PolicyArn=policy)
        iam.detach_user_policy(UserName=outputs["UserName"], PolicyArn=policy)
    cloudformation.delete_stack(StackName="roles")
    assert "roles" not in {one["StackName"] for one in cloudformation.describe_stacks()["Stacks"]}


def test_the_deployed_queues_refuse_unencrypted_connections(aws: EmbeddedAws) -> None:
    outputs = deploy(aws.session(), cluster="encrypted")
    sqs = aws.session().client("sqs")
    for key in ("QueueUrl", "DeadLetterQueueUrl"):
        policy = sqs.get_queue_attributes(QueueUrl=outputs[key], AttributeNames=["Policy"])["Attributes"]["Policy"]
        [first, *others] = [one["Sid"] for one in json.loads(policy)["Statement"]]
        assert (first, others) == ("EncryptedConnectionsOnly", ["OwnRules"] if key == "QueueUrl" else [])


SOMEBODY_ELSES = "others-NodeAsg"


@pytest.fixture(scope="module")
def told(aws: EmbeddedAws) -> Callable[[Event], bool]:
    """Whether an event of AWS's comes into the inbox of a cluster with the groups `own-*`."""
    outputs = deploy(aws.session(), cluster="told", manager_asg="own-ManagerAsg", worker_asg="own-NodeAsg")
    sqs = aws.session().client("sqs")

    def comes(event: Event) -> bool:
        emit(world_of(aws.account_id), event)
        found = sqs.receive_message(QueueUrl=outputs["QueueUrl"]).get("Messages", [])
        for message in found:
            assert json.loads(message["Body"]) == event
            sqs.delete_message(QueueUrl=outputs["QueueUrl"], ReceiptHandle=message["ReceiptHandle"])
        return bool(found)

    return comes


def hook_event(group: str, transition: str) -> Event:
    detail = messages.lifecycle_detail("token", group, "scaler-terminate", "i-1", transition, None)
    return messages.lifecycle_event(PLACE, "arn:group", detail)


@pytest.mark.parametrize("transition", [messages.LAUNCHING, messages.TERMINATING])
@pytest.mark.parametrize("group", ["own-ManagerAsg", "own-NodeAsg", SOMEBODY_ELSES])
def test_hooks_of_the_two_groups_are_told_and_those_of_others_are_not(
    told: Callable[[Event], bool], group: str, transition: str
) -> None:
    assert told(hook_event(group, transition)) is (group != SOMEBODY_ELSES)


@pytest.mark.parametrize(
    ("event", "comes"),
    [
        (messages.spot_interruption(PLACE, "i-1", "ca-west-1a"), True),
        (messages.rebalance_recommendation(PLACE, "i-1", "ca-west-1a"), True),
        (messages.retirement(PLACE, ["i-1"], timedelta(days=1)), True),
        *((messages.state_change(PLACE, "i-1", state), True) for state in ENDING),
        *((messages.state_change(PLACE, "i-1", state), False) for state in ("pending", "running")),
        ({**messages.spot_interruption(PLACE, "i-1", "x"), "detail-type": "EC2 Spot Instance Request"}, False),
        (changed(messages.retirement(PLACE, ["i-1"], timedelta(days=1)), service="RDS"), False),
        (changed(messages.retirement(PLACE, ["i-1"], timedelta(days=1)), eventTypeCategory="issue"), False),
    ],
)
def test_ends_of_instances_and_what_announces_them_are_told_and_nothing_else(
    told: Callable[[Event], bool], event: Event, comes: bool
) -> None:
    assert told(event) is comes
