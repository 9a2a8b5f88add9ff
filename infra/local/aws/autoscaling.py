"""Auto Scaling on top of moto's: the backend finds groups that live in time, and hands over to `group`; the response
class speaks the API where moto's is silent.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Any, Final

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, autoscaling_backends, make_int
from moto.autoscaling.responses import AutoScalingResponse
from moto.autoscaling.urls import url_bases as moto_url_bases
from moto.core.responses import ActionResult, EmptyResult

from infra.local.aws.descriptions import DescribedGroups, Members
from infra.local.aws.group import Group
from infra.local.aws.refusals import as_moto_refuses
from infra.local.aws.world import World, world_of
from infra.local.scaling.refusals import already_exists, no_such_group, no_such_instance

DEFAULT_PAGE: Final = 100


class Groups(OrderedDict[str, Group]):
    """Groups by name; a name it does not know is AWS's ValidationError, not a KeyError."""

    def __missing__(self, name: str) -> Group:
        with as_moto_refuses():
            raise no_such_group(name)


class LivingBackend(AutoScalingBackend):  # type: ignore[misc] # moto has no types
    """moto's backend over groups that live."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.autoscaling_groups = Groups()
        self.members: Members = {}

    @property
    def _url_module(self) -> Any:
        return sys.modules[__name__]

    @property
    def world(self) -> World:
        """The embedded AWS this belongs to."""
        return world_of(self.account_id)

    @as_moto_refuses()
    def create_auto_scaling_group(self, name: str, **settings: Any) -> Group:
        """moto's, but the group it makes is ours."""
        if name in self.autoscaling_groups:
            raise already_exists(name)
        templates = [settings.get(one) for one in ("launch_config_name", "launch_template", "mixed_instances_policy")]
        if sum(bool(one) for one in templates) != 1:
            raise ValidationError(
                "Valid requests must contain either LaunchTemplate, LaunchConfigurationName, "
                "InstanceId or MixedInstancesPolicy parameter."
            )
        settings = {"capacity_rebalance": False, "mixed_instances_policy": None} | settings
        settings.pop("instance_id", None)
        for number in ("min_size", "max_size", "desired_capacity", "default_cooldown"):
            settings[number] = make_int(settings[number])
        settings["health_check_period"] = make_int(settings["health_check_period"] or 300)
        group = Group(name, self, ec2_backend=self.ec2_backend, **settings)
        self.autoscaling_groups[name] = group
        return group

    def describe_auto_scaling_groups(self, names: list[str], filters: Any = None) -> list[Group]:
        """As the groups are, or were when Describe lags."""
        moment = self.world.knobs.described_moment()
        past = [group.as_of(moment) for group in super().describe_auto_scaling_groups(names, filters)]
        return [group for group in past if group is not None]

    def describe_auto_scaling_instances(self, instance_ids: list[str]) -> list[Any]:
        """The same for single instances."""
        states = [state for group in self.describe_auto_scaling_groups([]) for state in group.instances]
        return [state for state in states if not instance_ids or state.instance_id in instance_ids]

    @as_moto_refuses()
    def set_desired_capacity(self, group_name: str, desired_capacity: int | None) -> None:
        """Within the group's bounds."""
        group = self.autoscaling_groups[group_name]
        group.resize(group.min_size if desired_capacity is None else desired_capacity)

    @as_moto_refuses()
    def terminate_instance(self, instance_id: str, should_decrement: bool) -> dict[str, Any]:
        """The activity, as the API shows it."""
        return self.group_of(instance_id).terminate(instance_id, should_decrement).as_aws()

    def notify_terminate_instances(self, instance_ids: list[str]) -> None:
        """EC2 has terminated instances that somebody named."""
        for group in self.autoscaling_groups.values():
            group.lost(instance_ids)

    @as_moto_refuses()
    def set_instance_health(self, instance_id: str, health_status: str) -> None:
        """An unhealthy instance is replaced."""
        group = self.group_of(instance_id)
        group.member(instance_id).health_status = health_status
        group.changed()
        self.world.timers.after(self.world.knobs.seconds("health_check_seconds"), group.check_health)

    @as_moto_refuses()
    def set_instance_protection(self, group_name: str, instance_ids: list[str], protected: bool | None) -> None:
        """Protection from scale-in."""
        self.autoscaling_groups[group_name].protect(instance_ids, bool(protected))

    def resume_processes(self, group_name: str, scaling_processes: list[str]) -> None:
        """What was held back happens now."""
        super().resume_processes(group_name, scaling_processes)
        self.autoscaling_groups[group_name].check_health()
        self.autoscaling_groups[group_name].converge()

    def suspend_processes(self, group_name: str, scaling_processes: list[str]) -> None:
        """From now on."""
        super().suspend_processes(group_name, scaling_processes)
        self.autoscaling_groups[group_name].changed()

    @as_moto_refuses()
    def delete_auto_scaling_group(self, group_name: str, force: bool = True) -> None:
        """With force (CloudFormation's way) the instances go too."""
        self.autoscaling_groups[group_name].delete(force)
        del self.autoscaling_groups[group_name]

    def group_of(self, instance_id: str) -> Group:
        """The group an instance belongs to. Raises Refusal."""
        for group in self.autoscaling_groups.values():
            if any(state.instance_id == instance_id for state in group.instance_states):
                return group
        raise no_such_instance(instance_id)

    def register_with_balancers(self, group: Group) -> None:
        """A member that entered service takes traffic."""
        if group.name in self.autoscaling_groups:
            self.update_attached_elbs(group.name)
            self.update_attached_target_groups(group.name)


