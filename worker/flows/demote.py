"""Demoting a manager that will be terminated: only where the others keep their quorum, and until Swarm has done it."""

from datetime import datetime

from shared.errors import NotFound
from worker.decisions.quorum import demotion_refusal
from worker.errors import GaveUp
from worker.leadership.period import Leadership
from worker.requests.plans import DepartingNode, DrainPlan
from worker.requests.request import OpenRequest

POLL_SECONDS = 1.0


async def demote(leadership: Leadership, request: OpenRequest, node: DepartingNode) -> None:
    """Return when the node is a manager no more. Raises GaveUp, Unavailable, Refused."""

    async def demoted() -> bool | None:
        nodes = await leadership.swarm.nodes()
        return all(each.manager is None for each in nodes if each.id == node.node_id) or None

    refusal = demotion_refusal(await leadership.swarm.nodes(), str(node.node_id))
    if refusal is not None:
        raise GaveUp(refusal)
    began = await _began(leadership, request, node)
    deadline = leadership.deadline(began, leadership.settings.drain_timeout)
    try:
        await leadership.change_swarm.update_node(str(node.node_id), role="worker")
    except NotFound:
        return
    with request.waiting_for(f"{node.name} to be a manager no more", seconds=deadline.remaining):
        done = await leadership.poll(request.id, demoted, every=POLL_SECONDS, deadline=deadline)
    if not done:
        raise GaveUp(
            f"{node.name} was demoted, but is still a manager after {deadline.timeout:.0f} seconds. "
            "Look at `docker node ls`, then repeat the request"
        )


async def _began(leadership: Leadership, request: OpenRequest, node: DepartingNode) -> datetime:
    """When the demotion began, journaled before it does: the worker before us may have begun it."""
    plan = DrainPlan.parse(request.record.plan)
    if node.instance_id not in plan.demoted:
        now = leadership.clock.now()
        await request.save(plan=plan.but(demoted={**plan.demoted, node.instance_id: now}))
        return now
    return plan.demoted[node.instance_id]
