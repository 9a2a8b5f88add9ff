"""The table: the keys, indexes and attributes that the items of one cluster have.

A record is one item: what conditions and indexes need stands in attributes of its own, the rest is one JSON document.

==================  ===========================================================================================
`pk`                `cluster#NAME`: everything of one cluster is one partition
`sk`                `request#ID`, `dedup#HASH`, `lease`, `paused`, `group#TYPE`, `status`, `heartbeat`
`token`             fencing token of the worker that may write the record
`revision`          rises with every write of the record; each write names the one it was made from
`open_at`           requested_at and id; only while the worker still has to do something (sparse index `open`)
`listed_at`         requested_at and id (index `by-time`)
`state`             the record's state, so that lists can be filtered; items of the first version lack it
`expires_at`        epoch seconds after which DynamoDB may delete the item (its TTL)
`document`          the record; of the last two `shared.status`, compressed
==================  ===========================================================================================
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.clock import rfc3339
from shared.records import Record

KEPT = timedelta(days=90)
"""How long records live after a worker took them up. Not after `requested_at`: callers write what they like there."""

OPEN_INDEX = "open"
TIME_INDEX = "by-time"


@dataclass(frozen=True, slots=True)
class Layout:
    """The keys of one cluster's items."""

    cluster: str

    @property
    def partition(self) -> str:
        """The partition key of all of them."""
        return f"cluster#{self.cluster}"

    def key(self, sort: str) -> dict[str, Any]:
        """A primary key in DynamoDB's JSON."""
        return {"pk": {"S": self.partition}, "sk": {"S": sort}}

    def request(self, request_id: str) -> dict[str, Any]:
        """The primary key of a request's record."""
        return self.key(f"request#{request_id}")

    def item(self, record: Record) -> dict[str, Any]:
        """A record as an item in DynamoDB's JSON."""
        moment = f"{rfc3339(record.requested_at)}#{record.id}"
        item = {
            **self.request(record.id),
            "token": {"N": str(record.token)},
            "revision": {"N": str(record.revision)},
            "state": {"S": str(record.state)},
            "listed_at": {"S": moment},
            "expires_at": {"N": str(int(((record.received_at or record.requested_at) + KEPT).timestamp()))},
            "document": {"S": json.dumps(record.document(), separators=(",", ":"))},
        }
        return item if record.settled else {**item, "open_at": {"S": moment}}


def record_of(item: Mapping[str, Any]) -> Record:
    """The record in an item as DynamoDB hands it out."""
    return Record.parse(
        json.loads(item["document"]["S"]),
        token=int(item["token"]["N"]),
        revision=int(item.get("revision", {"N": "0"})["N"]),
    )
