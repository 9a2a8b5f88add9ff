"""Auto Scaling: lifecycle hooks, by way of EventBridge or straight to the queue; the detail has the same names in both.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/prepare-for-lifecycle-notifications.html
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from shared.clock import rfc3339
from worker.intake.envelope import UNKNOWN, Envelope, Event
from worker.intake.fields import instance_id, moment, text
from worker.ports.queue import Message

TEST = "autoscaling:TEST_NOTIFICATION"
"""Making a hook sends one."""
SOURCE = "autoscaling"


def recognises(body: Mapping[str, Any]) -> bool:
    """Whether a body is what a hook sends itself."""
    return "action" not in body and ("LifecycleTransition" in body or str(body.get("Event")).startswith("autoscaling:"))


def event(body: Mapping[str, Any], message: Message) -> Event:
    """What it says. Raises InvalidRequest where it is of a kind that is known here, and lacks what it needs."""
    if body.get("Event") == TEST:
        return Event("test-notification")
    transition = body.get("LifecycleTransition")
    parse = TRANSITIONS.get(transition) if isinstance(transition, str) else None
    return UNKNOWN if parse is None else parse(body, body, message, body.get("Time"), SOURCE)


def termination(
    detail: Mapping[str, Any], body: Mapping[str, Any], message: Message, time: object, source: str
) -> Event:
    """A hook holds an instance on its way out."""
    kind, group, hook = "termination", text(detail, "AutoScalingGroupName"), text(detail, "LifecycleHookName")
    instance, token = instance_id(detail, "EC2InstanceId"), text(detail, "LifecycleActionToken")
    if detail.get("Destination") == "WarmPool":
        return Event(kind)
    request = {
        "action": "node-leaving",
        "instance": instance,
        "cause": "termination",
        "group": group,
        "hook": hook,
        "token": token,
        "requested_at": rfc3339(moment(time, message.sent_at)),
        "event": dict(body),
    }
    return Event(kind, Envelope(request, f"hook-{token}", source), instance, group=group, hook=hook)


def launch(detail: Mapping[str, Any], body: Mapping[str, Any], message: Message, time: object, source: str) -> Event:
    """A hook holds an instance on its way in."""
    group, hook = text(detail, "AutoScalingGroupName"), text(detail, "LifecycleHookName")
    instance, token = instance_id(detail, "EC2InstanceId"), text(detail, "LifecycleActionToken")
    request = {
        "action": "node-joining",
        "instance": instance,
        "group": group,
        "hook": hook,
        "token": token,
        "warm": detail.get("Destination") == "WarmPool",
        "requested_at": rfc3339(moment(time, message.sent_at)),
        "event": dict(body),
    }
    return Event("launch", Envelope(request, f"hook-{token}", source), instance, group=group, hook=hook)


Parser = Callable[[Mapping[str, Any], Mapping[str, Any], Message, object, str], Event]
"""Detail, the whole event, the message that it came in, its time, and its source."""
TRANSITIONS: Mapping[str, Parser] = MappingProxyType(
    {"autoscaling:EC2_INSTANCE_LAUNCHING": launch, "autoscaling:EC2_INSTANCE_TERMINATING": termination}
)
"""By what the instance is about to do."""
