"""What became of requests, read from the DynamoDB table that the worker writes."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import timedelta
from typing import Any

from ingest.stored import Lease, Stored
from shared.aws import calling
from shared.errors import Unavailable
from shared.records import Record, State
from shared.status import Heartbeat, Status, unpacked
from shared.table import TIME_INDEX, Layout, record_of

ATTEMPT = timedelta(seconds=2)
"""The longest time for one attempt of a call (the client's own time-out)."""
READ = timedelta(seconds=4)
LIST = timedelta(seconds=10)
"""The longest time for a list, all its pages together."""

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

    async def newest(self, limit: int, state: State | None = None) -> list[Record]:
        """The newest records of the cluster, of one state where it is said, by when they were requested.

        Raises Unavailable where there are so many of other states before them that reading takes too long.
        """
        newest: list[Record] = []
        try:
            async with asyncio.timeout(LIST.total_seconds()):
                async for record in self._all(limit, state):
                    newest.append(record)
                    if len(newest) == limit:
                        break
        except TimeoutError as error:
            raise Unavailable(f"DynamoDB: the list took longer than {LIST.total_seconds():g} seconds") from error
        return newest

    async def status(self) -> Stored:
        """What the active worker has written for those who look, and the lease. Raises Unavailable."""
        keys = [self._layout.key(sort) for sort in ("status", "heartbeat", "lease")]
        answer = await self._call("batch_get_item", RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
        if answer.get("UnprocessedKeys"):
            raise Unavailable("DynamoDB: it left a part of the status for later")
        return _stored({item["sk"]["S"]: item for item in answer.get("Responses", {}).get(self._table, [])})

    async def _all(self, limit: int, state: State | None) -> AsyncIterator[Record]:
        """Page after page; one of DynamoDB's ends at 1 MB. `limit` is how many one page needs at the most."""
        more = {"Limit": limit} if state is None else _in_state(state)
        answer: Mapping[str, Any] = {"LastEvaluatedKey": None}
        while "LastEvaluatedKey" in answer:
            start = answer["LastEvaluatedKey"]
            answer = await self._page({**more, **({"ExclusiveStartKey": start} if start else {})})
            for item in answer["Items"]:
                record = _readable(item)
                if state in {None, record.state}:
                    yield record

    async def _page(self, more: Mapping[str, Any]) -> Any:
        values = {":pk": {"S": self._layout.partition}, **more.get("ExpressionAttributeValues", {})}
        wanted = {**more, "ExpressionAttributeValues": values}
        return await self._call(
            "query",
            TableName=self._table,
            IndexName=TIME_INDEX,
            Select="ALL_ATTRIBUTES",
            ConsistentRead=True,
            ScanIndexForward=False,
            KeyConditionExpression="pk = :pk",
            **wanted,
        )

    async def _call(self, name: str, **parameters: Any) -> Any:
        async with calling("DynamoDB", READ):
            return await getattr(self._client, name)(**parameters)


def _stored(items: Mapping[str, Mapping[str, Any]]) -> Stored:
    """What cannot be read is as if it was not there: the next worker writes it anew."""
    status, heartbeat, lease = (items.get(sort) for sort in ("status", "heartbeat", "lease"))
    said, beat = _document(status), _document(heartbeat)
    return Stored(
        status=None if said is None else Status.parse(said),
        status_token=_number(status, "token"),
        status_revision=_number(status, "revision"),
        heartbeat=Heartbeat.parse(beat or {}),
        heartbeat_token=_number(heartbeat, "token"),
        lease=None if lease is None else _lease(lease),
    )


def _document(item: Mapping[str, Any] | None) -> dict[str, Any] | None:
    try:
        return None if item is None else unpacked(item["document"]["B"])
    except (KeyError, TypeError, ValueError):
        return None


def _number(item: Mapping[str, Any] | None, name: str) -> int:
    return int((item or {}).get(name, {}).get("N", "0"))


def _lease(item: Mapping[str, Any]) -> Lease:
    return Lease(item.get("owner", {}).get("S"), _number(item, "token"), _number(item, "renewals"))


def _in_state(state: State) -> dict[str, Any]:
    """A filter, which items without the attribute pass: those of the first version."""
    return {
        "FilterExpression": "attribute_not_exists(#state) OR #state = :state",
        "ExpressionAttributeNames": {"#state": "state"},
        "ExpressionAttributeValues": {":state": {"S": str(state)}},
    }


def _possible(request_id: str) -> bool:
    return 0 < len(request_id.encode()) <= _LONGEST_KEY_BYTES


def _readable(item: Mapping[str, Any]) -> Record:
    try:
        return record_of(item)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        key = item.get("sk", {}).get("S", "without a key")
        raise Unavailable(f"DynamoDB: an item that this version cannot read: {key}") from error
