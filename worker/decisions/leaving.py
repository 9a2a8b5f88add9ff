"""How long a node that leaves has, and what of that is for what. Pure."""

from datetime import datetime, timedelta

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
