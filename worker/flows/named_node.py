"""What requests about one node have in common: finding the node that is meant, and saying how it goes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.alertmanager import Alert, Status
from shared.fields import Role
from shared.records import State
from worker.decisions.displacement import movable
from worker.decisions.named import Named, find, keeps
from worker.decisions.reasons import Reason
from worker.decisions.refusals import Refusal
from worker.errors import GaveUp
from worker.flows.flow import Context
from worker.leadership.period import Leadership
from worker.ports.scaling import Group
from worker.ports.swarm import Node
from worker.requests import departures, wording
from worker.requests.owners import taken_by
from worker.requests.plans import DepartingNode
from worker.requests.request import OpenRequest


@dataclass(frozen=True, slots=True)
class Found:
    """The node that a request is about, among all there are."""

    named: Named
    nodes: Sequence[Node]
    groups: Mapping[Role, Group]


async def find_node(context: Context, request: OpenRequest) -> Found:
    """Who is meant; from then on the record has its hostname and its type. Raises GaveUp, Unavailable, Refused."""
    leadership = context.leadership
    nodes, groups = await leadership.swarm.nodes(), await pool_groups(leadership)
    asked = request.record.request.get("node") or request.record.node  # a hostname may be the name of two nodes
    named = find(str(asked or ""), nodes, groups)
    if isinstance(named, Refusal):
        raise GaveUp(named.reason)
    if (request.record.node, request.record.type) != (named.name, named.kind):
        await request.save(node=named.name, type=named.kind)
    return Found(named, nodes, groups)


async def departing(context: Context, request: OpenRequest, found: Found) -> tuple[DepartingNode, int]:
    """The node as it is now, and how many tasks have to move. Raises GaveUp where it must not be drained."""
    swarm, named = context.leadership.swarm, found.named
    done = "replaced" if request.record.action == "replace-node" else "drained"
    tasks, services = await swarm.tasks(), await swarm.services()
    obstacle = keeps(named, found.groups, found.nodes, services, tasks)
    if obstacle is not None:
        raise GaveUp(departures.kept(named.name, done, obstacle.text), obstacle.reason)
    leaving = departing_node(named)
    check_not_taken(context, request, leaving)
    return leaving, movable(tasks, services)[leaving.node_id or ""]


def departing_node(named: Named) -> DepartingNode:
    """The node as a plan keeps it."""
    return DepartingNode.of(named.instance_id, named.name, named.node)


def check_not_taken(context: Context, request: OpenRequest, node: DepartingNode) -> None:
    """Raises GaveUp where the node leaves by itself already."""
    other = taken_by(context.requests, request, node)
    if other is not None:
        raise GaveUp(departures.taken_over(node.name, other), Reason.LEAVING)


def about(request: OpenRequest, status: Status, summary: str) -> Alert:
    """An alert about the node of a request."""
    return wording.nodes(status, wording.node_request(request.record), summary)


async def fail(request: OpenRequest, reason: str) -> None:
    """End it: it failed, or was refused."""
    await request.end(State.FAILED, reason, about(request, "error", reason))


async def pool_groups(leadership: Leadership) -> dict[Role, Group]:
    """The groups of the pools, as far as there are any."""
    named = {kind: pool.group for kind, pool in leadership.pools.items() if pool.group}
    return {kind: await leadership.groups.describe(name) for kind, name in named.items()}
