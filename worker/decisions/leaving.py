"""How long a node that leaves has, and what of that is for what. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from worker.decisions.matching import INSTANCE_LABEL, claimants
from worker.ports.scaling import Instance, Phase
from worker.ports.swarm import Node

SPOT = "spot interruption"
RECOMMENDED = "rebalance recommendation"
"""AWS takes nothing yet: it only says that it may soon, and in a group with capacity rebalance will."""
NOTICE = timedelta(minutes=2)
"""From the event's own time to the end of the machine.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html"""
MOVE_MARGIN = timedelta(seconds=60)
"""So long before the deadline services stop moving at their own pace, and the drain comes."""
LAST_MARGIN = timedelta(seconds=15)
"""So long before the deadline, and its stop grace period more, what does not fit elsewhere is stopped."""
UNTAKEN = timedelta(minutes=15)
"""A machine that runs so long after its deadline is not taken any more."""
KEPT = timedelta(minutes=30)
"""One that EC2 only recommended to replace, and that is in service so long after its drain began, stays."""


def ends_at(cause: str, at: datetime, began: datetime, drain_timeout: timedelta) -> datetime:
    """When a node has to be empty. `at`: the event's own time, `began`: when its request began."""
    return at + NOTICE if cause == SPOT else began + drain_timeout


def move_for(whole: timedelta) -> timedelta:
    """How much of the time services may move at their own pace."""
    return max(whole - min(MOVE_MARGIN, whole / 2), timedelta())


def wait_for(whole: timedelta, stop_grace: timedelta) -> timedelta:
    """How much of the time what does not fit elsewhere may run on where it is, in case room is made for it.

    `stop_grace`: how long it may take to stop. However long: half of the time it runs.
    """
    return max(whole - min(LAST_MARGIN + stop_grace, whole / 2), timedelta())


def successor(node_id: str, hostname: str, instance: str, nodes: Iterable[Node]) -> Node | None:
    """The node that the engine of one is now: it has left the Swarm, and joined it again on the same machine.

    Only once the former one is not Ready any more, and under its hostname: a label alone may be baked into an image.
    """
    listed = list(nodes)
    if any(each.id == node_id and each.ready for each in listed):
        return None
    named = [each for each in listed if each.ready and each.id != node_id and each.hostname == hostname]
    claiming = claimants(named, [Instance(instance, Phase.LEAVING)]).get(instance, ())
    unlabelled = [each for each in named if INSTANCE_LABEL not in each.engine_labels]
    return next(iter((*claiming, *unlabelled)), None)
