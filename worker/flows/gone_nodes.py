"""Removing gone nodes: Down nodes whose instance has been terminated are demoted, and removed from the Swarm."""

import structlog

from shared.errors import Refused
from worker.leadership.period import Leadership
from worker.ports.swarm import Node
from worker.requests.request import OpenRequest

log = structlog.get_logger()


async def remove_gone_nodes(leadership: Leadership, request: OpenRequest) -> None:
    """Remove all there are. One that Swarm refuses to remove is logged, and costs nothing else. Raises Unavailable."""
    down = {
        node.engine_labels["instance_id"]: node
        for node in await leadership.swarm.nodes()
        if node.state == "down" and node.engine_labels.get("instance_id")
    }
    for instance_id in sorted(await leadership.groups.gone(sorted(down))) if down else ():
        leadership.watchdog.heartbeat(request.id)
        await _remove(leadership, down[instance_id], instance_id)


async def _remove(leadership: Leadership, node: Node, instance_id: str) -> None:
    try:
        if node.manager is not None or node.role == "manager":
            await leadership.change_swarm.update_node(node.id, role="worker")
        await leadership.change_swarm.remove_node(node.id, force=True)
        log.info("gone_node_removed", node=node.hostname, instance=instance_id)
    except Refused as error:
        log.warning("gone_node_not_removed", node=node.hostname, instance=instance_id, error=str(error))
