"""Descriptions of the embedded AWS: moto's answers, at the cost of what has changed since the last one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from moto.autoscaling.models import autoscaling_backends
from moto.core.responses import ActionContext
from moto.ec2.models import ec2_backends

from infra.local.aws import REGION, EmbeddedAws, descriptions
from tests.scaffolding.aws.asg import Asg

Written = list[str]


@pytest.fixture
def ec2(aws: EmbeddedAws) -> Any:
    return aws.session().client("ec2")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    """The instances whose description was written anew, in order."""
    found: Written = []
    write = descriptions._item

    def noted(reservation: Any, context: ActionContext) -> str:
        found.extend(instance.id for instance in reservation.instances)
        return write(reservation, context)

    monkeypatch.setattr(descriptions, "_item", noted)
    return found


def described(ec2: Any, instance_id: str) -> dict[str, Any]:
    [reservation] = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    found: dict[str, Any] = reservation["Instances"][0]
    return found


def test_an_instance_is_written_once_and_again_when_it_has_changed(still: Asg, ec2: Any, written: Written) -> None:
    first, second = still.instances()
    for _ in range(2):
        assert {described(ec2, each)["InstanceId"] for each in (first, second)} == {first, second}
    assert sorted(written) == sorted([first, second])
    written.clear()
    still.terminate(first)
    assert described(ec2, first)["State"]["Name"] == "shutting-down"
    assert described(ec2, second)["State"]["Name"] == "running"
    assert written == [first]


CHANGES: dict[str, Callable[[Any, str], Any]] = {
    "a tag more": lambda ec2, one: ec2.create_tags(Resources=[one], Tags=[{"Key": "colour", "Value": "red"}]),
    "a tag less": lambda ec2, one: ec2.delete_tags(Resources=[one], Tags=[{"Key": "Name"}]),
    "stopped": lambda ec2, one: ec2.stop_instances(InstanceIds=[one]),
    "an attribute": lambda ec2, one: ec2.modify_instance_attribute(InstanceId=one, SourceDestCheck={"Value": False}),
    "an address": lambda ec2, one: ec2.associate_address(
        InstanceId=one, AllocationId=ec2.allocate_address(Domain="vpc")["AllocationId"]
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_is_kept_is_never_older_than_the_instance(
    aws: EmbeddedAws, still: Asg, ec2: Any, change: Callable[[Any, str], Any]
) -> None:
    instance_id = still.instances()[0]
    before = described(ec2, instance_id)
    change(ec2, instance_id)
    after = described(ec2, instance_id)
    assert after != before
    ec2_backends[aws.account_id][REGION].descriptions.all_changed()
    assert described(ec2, instance_id) == after


def test_unknown_instances_are_an_error_and_an_empty_answer_is_one(ec2: Any, still: Asg) -> None:
    with pytest.raises(ec2.exceptions.ClientError, match=r"InvalidInstanceID\.NotFound"):
        ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"])
    named = [{"Name": "instance-id", "Values": ["i-0123456789abcdef0"]}]
    assert ec2.describe_instances(Filters=named)["Reservations"] == []


def test_pages_are_what_was_asked_for(ec2: Any, still: Asg) -> None:
    of_the_group = [{"Name": "tag:aws:autoscaling:groupName", "Values": [still.name]}]
    pages = list(ec2.get_paginator("describe_instances").paginate(Filters=of_the_group, MaxResults=1))
    found = [one["InstanceId"] for page in pages for each in page["Reservations"] for one in each["Instances"]]
    assert (len(pages), sorted(found)) == (2, sorted(still.instances()))


def test_a_group_shows_its_members_as_they_are(aws: EmbeddedAws, still: Asg) -> None:
    """What is kept of a member is never older than the member, and says no less than moto does."""
    members = autoscaling_backends[aws.account_id][REGION].members
    first, second = still.instances()
    for change in (
        lambda: None,
        lambda: still.protect([first], protected=False),
        lambda: still.api.set_instance_health(InstanceId=second, HealthStatus="Unhealthy"),
        lambda: still.terminate(first),
        lambda: still.desire(3),
    ):
        change()
        shown = still.described()["Instances"]
        members.clear()
        assert still.described()["Instances"] == shown
    shown = still.described()["Instances"]
    assert still.states()[first] == "Terminating"
    assert len(shown) == len(members[still.name]) == 4
    assert {one["LaunchTemplate"]["LaunchTemplateName"] for one in shown} == {still.name}


def test_only_a_member_that_has_changed_is_written_anew(still: Asg, monkeypatch: pytest.MonkeyPatch) -> None:
    still.described()
    written: list[str] = []
    write = descriptions._member_items

    def noted(group: Any, states: Any, context: ActionContext) -> list[str]:
        written.extend(state.instance_id for state in states)
        return write(group, states, context)

    monkeypatch.setattr(descriptions, "_member_items", noted)
    first = still.instances()[0]
    still.protect([first], protected=False)
    assert not next(one for one in still.described()["Instances"] if one["InstanceId"] == first)["ProtectedFromScaleIn"]
    assert written == [first]
