"""The groups over Auto Scaling and EC2: what stands there, and the few changes that are allowed.

Group facts are merged with EC2's, which knows host names and launch times. Both services lag behind what they were
told; an instance that EC2 does not show yet has those fields empty, and whoever judges must wait for them.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from shared.at_once import AtOnce
from shared.aws import calling
from shared.errors import NotFound
from worker.adapters.lifecycle_hooks import LifecycleHooks
from worker.adapters.machines import NOT_SHOWN, Machine, Machines
from worker.ports.scaling import (
    Activities,
    Activity,
    ActivityKind,
    CapacityUnit,
    Group,
    Instance,
    Member,
    Outcome,
    Phase,
)

# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_InstanceRefresh.html: statuses that are no ends.
_REFRESHING = frozenset({"Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking"})
# What the cause of a termination by name says that took its part of the desired capacity with it.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-verify-scaling-activity.html
_LOWERED_BY_NAME = re.compile(r"in response to a user request, shrinking the capacity from \d+ to (\d+)")
_INSTANCE_ID = re.compile(r"\bi-[0-9a-f]+\b")
_KINDS: Sequence[tuple[re.Pattern[str], ActivityKind]] = (
    (re.compile("^Launching "), "launch"),
    (re.compile("^Terminating "), "termination"),
    (re.compile("^Attaching |out of Standby"), "arrival"),
)
"""Descriptions of activities. Instances from a warm pool are launched `from warm pool`."""
_UNITS: Mapping[str, CapacityUnit] = {"vcpu": "vCPUs", "memory-mib": "MiB of memory"}
"""DesiredCapacityType, where it is not `units`."""
_ABANDONED = "Lifecycle Action"
"""In the message of a launch that was cancelled by the result of a lifecycle hook."""


class AwsGroups(LifecycleHooks):
    """The Groups and GroupChanges ports. MinSize and MaxSize are never written."""

    def __init__(self, autoscaling_client: Any, ec2_client: Any, call_timeout: timedelta) -> None:
        super().__init__(autoscaling_client, call_timeout)
        self._machines = Machines(ec2_client, call_timeout)

    async def describe(self, name: str) -> Group:
        """The group with its instances. Raises NotFound."""
        async with AtOnce() as at_once:
            describing = at_once.ask(self._described(name))
            known = at_once.ask(self._machines.of_group(name))
        found, machines = describing.result(), known.result()
        ids = [member["InstanceId"] for member in found.get("Instances", [])]
        if missing := [each for each in ids if each not in machines]:
            machines |= await self._machines.named(missing)
        self._machines.keep(name, ids, machines)
        return _group(found, machines)

    async def _described(self, name: str) -> Mapping[str, Any]:
        async with calling("DescribeAutoScalingGroups", self._call_timeout):
            answer = await self._autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        found: list[Mapping[str, Any]] = answer["AutoScalingGroups"]
        group = next((group for group in found if group["AutoScalingGroupName"] == name), None)
        if group is None:
            raise NotFound(f"There is no Auto Scaling group {name}")
        return group

    async def activities(self, name: str) -> Activities:
        """The newest activities, at most 100."""
        async with calling("DescribeScalingActivities", self._call_timeout):
            answer = await self._autoscaling.describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=100)
        return Activities(tuple(map(activity_of, answer["Activities"])))

    async def refreshing(self, name: str) -> bool:
        """Whether an instance refresh runs."""
        async with calling("DescribeInstanceRefreshes", self._call_timeout):
            answer = await self._autoscaling.describe_instance_refreshes(AutoScalingGroupName=name)
        return any(refresh["Status"] in _REFRESHING for refresh in answer["InstanceRefreshes"])

    async def members(self, names: Collection[str]) -> Sequence[Member]:
        """The instances of some groups, in one call. Without names there are none."""
        if not names:
            return ()
        async with calling("DescribeAutoScalingGroups", self._call_timeout):
            answer = await self._autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=sorted(names))
        return tuple(
            _member(group["AutoScalingGroupName"], each)
            for group in answer["AutoScalingGroups"]
            for each in group.get("Instances", [])
        )

    async def gone(self, instance_ids: Sequence[str], members: Collection[str]) -> frozenset[str]:
        """Those of the instances that EC2 here has terminated; of the `members` also those that it does not know.

        EC2 does not know an instance either in its first seconds: ask about those that have been seen running.
        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/how-ec2-instance-termination-works.html
        """
        machines = await self._machines.named(instance_ids)
        terminated = {each for each, machine in machines.items() if machine.state == "terminated"}
        forgotten = set(instance_ids).intersection(members).difference(machines)
        return frozenset(terminated | forgotten)

    async def set_desired(self, name: str, desired: int) -> None:
        """Set the desired capacity. Raises Refused with AWS's reason."""
        async with calling("SetDesiredCapacity", self._call_timeout):
            await self._autoscaling.set_desired_capacity(
                AutoScalingGroupName=name, DesiredCapacity=desired, HonorCooldown=False
            )

    async def terminate(self, instance_id: str) -> int | None:
        """Terminate one instance and lower the desired capacity with it: to what, unless AWS does not say.

        Raises Refused with AWS's reason.
        """
        async with calling("TerminateInstanceInAutoScalingGroup", self._call_timeout):
            answer = await self._autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=instance_id, ShouldDecrementDesiredCapacity=True
            )
        return _lowered_to(answer.get("Activity") or {})

    async def replace(self, instance_id: str) -> None:
        """Terminate one instance and leave the desired capacity: its group launches another.

        Raises Refused with AWS's reason.
        """
        async with calling("TerminateInstanceInAutoScalingGroup", self._call_timeout):
            await self._autoscaling.terminate_instance_in_auto_scaling_group(
                InstanceId=instance_id, ShouldDecrementDesiredCapacity=False
            )


