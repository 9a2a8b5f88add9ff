"""Resources of stacks that moto's CloudFormation does not know, and so warns about and leaves out.

Being defined is enough: CloudFormation finds them.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Final, Self

from moto.autoscaling.models import autoscaling_backends
from moto.cloudwatch.models import cloudwatch_backends
from moto.core.common_models import CloudFormationModel
from moto.sqs.models import sqs_backends

_NOTHING: Final = {"Ref": "AWS::NoValue"}


class StackResource:
    """What their types have in common. Each is a direct subclass of moto's model too: so moto finds it."""

    TYPE: ClassVar[str]
    """What templates call it."""
    NAMED_BY: ClassVar[str | None] = None
    """The property that names it."""

    def __init__(self, name: str) -> None:
        self.name = self.physical_resource_id = name

    @classmethod
    def put(cls, name: str, properties: dict[str, Any], account_id: str, region_name: str) -> Self:
        """Make it."""
        raise NotImplementedError

    def delete(self, account_id: str, region_name: str) -> None:
        """Take it away, where what it belongs to is still there."""
        raise NotImplementedError

    @classmethod
    def cloudformation_name_type(cls) -> str | None:
        """As moto asks."""
        return cls.NAMED_BY

    @classmethod
    def cloudformation_type(cls) -> str:
        """As moto asks."""
        return cls.TYPE

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> Self:
        """As moto asks."""
        return cls.put(resource_name, cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Self,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Self:
        """The newer one takes the place of the older."""
        original_resource.delete(account_id, region_name)
        return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)


class StackAlarm(StackResource, CloudFormationModel):  # type: ignore[misc] # moto has no types
    """An alarm that belongs to a stack: moto's CloudWatch has alarms, its CloudFormation cannot make one."""

    TYPE = "AWS::CloudWatch::Alarm"
    NAMED_BY = "AlarmName"

    def __init__(self, name: str, arn: str) -> None:
        super().__init__(name)
        self.arn = arn

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """`!GetAtt Alarm.Arn`."""
        return attr == "Arn"

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """The only one there is."""
        return self.arn

    @classmethod
    def put(cls, name: str, properties: dict[str, Any], account_id: str, region_name: str) -> StackAlarm:
        """Put the alarm."""
        alarm = cloudwatch_backends[account_id][region_name].put_metric_alarm(
            name=name,
            namespace=properties["Namespace"],
            metric_name=properties["MetricName"],
            comparison_operator=properties["ComparisonOperator"],
            evaluation_periods=int(properties["EvaluationPeriods"]),
            period=int(properties["Period"]),
            threshold=float(properties["Threshold"]),
            statistic=properties["Statistic"],
            description=properties.get("AlarmDescription", ""),
            dimensions=properties.get("Dimensions", []),
            alarm_actions=properties.get("AlarmActions", []),
            treat_missing_data=properties.get("TreatMissingData"),
        )
        return cls(name, alarm.alarm_arn)

    def delete(self, account_id: str, region_name: str) -> None:
        """Take it away."""
        cloudwatch_backends[account_id][region_name].delete_alarms([self.name])


class StackQueuePolicy(StackResource, CloudFormationModel):  # type: ignore[misc] # moto has no types
    """A policy of some queues that belongs to a stack.

    moto keeps a queue's policy as an attribute, and shows it; it does not judge requests by it.
    """

    TYPE = "AWS::SQS::QueuePolicy"

    def __init__(self, name: str, queues: list[str]) -> None:
        super().__init__(name)
        self.queues = queues

    @classmethod
    def put(cls, name: str, properties: dict[str, Any], account_id: str, region_name: str) -> StackQueuePolicy:
        """Put it on each queue."""
        document = dict(properties["PolicyDocument"])
        document["Statement"] = [one for one in document["Statement"] if one and one != _NOTHING]
        queues = [url.rpartition("/")[2] for url in properties["Queues"]]
        cls._write(account_id, region_name, queues, json.dumps(document))
        return cls(name, queues)

    def delete(self, account_id: str, region_name: str) -> None:
        """Take it away from the queues that are still there."""
        there = sqs_backends[account_id][region_name].queues
        self._write(account_id, region_name, [name for name in self.queues if name in there], "")

    @staticmethod
    def _write(account_id: str, region_name: str, queues: list[str], policy: str) -> None:
        for name in queues:
            sqs_backends[account_id][region_name].set_queue_attributes(name, {"Policy": policy})


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
