"""Whether a group can be scaled at all now: asked before anything is touched, so that nothing is left half done.

A group that cannot launch, or that owes instances it could not launch, gets no further orders: alerts that go on
firing would only pile up debt that AWS pays all at once. The texts are for an operator: what, why, what to do.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from worker.decisions.matching import members
from worker.ports.scaling import Activity, Group

EVER = datetime.min.replace(tzinfo=UTC)


def up_refusal(group: Group, activities: Sequence[Activity], refreshing: bool, since: datetime = EVER) -> str | None:
    """Why this group must not be scaled up now. None: it may.

    Launches that failed before `since`, the moment of the last raise if it is known, say nothing about what the
    group owes now: it may only not have begun yet.
    """
    return _suspended(group, "Launch") or _refreshing(group, refreshing) or _debt(group, activities, since)


def down_refusal(
    group: Group, count: int, activities: Sequence[Activity], refreshing: bool, since: datetime = EVER
) -> str | None:
    """Why `count` instances must not be taken from this group now. None: they may. `since` as in `up_refusal`."""
    return (
        _suspended(group, "Terminate")
        or _refreshing(group, refreshing)
        or _no_room(group, count)
        or _debt(group, activities, since)
    )


def launch_failure(activities: Sequence[Activity], since: datetime) -> Activity | None:
    """The newest failed launch that started since a moment, unless a later launch has succeeded."""
    for activity in sorted(activities, key=lambda activity: activity.started_at, reverse=True):
        if activity.failed_launch:
            return activity if activity.started_at >= since else None
        if activity.description.startswith("Launching") and activity.status == "Successful":
            return None
    return None


def _suspended(group: Group, process: str) -> str | None:
    if process not in group.suspended:
        return None
    return (
        f"The process {process} of Auto Scaling group {group.name} is suspended. Resume it "
        f"(`aws autoscaling resume-processes --auto-scaling-group-name {group.name} "
        f"--scaling-processes {process}`), then repeat the request"
    )


def _refreshing(group: Group, refreshing: bool) -> str | None:
    if not refreshing:
        return None
    return (
        f"An instance refresh of Auto Scaling group {group.name} is running, which replaces instances by itself. "
        f"Wait until it has ended, or cancel it (`aws autoscaling cancel-instance-refresh "
        f"--auto-scaling-group-name {group.name}`), then repeat the request"
    )


def _no_room(group: Group, count: int) -> str | None:
    if group.desired - count >= group.min_size:
        return None
    return (
        f"Auto Scaling group {group.name} has a desired capacity of {group.desired} and a MinSize of "
        f"{group.min_size}, so {count} cannot be removed. Ask for at most {max(group.desired - group.min_size, 0)}, "
        "or lower MinSize"
    )


def _debt(group: Group, activities: Sequence[Activity], since: datetime) -> str | None:
    owed = group.desired - len(members(group))
    failure = launch_failure(activities, since)
    if owed <= 0 or failure is None:
        return None
    reason = failure.reason.strip().rstrip(".") or failure.description.strip().rstrip(".")
    return (
        f"Auto Scaling group {group.name} wants {group.desired} instances and has {len(members(group))}, because "
        f"AWS could not launch the rest: {reason}. Remove the cause, or set the desired capacity back to what "
        "there is, then repeat the request"
    )
