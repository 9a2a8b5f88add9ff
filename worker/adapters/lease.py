"""The lease store over DynamoDB: one item, read consistently, replaced only if it is still the one that was read.

Who may take the lease, and when, is not decided here.
"""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from shared.table import Layout
from worker.adapters.table import Condition, Item, Table, number, text
from worker.ports.storage import LeaseItem


class DynamoLeaseStore:
    """The LeaseStore port."""

    def __init__(self, client: Any, table: str, layout: Layout, call_timeout: timedelta) -> None:
        self._table = Table(client, table, call_timeout)
        self._key = layout.key("lease")

    async def read(self) -> LeaseItem | None:
        """The item, strongly consistent. None: never written."""
        item = await self._table.get(self._key)
        return None if item is None else _lease(item)

    async def replace(self, expected: LeaseItem | None, item: LeaseItem) -> bool:
        """Write the item if what stands there has the expected token, renewals and owner. False: it has not.

        True too where an earlier attempt of this very call wrote it, and the answer was lost: its mark stands there.
        What an earlier call wrote does not count, be it the same: others count the lease from when that was written.
        """
        new = {**self._key, **_attributes(item), "call": text(uuid4().hex)}
        present = await self._table.put(new, _still(expected))
        return present is None or present.item == new


def _attributes(item: LeaseItem) -> dict[str, Any]:
    owner = {} if item.owner is None else {"owner": text(item.owner)}
    return {**owner, "token": number(item.token), "renewals": number(item.renewals), "swarm": text(item.swarm)}


def _lease(item: Item) -> LeaseItem:
    return LeaseItem(
        owner=item["owner"]["S"] if "owner" in item else None,
        token=int(item["token"]["N"]),
        renewals=int(item["renewals"]["N"]),
        swarm=item["swarm"]["S"],
    )


def _still(expected: LeaseItem | None) -> Condition:
    if expected is None:
        return Condition("attribute_not_exists(sk)", {}, {})
    names = {"#token": "token", "#renewals": "renewals", "#owner": "owner"}
    values = {":token": number(expected.token), ":renewals": number(expected.renewals)}
    same = "#token = :token AND #renewals = :renewals"
    if expected.owner is None:
        return Condition(f"{same} AND attribute_not_exists(#owner)", names, values)
    return Condition(f"{same} AND #owner = :owner", names, {**values, ":owner": text(expected.owner)})
