"""`AWS::SQS::QueuePolicy` in CloudFormation, which moto warns about and leaves out.

moto keeps a queue's policy as an attribute, and shows it; it does not judge requests by it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from moto.core.common_models import CloudFormationModel
from moto.sqs.models import sqs_backends

_NOTHING: Final = {"Ref": "AWS::NoValue"}


class StackQueuePolicy(CloudFormationModel):  # type: ignore[misc] # moto has no types
    """A policy of some queues that belongs to a stack. moto finds the class by being a subclass."""

    def __init__(self, name: str, queues: list[str]) -> None:
        self.name = self.physical_resource_id = name
        self.queues = queues

    @staticmethod
    def cloudformation_name_type() -> str | None:
        """No property names it."""
        return None

    @staticmethod
    def cloudformation_type() -> str:
        """What templates call it."""
        return "AWS::SQS::QueuePolicy"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> StackQueuePolicy:
        """Put it on each queue."""
        properties = cloudformation_json["Properties"]
        document = dict(properties["PolicyDocument"])
        document["Statement"] = [one for one in document["Statement"] if one and one != _NOTHING]
        queues = [url.rpartition("/")[2] for url in properties["Queues"]]
        cls._put(account_id, region_name, queues, json.dumps(document))
        return cls(resource_name, queues)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> StackQueuePolicy:
        """The newer one takes the place of the older."""
        cls._put(account_id, region_name, original_resource.queues, "")
        return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)

    def delete(self, account_id: str, region_name: str) -> None:
        """Take it away from the queues that are still there."""
        there = sqs_backends[account_id][region_name].queues
        self._put(account_id, region_name, [name for name in self.queues if name in there], "")

    @staticmethod
    def _put(account_id: str, region_name: str, queues: list[str], policy: str) -> None:
        for name in queues:
            sqs_backends[account_id][region_name].set_queue_attributes(name, {"Policy": policy})
