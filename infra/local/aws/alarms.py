"""`AWS::CloudWatch::Alarm` in CloudFormation: moto's CloudWatch has alarms, its CloudFormation cannot make one."""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.common_models import CloudFormationModel

from infra.local.aws.stack_resources import StackResource


class StackAlarm(StackResource, CloudFormationModel):  # type: ignore[misc] # moto has no types
    """An alarm that belongs to a stack."""

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
