"""Who owns a node that is drained: one open request at a time.

A departure that nobody can stop (`DrainPlan.forced`) takes its nodes over from whichever request had them. The one
write of its own plan that names the nodes does it: from then on the other request neither changes such a node nor gives
it back. What the node was before it was touched is inherited with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from shared.records import Record
from worker.ports.scaling import Group
from worker.ports.swarm import Node
from worker.requests.events import instance_of, is_recommended
from worker.requests.open_requests import OpenRequests
from worker.requests.plans import DepartingNode, DrainPlan
from worker.requests.request import OpenRequest


def taken_by(requests: OpenRequests, request: OpenRequest, node: DepartingNode) -> str | None:
    """The id of the departure that has taken a node over from a request. None: it is the request's own."""
    for record in requests.begun():
        if record.id != request.id and record.plan.get("forced") is True and _has(DrainPlan.parse(record.plan), node):
            return record.id
    return None


def leaving(requests: OpenRequests, instance: str, but: OpenRequest) -> OpenRequest | None:
    """The open request that sees to the departure of an instance, or is about to, and is not that one.

    Of several that begin together it is the first: between its look and its write the others must not begin, too.
    """
    same = [
        each
        for each in requests.running
        if each.record.action == "node-leaving" and instance_of(each.record) == instance and not each.ended
    ]
    working = [each for each in same if each.record.plan.get("forced") is True]
    before = [each for each in same[: same.index(but)] if each.record.step is None and not is_recommended(each.record)]
    return next((each for each in (*working, *before) if each is not but), None)


def joined(requests: OpenRequests, leader: OpenRequest) -> list[OpenRequest]:
    """The open requests about the same departure, which have joined or are about to. A recommendation adds nothing."""
    about = instance_of(leader.record)
    return [
        each
        for each in (*requests.running, *requests.queued)
        if each is not leader
        and each.record.action == leader.record.action
        and instance_of(each.record) == about
        and not is_recommended(each.record)
    ]


def leaving_instances(requests: OpenRequests) -> frozenset[str]:
    """The instances that AWS is taking away, or is about to, as far as open requests know."""
    open_ones = [each for each in requests.begun() if each.plan.get("forced") is True or is_recommended(each)]
    plans = [DrainPlan.parse(record.plan) for record in open_ones]
    return frozenset(node.instance_id for plan in plans for node in plan.nodes if node.instance_id)


def leaving_nodes(records: Iterable[Record]) -> frozenset[str]:
    """Ids of the nodes that departures have which nobody can stop, as open records say."""
    forced = [record for record in records if record.plan.get("forced") is True and not record.state.ended]
    return frozenset(each.node_id for record in forced for each in DrainPlan.parse(record.plan).nodes if each.node_id)


def draining(requests: OpenRequests, but: str) -> bool:
    """Whether departures of other nodes than that one (its id) are under way, and their nodes not empty yet."""
    under_way = [record for record in requests.begun() if record.step in {"drain", "complete"}]
    return bool(leaving_nodes(under_way) - {but})


def without_leaving(requests: OpenRequests, group: Group) -> Group:
    """A group without the members that AWS is taking away: they are nobody's to count on, or to choose."""
    gone = leaving_instances(requests)
    return replace(group, instances=tuple(each for each in group.instances if each.id not in gone))


def staying(requests: OpenRequests, nodes: Sequence[Node]) -> Sequence[Node]:
    """Nodes without those that departures have which nobody can stop: where nodes are only counted, they do not."""
    gone = leaving_nodes(requests.begun())
    return tuple(node for node in nodes if node.id not in gone)


def terminator(requests: OpenRequests, instance: str) -> str | None:
    """The id of the open request that terminates, or has terminated, an instance by its name."""
    for record in requests.begun():
        intent, terminated = record.plan.get("intent"), record.plan.get("terminated")
        intended = isinstance(intent, dict) and intent.get("instance_id") == instance
        if intended or (isinstance(terminated, (list, tuple)) and instance in terminated):
            return record.id
    return None


def inherited(requests: OpenRequests, node: DepartingNode) -> DepartingNode:
    """A node as whichever open request has it: with what it was before that touched it. Else as it is.

    One that is active by now somebody has set to that since: no request does before its end.
    """
    for record in requests.begun():
        plan = DrainPlan.parse(record.plan)
        for each in plan.remaining:
            if each.node_id is not None and each.node_id == node.node_id:
                was = node.availability if node.availability == "active" else each.availability
                return each.but(availability=was, manager=each.manager or node.manager)
    return node


def _has(plan: DrainPlan, node: DepartingNode) -> bool:
    return any(each.node_id is not None and each.node_id == node.node_id for each in plan.nodes)
