"""What Auto Scaling refuses, in its own words. Each raises moto's ValidationError."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.autoscaling.exceptions import ValidationError

if TYPE_CHECKING:
    from infra.local.aws.group import Group


def check_bounds(low: int, high: int, wanted: int | None) -> None:
    """MinSize, MaxSize and what is desired, as they are given together."""
    if low > high:
        raise ValidationError(f"Max bound, {high}, must be greater than or equal to min bound, {low}")
    if wanted is not None and not low <= wanted <= high:
        raise ValidationError(
            f"Desired capacity:{wanted} must be between the specified min size:{low} and max size:{high}"
        )


def check_desired(wanted: int, low: int, high: int) -> None:
    """SetDesiredCapacity."""
    if wanted > high:
        raise ValidationError(
            f"New SetDesiredCapacity value {wanted} is above max value {high} for the AutoScalingGroup."
        )
    if wanted < low:
        raise ValidationError(
            f"New SetDesiredCapacity value {wanted} is below min value {low} for the AutoScalingGroup."
        )


def check_termination(group: Group, decrement: bool) -> None:
    """TerminateInstanceInAutoScalingGroup."""
    if group.suspended("Terminate"):
        raise ValidationError(f"The Terminate process of AutoScalingGroup {group.name} is suspended.")
    if decrement and group.desired_capacity <= group.min_size:
        raise ValidationError(
            f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without "
            "replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity "
            "flag to false or lower group's min size."
        )


class ResourceInUse(ValidationError):  # type: ignore[misc] # moto has no types
    """A group with instances is not deleted without force."""

    code = "ResourceInUse"
    message = (
        "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
        "still in the group."
    )


def no_such_instance(instance_id: str) -> Exception:
    """For an instance that belongs to no group."""
    error: Exception = ValidationError(
        f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
    )
    return error


def already_exists(name: str) -> Exception:
    """For a group's name that is taken."""
    error: Exception = ValidationError(
        "AlreadyExists", f"AutoScalingGroup by this name already exists - A group with the name {name} already exists"
    )
    return error
