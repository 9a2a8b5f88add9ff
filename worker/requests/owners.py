"""Who owns a node that is drained: one open request at a time.

A departure that nobody can stop (`DrainPlan.forced`) takes its nodes over from whichever request had them. The one
write of its own plan that names the nodes does it: from then on the other request neither changes such a node nor gives
it back. What the node was before it was touched is inherited with it.
"""

from worker.requests.open_requests import OpenRequests
from worker.requests.plans import DepartingNode, DrainPlan
from worker.requests.request import OpenRequest


def taken_by(requests: OpenRequests, request: OpenRequest, node: DepartingNode) -> str | None:
    """The id of the departure that has taken a node over from a request. None: it is the request's own."""
    for record in requests.begun():
        if record.id != request.id and record.plan.get("forced") is True and _has(DrainPlan.parse(record.plan), node):
            return record.id
    return None


def inherited(requests: OpenRequests, node: DepartingNode) -> DepartingNode:
    """A node as whichever open request has it: with what it was before that touched it. Else as it is."""
    for record in requests.begun():
        plan = DrainPlan.parse(record.plan)
        for each in plan.remaining:
            if each.node_id is not None and each.node_id == node.node_id:
                return each.but(manager=each.manager or node.manager)
    return node


def _has(plan: DrainPlan, node: DepartingNode) -> bool:
    return any(each.node_id is not None and each.node_id == node.node_id for each in plan.nodes)
