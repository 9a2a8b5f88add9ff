"""A group of the emulated Auto Scaling, as tests ask it and act on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra.local.aws import EmbeddedAws
from tests.waiting import until


class Asg:
    """One group, asked through the API."""

    def __init__(self, aws: EmbeddedAws, name: str) -> None:
        self.name = name
        self.api = aws.session().client("autoscaling")
        self.ec2 = aws.session().client("ec2")

    def described(self) -> dict[str, Any]:
        [group] = self.api.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        found: dict[str, Any] = group
        return found

    def instances(self, state: str = "InService") -> list[str]:
        found = self.described()["Instances"]
        return [one["InstanceId"] for one in found if state in ("", one["LifecycleState"])]

    def ready(self, number: int) -> list[str]:
        """The instances, once exactly so many are in service and no other is there."""
        until(lambda: len(self.instances()) == number == len(self.instances("")), f"{number} instances in service")
        return self.instances()

    def desire(self, number: int) -> None:
        self.api.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=number)

    def terminate(self, instance: str, decrement: bool = True) -> dict[str, Any]:
        answer: dict[str, Any] = self.api.terminate_instance_in_auto_scaling_group(
            InstanceId=instance, ShouldDecrementDesiredCapacity=decrement
        )
        return answer["Activity"]  # type: ignore[no-any-return]

    def protect(self, instances: list[str], protected: bool) -> None:
        self.api.set_instance_protection(
            AutoScalingGroupName=self.name, InstanceIds=instances, ProtectedFromScaleIn=protected
        )

    def suspend(self, *processes: str) -> None:
        self.api.suspend_processes(AutoScalingGroupName=self.name, ScalingProcesses=list(processes))

    def resume(self, *processes: str) -> None:
        self.api.resume_processes(AutoScalingGroupName=self.name, ScalingProcesses=list(processes))

    def activities(self) -> list[dict[str, Any]]:
        answer: dict[str, Any] = self.api.describe_scaling_activities(AutoScalingGroupName=self.name)
        return answer["Activities"]  # type: ignore[no-any-return]

    def states(self) -> dict[str, str]:
        """Lifecycle states by instance."""
        return {one["InstanceId"]: one["LifecycleState"] for one in self.described()["Instances"]}

    def put_hook(self, name: str, transition: str, **settings: Any) -> None:
        self.api.put_lifecycle_hook(
            AutoScalingGroupName=self.name,
            LifecycleHookName=name,
            LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
            **settings,
        )

    def complete(self, hook: str, result: str = "CONTINUE", **which: str) -> None:
        self.api.complete_lifecycle_action(
            AutoScalingGroupName=self.name, LifecycleHookName=hook, LifecycleActionResult=result, **which
        )

    def heartbeat(self, hook: str, **which: str) -> None:
        self.api.record_lifecycle_action_heartbeat(AutoScalingGroupName=self.name, LifecycleHookName=hook, **which)

    def machine(self, instance: str) -> dict[str, Any]:
        [reservation] = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
        found: dict[str, Any] = reservation["Instances"][0]
        return found

    def machine_state(self, instance: str) -> str:
        return str(self.machine(instance)["State"]["Name"])


def refused(call: Callable[[], Any], code: str, text: str) -> None:
    with pytest.raises(ClientError) as caught:
        call()
    assert caught.value.response["Error"]["Code"] == code
    assert text in caught.value.response["Error"]["Message"]
