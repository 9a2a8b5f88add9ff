"""Keeps moto from remembering every object it ever made, which in a long run is every message and every item."""

from __future__ import annotations

from collections import deque

from moto.dynamodb.models.dynamo_type import Item
from moto.sqs.models import Message


def install() -> None:
    """From now on the short-lived models are tracked by nobody."""
    for model in (Item, Message):
        model.instances_tracked = deque(maxlen=0)
