"""Giving nodes back that will not go after all: as they were, as far as they still are what we set.

What a person has set since wins: another availability stays, and so does a role that was not ours to change.
"""

from collections.abc import Collection

import structlog

from shared.errors import NotFound
from worker.decisions import displacement
from worker.errors import Revised
from worker.leadership.period import Leadership
from worker.ports.swarm import Availability, ServiceChange
from worker.requests import departures
from worker.requests.plans import DepartingNode, DownPlan
from worker.requests.request import OpenRequest

log = structlog.get_logger()

NAMED = 5
"""At most so many tasks are named in a message."""


async def give_back(leadership: Leadership, request: OpenRequest) -> None:
    """Restore role and availability of the nodes that have not been terminated. Safe to repeat."""
    down = DownPlan.parse(request.record.plan)
    await _allow_again(leadership, request, down)
    for node in down.remaining:
        if node.node_id is not None:
            leadership.watchdog.heartbeat(request.id)
            await _restore(
                leadership, node, _set_by_us(down, node), promote=node.manager and node.instance_id in down.demoted
            )


async def _allow_again(leadership: Leadership, request: OpenRequest, down: DownPlan) -> None:
    """No service avoids the nodes any more."""
    ids = tuple(node.node_id for node in down.nodes if node.node_id is not None)
    for service_id in down.avoiding:
        try:
            await leadership.change_swarm.update_service(service_id, ServiceChange(request_id=request.id, allow=ids))
        except NotFound:
            log.info("moved_service_gone", request=request.id, service=service_id)


async def abandoned(leadership: Leadership, down: DownPlan) -> str:
    """After an undo: what does not run and will not be started again by Swarm, in a sentence. Empty: nothing."""
    tasks, services = await leadership.swarm.tasks(), await leadership.swarm.services()
    lost = displacement.abandoned(list(down.slots or ()), tasks, services)
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


def _set_by_us(down: DownPlan, node: DepartingNode) -> Collection[Availability]:
    """The availabilities that a node can have from us. Records of the first version do not say how far they came.

    They do not say either why a node was chosen. One that somebody had drained was left as it was.
    """
    if down.draining == "done" or (down.chosen and node.availability == "drain"):
        return {"drain"}
    return {"pause"} if down.draining is None and down.chosen else {"pause", "drain"}
