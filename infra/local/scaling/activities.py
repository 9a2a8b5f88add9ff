"""A group's scaling activities, worded as AWS words them.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-verify-scaling-activity.html
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

KEPT: Final = 1000

Status = Literal["PreInService", "InProgress", "MidLifecycleAction", "Successful", "Failed", "Cancelled"]

_SENTENCES: Final = {
    "InsufficientInstanceCapacity": (
        "We currently do not have sufficient {type} capacity in the Availability Zone you requested ({zone}). "
        "Our system will be working on provisioning additional capacity. You can currently get {type} capacity "
        "by not specifying an Availability Zone in your request or choosing {others}."
    ),
    "VcpuLimitExceeded": (
        "You have requested more vCPU capacity than your current vCPU limit of 32 allows for the instance bucket "
        "that the specified instance type belongs to. Please visit "
        "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit."
    ),
}


def now() -> datetime:
    """The time, to the second, as AWS tells it here."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(slots=True)
class Activity:
    """One activity; changed while it goes on."""

    group: str
    group_arn: str
    description: str
    cause: str
    details: dict[str, str]
    now: Callable[[], datetime] = now
    """Of the group's own clock."""
    status: Status = "InProgress"
    message: str | None = None
    progress: int = 50
    start: datetime = field(init=False)
    end: datetime | None = None
    activity_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def __post_init__(self) -> None:
        self.start = self.now()

    def wait(self) -> None:
        """It waits for whoever is to complete a lifecycle action."""
        self.status, self.progress = "MidLifecycleAction", 60

    def finish(self, status: Status = "Successful", message: str | None = None) -> None:
        """It has ended so."""
        self.status, self.message, self.progress, self.end = status, message, 100, self.now()

    def as_aws(self) -> dict[str, Any]:
        """The Activity shape of the API."""
        shape = {
            "ActivityId": self.activity_id,
            "AutoScalingGroupName": self.group,
            "AutoScalingGroupARN": self.group_arn,
            "Description": self.description,
            "Cause": self.cause,
            "StartTime": self.start,
            "EndTime": self.end,
            "StatusCode": self.status,
            "StatusMessage": self.message,
            "Progress": self.progress,
            "Details": json.dumps(self.details),
        }
        return {name: value for name, value in shape.items() if value is not None}


class History:
    """The newest activities of one group."""

    def __init__(self, group: str, group_arn: str, clock: Callable[[], datetime] = now) -> None:
        self._group = group
        self.group_arn = group_arn
        self.now = clock
        self._kept: deque[Activity] = deque(maxlen=KEPT)
        self._ends: dict[str, list[Activity]] = defaultdict(list)

    def newest_first(self) -> list[Activity]:
        """All that are remembered."""
        return list(reversed(self._kept))

    def launching(self, instance_id: str, cause: str, details: dict[str, str]) -> Activity:
        """An instance was launched and is not in service yet."""
        activity = self._begin(f"Launching a new EC2 instance: {instance_id}", cause, details)
        activity.status, activity.progress = "PreInService", 30
        return activity

    def launch_failed(self, reason: str, cause: str, details: dict[str, str]) -> Activity:
        """EC2 refused an instance."""
        message = f"{reason} Launching EC2 instance failed."
        description = f"Launching a new EC2 instance.  Status Reason: {message}"
        activity = self._begin(description, cause, details)
        activity.finish("Failed", message)
        return activity

    @staticmethod
    def launch_killed(activity: Activity, reason: str) -> None:
        """EC2 took an instance back before it was in service: AWS calls that Cancelled, not Failed."""
        message = (
            "Instance became unhealthy while waiting for instance to be in InService state. "
            f"Termination Reason: {reason}"
        )
        activity.description += f".  Status Reason: {message}"
        activity.finish("Cancelled", message)

    @staticmethod
    def launch_abandoned(activity: Activity, token: str, reason: str) -> None:
        """A launch hook ended with ABANDON."""
        message = (
            "Instance failed to complete user's Lifecycle Action: "
            f"Lifecycle Action with token {token} was abandoned: {reason}"
        )
        activity.description += f".  Status Reason: {message}"
        activity.finish("Cancelled", message)

    def terminating(self, instance_id: str, cause: str, details: dict[str, str]) -> Activity:
        """An instance is on its way out."""
        activity = self._begin(f"Terminating EC2 instance: {instance_id}", cause, details)
        self._ends[instance_id].append(activity)
        return activity

    def gone(self, instance_id: str) -> None:
        """An instance has ended: so has all that led to it."""
        for activity in self._ends.pop(instance_id, []):
            activity.finish()

    def all_protected(self, cause: str) -> None:
        """A scale-in that finds nothing it may take; said once until something else happens."""
        description = "Could not scale to desired capacity because all remaining instances are protected from scale-in."
        if not self._kept or self._kept[-1].description != description:
            self._begin(description, cause, {}).finish("Cancelled")

    def _begin(self, description: str, cause: str, details: dict[str, str]) -> Activity:
        activity = Activity(self._group, self.group_arn, description, cause, details, self.now)
        self._kept.append(activity)
        return activity


def refusal_sentence(reason: str, instance_type: str, zone: str, zones: list[str]) -> str:
    """EC2's sentence for a code it refuses with; anything else is taken for the sentence itself."""
    others = ", ".join(other for other in zones if other != zone) or "another Region"
    return _SENTENCES.get(reason, reason).format(type=instance_type, zone=zone, others=others)


def at(moment: datetime | None = None) -> str:
    """`At 2026-11-22T10:00:00Z`."""
    return f"At {(moment or now()):%Y-%m-%dT%H:%M:%SZ}"
