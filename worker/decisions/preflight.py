"""Whether a group can be scaled at all now: asked before anything is touched, so that nothing is left half done.

A group that cannot launch, or that owes instances it could not launch, gets no further orders: alerts that go on
firing would only pile up debt that AWS pays all at once. The texts are for an operator: what, why, what to do.
"""

from datetime import UTC, datetime
from typing import Literal

from worker.decisions.matching import members
from worker.decisions.reasons import Obstacle, Reason
from worker.ports.scaling import Activities, Group

EVER = datetime.min.replace(tzinfo=UTC)


def unit_refusal(group: Group) -> str | None:
    """Why a group whose capacity is not its number of instances is not scaled. None: its capacity is just that.

    To be asked first: no bound, target or debt means anything there.
    """
    if group.unit == "instances":
        return None
    return (
        f"Auto Scaling group {group.name} counts its capacity in {group.unit}, not in instances: {group.desired} "
        f"desired, {len(members(group))} instances. Numbers of nodes cannot be told from that, so it is not scaled. "
        "Take the weights out of its mixed-instances policy (or set them to 1), set its desired capacity type to "
        "units, then repeat the request"
    )


def up_refusal(group: Group, activities: Activities, refreshing: bool, since: datetime = EVER) -> str | None:
    """Why this group must not be scaled up now. None: it may.

    Launches that failed before `since`, the moment of the last raise if it is known, say nothing about what the
    group owes now: it may only not have begun yet.
    """
    return _suspended(group, "Launch") or _refreshing(group, refreshing) or _debt(group, activities, since)


def down_refusal(
    group: Group, count: int, activities: Activities, refreshing: bool, since: datetime = EVER
) -> str | None:
    """Why `count` instances must not be taken from this group now. None: they may. `since` as in `up_refusal`."""
    return next((each.text for each in down_obstacles(group, count, activities, refreshing, since)), None)


def down_obstacles(
    group: Group, count: int, activities: Activities, refreshing: bool, since: datetime = EVER
) -> tuple[Obstacle, ...]:
    """All of it, with codes: what a refusal names first."""
    found = (
        (Reason.GROUP_SUSPENDED, _suspended(group, "Terminate")),
        (Reason.REFRESHING, _refreshing(group, refreshing)),
        (Reason.REFRESHING, _replacing(group)),
        (Reason.AT_MINIMUM, _no_room(group, count)),
        (Reason.LAUNCHES_FAIL, _debt(group, activities, since)),
    )
    return tuple(Obstacle(reason, text) for reason, text in found if text is not None)


def replace_obstacle(group: Group, activities: Activities, refreshing: bool, since: datetime = EVER) -> Obstacle | None:
    """What keeps all of this group's instances from being replaced now. None: nothing. `since` as in `up_refusal`."""
    found = (
        (Reason.GROUP_SUSPENDED, _suspended(group, "Launch")),
        (Reason.GROUP_SUSPENDED, _suspended(group, "Terminate")),
        (Reason.REFRESHING, _refreshing(group, refreshing)),
        (Reason.LAUNCHES_FAIL, _debt(group, activities, since)),
    )
    return next((Obstacle(reason, text) for reason, text in found if text is not None), None)


def _suspended(group: Group, process: Literal["Launch", "Terminate"]) -> str | None:
    if not (group.launches_suspended if process == "Launch" else group.terminations_suspended):
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


def _replacing(group: Group) -> str | None:
    """Its surplus is about to go by AWS's hand: what is taken beside it would be missing."""
    surplus = len(members(group)) - group.desired
    if surplus <= 0:
        return None
    return (
        f"Auto Scaling group {group.name} has {len(members(group))} instances and wants {group.desired}: AWS is "
        "replacing some, or may not end those that are protected from scale-in. Wait until it has, or set the desired "
        "capacity to what there is, then repeat the request"
    )


def _no_room(group: Group, count: int) -> str | None:
    if group.desired - count >= group.min_size:
        return None
    return (
        f"Auto Scaling group {group.name} has a desired capacity of {group.desired} and a MinSize of "
        f"{group.min_size}, so {count} cannot be removed. Ask for at most {max(group.desired - group.min_size, 0)}, "
        "or lower MinSize"
    )


def _debt(group: Group, activities: Activities, since: datetime) -> str | None:
    owed = group.desired - len(members(group))
    reason = activities.why_not(since)
    if owed <= 0 or reason is None:
        return None
    return (
        f"Auto Scaling group {group.name} wants {group.desired} instances and has {len(members(group))}, because "
        f"AWS could not launch the rest: {reason.strip().rstrip('.')}. Remove the cause, or set the desired capacity "
        "back to what there is, then repeat the request"
    )
