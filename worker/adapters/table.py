"""One DynamoDB table, item by item, in DynamoDB's own JSON: conditional writes, consistent reads, whole time-outs.

What the items mean is left to the journal and the lease.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from shared.aws import calling

Item = Mapping[str, Any]

PAGE = 50
"""So many items are read at once."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold for a write. `#name` and `:value` stand for attributes and values, as in DynamoDB's grammar."""

    expression: str
    names: Mapping[str, str]
    values: Mapping[str, Any]

    def arguments(self) -> dict[str, Any]:
        """As arguments of a call. DynamoDB refuses empty maps."""
        found = {
            "ConditionExpression": self.expression,
            "ExpressionAttributeNames": dict(self.names),
            "ExpressionAttributeValues": dict(self.values),
        }
        return {key: value for key, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Present:
    """A write's condition did not hold: the item that stands there, None where there is none."""

    item: Item | None


class Table:
    """The table. Writes answer with `Present` where their condition did not hold, and have then changed nothing.

    Put conditions that a repeated write meets as well: the SDK repeats a call whose answer was lost.
    """

    def __init__(self, client: Any, name: str, call_timeout: timedelta) -> None:
        self._client = client
        self._name = name
        self._call_timeout = call_timeout

    async def get(self, key: Item) -> Item | None:
        """One item, strongly consistent."""
        async with calling("DynamoDB GetItem", self._call_timeout):
            answer = await self._client.get_item(TableName=self._name, Key=key, ConsistentRead=True)
        item: Item | None = answer.get("Item")
        return item

    async def put(self, item: Item, condition: Condition) -> Present | None:
        """Write an item whole. None: done."""
        async with calling("DynamoDB PutItem", self._call_timeout):
            try:
                await self._client.put_item(TableName=self._name, Item=item, **condition.arguments(), **_TELL)
            except ClientError as error:
                return await self._present(error, {"pk": item["pk"], "sk": item["sk"]})
        return None

    async def claim(self, key: Item, token: int, condition: str) -> Item | Present:
        """Set the attribute `token`, and read the item as it is then. `:token` is ours in the condition."""
        held = Condition(condition, {"#token": "token"}, {":token": number(token)})
        async with calling("DynamoDB UpdateItem", self._call_timeout):
            try:
                answer = await self._client.update_item(
                    TableName=self._name,
                    Key=key,
                    UpdateExpression="SET #token = :token",
                    ReturnValues="ALL_NEW",
                    **held.arguments(),
                    **_TELL,
                )
            except ClientError as error:
                return await self._present(error, key)
        item: Item = answer["Attributes"]
        return item

    async def partition(self, partition: str, index: str) -> Sequence[Item]:
        """All items of a partition that a local index holds, in its order, strongly consistent.

        The time-out is each page's, and pages are short: a long backlog must neither be unreadable for good, nor keep
        the renewals of the lease waiting behind it.
        """
        items: list[Item] = []
        start: Mapping[str, Any] = {}
        while True:
            async with calling("DynamoDB Query", self._call_timeout):
                page = await self._client.query(
                    TableName=self._name,
                    IndexName=index,
                    ConsistentRead=True,
                    KeyConditionExpression="pk = :pk",
                    ExpressionAttributeValues={":pk": text(partition)},
                    Limit=PAGE,
                    **start,
                )
            items += page["Items"]
            if not page.get("LastEvaluatedKey"):
                return items
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    async def _present(self, error: ClientError, key: Item) -> Present:
        """The condition did not hold: what stands there, as DynamoDB says with the refusal. Other errors go on."""
        if error.response.get("Error", {}).get("Code") != "ConditionalCheckFailedException":
            raise error
        return Present(error.response.get("Item") or await self.get(key))


def text(value: str) -> dict[str, str]:
    """A string attribute."""
    return {"S": value}


def number(value: int) -> dict[str, str]:
    """A number attribute."""
    return {"N": str(value)}


_TELL = {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