class LivingResponse(AutoScalingResponse):  # type: ignore[misc] # moto has no types
    """The API where moto's is silent or answers 500."""

    def describe_auto_scaling_groups(self) -> ActionResult:
        """moto's."""
        return DescribedGroups(super().describe_auto_scaling_groups().result, self.autoscaling_backend.members)

    def describe_scaling_activities(self) -> ActionResult:
        """Newest first, in pages."""
        wanted = self._get_param("ActivityIds", [])
        found = [one.as_aws() for one in self._activities() if not wanted or one.activity_id in wanted]
        return self._page("Activities", found, "ActivityId")

    def delete_auto_scaling_group(self) -> ActionResult:
        """Only by force while there are instances."""
        force = self._get_bool_param("ForceDelete", False)
        self.autoscaling_backend.delete_auto_scaling_group(self._get_param("AutoScalingGroupName"), force)
        return EmptyResult()

    def update_auto_scaling_group(self) -> ActionResult:
        """With capacity rebalancing, which moto leaves out."""
        rebalance = self._get_bool_param("CapacityRebalance")
        if rebalance is not None:
            self._group().capacity_rebalance = rebalance
        return super().update_auto_scaling_group()

    def start_instance_refresh(self) -> ActionResult:
        """Its id."""
        preferences = self._get_param("Preferences", {})
        return ActionResult({"InstanceRefreshId": self._group().refreshes.start(preferences)})

    def cancel_instance_refresh(self) -> ActionResult:
        """Its id."""
        return ActionResult({"InstanceRefreshId": self._group().refreshes.cancel()})

    def describe_instance_refreshes(self) -> ActionResult:
        """Newest first."""
        return self._page("InstanceRefreshes", self._group().refreshes.all(), "InstanceRefreshId")

    @as_moto_refuses()
    def put_lifecycle_hook(self) -> ActionResult:
        """One more, or another than before."""
        self._group().put_hook(
            self._get_param("LifecycleHookName"),
            transition=self._get_param("LifecycleTransition"),
            heartbeat_timeout=self._get_int_param("HeartbeatTimeout"),
            default_result=self._get_param("DefaultResult"),
            target_arn=self._get_param("NotificationTargetARN"),
            role_arn=self._get_param("RoleARN"),
            metadata=self._get_param("NotificationMetadata"),
        )
        return ActionResult({})

    def describe_lifecycle_hooks(self) -> ActionResult:
        """All of a group, or those of some names."""
        group = self._group()
        hooks = group.hooks.all(self._get_param("LifecycleHookNames", []))
        return ActionResult({"LifecycleHooks": [hook.as_aws(group.name) for hook in hooks]})

    @as_moto_refuses()
    def delete_lifecycle_hook(self) -> ActionResult:
        """One less."""
        self._group().delete_hook(self._get_param("LifecycleHookName"))
        return ActionResult({})

    @as_moto_refuses()
    def complete_lifecycle_action(self) -> ActionResult:
        """By token, or by instance."""
        self._group().lifecycle.complete(*self._action(), self._get_param("LifecycleActionResult"))
        return ActionResult({})

    @as_moto_refuses()
    def record_lifecycle_action_heartbeat(self) -> ActionResult:
        """The same."""
        self._group().lifecycle.heartbeat(*self._action())
        return ActionResult({})

    def _action(self) -> tuple[str, str | None, str | None]:
        """The hook, and the token or the instance."""
        hook: str = self._get_param("LifecycleHookName")
        return hook, self._get_param("LifecycleActionToken"), self._get_param("InstanceId")

    def _group(self) -> Group:
        group: Group = self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
        return group

    def _activities(self) -> list[Any]:
        if self._get_param("AutoScalingGroupName"):
            return self._group().history.newest_first()
        groups = self.autoscaling_backend.autoscaling_groups.values()
        found = [activity for group in groups for activity in group.history.newest_first()]
        return sorted(found, key=lambda activity: activity.start, reverse=True)

    def _page(self, name: str, items: list[dict[str, Any]], key: str) -> ActionResult:
        token, size = self._get_param("NextToken"), self._get_int_param("MaxRecords", DEFAULT_PAGE)
        ids = [item[key] for item in items]
        start = ids.index(token) + 1 if token in ids else 0
        page = items[start : start + size]
        following = page[-1][key] if start + size < len(items) else None
        return ActionResult({name: page, "NextToken": following})


url_bases = moto_url_bases
url_paths = {"{0}/$": LivingResponse.dispatch}


def install() -> None:
    """Give accounts opened from now on this backend."""
    autoscaling_backends.backend = LivingBackend
