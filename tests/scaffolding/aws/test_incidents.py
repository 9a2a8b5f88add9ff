"""What the emulated AWS does by itself, and what EventBridge tells of it. On skipped time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.local.aws import EmbeddedAws
from infra.local.aws.eventbridge import allows
from tests.scaffolding.aws.asg import Asg
from tests.scaffolding.aws.conftest import STEP, Listen

Inbox = Callable[[], list[dict[str, Any]]]
EVERYTHING: dict[str, Any] = {"source": ["aws.ec2", "aws.autoscaling", "aws.health"]}
ENVELOPE = {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Each event's kind, with its state or instance where it has one."""
    found = [(one["detail-type"], one["detail"]) for one in events]
    return [(kind.removeprefix("EC2 "), detail.get("state", "")) for kind, detail in found]


def test_hooks_are_told_to_whoever_listens_for_the_group(
    aws: EmbeddedAws, still: Asg, inbox: Inbox, listen: Listen
) -> None:
    own = {"source": ["aws.autoscaling"], "detail": {"AutoScalingGroupName": [still.name]}}
    listen(own)
    for name, transition in (("scaler-launch", "LAUNCHING"), ("scaler-terminate", "TERMINATING")):
        still.put_hook(name, transition, HeartbeatTimeout=300, DefaultResult="CONTINUE")
    still.terminate(still.instances()[0], decrement=False)
    aws.skip(STEP)
    terminate, launch = inbox()
    assert terminate.keys() == launch.keys() == ENVELOPE
    assert terminate["detail-type"] == "EC2 Instance-terminate Lifecycle Action"
    assert launch["detail-type"] == "EC2 Instance-launch Lifecycle Action"
    arn = still.described()["AutoScalingGroupARN"]
    assert terminate["resources"] == launch["resources"] == [arn]
    assert (launch["account"], launch["region"]) == (aws.account_id, "ca-west-1")
    ways = [(one["detail"]["Origin"], one["detail"]["Destination"]) for one in (terminate, launch)]
    assert ways == [("AutoScalingGroup", "EC2"), ("EC2", "AutoScalingGroup")]
    for one in (terminate, launch):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one["time"])
        still.complete(one["detail"]["LifecycleHookName"], LifecycleActionToken=one["detail"]["LifecycleActionToken"])


def test_nothing_is_sent_to_a_queue_whose_policy_does_not_name_the_rule(
    aws: EmbeddedAws, still: Asg, inbox: Inbox, listen: Listen
) -> None:
    listen(EVERYTHING, allowed=False)
    aws.incidents.recommend_rebalance(still.instances()[0])
    assert inbox() == []


@pytest.mark.parametrize(
    ("change", "sends"),
    [
        ({}, True),
        ({"Effect": "Deny"}, False),
        ({"Principal": {"Service": "sns.amazonaws.com"}}, False),
        ({"Action": "sqs:ReceiveMessage"}, False),
        ({"Action": "sqs:*"}, True),
        ({"Condition": {"ArnEquals": {"aws:SourceArn": "another"}}}, False),
        ({"Condition": {"StringEquals": {"aws:SourceAccount": "2"}}}, False),
        ({"Condition": {"Bool": {"aws:SecureTransport": False}}}, False),
    ],
)
def test_a_statement_lets_in_whom_it_names(change: dict[str, Any], sends: bool) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]},
        "Action": ["sqs:SendMessage"],
        "Condition": {"ArnEquals": {"aws:SourceArn": ["rule"]}, "StringEquals": {"aws:SourceAccount": "1"}},
    }
    assert allows({"Statement": [statement | change]}, "rule", "1") is sends


def test_a_denial_beats_what_is_allowed() -> None:
    allowed = {"Effect": "Allow", "Principal": "*", "Action": "sqs:*"}
    secure = {"Bool": {"aws:SecureTransport": "false"}}
    assert allows({"Statement": [allowed, {**allowed, "Effect": "Deny", "Condition": secure}]}, "rule", "1")
    assert not allows({"Statement": [allowed, {**allowed, "Effect": "Deny"}]}, "rule", "1")


