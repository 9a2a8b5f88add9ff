"""Instance refreshes of the emulated groups. On skipped time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from infra.local.aws import EmbeddedAws
from tests.scaffolding.aws.asg import Asg, refused
from tests.scaffolding.aws.conftest import STEP, STILL


def refreshes(group: Asg) -> list[dict[str, Any]]:
    answer: dict[str, Any] = group.api.describe_instance_refreshes(AutoScalingGroupName=group.name)
    return answer["InstanceRefreshes"]  # type: ignore[no-any-return]


def start(group: Asg, **preferences: Any) -> None:
    group.api.start_instance_refresh(AutoScalingGroupName=group.name, Preferences=preferences)


def test_a_refresh_replaces_protected_instances_one_at_a_time_through_their_hooks(aws: EmbeddedAws, still: Asg) -> None:
    still.put_hook("scaler-terminate", "TERMINATING", HeartbeatTimeout=7200)
    old = set(still.instances())
    start(still, ScaleInProtectedInstances="Refresh")
    aws.skip(1)
    first, second = sorted(old, key=lambda one: still.states()[one] != "Terminating:Wait")
    assert (still.states()[first], still.states()[second]) == ("Terminating:Wait", "InService")
    aws.skip(STEP)
    assert still.states()[second] == "Terminating:Wait", "the first one's successor is in service"
    assert refreshes(still)[0]["Status"] == "InProgress"
    aws.skip(STEP)
    assert refreshes(still)[0]["Status"] == "Successful"
    assert (refreshes(still)[0]["PercentageComplete"], refreshes(still)[0]["InstancesToUpdate"]) == (100, 0)
    for one in old:
        still.complete("scaler-terminate", InstanceId=one)
    aws.skip(2 * STEP)
    assert not old & set(still.ready(2))


def test_by_default_it_waits_an_hour_for_protected_instances_and_fails(aws: EmbeddedAws, still: Asg) -> None:
    old = still.instances()
    start(still)
    aws.skip(3598)
    assert (refreshes(still)[0]["Status"], still.instances()) == ("InProgress", old)
    aws.skip(3)
    failed = refreshes(still)[0]
    assert (failed["Status"], "protected" in failed["StatusReason"]) == ("Failed", True)
    assert still.instances() == old


def test_it_goes_on_when_the_protection_is_taken_off_within_the_hour(aws: EmbeddedAws, still: Asg) -> None:
    old = still.instances()
    start(still)
    aws.skip(1000)
    still.protect(old, protected=False)
    aws.skip(3 * STEP)
    assert refreshes(still)[0]["Status"] == "Successful"
    assert not set(old) & set(still.instances())


def test_protected_instances_may_be_left_out(aws: EmbeddedAws, still: Asg) -> None:
    kept, replaced = still.instances()
    still.protect([replaced], protected=False)
    start(still, ScaleInProtectedInstances="Ignore")
    aws.skip(3 * STEP)
    assert refreshes(still)[0]["Status"] == "Successful"
    assert (kept in still.instances(), replaced in still.states()) == (True, False)


def test_above_100_percent_the_successor_comes_first(aws: EmbeddedAws, still: Asg) -> None:
    old = still.instances()
    start(still, ScaleInProtectedInstances="Refresh", MinHealthyPercentage=100, MaxHealthyPercentage=150)
    aws.skip(1)
    assert sorted(still.states().values()) == ["InService", "InService", "Pending"]
    aws.skip(STEP)
    assert sorted(still.states().values()) == ["InService", "InService", "Pending", "Terminating"]
    aws.skip(3 * STEP)
    assert refreshes(still)[0]["Status"] == "Successful"
    assert not set(old) & set(still.ready(2))


def test_a_lower_bound_of_health_makes_the_batches_larger(aws: EmbeddedAws, make_group: Callable[..., Asg]) -> None:
    aws.knobs.set(**STILL)
    group = make_group(0, 4, 4)
    aws.skip(STEP)
    start(group, ScaleInProtectedInstances="Refresh", MinHealthyPercentage=50)
    aws.skip(1)
    assert sorted(group.states().values()) == ["InService"] * 2 + ["Pending"] * 2 + ["Terminating"] * 2


def test_a_cancelled_one_replaces_nobody_any_more(aws: EmbeddedAws, still: Asg) -> None:
    start(still, ScaleInProtectedInstances="Refresh")
    aws.skip(1)
    still.api.cancel_instance_refresh(AutoScalingGroupName=still.name)
    left = still.instances()
    aws.skip(1000)
    assert (refreshes(still)[0]["Status"], set(left) <= set(still.instances())) == ("Cancelled", True)


@pytest.mark.parametrize(
    "wrong", [{"ScaleInProtectedInstances": "Keep"}, {"MinHealthyPercentage": 50, "MaxHealthyPercentage": 160}]
)
def test_preferences_that_aws_refuses_are_refused(still: Asg, wrong: dict[str, Any]) -> None:
    refused(lambda: start(still, **wrong), "ValidationError", "must be")
