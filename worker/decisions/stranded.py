"""What of the tasks on nodes that leave would find a place elsewhere, where not all of it would. Pure.

A drain stops everything at once. So while there is time, what fits is moved by itself, and only the rest runs on.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from worker.decisions.displacement import is_moved, is_wanted
from worker.decisions.placement import Placement
from worker.decisions.restarts import keeps
from worker.ports.swarm import Node, Service, Task

STOP_GRACE = timedelta(seconds=10)
"""Of a service that sets none: what the engine waits between the signal to stop and the end of the container.
https://docs.docker.com/reference/cli/docker/service/create/#stop-grace-period"""


@dataclass(frozen=True, slots=True)
class Stranded:
    """The services on nodes that leave, by whether they can move."""

    movable: frozenset[str]
    """Ids of those all of whose tasks there would find a place elsewhere, beside each other."""
    staying: frozenset[str]
    """Ids of those that do not fit, or must not move. Neither has what runs on every node."""
    stop_grace: timedelta
    """The longest that one of the others may take to stop. 0: there are none."""


def stranded(
    leaving: Collection[str], *, nodes: Sequence[Node], services: Sequence[Service], tasks: Sequence[Task]
) -> Stranded:
    """Sort what is wanted on the nodes (their ids). Doubt counts as "does not fit"."""
    known = {service.id: service for service in services}
    there = [task for task in tasks if task.node_id in leaving and task.service_id in known and is_wanted(task)]
    moving = Counter(task.service_id for task in there if is_moved(task, known))
    waiting = Counter(
        task.service_id for task in tasks if task.node_id is None and is_wanted(task) and is_moved(task, known)
    )
    usable = [node for node in nodes if node.ready and node.availability == "active"]
    homeless = Placement(usable, known, tasks).homeless(leaving, moving, waiting)
    kept = {task.service_id for task in there if keeps(known[task.service_id], task, "")}
    movable = frozenset(moving) - homeless - kept
    staying = homeless | kept
    return Stranded(movable, staying, max((_stop_grace(known[each]) for each in staying), default=timedelta()))


def _stop_grace(service: Service) -> timedelta:
    return STOP_GRACE if service.stop_grace is None else service.stop_grace
