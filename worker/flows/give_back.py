"""Giving nodes back that will not go after all: as they were, as far as they still are what we set.

What a person has set since wins: another availability stays, and so does a role that was not ours to change.
"""

from collections.abc import Collection

import structlog

from shared.errors import NotFound
from worker.decisions import displacement
from worker.errors import Revised
from worker.flows.flow import Context
from worker.leadership.period import Leadership
from worker.ports.swarm import Availability
from worker.ports.swarm_changes import ServiceChange
from worker.requests import departures
from worker.requests.owners import taken_by
from worker.requests.plans import DepartingNode, DrainPlan
from worker.requests.request import OpenRequest

log = structlog.get_logger()

NAMED = 5
"""At most so many tasks are named in a message."""


async def give_back(context: Context, request: OpenRequest, plan: DrainPlan) -> None:
    """Restore role and availability of the nodes that have not been terminated. Safe to repeat.

    One that a departure has taken over is that one's to give back.
    """
    leadership = context.leadership
    await _allow_again(leadership, request, plan)
    for node in plan.remaining:
        if node.node_id is not None and taken_by(context.requests, request, node) is None:
            leadership.watchdog.heartbeat(request.id)
            await _restore(
                leadership, node, _set_by_us(plan, node), promote=node.manager and node.instance_id in plan.demoted
            )


async def _allow_again(leadership: Leadership, request: OpenRequest, plan: DrainPlan) -> None:
    """No service avoids the nodes any more."""
    ids = tuple(node.node_id for node in plan.nodes if node.node_id is not None)
    for service_id in plan.avoiding:
        try:
            await leadership.change_swarm.update_service(service_id, ServiceChange(request_id=request.id, allow=ids))
        except NotFound:
            log.info("moved_service_gone", request=request.id, service=service_id)


async def abandoned(leadership: Leadership, plan: DrainPlan) -> str:
    """After an undo: what does not run and will not be started again by Swarm, in a sentence. Empty: nothing."""
    slots = list(plan.slots or ())
    load = await leadership.swarm.workload((), {service_id for service_id, _ in slots})
    lost = displacement.abandoned(slots, load.tasks, load.services)
    if not lost:
        return ""
    names = [f"{slot.service}.{slot.slot}" for slot in lost]
    return departures.abandoned(
        names[:NAMED], max(len(names) - NAMED, 0), sorted({slot.service for slot in lost})[:NAMED]
    )


async def _restore(
    leadership: Leadership, node: DepartingNode, ours: Collection[Availability], *, promote: bool
) -> None:
    changes, node_id = leadership.change_swarm, str(node.node_id)
    try:
        if promote:
            await changes.update_node(node_id, role="manager")
        await changes.update_node(node_id, availability=node.availability, expected=ours)
    except NotFound:
        log.info("departing_node_gone", node=node.name)
    except Revised as revised:
        log.info("node_left_as_somebody_set_it", node=node.name, availability=revised.availability)


def _set_by_us(plan: DrainPlan, node: DepartingNode) -> Collection[Availability]:
    """The availabilities that a node can have from us. Records of the first version do not say how far they came.

    One that somebody had drained was left as it was.
    """
    if plan.draining == "done" or (node.availability == "drain" and not plan.of_first_version):
        return {"drain"}
    return {"pause"} if plan.draining is None and not plan.of_first_version else {"pause", "drain"}
