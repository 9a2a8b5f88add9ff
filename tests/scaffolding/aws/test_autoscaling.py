"""Auto Scaling groups that behave in time: bounds, launches, terminations, protection, refusals, replacement."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from infra.local.aws import EmbeddedAws
from infra.local.aws.deploy import ZONES
from tests.scaffolding.aws.asg import Asg, refused
from tests.waiting import until


@pytest.fixture
def group(make_group: Callable[..., Asg]) -> Asg:
    """Two protected instances in service, bounds 1 to 4."""
    group = make_group(1, 4, 2)
    group.ready(2)
    return group


def test_desired_capacity_stays_inside_the_groups_bounds(group: Asg) -> None:
    above = "New SetDesiredCapacity value 5 is above max value 4 for the AutoScalingGroup."
    refused(lambda: group.desire(5), "ValidationError", above)
    below = "New SetDesiredCapacity value 0 is below min value 1 for the AutoScalingGroup."
    refused(lambda: group.desire(0), "ValidationError", below)
    assert group.described()["DesiredCapacity"] == 2


def test_an_unknown_group_is_an_empty_list_or_a_validation_error(group: Asg) -> None:
    api, name = group.api, "not-there"
    assert api.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"] == []
    calls: list[Callable[[], Any]] = [
        lambda: api.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=1),
        lambda: api.describe_scaling_activities(AutoScalingGroupName=name),
        lambda: api.describe_instance_refreshes(AutoScalingGroupName=name),
        lambda: api.suspend_processes(AutoScalingGroupName=name),
        lambda: api.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0),
    ]
    for call in calls:
        refused(call, "ValidationError", "AutoScalingGroup name not found")


def test_new_instances_are_pending_then_in_service_over_three_zones(aws: EmbeddedAws, group: Asg) -> None:
    aws.knobs.set(pending_seconds=0.5)
    group.desire(4)
    assert len(group.instances("Pending")) == 2
    assert {group.machine_state(one) for one in group.instances("Pending")} == {"pending"}
    instances = group.ready(4)
    assert {group.machine_state(one) for one in instances} == {"running"}
    zones = Counter(one["AvailabilityZone"][-1] for one in group.described()["Instances"])
    assert sorted(zones) == ["a", "b", "c"]
    assert sorted(zones.values()) == [1, 1, 2]


def test_instances_have_private_names_of_their_own(group: Asg) -> None:
    group.desire(4)
    machines = [group.machine(one) for one in group.ready(4)]
    names = [machine["PrivateDnsName"] for machine in machines]
    assert len(set(names)) == 4
    for name, machine in zip(names, machines, strict=True):
        assert re.fullmatch(r"ip-10-0-\d+-\d+\.ec2\.internal", name)
        assert name.split(".")[0] == "ip-" + machine["PrivateIpAddress"].replace(".", "-")
        assert machine["LaunchTime"]


def test_terminating_with_decrement_takes_exactly_that_instance(aws: EmbeddedAws, group: Asg) -> None:
    aws.knobs.set(terminating_seconds=0.5)
    victim, other = group.instances()
    activity = group.terminate(victim)
    assert activity["Description"] == f"Terminating EC2 instance: {victim}"
    assert activity["StatusCode"] == "InProgress"
    assert (group.instances("Terminating"), group.machine_state(victim)) == ([victim], "shutting-down")
    assert group.described()["DesiredCapacity"] == 1
    assert group.ready(1) == [other]
    assert group.machine_state(victim) == "terminated"


def test_terminating_without_decrement_brings_a_replacement(group: Asg) -> None:
    victim, other = group.instances()
    group.terminate(victim, decrement=False)
    left = group.ready(2)
    assert (victim in left, other in left) == (False, True)


def test_an_unknown_instance_cannot_be_terminated(group: Asg) -> None:
    text = "Instance Id not found - No managed instance found for instance ID: i-0123456789abcdef0"
    refused(lambda: group.terminate("i-0123456789abcdef0"), "ValidationError", text)


def test_the_minimum_is_not_undercut_by_a_termination(group: Asg) -> None:
    group.terminate(group.instances()[0])
    text = "Currently, desiredSize equals minSize (1). Terminating instance without replacement will violate"
    refused(lambda: group.terminate(group.instances()[0]), "ValidationError", text)


def test_terminating_the_same_instance_again_lowers_the_number_again(group: Asg) -> None:
    group.desire(4)
    victim = group.ready(4)[0]
    group.terminate(victim)
    group.terminate(victim)
    assert group.described()["DesiredCapacity"] == 2


def test_a_smaller_number_takes_nothing_that_is_protected(group: Asg) -> None:
    group.desire(1)
    assert len(group.instances()) == 2
    newest = group.activities()[0]
    assert newest["StatusCode"] == "Cancelled"
    assert newest["Description"] == (
        "Could not scale to desired capacity because all remaining instances are protected from scale-in."
    )


def test_a_smaller_number_takes_unprotected_instances_from_the_fullest_zone(
    make_group: Callable[..., Asg],
) -> None:
    group = make_group(0, 6, 4, protect_new=False)
    group.ready(4)
    zones = Counter(one["AvailabilityZone"] for one in group.described()["Instances"])
    fullest = zones.most_common(1)[0][0]
    crowd = {one["InstanceId"] for one in group.described()["Instances"] if one["AvailabilityZone"] == fullest}
    before = set(group.instances())
    group.desire(3)
    [gone] = before - set(group.ready(3))
    assert gone in crowd
    assert "selected for termination" in group.activities()[0]["Cause"]


def test_protection_can_be_taken_and_given(group: Asg) -> None:
    first, second = group.instances()
    group.protect([first], protected=False)
    group.desire(1)
    assert group.ready(1) == [second]
    assert group.described()["Instances"][0]["ProtectedFromScaleIn"] is True


def test_activities_tell_what_happened_newest_first_in_pages(group: Asg) -> None:
    group.desire(3)
    group.ready(3)
    texts = [(one["Description"].split(":")[0], one["StatusCode"]) for one in group.activities()]
    assert texts == [("Launching a new EC2 instance", "Successful")] * 3
    newest = group.activities()[0]
    assert (
        "a user request explicitly set group desired capacity changing the desired capacity from 2 to 3"
        in (newest["Cause"])
    )
    assert newest["EndTime"] >= newest["StartTime"]
    page = group.api.describe_scaling_activities(AutoScalingGroupName=group.name, MaxRecords=2)
    rest = group.api.describe_scaling_activities(AutoScalingGroupName=group.name, NextToken=page["NextToken"])
    ids = [one["ActivityId"] for one in page["Activities"] + rest["Activities"]]
    assert ids == [one["ActivityId"] for one in group.activities()]


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("InsufficientInstanceCapacity", "We currently do not have sufficient t3.micro capacity"),
        ("VcpuLimitExceeded", "You have requested more vCPU capacity than your current vCPU limit"),
        ("The key pair is gone.", "The key pair is gone."),
    ],
)
def test_a_refused_launch_is_tried_again_until_it_is_allowed(
    aws: EmbeddedAws, group: Asg, reason: str, sentence: str
) -> None:
    aws.knobs.set(refuse_launches={group.name: reason})
    group.desire(3)
    failed = until(lambda: [one for one in group.activities() if one["StatusCode"] == "Failed"][1:], "two failures")
    assert sentence in failed[0]["StatusMessage"]
    assert failed[0]["StatusMessage"].endswith("Launching EC2 instance failed.")
    assert failed[0]["Description"].startswith("Launching a new EC2 instance.  Status Reason: ")
    assert (group.described()["DesiredCapacity"], len(group.instances(""))) == (3, 2)
    aws.knobs.set(refuse_launches=None)
    group.ready(3)
    assert group.activities()[0]["StatusCode"] == "Successful"


def test_what_ec2_takes_back_while_it_is_pending_is_cancelled_with_a_reason_and_tried_again(
    aws: EmbeddedAws, group: Asg
) -> None:
    reason = "Client.InvalidKMSKey.InvalidState: The KMS key provided is in an incorrect state"
    aws.knobs.set(kill_launches={group.name: reason}, launch_retry_seconds=0.1)
    group.desire(3)
    killed = until(lambda: [one for one in group.activities() if one["StatusCode"] == "Cancelled"][1:], "two ends")
    message = (
        f"Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: {reason}"
    )
    assert killed[0]["StatusMessage"] == message
    assert killed[0]["Description"].startswith("Launching a new EC2 instance: i-")
    assert killed[0]["Description"].endswith(f".  Status Reason: {message}")
    assert "Failed" not in {one["StatusCode"] for one in group.activities()}
    aws.knobs.set(kill_launches=None)
    group.ready(3)


def test_an_instance_that_ec2_takes_is_replaced(group: Asg) -> None:
    victim, other = group.instances()
    group.ec2.terminate_instances(InstanceIds=[victim])
    until(lambda: victim not in group.instances("") and len(group.instances()) == 2, "a successor")
    assert other in group.instances()
    causes = [one["Cause"] for one in group.activities() if one["Description"].startswith("Terminating")]
    assert "EC2 health check indicating it has been terminated or stopped" in causes[0]
    assert group.described()["DesiredCapacity"] == 2


def test_rebalancing_moves_an_unprotected_instance_to_the_empty_zone(
    aws: EmbeddedAws, make_group: Callable[..., Asg]
) -> None:
    group = make_group(0, 6, 6, protect_new=False)
    group.ready(6)
    for one in group.described()["Instances"]:
        if one["AvailabilityZone"] == ZONES[0]:
            group.terminate(one["InstanceId"])
    before = set(group.ready(4))
    aws.incidents.rebalance_zones(group.name)
    until(lambda: len(before - set(group.instances(""))) == 1, "the end of one")
    group.ready(4)
    zones = Counter(one["AvailabilityZone"][-1] for one in group.described()["Instances"])
    assert zones == {"a": 1, "b": zones["b"], "c": 3 - zones["b"]}


def test_rebalancing_leaves_protected_instances_alone(aws: EmbeddedAws, group: Asg) -> None:
    before = group.instances()
    aws.incidents.rebalance_zones(group.name)
    assert group.instances("") == before


def test_an_unhealthy_instance_is_replaced(group: Asg) -> None:
    victim = group.instances()[0]
    group.api.set_instance_health(InstanceId=victim, HealthStatus="Unhealthy")
    until(lambda: victim not in group.instances("") and len(group.instances()) == 2, "a successor")


def test_a_suspended_launch_waits_for_its_resumption(group: Asg) -> None:
    group.suspend("Launch")
    suspended = group.described()["SuspendedProcesses"]
    assert [one["ProcessName"] for one in suspended] == ["Launch"]
    group.desire(3)
    assert len(group.instances("")) == 2
    group.resume("Launch")
    group.ready(3)


def test_a_suspended_termination_takes_nothing(make_group: Callable[..., Asg]) -> None:
    group = make_group(0, 4, 2, protect_new=False)
    first = group.ready(2)[0]
    group.suspend("Terminate")
    group.desire(1)
    refused(lambda: group.terminate(first), "ValidationError", "suspended")
    assert len(group.instances()) == 2
    group.resume("Terminate")
    group.ready(1)


def test_an_update_moves_desired_capacity_into_the_new_bounds(group: Asg) -> None:
    group.api.update_auto_scaling_group(AutoScalingGroupName=group.name, MinSize=3, MaxSize=5)
    assert group.described()["DesiredCapacity"] == 3
    group.ready(3)
    text = "Desired capacity:9 must be between the specified min size:3 and max size:5"
    refused(
        lambda: group.api.update_auto_scaling_group(AutoScalingGroupName=group.name, DesiredCapacity=9),
        "ValidationError",
        text,
    )


def test_an_instance_refresh_is_shown_while_it_runs(group: Asg) -> None:
    started = group.api.start_instance_refresh(AutoScalingGroupName=group.name)["InstanceRefreshId"]
    [shown] = group.api.describe_instance_refreshes(AutoScalingGroupName=group.name)["InstanceRefreshes"]
    assert (shown["InstanceRefreshId"], shown["Status"]) == (started, "InProgress")
    refused(
        lambda: group.api.start_instance_refresh(AutoScalingGroupName=group.name),
        "InstanceRefreshInProgress",
        "already in progress",
    )
    group.api.cancel_instance_refresh(AutoScalingGroupName=group.name)
    [shown] = group.api.describe_instance_refreshes(AutoScalingGroupName=group.name)["InstanceRefreshes"]
    assert shown["Status"] == "Cancelled"


def test_describe_may_lag(aws: EmbeddedAws, group: Asg) -> None:
    aws.knobs.set(describe_lag_seconds=0.5)
    group.desire(3)
    assert group.described()["DesiredCapacity"] == 2
    until(lambda: group.described()["DesiredCapacity"] == 3, "the new capacity")
    group.ready(3)


def test_a_group_with_instances_is_deleted_only_by_force(group: Asg) -> None:
    refused(
        lambda: group.api.delete_auto_scaling_group(AutoScalingGroupName=group.name),
        "ResourceInUse",
        "You cannot delete an AutoScalingGroup while there are instances",
    )
