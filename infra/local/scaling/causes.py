"""Why a group did something, as AWS words it: the causes of its activities.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-verify-scaling-activity.html
"""

from __future__ import annotations

from datetime import datetime

from infra.local.scaling.activities import at


def asked_to_resize(before: int, wanted: int) -> str:
    """SetDesiredCapacity."""
    return (
        f"a user request explicitly set group desired capacity changing the desired capacity from {before} to {wanted}"
    )


def asked_to_update(low: int, high: int, before: int, wanted: int) -> str:
    """UpdateAutoScalingGroup."""
    return (
        f"a user request update of AutoScalingGroup constraints to min: {low}, max: {high}, "
        f"desired: {wanted} changing the desired capacity from {before} to {wanted}"
    )


def too_few(moment: datetime, why: str, had: int) -> str:
    """An instance is launched, since there are less than desired."""
    reason = f"{at(moment)} {why}.  " if why else ""
    return (
        f"{reason}{at(moment)} an instance was started in response to a difference between desired and actual "
        f"capacity, increasing the capacity from {had} to {had + 1}."
    )


def too_many(moment: datetime, why: str, had: int, instance_id: str) -> str:
    """An instance is terminated that nobody named, since there are more than desired."""
    return (
        f"{at(moment)} {why}.  {at(moment)} an instance was taken out of service in response to a difference "
        f"between desired and actual capacity, shrinking the capacity from {had} to {had - 1}.  "
        f"{at(moment)} instance {instance_id} was selected for termination."
    )


def nothing_to_take(moment: datetime, why: str) -> str:
    """There are more than desired, and all of them are protected."""
    return f"{at(moment)} {why}.  {at(moment)} group reached equilibrium."


def named(moment: datetime, instance_id: str, before: int | None) -> str:
    """TerminateInstanceInAutoScalingGroup. `before`: the desired capacity that it lowers by one; None: it does not."""
    cause = f"{at(moment)} instance {instance_id} was taken out of service in response to a user request"
    return cause + ("." if before is None else f", shrinking the capacity from {before} to {before - 1}.")


def unhealthy(moment: datetime, ended: bool) -> str:
    """A health check: EC2 has `ended` it, or somebody called it unhealthy."""
    illness = "an EC2 health check indicating it has been terminated or stopped." if ended else "a user health-check."
    return f"{at(moment)} an instance was taken out of service in response to {illness}"


def abandoned(moment: datetime) -> str:
    """A launch hook ended with ABANDON."""
    return f"{at(moment)} an instance was taken out of service in response to an abandoned lifecycle action."
