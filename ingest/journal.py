"""What became of requests, read from the DynamoDB table that the worker writes."""

import asyncio
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from shared.aws import CALL_ERRORS, translated
from shared.errors import Unavailable
from shared.records import TIME_INDEX, Layout, Record, record_of

ATTEMPT = timedelta(seconds=2)
"""The longest time for one attempt of a call (the client's own time-out)."""
READ = timedelta(seconds=4)

_LONGEST_KEY_BYTES = 1024 - len("request#")
"""Of a sort key: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""


class DynamoJournal:
    """The table, over a client that the process's entry opened."""

    def __init__(self, client: Any, table: str, layout: Layout) -> None:
        self._client = client
        self._table = table
        self._layout = layout

    async def records(self, ids: Collection[str]) -> dict[str, Record]:
        """The records of these requests (at most 100), those that exist; what DynamoDB leaves for later is left out."""
        keys = [self._layout.request(name) for name in sorted(set(ids)) if _possible(name)]
        if not keys:
            return {}
        wanted = {self._table: {"Keys": keys, "ConsistentRead": True}}
        answer = await self._call("batch_get_item", RequestItems=wanted)
        records = map(_readable, answer.get("Responses", {}).get(self._table, []))
        return {record.id: record for record in records}

    async def newest(self, limit: int) -> list[Record]:
        """The newest records of the cluster, by when they were requested. A page of DynamoDB's ends at 1 MB."""
        found: list[Record] = []
        start: dict[str, Any] = {}
        while len(found) < limit:
            answer = await self._page(limit - len(found), start)
            found += map(_readable, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                break
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return found

    async def _page(self, limit: int, start: Mapping[str, Any]) -> Any:
        return await self._call(
            "query",
            TableName=self._table,
            IndexName=TIME_INDEX,
            Select="ALL_ATTRIBUTES",
            ConsistentRead=True,
            ScanIndexForward=False,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": self._layout.partition}},
            Limit=limit,
            **start,
        )

    async def _call(self, name: str, **parameters: Any) -> Any:
        try:
            async with asyncio.timeout(READ.total_seconds()):
                return await getattr(self._client, name)(**parameters)
        except CALL_ERRORS as error:
            raise translated(error, "DynamoDB") from error


def _possible(request_id: str) -> bool:
    return 0 < len(request_id.encode()) <= _LONGEST_KEY_BYTES


def _readable(item: Mapping[str, Any]) -> Record:
    try:
        return record_of(item)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Unavailable(f"DynamoDB: an item that this version cannot read: {item.get('sk')}") from error
