"""What both directions of a node scale say alike: which nodes are meant, how it is announced, how it ends in vain."""

from datetime import timedelta
from typing import cast

from shared.errors import Refused
from shared.fields import Direction, Role
from shared.records import State
from worker.decisions.bounds import AtBound
from worker.flows.flow import ContextFlow
from worker.leadership.period import Leadership
from worker.requests import steering, wording
from worker.requests.request import OpenRequest


class NodeFlow(ContextFlow):
    """A flow that changes which nodes there are."""

    def retry_budget(self, request: OpenRequest) -> timedelta:
        """A plan may fail for as long as its request counts."""
        settings = self._leadership.settings
        return settings.request_max_age if request.record.step == "plan" else settings.reschedule_timeout


def node_type(request: OpenRequest) -> Role:
    """The type of nodes that a request is about."""
    return cast("Role", request.record.type)


def direction(request: OpenRequest) -> Direction:
    """Up or down."""
    return cast("Direction", request.record.scale)


def group_name(leadership: Leadership, request: OpenRequest) -> str:
    """The group of a request's node pool. Raises Refused where none is configured."""
    name = leadership.pools[node_type(request)].group
    if not name:
        raise Refused(
            "Node scaling is off (NODE_SCALER_BACKEND is none). Set it to aws, with AWS_MANAGER_ASG and "
            "AWS_WORKER_ASG, to scale nodes"
        )
    return name


def headline(leadership: Leadership, request: OpenRequest) -> str:
    """The `request` annotation of a request's alerts."""
    by = request.record.by
    if by is None:
        by = leadership.pools[node_type(request)].tunables.steps[direction(request)].default
    return wording.nodes_request(direction(request), by, node_type(request))


def changing(request: OpenRequest) -> str:
    """The first sentence of a node scale that is under way."""
    record = request.record
    return wording.changing(node_type(request), int(record.nodes_before or 0), int(record.nodes_after or 0))


def limited(request: OpenRequest) -> str:
    """The second one, where a bound cut it short."""
    record = request.record
    return "" if record.limited_by is None else wording.limited(record.by, direction(request), record.limited_by)


async def skip_at_bound(leadership: Leadership, request: OpenRequest, at: AtBound) -> None:
    """End it: there is nothing to do. It starts no cool-down."""
    settings = leadership.settings
    summary = wording.at_bound(node_type(request), at.bound, at.number)
    wanted = settings.alert_node_max if at.bound == "maximum" else settings.alert_node_min
    alerts = [wording.nodes("success", headline(leadership, request), summary)] if wanted else []
    numbers = {"nodes_before": at.number, "nodes_after": at.number}
    await request.end(State.SKIPPED, summary, *alerts, **numbers, limited_by=at.limit)


async def fail(leadership: Leadership, request: OpenRequest, message: str, desired: int | None) -> None:
    """End it: it failed, or was refused. `desired`: the desired capacity as it is now, as far as it is known."""
    if request.record.cancelled is not None and desired is not None:
        message = wording.joined(message, steering.capacity(group_name(leadership, request), desired))
    alert = wording.nodes("error", headline(leadership, request), message)
    await request.end(State.FAILED, message, alert, nodes_after=desired)
