"""Removing gone nodes: Down nodes whose instance has been terminated are demoted, and removed from the Swarm.

EC2 forgets a terminated instance after an hour, and its hostname at once. So who was a member of our groups is
remembered. A node that is not known to have been on a terminated instance is left.
"""

from collections.abc import Collection, Mapping, Sequence

import structlog

from shared.errors import Refused
from shared.fields import Role
from worker.decisions.matching import owners, remembered
from worker.flows.nodes import node_type
from worker.leadership.period import Leadership
from worker.ports.scaling import Group
from worker.ports.swarm import Node
from worker.requests.request import OpenRequest

log = structlog.get_logger()


async def remove_gone_nodes(
    leadership: Leadership, request: OpenRequest, group: Group, nodes: Sequence[Node]
) -> frozenset[str]:
    """Remove all there are among the nodes, which were just listed, and remember who is in the pool's group now.

    The ids of those that were removed. One that Swarm refuses to remove is logged, and costs nothing else.
    Raises Unavailable.
    """
    await remember_members(leadership, node_type(request), group)
    gone = await gone_nodes(leadership, {node_type(request)}, nodes)
    return frozenset([node.id for node in gone if await remove_gone_node(leadership, request, node)])


async def gone_nodes(leadership: Leadership, kinds: Collection[Role], nodes: Sequence[Node]) -> Sequence[Node]:
    """The Down ones of the nodes whose instance has been terminated. Raises Unavailable, Refused.

    `kinds`: the pools whose members of today are remembered, so that a node without a label may go by its hostname.
    """
    down = [node for node in nodes if node.state == "down"]
    instances = {node.id: await possible_instances(leadership, kinds, node) for node in down}
    asked = sorted(frozenset().union(*instances.values()))
    gone = await leadership.groups.gone(asked, await _members(leadership, *leadership.pools)) if asked else frozenset()
    return [node for node in down if instances[node.id] and instances[node.id] <= gone]


async def remember_members(leadership: Leadership, kind: Role, group: Group) -> None:
    """Remember who is in a group now. Raises Unavailable."""
    known = (await leadership.memory.of(kind)).members
    members = remembered(known, group)
    if members != known:
        await leadership.memory.update(kind, members=members)


async def possible_instances(leadership: Leadership, kinds: Collection[Role], node: Node) -> frozenset[str]:
    """What a node may have been. Hostnames come back, so only those count whose bearers of today are remembered."""
    same_role = [kind for kind in kinds if node.role == leadership.pools[kind].role]
    return owners(node, await _members(leadership, *same_role))


async def _members(leadership: Leadership, *kinds: Role) -> Mapping[str, str]:
    """Who was seen in the groups of some pools."""
    members: dict[str, str] = {}
    for kind in kinds:
        members.update((await leadership.memory.of(kind)).members)
    return members


async def remove_gone_node(leadership: Leadership, request: OpenRequest, node: Node) -> bool:
    """Remove a Down node, demoted first where it is a manager. Whether Swarm did it. Raises Unavailable."""
    leadership.watchdog.heartbeat(request.id)
    try:
        if node.manager is not None or node.role == "manager":
            await leadership.change_swarm.update_node(node.id, role="worker")
        await leadership.change_swarm.remove_node(node.id, force=True)
    except Refused as error:
        log.warning("gone_node_not_removed", node=node.hostname, id=node.id, error=str(error))
        return False
    log.info("gone_node_removed", node=node.hostname, id=node.id)
    return True
