"""Lifecycle hooks of the emulated groups: whom they hold, for how long, and what becomes of him. On skipped time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from infra.local.aws import EmbeddedAws
from tests.scaffolding.aws.asg import Asg, refused
from tests.scaffolding.aws.conftest import STEP

Inbox = Callable[[], list[dict[str, Any]]]
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def newcomer(group: Asg) -> str:
    """The instance that is not in service."""
    [instance] = [one for one, state in group.states().items() if state != "InService"]
    return instance


@pytest.fixture
def launched(aws: EmbeddedAws, still: Asg) -> str:
    """An instance that a launch hook holds for 300 s at a time; its default result is CONTINUE."""
    still.put_hook("scaler-launch", "LAUNCHING", HeartbeatTimeout=300, DefaultResult="CONTINUE")
    still.desire(3)
    aws.skip(STEP)
    return newcomer(still)


@pytest.fixture
def leaving(still: Asg) -> str:
    """An instance that a terminate hook holds."""
    still.put_hook("scaler-terminate", "TERMINATING", HeartbeatTimeout=300, DefaultResult="CONTINUE")
    leaving = still.instances()[0]
    still.terminate(leaving)
    return leaving


def test_a_launch_hook_holds_an_instance_until_it_is_completed(aws: EmbeddedAws, still: Asg, launched: str) -> None:
    assert still.states()[launched] == "Pending:Wait"
    assert still.machine_state(launched) == "running"
    assert still.activities()[0]["StatusCode"] == "MidLifecycleAction"
    still.complete("scaler-launch", InstanceId=launched)
    assert still.states()[launched] == "Pending:Proceed"
    aws.skip(STEP)
    assert still.states()[launched] == "InService"
    assert still.activities()[0]["StatusCode"] == "Successful"


def test_an_instance_is_protected_when_it_is_in_service_and_cannot_be_before(
    aws: EmbeddedAws, still: Asg, launched: str
) -> None:
    def protected() -> bool:
        [found] = [one for one in still.described()["Instances"] if one["InstanceId"] == launched]
        return bool(found["ProtectedFromScaleIn"])

    assert not protected()
    refused(lambda: still.protect([launched], protected=True), "ValidationError", "is not in InService")
    still.complete("scaler-launch", InstanceId=launched)
    aws.skip(STEP)
    assert protected()


def test_an_abandoned_launch_is_ended_replaced_and_shown_as_cancelled_with_the_reason(
    aws: EmbeddedAws, still: Asg, launched: str
) -> None:
    still.complete("scaler-launch", "ABANDON", InstanceId=launched)
    states = still.states()
    assert states.pop(launched) == "Terminating"
    assert sorted(states.values()) == ["InService", "InService", "Pending"]
    [cancelled] = [one for one in still.activities() if one["StatusCode"] == "Cancelled"]
    text = r"Instance failed to complete user's Lifecycle Action: Lifecycle Action with token \S+ was abandoned: "
    assert re.fullmatch(text + "Lifecycle Action Completed with ABANDON Result", cancelled["StatusMessage"])
    assert cancelled["Description"].startswith(f"Launching a new EC2 instance: {launched}.  Status Reason: ")
    aws.skip(STEP)
    assert launched not in still.states()


@pytest.mark.parametrize(("default", "becomes"), [("CONTINUE", "Pending:Proceed"), ("ABANDON", "Terminating")])
def test_a_launch_that_nobody_completes_gets_the_hooks_default_result(
    aws: EmbeddedAws, still: Asg, default: str, becomes: str
) -> None:
    still.put_hook("own", "LAUNCHING", HeartbeatTimeout=300, DefaultResult=default)
    still.desire(3)
    aws.skip(STEP)
    held = newcomer(still)
    aws.skip(298)
    assert still.states()[held] == "Pending:Wait"
    aws.skip(3)
    assert still.states()[held] == becomes


def test_a_terminate_hook_holds_the_machine_until_it_is_completed(aws: EmbeddedAws, still: Asg, leaving: str) -> None:
    assert (still.states()[leaving], still.machine_state(leaving)) == ("Terminating:Wait", "running")
    assert still.described()["DesiredCapacity"] == 1
    assert still.activities()[0]["StatusCode"] == "MidLifecycleAction"
    still.complete("scaler-terminate", InstanceId=leaving)
    assert (still.states()[leaving], still.machine_state(leaving)) == ("Terminating:Proceed", "running")
    aws.skip(STEP)
    assert still.machine_state(leaving) == "shutting-down"
    aws.skip(STEP)
    assert leaving not in still.states()
    assert still.activities()[0]["StatusCode"] == "Successful"


@pytest.mark.parametrize("result", ["CONTINUE", "ABANDON"])
def test_either_result_ends_an_instance_that_is_leaving(still: Asg, leaving: str, result: str) -> None:
    still.complete("scaler-terminate", result, InstanceId=leaving)
    assert still.states()[leaving] == "Terminating:Proceed"


def test_a_heartbeat_begins_the_time_out_anew(aws: EmbeddedAws, still: Asg, leaving: str) -> None:
    for _ in range(3):
        aws.skip(200)
        still.heartbeat("scaler-terminate", InstanceId=leaving)
    aws.skip(298)
    assert still.states()[leaving] == "Terminating:Wait"
    aws.skip(3)
    assert still.states()[leaving] == "Terminating:Proceed"


@pytest.mark.parametrize(("timeout", "longest"), [(30, 3000), (7200, 172_800)])
def test_heartbeats_hold_for_a_hundred_time_outs_or_48_hours(
    aws: EmbeddedAws, still: Asg, timeout: int, longest: int
) -> None:
    still.put_hook("own", "TERMINATING", HeartbeatTimeout=timeout)
    [hook] = still.api.describe_lifecycle_hooks(AutoScalingGroupName=still.name)["LifecycleHooks"]
    assert hook["GlobalTimeout"] == longest
    leaving = still.instances()[0]
    still.terminate(leaving)
    step = timeout - 2
    for _ in range(longest // step):
        aws.skip(step)
        still.heartbeat("own", InstanceId=leaving)
    assert still.states()[leaving] == "Terminating:Wait"
    aws.skip(longest - longest // step * step + 1)
    assert still.states()[leaving] == "Terminating:Proceed"


def test_an_action_is_found_by_its_token_and_one_that_is_over_is_refused_as_aws_does(
    still: Asg, leaving: str, inbox: Inbox, queue_arn: str
) -> None:
    still.put_hook("told", "TERMINATING", NotificationTargetARN=queue_arn, RoleARN="arn:aws:iam::1:role/own")
    other = still.instances()[0]
    still.terminate(other, decrement=False)
    token = inbox()[-1]["LifecycleActionToken"]
    text = f"No active Lifecycle Action found with instance ID {leaving}"
    refused(lambda: still.complete("told", InstanceId=leaving), "ValidationError", text)
    still.heartbeat("told", LifecycleActionToken=token)
    still.complete("told", LifecycleActionToken=token)
    text = f"No active Lifecycle Action found with token {token}"
    refused(lambda: still.complete("told", LifecycleActionToken=token), "ValidationError", text)
    refused(lambda: still.heartbeat("told", LifecycleActionToken=token), "ValidationError", text)


def test_continue_leaves_the_other_hooks_their_time_and_abandon_ends_them(still: Asg, leaving: str) -> None:
    still.put_hook("second", "TERMINATING")
    other = still.instances()[0]
    still.terminate(other, decrement=False)
    still.complete("scaler-terminate", InstanceId=other)
    assert still.states()[other] == "Terminating:Wait"
    still.complete("second", InstanceId=other)
    assert still.states()[other] == "Terminating:Proceed"
    assert still.states()[leaving] == "Terminating:Wait", "a hook holds only those that begin to go after it"
    still.complete("scaler-terminate", "ABANDON", InstanceId=leaving)
    assert still.states()[leaving] == "Terminating:Proceed"


def test_one_that_waits_for_its_launch_may_be_ended_and_then_waits_for_nobody(
    aws: EmbeddedAws, still: Asg, launched: str
) -> None:
    still.terminate(launched)
    assert still.states()[launched] == "Terminating"
    text = f"No active Lifecycle Action found with instance ID {launched}"
    refused(lambda: still.complete("scaler-launch", InstanceId=launched), "ValidationError", text)
    aws.skip(1000)
    assert len(still.states()) == 2


def test_a_dead_machine_is_told_of_and_waited_for_like_a_living_one(aws: EmbeddedAws, still: Asg) -> None:
    still.put_hook("scaler-terminate", "TERMINATING", HeartbeatTimeout=300)
    dead = still.instances()[0]
    still.ec2.terminate_instances(InstanceIds=[dead])
    aws.skip(STEP)
    assert (still.states()[dead], still.machine_state(dead)) == ("Terminating:Wait", "terminated")
    still.complete("scaler-terminate", InstanceId=dead)
    aws.skip(2 * STEP)
    assert dead not in still.states()


def test_a_hook_is_deleted_with_what_waits_for_it(aws: EmbeddedAws, still: Asg, launched: str) -> None:
    still.put_hook("scaler-terminate", "TERMINATING")
    leaving = still.instances()[0]
    still.terminate(leaving)
    for hook in ("scaler-launch", "scaler-terminate"):
        still.api.delete_lifecycle_hook(AutoScalingGroupName=still.name, LifecycleHookName=hook)
        expected = "Terminating:Wait" if hook == "scaler-launch" else "Terminating:Proceed"
        assert still.states() == {**still.states(), launched: expected, leaving: expected}
    assert still.api.describe_lifecycle_hooks(AutoScalingGroupName=still.name)["LifecycleHooks"] == []


def test_a_group_is_deleted_without_waiting_for_its_hooks(still: Asg, leaving: str) -> None:
    still.api.delete_auto_scaling_group(AutoScalingGroupName=still.name, ForceDelete=True)
    assert still.machine_state(leaving) == "shutting-down"
    still.api.create_auto_scaling_group(
        AutoScalingGroupName=still.name,
        MinSize=0,
        MaxSize=0,
        AvailabilityZones=["ca-west-1a"],
        LaunchTemplate={"LaunchTemplateName": still.name, "Version": "$Latest"},
    )


def test_hooks_are_shown_with_awss_defaults_and_refused_outside_its_limits(still: Asg) -> None:
    still.put_hook("own", "TERMINATING")
    [hook] = still.api.describe_lifecycle_hooks(AutoScalingGroupName=still.name)["LifecycleHooks"]
    assert hook == {
        "LifecycleHookName": "own",
        "AutoScalingGroupName": still.name,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": 3600,
        "GlobalTimeout": 172_800,
        "DefaultResult": "ABANDON",
    }
    for wrong in ({"HeartbeatTimeout": 29}, {"HeartbeatTimeout": 7201}, {"DefaultResult": "STOP"}):
        with pytest.raises(still.api.exceptions.ClientError, match="ValidationError"):
            still.put_hook("own", "TERMINATING", **wrong)
    fifo = {"NotificationTargetARN": "arn:aws:sqs:ca-west-1:1:own.fifo", "RoleARN": "arn:aws:iam::1:role/own"}
    refused(lambda: still.put_hook("own", "TERMINATING", **fifo), "ValidationError", "FIFO")


def test_a_hook_with_a_target_tells_it_once_that_it_is_there_and_then_of_each_action(
    still: Asg, aws: EmbeddedAws, inbox: Inbox, queue_arn: str
) -> None:
    target = {"NotificationTargetARN": queue_arn, "RoleARN": "arn:aws:iam::1:role/own", "NotificationMetadata": "mine"}
    still.put_hook("direct", "TERMINATING", **target)
    [test] = inbox()
    assert (test["Event"], test["AutoScalingGroupName"]) == ("autoscaling:TEST_NOTIFICATION", still.name)
    assert test.keys() == fields("test_notification")
    leaving = still.instances()[0]
    still.terminate(leaving)
    [told] = inbox()
    assert told.keys() == fields("terminate_hook_direct")
    assert UUID.fullmatch(told["LifecycleActionToken"])
    assert (told["EC2InstanceId"], told["NotificationMetadata"]) == (leaving, "mine")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["Time"])


def test_a_topic_as_target_wraps_it(still: Asg, aws: EmbeddedAws, inbox: Inbox, queue_arn: str) -> None:
    sns = aws.session().client("sns")
    topic = sns.create_topic(Name=still.name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    still.put_hook("direct", "TERMINATING", NotificationTargetARN=topic, RoleARN="arn:aws:iam::1:role/own")
    [envelope] = inbox()
    assert envelope["Type"] == "Notification"
    assert json.loads(envelope["Message"])["Event"] == "autoscaling:TEST_NOTIFICATION"


def fields(name: str) -> set[str]:
    """The fields of such a message."""
    hook = ("LifecycleActionToken", "LifecycleHookName", "EC2InstanceId", "LifecycleTransition")
    way = ("NotificationMetadata", "Origin", "Destination")
    every = {"AutoScalingGroupName", "AccountId", "RequestId", "Service", "Time"}
    return every | ({"Event", "AutoScalingGroupARN"} if name == "test_notification" else {*hook, *way})
