"""What Auto Scaling refuses, in its own words."""

from __future__ import annotations


class Refusal(Exception):
    """What AWS answers with instead of doing it. `code`: AWS's own."""

    def __init__(self, message: str, code: str = "ValidationError") -> None:
        super().__init__(message)
        self.code = code


def check_bounds(low: int, high: int, wanted: int | None) -> None:
    """MinSize, MaxSize and what is desired, as they are given together. Raises Refusal."""
    if low > high:
        raise Refusal(f"Max bound, {high}, must be greater than or equal to min bound, {low}")
    if wanted is not None and not low <= wanted <= high:
        raise Refusal(f"Desired capacity:{wanted} must be between the specified min size:{low} and max size:{high}")


def check_desired(wanted: int, low: int, high: int) -> None:
    """SetDesiredCapacity. Raises Refusal."""
    if wanted > high:
        raise Refusal(f"New SetDesiredCapacity value {wanted} is above max value {high} for the AutoScalingGroup.")
    if wanted < low:
        raise Refusal(f"New SetDesiredCapacity value {wanted} is below min value {low} for the AutoScalingGroup.")


def check_termination(group: str, *, suspended: bool, at_least: int | None) -> None:
    """TerminateInstanceInAutoScalingGroup. `at_least`: the MinSize that it would go below. Raises Refusal."""
    if suspended:
        raise Refusal(f"The Terminate process of AutoScalingGroup {group} is suspended.")
    if at_least is not None:
        raise Refusal(
            f"Currently, desiredSize equals minSize ({at_least}). Terminating instance without "
            "replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity "
            "flag to false or lower group's min size."
        )


def no_such_group(name: str) -> Refusal:
    """For a name that no group has."""
    return Refusal(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")


def no_such_instance(instance_id: str) -> Refusal:
    """For an instance that belongs to no group."""
    return Refusal(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


def already_exists(name: str) -> Refusal:
    """For a group's name that is taken."""
    return Refusal(
        f"AutoScalingGroup by this name already exists - A group with the name {name} already exists", "AlreadyExists"
    )


def in_use() -> Refusal:
    """A group with instances is not deleted without force."""
    return Refusal(
        "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
        "still in the group.",
        "ResourceInUse",
    )
