"""EventBridge: an envelope around what a service of AWS says by itself; one small parser for each kind.

https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from shared.clock import rfc3339
from shared.errors import InvalidRequest
from shared.fields import shown
from worker.decisions.leaving import RECOMMENDED, SPOT
from worker.intake import autoscaling, health
from worker.intake.envelope import UNKNOWN, Envelope, Event
from worker.intake.fields import instance_id, moment, text
from worker.ports.queue import Message

SOURCE = "eventbridge"


def recognises(body: Mapping[str, Any]) -> bool:
    """Whether a body is an event. One that an input transformer has made a request of is none."""
    return "detail-type" in body and "source" in body and "action" not in body


def event(body: Mapping[str, Any], message: Message) -> Event:
    """What it says. Raises InvalidRequest where it is of a kind that is known here, and lacks what it needs."""
    named = (body["source"], body["detail-type"])
    parse = PARSERS.get(named) if all(isinstance(each, str) for each in named) else None
    if parse is None:
        return UNKNOWN
    detail = body.get("detail")
    if not isinstance(detail, dict):
        raise InvalidRequest(f"The event {shown(named[1])} has no detail")
    return parse(detail, body, message)


_ENDING = frozenset({"stopping", "stopped", "shutting-down", "terminated"})


def _state_change(detail: Mapping[str, Any], body: Mapping[str, Any], message: Message) -> Event:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-instance-state-changes.html"""
    kind, instance, state = "state-change", instance_id(detail, "instance-id"), text(detail, "state")
    if state not in _ENDING:
        return Event(kind)
    time = rfc3339(moment(body.get("time"), message.sent_at))
    request = {
        "action": "node-gone",
        "instance": instance,
        "state": state,
        "requested_at": time,
        "event": dict(body),
    }
    return Event(kind, Envelope(request, f"gone-{instance}-{state}-{time}", SOURCE), instance, joins=True)


def _spot(detail: Mapping[str, Any], body: Mapping[str, Any], _message: Message) -> Event:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html"""
    instance, time = instance_id(detail, "instance-id"), rfc3339(moment(body.get("time")))
    request = {
        "action": "node-leaving",
        "instance": instance,
        "cause": SPOT,
        "requested_at": time,
        "event": dict(body),
    }
    return Event("spot-interruption", Envelope(request, f"spot-{instance}-{time}", SOURCE), instance)


def _termination(detail: Mapping[str, Any], body: Mapping[str, Any], message: Message) -> Event:
    return autoscaling.termination(detail, body, message, body.get("time"), SOURCE)


def _launch(detail: Mapping[str, Any], body: Mapping[str, Any], message: Message) -> Event:
    return autoscaling.launch(detail, body, message, body.get("time"), SOURCE)


REBALANCE = "rebalance"
"""The kind of a recommendation, as the metric calls it: it counts where REBALANCE_ACTION says so."""


def _rebalance(detail: Mapping[str, Any], body: Mapping[str, Any], message: Message) -> Event:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html"""
    instance, time = instance_id(detail, "instance-id"), rfc3339(moment(body.get("time"), message.sent_at))
    request = {
        "action": "node-leaving",
        "instance": instance,
        "cause": RECOMMENDED,
        "requested_at": time,
        "event": dict(body),
    }
    return Event(REBALANCE, Envelope(request, f"rebalance-{instance}-{time}", SOURCE), instance)


Parser = Callable[[Mapping[str, Any], Mapping[str, Any], Message], Event]
"""Detail, whole event, and the message that it came in."""
PARSERS: Mapping[tuple[str, str], Parser] = MappingProxyType(
    {
        ("aws.ec2", "EC2 Instance State-change Notification"): _state_change,
        ("aws.ec2", "EC2 Spot Instance Interruption Warning"): _spot,
        ("aws.ec2", "EC2 Capacity Reservation Instance Interruption Warning"): _spot,
        ("aws.ec2", "EC2 Instance Rebalance Recommendation"): _rebalance,
        ("aws.health", "AWS Health Event"): health.scheduled_change,
        ("aws.autoscaling", "EC2 Instance-launch Lifecycle Action"): _launch,
        ("aws.autoscaling", "EC2 Instance-terminate Lifecycle Action"): _termination,
    }
)
"""By source and detail type."""
