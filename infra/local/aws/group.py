"""One Auto Scaling group that behaves in time: it launches, waits, retries, replaces and terminates.

Everything here runs under the world's lock, from a request or from a timer. moto's group keeps the settings
and the launch template; what its instances do is decided here. Activities are worded in `activities`, the
choice of zones and victims is made in `placement`.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from typing import Any, Final

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import ASG_NAME_TAG, FakeAutoScalingGroup, InstanceState

from infra.local.aws import ec2, placement
from infra.local.aws.activities import Activity, History, at, refusal_sentence
from infra.local.aws.refresh import Refreshes
from infra.local.aws.world import World

REMEMBERED_STATES: Final = 2000


class Group(FakeAutoScalingGroup):  # type: ignore[misc] # moto has no types
    """moto's group, with a life of its own."""

    instance_states: list[Any]

    def __init__(self, name: str, autoscaling_backend: Any, **settings: Any) -> None:
        self.world: World = autoscaling_backend.world
        self.refreshes = Refreshes(name)
        self._past: deque[tuple[float, Group]] = deque(maxlen=REMEMBERED_STATES)
        self._retrying = False
        self._deleted = False
        self._why = ""
        self.history = History(name, "")
        self._check_bounds(settings["min_size"], settings["max_size"], settings["desired_capacity"])
        super().__init__(name=name, autoscaling_backend=autoscaling_backend, **settings)

    # What moto calls

    def set_desired_capacity(self, new_capacity: int | None) -> None:
        """Any change of the desired number, and every occasion to look whether it is met."""
        if not self.history.group_arn:
            self.history.group_arn = self.arn
        wanted = self.min_size if new_capacity is None else new_capacity
        self.desired_capacity = wanted
        self.converge()

    def update(self, *args: Any, **settings: Any) -> None:
        """UpdateAutoScalingGroup: bounds are checked together, desired follows them where it is not given."""
        low = _first(settings.get("min_size"), self.min_size)
        high = _first(settings.get("max_size"), self.max_size)
        wanted = settings.get("desired_capacity")
        self._check_bounds(low, high, wanted)
        if wanted is None:
            wanted = min(max(self.desired_capacity, low), high)
        before = self.desired_capacity
        self._why = (
            f"a user request update of AutoScalingGroup constraints to min: {low}, max: {high}, "
            f"desired: {wanted} changing the desired capacity from {before} to {wanted}"
        )
        super().update(*args, **settings | {"desired_capacity": wanted})

    # What the API asks for

    def resize(self, wanted: int) -> None:
        """SetDesiredCapacity. Raises ValidationError outside MinSize and MaxSize."""
        if wanted > self.max_size:
            raise ValidationError(
                f"New SetDesiredCapacity value {wanted} is above max value {self.max_size} for the AutoScalingGroup."
            )
        if wanted < self.min_size:
            raise ValidationError(
                f"New SetDesiredCapacity value {wanted} is below min value {self.min_size} for the AutoScalingGroup."
            )
        before = self.desired_capacity
        self._why = (
            "a user request explicitly set group desired capacity changing the desired capacity "
            f"from {before} to {wanted}"
        )
        self._retrying = False
        self.set_desired_capacity(wanted)

    def terminate(self, instance_id: str, decrement: bool) -> Activity:
        """TerminateInstanceInAutoScalingGroup: protection does not hinder it.

        On an instance that is already going, AWS lowers the number once more, and so does this.
        """
        self._check_termination(decrement)
        before = self.desired_capacity
        if decrement:
            self.desired_capacity -= 1
        cause = f"{at()} instance {instance_id} was taken out of service in response to a user request"
        cause += f", shrinking the capacity from {before} to {before - 1}." if decrement else "."
        activity = self._take_out(self.member(instance_id), cause)
        self.converge()
        return activity

    def protect(self, instance_ids: list[str], protected: bool) -> None:
        """SetInstanceProtection."""
        states = [self.member(instance_id) for instance_id in instance_ids]
        for state in states:
            if state.lifecycle_state not in ("InService", "EnteringStandby", "Standby"):
                raise ValidationError(
                    f"The instance {state.instance_id} is not in InService or EnteringStandby or Standby."
                )
        for state in states:
            state.protected_from_scale_in = protected
        self.converge()

    def delete(self, force: bool) -> None:
        """Every instance goes, protected or not."""
        if self.instance_states and not force:
            raise ResourceInUse
        self._deleted = True
        for state in list(self.instance_states):
            self._take_out(state, f"{at()} instance {state.instance_id} was taken out of service.")

    def rebalance(self) -> None:
        """What AZRebalance does when zones are uneven: one more where few are, then one less where many are."""
        if self._suspended("AZRebalance", "Launch", "Terminate"):
            return
        members = self._members()
        low = placement.zone_for_launch(self.availability_zones, members)
        held = [member for member in members if member.zone != low and not member.protected]
        victim = next(iter(placement.victims(held, 1)), None)
        few = sum(member.zone == low for member in members)
        if victim is None or sum(one.zone == self.member(victim).availability_zone for one in members) < few + 2:
            return
        self._launch_one(f"{at()} an instance was launched to aid in balancing the group's zones.")
        self._take_out(self.member(victim), f"{at()} instances were launched to balance instances in zones.")
        self.changed()

    def member(self, instance_id: str) -> Any:
        """The state of one instance. Raises ValidationError where the group has none such."""
        for state in self.instance_states:
            if state.instance_id == instance_id:
                return state
        raise no_such_instance(instance_id)

    # What time and EC2 do to it

    def converge(self) -> None:
        """Launch what is missing, take out what is too much."""
        if not self._deleted:
            missing = (self.desired_capacity or 0) - len(self._members())
            if missing > 0:
                self._launch(missing)
            elif missing < 0:
                self._shrink(-missing)
        self.changed()

    def lost(self, instance_ids: list[str]) -> None:
        """EC2 has terminated or stopped instances behind the group's back; it notices a little later."""
        states = [state for state in self.instance_states if state.instance_id in instance_ids]
        for state in states:
            self._later("health_check_seconds", lambda state=state: self._mark_unhealthy(state))

    def check_health(self) -> None:
        """Replace what is unhealthy, unless that is suspended."""
        if self._suspended("ReplaceUnhealthy", "HealthCheck", "Terminate"):
            return
        for state in self._living():
            if state.health_status == "Unhealthy":
                self._take_out(state, f"{at()} an instance was taken out of service in response to {_illness(state)}")
        self.converge()

    def changed(self) -> None:
        """Remember how the group looks now."""
        frozen = copy.copy(self)
        frozen.instance_states = [copy.copy(state) for state in self.instance_states]
        self._past.append((time.monotonic(), frozen))

    def as_of(self, moment: float | None) -> Group | None:
        """How it looked then (as `time.monotonic()`); None where it did not exist yet."""
        if moment is None:
            return self
        return next((frozen for since, frozen in reversed(self._past) if since <= moment), None)

    # The steps

    def _launch(self, number: int) -> None:
        if self._suspended("Launch") or self._retrying:
            return
        for _ in range(number):
            if not self._launch_one(self._launch_cause()):
                self._retrying = True
                self._later("launch_retry_seconds", self._retry)
                return

    def _retry(self) -> None:
        self._retrying = False
        self.converge()

    def _launch_one(self, cause: str) -> bool:
        zone = placement.zone_for_launch(self.availability_zones, self._members())
        details = {"Subnet ID": self._subnet_in(zone), "Availability Zone": zone}
        reason = self.world.knobs.launch_refusal(self.name)
        if reason is not None:
            sentence = refusal_sentence(reason, self.instance_type, zone, self.availability_zones)
            self.history.launch_failed(sentence, cause, details)
            return False
        instance = self._run_instance(zone, details["Subnet ID"])
        activity = self.history.launching(instance.id, cause, details)
        protected = self.new_instances_protected_from_scale_in
        state = InstanceState(instance, "Pending", "Healthy", protected, self)
        self.instance_states.append(state)
        self._later("pending_seconds", lambda: self._enter_service(state, activity))
        return True

    def _run_instance(self, zone: str, subnet: str) -> Any:
        reservation = self.ec2_backend.run_instances(
            self.image_id,
            1,
            self.user_data,
            self.security_groups,
            instance_type=self.instance_type,
            tags={"instance": {**self.get_propagated_tags(), **self.instance_tags, ASG_NAME_TAG: self.name}},
            placement=zone,
            launch_config=self.launch_config,
            launch_template=self._template(),
            is_instance_type_default=False,
            associate_public_ip=self.launch_config.associate_public_ip_address if self.launch_config else None,
            subnet_id=subnet,
        )
        instance = reservation.instances[0]
        instance.autoscaling_group = self
        self.ec2_backend.put(instance, ec2.PENDING)
        return instance

    def _enter_service(self, state: Any, activity: Activity) -> None:
        if state.lifecycle_state != "Pending" or state.instance.state != "pending":
            if activity.end is None:
                activity.finish("Cancelled")
            return
        reason = self.world.knobs.launch_end(self.name)
        if reason is not None:
            self._launch_killed(state, activity, reason)
            return
        state.lifecycle_state = "InService"
        self.ec2_backend.put(state.instance, ec2.RUNNING)
        activity.finish()
        self.autoscaling_backend.register_with_balancers(self)
        self.changed()

    def _launch_killed(self, state: Any, activity: Activity, reason: str) -> None:
        """Without an activity of its own for the end of the instance."""
        self.history.launch_killed(activity, reason)
        self.instance_states = [other for other in self.instance_states if other is not state]
        self.ec2_backend.terminate_instances([state.instance_id])
        if not self._retrying:
            self._retrying = True
            self._later("launch_retry_seconds", self._retry)
        self.changed()

    def _shrink(self, number: int) -> None:
        if self._suspended("Terminate"):
            return
        chosen = placement.victims(self._members(), number)
        if len(chosen) < number:
            self.history.all_protected(f"{at()} {self._why}.  {at()} group reached equilibrium.")
        for instance_id in chosen:
            left = len(self._members())
            self._take_out(
                self.member(instance_id),
                f"{at()} {self._why}.  {at()} an instance was taken out of service in response to a difference "
                f"between desired and actual capacity, shrinking the capacity from {left} to {left - 1}.  "
                f"{at()} instance {instance_id} was selected for termination.",
            )

    def _take_out(self, state: Any, cause: str) -> Activity:
        """Terminate; asked again for an instance that is going, it is only said again."""
        zone = state.availability_zone
        details = {"Subnet ID": state.instance.subnet_id or "", "Availability Zone": zone}
        activity = self.history.terminating(state.instance_id, cause, details)
        if state.lifecycle_state != "Terminating":
            state.lifecycle_state = "Terminating"
            self.ec2_backend.terminate_instances([state.instance_id])
        self._later("terminating_seconds", lambda: self._gone(state, activity))
        return activity

    def _gone(self, state: Any, activity: Activity) -> None:
        activity.finish()
        self.instance_states = [other for other in self.instance_states if other is not state]
        self.changed()

    def _mark_unhealthy(self, state: Any) -> None:
        state.health_status = "Unhealthy"
        self.check_health()

    # What it needs to know

    def _living(self) -> list[Any]:
        return [state for state in self.instance_states if state.lifecycle_state in ("Pending", "InService")]

    def _members(self) -> list[placement.Member]:
        return [
            placement.Member(
                state.instance_id,
                state.availability_zone,
                state.instance.launch_time,
                bool(state.protected_from_scale_in),
            )
            for state in self._living()
        ]

    def _suspended(self, *processes: str) -> bool:
        return any(process in self._suspended_processes for process in processes)

    def _later(self, knob: str, action: Any) -> None:
        self.world.timers.after(self.world.knobs.seconds(knob), action)

    def _subnet_in(self, zone: str) -> str:
        named = self.vpc_zone_identifier.split(",") if self.vpc_zone_identifier else []
        if not named:
            return str(self.ec2_backend.get_default_subnets()[zone].id)
        subnets = self.ec2_backend.describe_subnets(subnet_ids=named)
        return next(str(subnet.id) for subnet in subnets if subnet.availability_zone == zone)

    def _template(self) -> dict[str, Any] | None:
        template = self.ec2_launch_template
        if template is None:
            return None
        number = template.get_version(self.launch_template_version).number
        return {"LaunchTemplateId": template.id, "Version": str(number)}

    def _launch_cause(self) -> str:
        had = len(self._members())
        reason = f"{at()} {self._why}.  " if self._why else ""
        return (
            f"{reason}{at()} an instance was started in response to a difference between desired and actual "
            f"capacity, increasing the capacity from {had} to {had + 1}."
        )

    def _check_termination(self, decrement: bool) -> None:
        if self._suspended("Terminate"):
            raise ValidationError(f"The Terminate process of AutoScalingGroup {self.name} is suspended.")
        if decrement and self.desired_capacity <= self.min_size:
            raise ValidationError(
                f"Currently, desiredSize equals minSize ({self.min_size}). Terminating instance without "
                "replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity "
                "flag to false or lower group's min size."
            )

    @staticmethod
    def _check_bounds(low: int, high: int, wanted: int | None) -> None:
        if low > high:
            raise ValidationError(f"Max bound, {high}, must be greater than or equal to min bound, {low}")
        if wanted is not None and not low <= wanted <= high:
            raise ValidationError(
                f"Desired capacity:{wanted} must be between the specified min size:{low} and max size:{high}"
            )


class ResourceInUse(ValidationError):  # type: ignore[misc] # moto has no types
    """A group with instances is not deleted without force."""

    code = "ResourceInUse"
    message = (
        "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
        "still in the group."
    )


def no_such_instance(instance_id: str) -> Exception:
    """AWS's answer for an instance that belongs to no group."""
    error: Exception = ValidationError(
        f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
    )
    return error


def _illness(state: Any) -> str:
    if state.instance.state in ("shutting-down", "terminated", "stopped"):
        return "an EC2 health check indicating it has been terminated or stopped."
    return "a user health-check."


def _first(value: int | None, default: int) -> int:
    return default if value is None else value
