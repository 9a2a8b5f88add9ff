"""Removing the terminated nodes from `docker node ls`: each once it is Down, and by force where it never is."""

from collections.abc import Collection
from datetime import timedelta

import structlog

from shared.errors import NotFound, Refused
from worker.errors import GaveUp
from worker.flows.flow import Context
from worker.leadership.period import TICK_SECONDS, Leadership
from worker.requests.plans import DrainPlan
from worker.requests.request import OpenRequest

log = structlog.get_logger()

REMOVE_TIMEOUT = timedelta(seconds=120)
"""An instance may take a while to shut down, and Swarm to notice; then the node is removed by force."""


async def remove_nodes(context: Context, request: OpenRequest) -> None:
    """Return when none of a request's nodes is a node of the Swarm any more. Raises Unavailable, Refused."""

    async def removed() -> bool | None:
        await context.capacity.observe(request)
        states = {node.id: node.state for node in await leadership.swarm.nodes()}
        if deadline.passed:
            await _check_not_held(leadership, plan, waiting)
        for node_id in list(waiting):
            if states.get(node_id, "down") == "down" or deadline.passed:
                await _remove(leadership, node_id, force=deadline.passed)
                waiting.remove(node_id)
        return None if waiting else True

    leadership = context.leadership
    deadline = leadership.deadline(request.entered("remove"), REMOVE_TIMEOUT)
    plan = DrainPlan.parse(request.record.plan)
    waiting = [node.node_id for node in plan.nodes if node.node_id is not None]
    with request.waiting_for("the terminated nodes to be Down in the Swarm", seconds=deadline.remaining):
        await leadership.poll(request.id, removed, every=TICK_SECONDS, deadline=deadline)


async def _check_not_held(leadership: Leadership, plan: DrainPlan, waiting: Collection[str]) -> None:
    """Raises GaveUp where somebody else's hook holds a machine: its node still lives, and is not forced out."""
    groups = {pool.group for pool in leadership.pools.values() if pool.group}
    held = {member.id for member in await leadership.groups.members(groups) if member.held} if groups else set()
    names = [node.name for node in plan.nodes if node.instance_id in held and node.node_id in waiting]
    if names:
        raise GaveUp(f"a lifecycle hook still holds {', '.join(names)}, whose node is removed once it is Down")


async def _remove(leadership: Leadership, node_id: str, *, force: bool) -> None:
    try:
        await leadership.change_swarm.remove_node(node_id, force=force)
    except NotFound:
        return
    except Refused as error:
        log.warning("node_not_removed", node=node_id, error=str(error))
        await leadership.change_swarm.remove_node(node_id, force=True)
