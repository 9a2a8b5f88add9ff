"""Whether a manager may be demoted: the others must keep their quorum, and one of them must be Ready.

Managers are counted by what they are (their manager status), not by the role that someone wants them to have.
"""

from collections.abc import Sequence

from worker.ports.swarm import Node


def demotion_refusal(nodes: Sequence[Node], node_id: str) -> str | None:
    """Why this node must not be demoted now, in a sentence with the numbers. None: it may."""
    managers = [node for node in nodes if node.manager is not None]
    rest = [node for node in managers if node.id != node_id]
    if len(rest) == len(managers):
        return None
    name = next(node.hostname or node.id for node in managers if node.id == node_id)
    majority, reachable = len(rest) // 2 + 1, sum(_reachable(node) for node in rest)
    if not any(_stays_ready(node) for node in rest):
        return (
            f"{name} is the last Ready manager: without it the Swarm has none. "
            "Bring another manager up (`docker node ls` shows them), then repeat the request"
        )
    if reachable < majority:
        return (
            f"Demoting {name} would cost the managers' quorum: of the {len(rest)} others {reachable} can be reached, "
            f"{majority} are needed. Repair or remove the unreachable managers (`docker node ls`), then repeat "
            "the request"
        )
    return None


def demotions_refusal(nodes: Sequence[Node], node_ids: Sequence[str]) -> str | None:
    """The same for several nodes, demoted one after the other."""
    left = list(nodes)
    for node_id in node_ids:
        refusal = demotion_refusal(left, node_id)
        if refusal is not None:
            return refusal
        left = [node for node in left if node.id != node_id]
    return None


def _reachable(node: Node) -> bool:
    return node.manager is not None and node.manager.reachable


def _stays_ready(node: Node) -> bool:
    """One that somebody is demoting already is no help."""
    return node.ready and _reachable(node) and node.role == "manager"
