"""`AWS::SQS::QueuePolicy` in CloudFormation.

moto keeps a queue's policy as an attribute, and shows it; it does not judge requests by it.
"""

from __future__ import annotations

import json
from typing import Any, Final

from moto.core.common_models import CloudFormationModel
from moto.sqs.models import sqs_backends

from infra.local.aws.stack_resources import StackResource

_NOTHING: Final = {"Ref": "AWS::NoValue"}


class StackQueuePolicy(StackResource, CloudFormationModel):  # type: ignore[misc] # moto has no types
    """A policy of some queues that belongs to a stack."""

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