def _group(found: Mapping[str, Any], machines: Mapping[str, Machine]) -> Group:
    suspended = {process["ProcessName"] for process in found.get("SuspendedProcesses", [])}
    return Group(
        name=found["AutoScalingGroupName"],
        desired=found["DesiredCapacity"],
        min_size=found["MinSize"],
        max_size=found["MaxSize"],
        instances=tuple(
            _instance(member, machines.get(member["InstanceId"], NOT_SHOWN)) for member in found.get("Instances", [])
        ),
        launches_suspended="Launch" in suspended,
        terminations_suspended="Terminate" in suspended,
        protects_new=bool(found.get("NewInstancesProtectedFromScaleIn", False)),
        unit=_unit(found),
        rebalances=bool(found.get("CapacityRebalance", False)),
    )


def _unit(group: Mapping[str, Any]) -> CapacityUnit:
    """What the group's capacity counts.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-mixed-instances-groups-instance-weighting.html
    """
    if (unit := _UNITS.get(group.get("DesiredCapacityType") or "")) is not None:
        return unit
    policy = (group.get("MixedInstancesPolicy") or {}).get("LaunchTemplate") or {}
    weighted = [*group.get("Instances", []), *(policy.get("Overrides") or [])]
    return "weights" if any((each.get("WeightedCapacity") or "1") != "1" for each in weighted) else "instances"


def _instance(member: Mapping[str, Any], machine: Machine) -> Instance:
    return Instance(
        id=member["InstanceId"],
        phase=_phase(member["LifecycleState"]),
        protected=bool(member.get("ProtectedFromScaleIn", False)),
        zone=member.get("AvailabilityZone", ""),
        private_dns_name=machine.private_dns_name,
        addresses=machine.addresses,
        launched_at=machine.launched_at,
        made_at=machine.made_at,
    )


def _member(group: str, member: Mapping[str, Any]) -> Member:
    state = member["LifecycleState"]
    return Member(member["InstanceId"], group, _phase(state), held=state.endswith(":Wait"))


def _phase(state: str) -> Phase:
    """The phase of a lifecycle state. One that is new here counts as pending: a member that nobody takes.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html
    """
    if state == "InService":
        return Phase.IN_SERVICE
    if state.startswith("Warmed"):
        return Phase.WARM
    if state.startswith(("Terminat", "Detach")):
        return Phase.LEAVING
    return Phase.STANDBY if state in {"EnteringStandby", "Standby"} else Phase.PENDING


def activity_of(found: Mapping[str, Any]) -> Activity:
    """An activity, of AWS's words for it."""
    description, message = found.get("Description") or "", found.get("StatusMessage") or ""
    outcome = _outcome(found["StatusCode"], message)
    return Activity(
        kind=next((kind for pattern, kind in _KINDS if pattern.search(description)), "other"),
        outcome=outcome,
        started_at=found["StartTime"],
        ended_at=found.get("EndTime"),
        instance_ids=frozenset(_INSTANCE_ID.findall(description)),
        reason=(message or description) if outcome == "failed" else "",
        lowered_to=_lowered_to(found),
    )


def _outcome(status: str, message: str) -> Outcome:
    """What became of an activity. A launch that EC2 kills is cancelled with a message that says why; one that a
    lifecycle hook has abandoned is cancelled as somebody wished.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-verify-scaling-activity.html
    """
    if status == "Failed" or (status == "Cancelled" and message and _ABANDONED not in message):
        return "failed"
    if status == "Cancelled":
        return "cancelled"
    return "succeeded" if status == "Successful" else "open"


def _lowered_to(activity: Mapping[str, Any]) -> int | None:
    lowered = _LOWERED_BY_NAME.search(activity.get("Cause") or "")
    return None if lowered is None else int(lowered[1])
