"""`AWS::AutoScaling::LifecycleHook` in CloudFormation, which moto warns about and leaves out."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.core.common_models import CloudFormationModel


class StackHook(CloudFormationModel):  # type: ignore[misc] # moto has no types
    """A hook of a group that belongs to a stack. moto finds the class by being a subclass."""

    def __init__(self, name: str, group: str) -> None:
        self.name = self.physical_resource_id = name
        self.group = group

    @staticmethod
    def cloudformation_name_type() -> str:
        """The property that names it."""
        return "LifecycleHookName"

    @staticmethod
    def cloudformation_type() -> str:
        """What templates call it."""
        return "AWS::AutoScaling::LifecycleHook"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> StackHook:
        """Put it."""
        properties = cloudformation_json["Properties"]
        timeout = properties.get("HeartbeatTimeout")
        group = properties["AutoScalingGroupName"]
        _groups(account_id, region_name)[group].put_hook(
            resource_name,
            transition=properties["LifecycleTransition"],
            heartbeat_timeout=None if timeout is None else int(timeout),
            default_result=properties.get("DefaultResult"),
            target_arn=properties.get("NotificationTargetARN"),
            role_arn=properties.get("RoleARN"),
            metadata=properties.get("NotificationMetadata"),
        )
        return cls(resource_name, group)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> StackHook:
        """The newer one takes the place of the older."""
        original_resource.delete(account_id, region_name)
        return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)

    def delete(self, account_id: str, region_name: str) -> None:
        """Take it away, where its group is still there."""
        group = dict(_groups(account_id, region_name)).get(self.group)
        if group is not None and group.hooks.all([self.name]):
            group.delete_hook(self.name)


def _groups(account_id: str, region_name: str) -> Any:
    return autoscaling_backends[account_id][region_name].autoscaling_groups
