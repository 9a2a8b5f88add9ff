"""What AWS says about instances, field by field: the events of EventBridge, and what a hook sends to its own target.

Pure: from names to documents. Who gets them is left to others. From AWS's documentation:
https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

Event = dict[str, Any]
Transition = Literal["autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"]
LAUNCHING: Final = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING: Final = "autoscaling:EC2_INSTANCE_TERMINATING"
RETIREMENT: Final = "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED"

_LIFECYCLE: Final[dict[str, str]] = {
    LAUNCHING: "EC2 Instance-launch Lifecycle Action",
    TERMINATING: "EC2 Instance-terminate Lifecycle Action",
}
_WAY: Final[dict[str, tuple[str, str]]] = {
    LAUNCHING: ("EC2", "AutoScalingGroup"),
    TERMINATING: ("AutoScalingGroup", "EC2"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something happens, and when: it stands on every message."""

    account: str
    region: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


def lifecycle_detail(
    token: str, group: str, hook: str, instance_id: str, transition: str, metadata: str | None
) -> dict[str, Any]:
    """What a lifecycle action is, alike in both ways of telling."""
    origin, destination = _WAY[transition]
    detail = {
        "LifecycleActionToken": token,
        "AutoScalingGroupName": group,
        "LifecycleHookName": hook,
        "EC2InstanceId": instance_id,
        "LifecycleTransition": transition,
        "NotificationMetadata": metadata,
        "Origin": origin,
        "Destination": destination,
    }
    return {name: value for name, value in detail.items() if value is not None}


def lifecycle_event(place: Place, group_arn: str, detail: dict[str, Any]) -> Event:
    """As EventBridge tells it."""
    return _event(place, "aws.autoscaling", _LIFECYCLE[detail["LifecycleTransition"]], detail, [group_arn])


def hook_message(place: Place, detail: dict[str, Any]) -> dict[str, Any]:
    """As the hook tells its own target."""
    return {**detail, **_from_the_service(place)}


def test_notification(place: Place, group: str, group_arn: str) -> dict[str, Any]:
    """What comes once where a hook with a target is put."""
    return {
        "AutoScalingGroupName": group,
        "AutoScalingGroupARN": group_arn,
        "Event": "autoscaling:TEST_NOTIFICATION",
        **_from_the_service(place),
    }


def spot_interruption(place: Place, instance_id: str, zone: str) -> Event:
    """Two minutes from its `time` on EC2 takes the instance."""
    detail = {"instance-id": instance_id, "instance-action": "terminate"}
    return _ec2_event(place, "EC2 Spot Instance Interruption Warning", detail, zone)


def rebalance_recommendation(place: Place, instance_id: str, zone: str) -> Event:
    """EC2 is likelier than usual to take the instance soon."""
    return _ec2_event(place, "EC2 Instance Rebalance Recommendation", {"instance-id": instance_id}, zone)


def state_change(place: Place, instance_id: str, state: str) -> Event:
    """An instance is in another state now."""
    detail = {"instance-id": instance_id, "state": state}
    arn = _instance_arn(place, instance_id)
    return _event(place, "aws.ec2", "EC2 Instance State-change Notification", detail, [arn])


def retirement(place: Place, instance_ids: Sequence[str], within: timedelta) -> Event:
    """AWS Health: the machines below these instances are retired then."""
    now = place.now()
    told = now.strftime(_HEALTH_TIME)
    detail = {
        "eventArn": f"arn:aws:health:{place.region}::event/EC2/{RETIREMENT}/{RETIREMENT}_{uuid.uuid4()}",
        "service": "EC2",
        "eventTypeCode": RETIREMENT,
        "eventTypeCategory": "scheduledChange",
        "eventScopeCode": "ACCOUNT_SPECIFIC",
        "communicationId": f"{uuid.uuid4().hex}-1",
        "startTime": (now + within).strftime(_HEALTH_TIME),
        "lastUpdatedTime": told,
        "statusCode": "open",
        "eventRegion": place.region,
        "eventDescription": [{"language": "en_US", "latestDescription": _DEGRADED}],
        "affectedEntities": [
            {"entityValue": _instance_arn(place, one), "lastUpdatedTime": told, "status": "PENDING"}
            for one in instance_ids
        ],
        "affectedAccount": place.account,
        "page": "1",
        "totalPages": "1",
        "backupEvent": "false",
    }
    return _event(place, "aws.health", "AWS Health Event", detail, [_instance_arn(place, one) for one in instance_ids])


_HEALTH_TIME: Final = "%a, %d %b %Y %H:%M:%S GMT"
_DEGRADED: Final = "EC2 has detected degradation of the underlying hardware hosting one or more of your instances."


def _event(place: Place, source: str, kind: str, detail: dict[str, Any], resources: list[str]) -> Event:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": kind,
        "source": source,
        "account": place.account,
        "time": f"{place.now():%Y-%m-%dT%H:%M:%SZ}",
        "region": place.region,
        "resources": resources,
        "detail": detail,
    }


def _ec2_event(place: Place, kind: str, detail: dict[str, Any], zone: str) -> Event:
    """These name the zone in the resource's ARN, and no account."""
    return _event(place, "aws.ec2", kind, detail, [f"arn:aws:ec2:{zone}:instance/{detail['instance-id']}"])


def _instance_arn(place: Place, instance_id: str) -> str:
    return f"arn:aws:ec2:{place.region}:{place.account}:instance/{instance_id}"


def _from_the_service(place: Place) -> dict[str, Any]:
    moment = place.now().isoformat(timespec="milliseconds").removesuffix("+00:00")
    return {
        "AccountId": place.account,
        "RequestId": str(uuid.uuid4()),
        "Service": "AWS Auto Scaling",
        "Time": f"{moment}Z",
    }
