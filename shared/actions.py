"""The registry of actions: everything that ingest and the wire format know of one action stands here together.

What an action is, whichever, stands in `action`.

To add an action: its model, its entry in ACTIONS. The worker adds the flow that does it. No other module of `ingest`
or `shared` names an action.
"""

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import Field

from shared.action import Action, Parameter, Request, Sentences
from shared.fields import (
    By,
    Direction,
    Flag,
    NodeName,
    RequestId,
    Role,
    Seconds,
    ServiceName,
)


class ScaleNodes(Request):
    """Change the number of nodes of one type. `service` names whose labels hold the bounds."""

    scale: Direction
    type: Role
    by: By | None = None
    service: ServiceName | None = None


class ScaleService(Request):
    """Change the number of replicas of one service."""

    service: ServiceName
    scale: Direction
    by: By | None = None


class RescheduleServices(Request):
    """Reschedule every service that carries the reschedule label."""


class RescheduleService(Request):
    """Reschedule one service, if it carries the label."""

    service: ServiceName


class DrainNode(Request):
    """Move everything off a node, which stays drained; or give it back."""

    node: NodeName
    back: Flag = False


class ReplaceNode(Request):
    """Have a node's group launch another instance for it."""

    node: NodeName


class PauseScaling(Request):
    """Let no node scale begin: for some seconds, or until a resume."""

    steers = True
    seconds: Seconds | None = Field(default=None, alias="for")


class ResumeScaling(Request):
    """End a pause."""

    steers = True


class CancelRequest(Request):
    """Stop another request, as far as that can be done without leaving anything half done."""

    steers = True
    request: RequestId


_SCALE = Parameter("scale", "The direction. Required, here or as a label.", "up")
_TYPE = Parameter(
    "type",
    "The type of node. Required, here or as a label. A label that says something else, such as the `node` that routes "
    "an alert, counts only where the query says nothing.",
    "worker",
)
_BY = Parameter("by", "How many. Without it, what the service's labels or the defaults say.", "1")
_BOUNDS = Parameter("service", "The service whose labels hold the bounds and steps.", "web")
_SERVICE = Parameter("service", "The service's name. Required, here or as a label.", "web")

_NODE = Parameter(
    "node",
    "A node's hostname or id, or the id of its instance. Required, here or as a label.",
    "ip-10-0-3-12",
)
_BACK = Parameter("back", "`true`: give the node back, as it was before it was drained.", "true")
_NO_NODE = Sentences("No node name in request", "Incorrect node name in request")

# The sentences that callers of docker-scaler know.
_NO_SERVICE = Sentences("No service name in request", "Incorrect service name in request")

_ALL = (
    Action(
        name="scale-nodes",
        model=ScaleNodes,
        lane="nodes",
        alert_name="scale_nodes",
        parameters=(_SCALE, _TYPE, _BY, _BOUNDS),
        sentences={
            "scale": Sentences("No scale direction", "Incorrect scale direction"),
            "type": Sentences(
                "Incorrect node type: , type can only be worker or manager",
                "Incorrect node type: {}, type can only be worker or manager",
            ),
        },
        stoppable=frozenset({"plan", "apply", "wait", "drain", "terminate"}),
        needs_backend=True,
        summary="Change the number of nodes of one type",
        description="Up: waits until the Swarm has the nodes, then reschedules. Down: drains the nodes that cost least "
        "to remove.",
        example=("?by=1&type=worker", '{"groupLabels": {"scale": "up"}}'),
    ),
    Action(
        name="scale-service",
        model=ScaleService,
        lane="services",
        alert_name="scale_service",
        parameters=(_SERVICE, _SCALE, _BY),
        sentences={
            "service": _NO_SERVICE,
            "scale": Sentences("No scale direction in request", "Incorrect scale direction in request"),
        },
        stoppable=frozenset({"plan"}),
        summary="Change the number of replicas of one service",
        description="Within the service's bounds.",
        example=("?service=web&scale=up&by=2&wait=60", ""),
    ),
    Action(
        name="reschedule-services",
        model=RescheduleServices,
        lane="services",
        alert_name="reschedule_service",
        stoppable=frozenset({"plan"}),
        summary="Reschedule every service that carries the reschedule label",
        description="Their tasks are replaced as their own update settings say, so that they spread over the nodes "
        "there are.",
    ),
    Action(
        name="reschedule-service",
        model=RescheduleService,
        lane="services",
        alert_name="reschedule_service",
        parameters=(_SERVICE,),
        sentences={"service": _NO_SERVICE},
        stoppable=frozenset({"plan"}),
        summary="Reschedule one service",
        description="If it carries the reschedule label.",
        example=("?service=web", ""),
    ),
    Action(
        name="drain-node",
        model=DrainNode,
        lane="nodes",
        alert_name="scale_nodes",
        parameters=(_NODE, _BACK),
        sentences={"node": _NO_NODE},
        stoppable=frozenset({"plan", "drain"}),
        summary="Move everything off a node, or give it back",
        description="The node stays in the Swarm, drained, until it is given back. Refused where its tasks would not "
        "fit elsewhere, as for a scale-down; given back where they do not move in `DRAIN_TIMEOUT`.",
        example=("?node=ip-10-0-3-12&wait=300", ""),
    ),
    Action(
        name="replace-node",
        model=ReplaceNode,
        lane="nodes",
        alert_name="scale_nodes",
        parameters=(_NODE,),
        sentences={"node": _NO_NODE},
        stoppable=frozenset({"plan", "drain", "terminate"}),
        needs_backend=True,
        summary="Replace a node by a new one",
        description="Drains the node, terminates its instance without lowering the desired capacity, waits until the "
        "group is complete again, then reschedules. One node less for as long as a boot takes.",
        example=("?node=ip-10-0-3-12", ""),
    ),
    Action(
        name="pause",
        model=PauseScaling,
        lane="none",
        alert_name="scale_nodes",
        parameters=(Parameter("for", "Seconds until it ends by itself. Without it: until resumed.", "7200"),),
        summary="Let no node scale begin",
        description="Node scales and replacements end as `skipped` meanwhile. What has begun goes on, and so do "
        "services. The later of a pause and a resume counts, by when each was requested.",
        example=("?for=7200&reason=maintenance", ""),
    ),
    Action(
        name="resume",
        model=ResumeScaling,
        lane="none",
        alert_name="scale_nodes",
        summary="End a pause",
        description="Node scales begin again; those that were skipped are not made up for.",
        example=("", ""),
    ),
    Action(
        name="cancel",
        model=CancelRequest,
        lane="none",
        alert_name="scale_nodes",
        parameters=(Parameter("request", "The id of the request to stop.", "6f1c2a", place="path"),),
        sentences={
            "request": Sentences("No request to cancel", "Incorrect request: {}, it can only be a request's id")
        },
        path="/v1/requests/{id}/cancel",
        summary="Stop another request",
        description="One that waits for its turn ends as `skipped`. A scale-down that has terminated nothing is "
        "undone; a scale-up ends its wait, and the capacity stays: both end as `failed`.",
        example=("", ""),
    ),
)
_BY_NAME = {action.name: action for action in _ALL}
ACTIONS: Mapping[str, Action] = MappingProxyType(_BY_NAME)
"""All actions by name."""