def test_a_spot_instance_is_warned_of_then_taken_and_replaced_when_the_group_notices(
    aws: EmbeddedAws, still: Asg, inbox: Inbox, listen: Listen
) -> None:
    listen(EVERYTHING)
    spot = still.instances()[0]
    zone = next(one["AvailabilityZone"] for one in still.described()["Instances"] if one["InstanceId"] == spot)
    aws.incidents.interrupt(spot)
    [warning] = inbox()
    assert warning["detail"] == {"instance-id": spot, "instance-action": "terminate"}
    assert warning["resources"] == [f"arn:aws:ec2:{zone}:instance/{spot}"]
    aws.skip(119)
    assert (still.machine_state(spot), inbox()) == ("running", [])
    aws.skip(2)
    assert (still.machine_state(spot), still.states()[spot]) == ("shutting-down", "InService")
    assert kinds(inbox()) == [("Instance State-change Notification", "shutting-down")]
    aws.skip(STEP)
    assert still.states()[spot] == "Terminating"
    aws.skip(3 * STEP)
    assert spot not in still.ready(2)
    states = [state for _, state in kinds(inbox())]
    assert (sorted(states), states.index("pending") < states.index("running")) == (
        ["pending", "running", "terminated"],
        True,
    )


def test_a_notice_may_be_shorter(aws: EmbeddedAws, still: Asg) -> None:
    spot = still.instances()[0]
    aws.incidents.interrupt(spot, timedelta(seconds=5))
    aws.skip(6)
    assert still.machine_state(spot) == "shutting-down"


def test_a_recommendation_is_told_and_nothing_else(aws: EmbeddedAws, still: Asg, inbox: Inbox, listen: Listen) -> None:
    listen(EVERYTHING)
    spot = still.instances()[0]
    aws.incidents.recommend_rebalance(spot)
    assert [(one["detail-type"], one["detail"]) for one in inbox()] == [
        ("EC2 Instance Rebalance Recommendation", {"instance-id": spot})
    ]
    aws.skip(1000)
    assert still.ready(2)


def test_with_capacity_rebalancing_the_successor_comes_first_and_the_instance_goes_through_its_hook(
    aws: EmbeddedAws, still: Asg
) -> None:
    still.put_hook("scaler-terminate", "TERMINATING")
    still.api.update_auto_scaling_group(AutoScalingGroupName=still.name, CapacityRebalance=True)
    spot = still.instances()[0]
    aws.incidents.recommend_rebalance(spot)
    aws.incidents.interrupt(spot, timedelta(hours=1))
    assert sorted(still.states().values()) == ["InService", "InService", "Pending"]
    aws.skip(STEP)
    assert still.states()[spot] == "Terminating:Wait"
    assert len(still.instances()) == 2
    assert still.described()["DesiredCapacity"] == 2


def test_a_retirement_is_announced_by_health_with_its_date(
    aws: EmbeddedAws, still: Asg, inbox: Inbox, listen: Listen
) -> None:
    listen(EVERYTHING)
    old = still.instances()[0]
    aws.incidents.retire(old, timedelta(days=3))
    [event] = inbox()
    detail = event["detail"]
    assert (event["source"], detail["service"], detail["eventTypeCategory"]) == ("aws.health", "EC2", "scheduledChange")
    assert (detail["statusCode"], detail["backupEvent"]) == ("open", "false")
    assert [one["entityValue"].rpartition("/")[2] for one in detail["affectedEntities"]] == [old]
    start = datetime.strptime(detail["startTime"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    assert timedelta(days=2, hours=23) < start - datetime.now(UTC) <= timedelta(days=3)
    assert still.machine_state(old) == "running"


def test_stopping_and_starting_is_told(still: Asg, inbox: Inbox, listen: Listen) -> None:
    listen({"detail-type": ["EC2 Instance State-change Notification"], "detail": {"state": ["stopping", "stopped"]}})
    stopped = still.instances()[0]
    still.ec2.stop_instances(InstanceIds=[stopped])
    assert [(one["detail"]["instance-id"], one["detail"]["state"]) for one in inbox()] == [
        (stopped, "stopping"),
        (stopped, "stopped"),
    ]


def test_what_there_is_not_is_said(aws: EmbeddedAws, still: Asg) -> None:
    gone = still.instances()[0]
    still.ec2.terminate_instances(InstanceIds=[gone])
    for instance in (gone, "i-00000000000000000"):
        with pytest.raises(ValueError, match=f"there is no living instance {instance}"):
            aws.incidents.interrupt(instance)
    with pytest.raises(ValueError, match="there is no group nobody; there are: .*" + still.name):
        aws.incidents.refresh("nobody")
