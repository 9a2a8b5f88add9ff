"""How a group's instances come: launched, pending, held by launch hooks, in service.

Which zone is next is `placement`'s choice, how many are missing and when one is tried again `convergence`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.autoscaling.models import ASG_NAME_TAG, InstanceState

from infra.local.aws import ec2
from infra.local.scaling import causes, placement
from infra.local.scaling.activities import Activity, refusal_sentence
from infra.local.scaling.hooks import Hook
from infra.local.scaling.lifecycle import Outcome
from infra.local.scaling.messages import LAUNCHING

if TYPE_CHECKING:
    from infra.local.aws.group import Group

PENDING = ("Pending", "Pending:Wait", "Pending:Proceed")


class Launches:
    """Of one group."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def one(self, cause: str) -> Any | None:
        """The state of a new instance; None where EC2 refuses it."""
        group = self._group
        zone = placement.zone_for_launch(group.availability_zones, group.members())
        details = {"Subnet ID": self._subnet_in(zone), "Availability Zone": zone}
        reason = group.world.knobs.launch_refusal(group.name)
        if reason is not None:
            sentence = refusal_sentence(reason, group.instance_type, zone, group.availability_zones)
            group.history.launch_failed(sentence, cause, details)
            return None
        instance = self._run_instance(zone, details["Subnet ID"])
        activity = group.history.launching(instance.id, cause, details)
        # It is protected when it is in service, and not before.
        state = InstanceState(instance, "Pending", "Healthy", protected_from_scale_in=False, autoscaling_group=group)
        group.instance_states.append(state)
        protect, hooks = group.new_instances_protected_from_scale_in, group.hooks.of(LAUNCHING)
        group.later("pending_seconds", lambda: self._started(state, activity, hooks, protect))
        return state

    def _run_instance(self, zone: str, subnet: str) -> Any:
        group = self._group
        reservation = group.ec2_backend.run_instances(
            group.image_id,
            1,
            group.user_data,
            group.security_groups,
            instance_type=group.instance_type,
            tags={"instance": {**group.get_propagated_tags(), **group.instance_tags, ASG_NAME_TAG: group.name}},
            placement=zone,
            launch_config=group.launch_config,
            launch_template=self._template(),
            is_instance_type_default=False,
            associate_public_ip=group.launch_config.associate_public_ip_address if group.launch_config else None,
            subnet_id=subnet,
        )
        instance = reservation.instances[0]
        instance.autoscaling_group = group
        group.ec2_backend.put(instance, ec2.PENDING)
        return instance

    def _started(self, state: Any, activity: Activity, hooks: tuple[Hook, ...], protect: bool) -> None:
        """The machine runs: now its hooks hold it, those that there were when it was launched."""
        group = self._group
        if state.lifecycle_state != "Pending" or state.instance.state != "pending":
            if activity.end is None:
                activity.finish("Cancelled")
            return
        reason = group.world.knobs.launch_end(group.name)
        if reason is not None:
            self._killed(state, activity, reason)
            return
        group.ec2_backend.put(state.instance, ec2.RUNNING)
        if not hooks:
            self._serve(state, activity, protect)
            return
        state.lifecycle_state = "Pending:Wait"
        activity.wait()
        group.lifecycle.hold(state.instance_id, hooks, lambda how: self._waited(state, activity, protect, how))
        group.changed()

    def _waited(self, state: Any, activity: Activity, protect: bool, how: Outcome) -> None:
        group = self._group
        if how.abandoned:
            group.history.launch_abandoned(activity, how.token, how.reason)
            group.terminations.take_out(state, causes.abandoned(group.history.now()))
            group.converge()
            return
        state.lifecycle_state = "Pending:Proceed"
        group.later("proceed_seconds", lambda: self._proceeded(state, activity, protect))
        group.changed()

    def _proceeded(self, state: Any, activity: Activity, protect: bool) -> None:
        if state.lifecycle_state == "Pending:Proceed":
            self._serve(state, activity, protect)
        elif activity.end is None:
            activity.finish("Cancelled")

    def _serve(self, state: Any, activity: Activity, protect: bool) -> None:
        group = self._group
        state.lifecycle_state = "InService"
        state.protected_from_scale_in = bool(protect)
        activity.finish()
        group.autoscaling_backend.register_with_balancers(group)
        group.replacements.served(state.instance_id)
        group.converge()

    def _killed(self, state: Any, activity: Activity, reason: str) -> None:
        """Without an activity of its own for the end of the instance."""
        group = self._group
        group.history.launch_killed(activity, reason)
        group.instance_states = [other for other in group.instance_states if other is not state]
        group.ec2_backend.terminate_instances([state.instance_id])
        group.convergence.retry_later()
        group.changed()

    def _subnet_in(self, zone: str) -> str:
        group = self._group
        named = group.vpc_zone_identifier.split(",") if group.vpc_zone_identifier else []
        if not named:
            return str(group.ec2_backend.get_default_subnets()[zone].id)
        subnets = group.ec2_backend.describe_subnets(subnet_ids=named)
        return next(str(subnet.id) for subnet in subnets if subnet.availability_zone == zone)

    def _template(self) -> dict[str, Any] | None:
        template = self._group.ec2_launch_template
        if template is None:
            return None
        number = template.get_version(self._group.launch_template_version).number
        return {"LaunchTemplateId": template.id, "Version": str(number)}
