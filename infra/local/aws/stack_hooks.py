"""`AWS::AutoScaling::LifecycleHook` in CloudFormation."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.core.common_models import CloudFormationModel

from infra.local.aws.stack_resources import StackResource


class StackHook(StackResource, CloudFormationModel):  # type: ignore[misc] # moto has no types
    """A hook of a group that belongs to a stack."""

    TYPE = "AWS::AutoScaling::LifecycleHook"
    NAMED_BY = "LifecycleHookName"

    def __init__(self, name: str, group: str) -> None:
        super().__init__(name)
        self.group = group

    @classmethod
    def put(cls, name: str, properties: dict[str, Any], account_id: str, region_name: str) -> StackHook:
        """Put it."""
        timeout = properties.get("HeartbeatTimeout")
        group = properties["AutoScalingGroupName"]
        _groups(account_id, region_name)[group].put_hook(
            name,
            transition=properties["LifecycleTransition"],
            heartbeat_timeout=None if timeout is None else int(timeout),
            default_result=properties.get("DefaultResult"),
            target_arn=properties.get("NotificationTargetARN"),
            role_arn=properties.get("RoleARN"),
            metadata=properties.get("NotificationMetadata"),
        )
        return cls(name, group)

    def delete(self, account_id: str, region_name: str) -> None:
        """Take it away, where its group is still there."""
        group = dict(_groups(account_id, region_name)).get(self.group)
        if group is not None and group.hooks.all([self.name]):
            group.delete_hook(self.name)


def _groups(account_id: str, region_name: str) -> Any:
    return autoscaling_backends[account_id][region_name].autoscaling_groups
