"""Events: what AWS does by itself, as requests with records like all others.

Nobody asks for them: they have no route, and no message names them. The intake makes them of what EventBridge and
Auto Scaling send (docs/reference.md, "What AWS does by itself"); what is done about each, the flows know.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from shared.action import Action, Request
from shared.fields import OptionalMoment
from shared.records import Record
from worker.decisions.leaving import RECOMMENDED

InstanceId = Annotated[str, Field(pattern=r"^i-[0-9A-Za-z]{1,60}$")]
Ending = Literal["stopping", "stopped", "shutting-down", "terminated"]
"""States of an instance that runs no more. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html"""


def _event(name: str, model: type[Request], summary: str, description: str) -> Action:
    """What AWS does waits in no lane: two minutes' notice cannot wait behind a boot."""
    return Action(
        name=name, model=model, lane="none", alert_name="scale_nodes", summary=summary, description=description
    )


class NodeGone(Request):
    """An instance has ended, or is about to, without a word from us: its node is a node no more."""

    instance: InstanceId
    state: Ending


Cause = Literal["termination", "spot interruption", "rebalance recommendation"]
"""Why a node leaves, as people read it."""


class NodeLeaving(Request):
    """AWS takes a machine away: what runs there has to move. A hook may hold the machine meanwhile."""

    instance: InstanceId
    cause: Cause
    group: str | None = None
    hook: str | None = None
    token: str | None = None


_NODE_LEAVING = _event(
    "node-leaving",
    NodeLeaving,
    "Move what runs on a node whose machine AWS takes away",
    "Pause, drain, complete the lifecycle hook that holds the machine, remove the node.",
)


class NodeJoining(Request):
    """A launch hook holds an instance: it may serve once it is a node."""

    instance: InstanceId
    group: str
    hook: str
    token: str | None = None
    warm: bool = False
    """It is on its way into a warm pool, and becomes no node."""


_NODE_JOINING = _event(
    "node-joining",
    NodeJoining,
    "Let an instance serve once it is a node",
    "The launch hook that holds it is completed once it is a Ready node of the Swarm.",
)


class ScheduledChange(Request):
    """AWS plans something for machines: a retirement, a reboot."""

    instances: list[InstanceId]
    what: str
    starts_at: OptionalMoment = None


_SCHEDULED_CHANGE = _event(
    "scheduled-change",
    ScheduledChange,
    "Tell people what AWS plans for a machine",
    "Once for each event of AWS Health, with the date.",
)
_NODE_GONE = _event(
    "node-gone",
    NodeGone,
    "Remove the node of an instance that has ended",
    "Once it is Down and its instance is terminated; a manager is demoted first.",
)

EVENTS: Mapping[str, Action] = MappingProxyType(
    {action.name: action for action in (_NODE_LEAVING, _NODE_JOINING, _NODE_GONE, _SCHEDULED_CHANGE)}
)
"""All of them by name."""


def instance_of(record: Record) -> str:
    """The instance that a request about an event is about."""
    return str(record.request.get("instance") or "")


def is_recommended(record: Record) -> bool:
    """Whether it is about a machine that EC2 only recommends to replace: it waits, and gives way to other causes."""
    return record.action == _NODE_LEAVING.name and record.request.get("cause") == RECOMMENDED


def instances_of(record: Record) -> frozenset[str]:
    """The instances that a request is about, as far as it says so: those of an event, and those that it takes away."""
    departing = record.plan.get("leaving")
    departing = departing if isinstance(departing, (list, tuple)) else ()
    named = [each.get("instance_id") for each in departing if isinstance(each, dict)]
    own = record.request.get("instance") if record.action in EVENTS else None
    return frozenset(each for each in (*named, own) if isinstance(each, str) and each)
