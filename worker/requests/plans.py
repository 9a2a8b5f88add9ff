"""What a flow has decided and done of it: the `plan` of a record, one typed document per kind of request.

The names in the journal are those of the first version where they differ from the names here, so that workers of both
versions can take over from each other. Records of both directions of time are run through the worker by a test.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from shared.documents import Document, Moment
from worker.decisions.readiness import Expectation
from worker.ports.swarm import Availability, Node


class Rollout(Document):
    """One rescheduling of some services. Journaled before it begins, so that its continuation is the same rollout."""

    id: str = ""
    """The request that began it."""
    stamp: str = ""
    """The value of the services' environment variable: the wall time of the rollout, in whole seconds."""


class Plan(Document):
    """The base of the plans. A field that is None is not written: for the version before, its absence says so."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unknown = self.model_extra or {}
        return {name: value for name, value in handler(self).items() if value is not None or name in unknown}


class UpPlan(Plan):
    """Scaling nodes up."""

    expectation: Expectation | None = None
    applied_at: Moment | None = None
    """When the desired capacity was raised."""
    launch_failure: str | None = None
    """AWS's own reason, the newest that people were told of."""
    ready: int = 0
    """Ready nodes of the group when the wait ended."""
    not_counted: tuple[str, ...] = ()
    """Instances that were left out of the wait, with why."""
    rollout: Rollout | None = Field(default=None, alias="reschedule")


class DepartingNode(Document):
    """A node on its way out, and what it was before. An instance that never joined has no node id."""

    instance_id: str = ""
    name: str = ""
    node_id: str | None = None
    availability: Availability = "active"
    manager: bool = False

    @classmethod
    def of(cls, instance_id: str, name: str, node: Node | None) -> Self:
        """An instance that goes, with what its node is now."""
        if node is None:
            return cls(instance_id=instance_id, name=name)
        return cls(
            instance_id=instance_id,
            name=name,
            node_id=node.id,
            availability=node.availability,
            manager=node.manager is not None or node.role == "manager",
        )


class Intent(Document):
    """A termination that is about to be called for, or was: whoever finds it looks at the instance first."""

    instance_id: str = ""
    desired: int = 0
    """The desired capacity with the instance in it."""
    at: Moment | None = None


class DrainPlan(Plan):
    """Nodes that are drained, whatever for: the part that all plans with a drain share.

    Read from the plan of any of them, it keeps what is that plan's own.
    """

    nodes: tuple[DepartingNode, ...] = Field(default=(), alias="leaving")
    forced: bool = False
    """The machines go, whoever wants them: such a departure takes its nodes over from other requests (`owners`)."""
    slots: tuple[tuple[str, int], ...] | None = None
    """Service id and slot of each task that ran on the nodes when they were paused. None: not looked at yet."""
    draining: Literal["begun", "done"] | None = None
    """Whether the nodes' availability is about to be set to drain, or has been. None: they are paused at the most."""
    avoiding: tuple[str, ...] = ()
    """Ids of the services that avoid the nodes at the moment, so that their tasks move before the drain."""
    chosen: Mapping[str, str] = Field(default_factory=dict)
    """Name of each node to why it goes. The first version wrote none."""
    demoted: Mapping[str, Moment] = Field(default_factory=dict)
    """Instance id to when its manager's demotion began."""
    why: str = ""
    """Why it is undone."""

    @property
    def of_first_version(self) -> bool:
        """That version paused all nodes, also those that somebody had drained, and noted less of it."""
        return not self.chosen

    @property
    def remaining(self) -> tuple[DepartingNode, ...]:
        """The nodes that can still be given back."""
        return self.nodes


class TerminationPlan(DrainPlan):
    """Nodes whose instances are terminated by their names: the part that all plans with a termination share."""

    intent: Intent | None = None
    terminated: tuple[str, ...] = ()
    """Ids of the instances that were terminated or are on their way out, by us or by others."""

    @property
    def remaining(self) -> tuple[DepartingNode, ...]:
        """The nodes whose instances have not been terminated."""
        return tuple(node for node in self.nodes if node.instance_id not in self.terminated)


class DownPlan(TerminationPlan):
    """Scaling nodes down."""

    passed_over: tuple[Mapping[str, str], ...] = ()
    """Those that would have cost less, with code and sentence."""
    lost: tuple[str, ...] = ()
    """Names of those among them that others terminated."""
    desired_after: int | None = Field(default=None, alias="left")
    """The desired capacity after the newest termination."""


class ReplacePlan(TerminationPlan):
    """Replacing a node. What it waits for then stands beside this as an `UpPlan` has it."""


class HoldNote(Document):
    """What a request about an event says of the hook that holds its instance."""

    instance: str = ""
    group: str = ""
    hook: str = ""
    token: str | None = None


class LeavingPlan(DrainPlan):
    """A node whose machine AWS takes away."""

    joins: str | None = None
    """The id of the request about the same instance that does the work."""
    until: Moment | None = None
    """When the node has to be empty: the nearest deadline of all causes."""
    since: Moment | None = None
    """When DRAIN_TIMEOUT began anew, after an outage over which a hook held the machine. None: it did not."""
    cut_off: tuple[str, ...] = ()
    """What had not moved by then."""


class JoiningPlan(Plan):
    """An instance that a launch hook holds."""

    watched_by: int = 0
    """The token of the worker that has watched it from the beginning."""
    seconds: float | None = None
    """How long it may take to join. None: RESCHEDULE_TIMEOUT, as workers of versions before this one wait."""
    release: str | None = None
    """How it goes on though it did not join: CONTINUE or ABANDON."""
    why: str = ""
    """Why it was not abandoned."""


class ReplicasPlan(Plan):
    """Scaling the replicas of a service."""

    before: int = 0
    after: int | None = None
    minimum: int = Field(default=0, alias="min")
    maximum: int = Field(default=0, alias="max")


class ReschedulePlan(Plan):
    """Rescheduling that was asked for by itself."""

    services: tuple[str, ...] = ()
    """Names of those that were chosen."""
    rollout: Rollout | None = Field(default=None, alias="reschedule")
