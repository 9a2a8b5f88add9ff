"""The journal over DynamoDB: records, dedup items, what is remembered of a node type, the pause, and the status.

Every write is one item, conditional on the fencing token (or on being the first), and safe to repeat: the SDK
repeats a write whose answer was lost, and finds its own doing then. What a record says is not this module's business.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any

import structlog

from shared.clock import Clock, parse_rfc3339, rfc3339
from shared.errors import Unavailable
from shared.fields import Role
from shared.pause import SORT, Pause
from shared.records import Record
from shared.status import Heartbeat, Status, packed
from shared.table import OPEN_INDEX, Layout, record_of
from worker.adapters.table import Condition, Item, Present, Table, number, text
from worker.errors import Fenced
from worker.ports.storage import Drained, GroupMemory, Overtaken, PauseMemory

log = structlog.get_logger()

DEDUP_KEPT = timedelta(hours=48)
"""Twice the longest window in which a dedup key counts (24 h); deletion by TTL may only come later than that."""


class DynamoJournal:
    """The Journal port."""

    def __init__(self, client: Any, table: str, layout: Layout, call_timeout: timedelta, clock: Clock) -> None:
        self._table = Table(client, table, call_timeout)
        self._layout = layout
        self._clock = clock

    async def create(self, record: Record) -> Record | None:
        """Put a new record down. None: done; else the record that stands under this id already.

        Where exactly this record stands there, an earlier attempt put it down: done.
        """
        item = self._layout.item(record)
        present = await self._table.put(item, Condition("attribute_not_exists(sk)", {}, {}))
        if present is None or present.item == item:
            return None
        return record_of(_standing(present, f"record {record.id}"))

    async def save(self, record: Record) -> Record:
        """Overwrite the revision that a record was made from, if it carries our token. What stands there then.

        A write that was given up may still arrive, before or after the next one: whichever comes second finds
        another revision than it was made from. Raises Overtaken then, and Fenced where the token is not ours.
        """
        new = record.but(revision=record.revision + 1)
        item = self._layout.item(new)
        present = await self._table.put(item, _made_from(record))
        if present is None or present.item == item:
            return new
        if present.item is not None and present.item["token"] == number(record.token):
            raise Overtaken(record_of(present.item))
        raise _fenced(f"record {record.id}", record.token, present)

    async def get(self, request_id: str) -> Record | None:
        """One record, strongly consistent."""
        item = await self._table.get(self._layout.request(request_id))
        return None if item is None else record_of(item)

    async def open(self) -> Sequence[Record]:
        """All records that are not settled, oldest first, strongly consistent."""
        found = await self._table.partition(self._layout.partition, OPEN_INDEX)
        return [record for record in map(_readable, found) if record is not None]

    async def claim(self, request_id: str, token: int) -> Record | None:
        """Put our token on a record with a lower one, and read it. None: it carries a higher one, or is gone."""
        found = await self._table.claim(self._layout.request(request_id), token, "#token <= :token")
        return None if isinstance(found, Present) else record_of(found)

    async def first_of(self, key: str, request_id: str, expected: str | None = None) -> str:
        """The id of the request that holds a dedup key: ours, if nobody or `expected` held it."""
        sort = f"dedup#{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
        until = int((self._clock.now() + DEDUP_KEPT).timestamp())
        item = {**self._layout.key(sort), "first": text(request_id), "expires_at": number(until)}
        holders = {":me": text(request_id), **({} if expected is None else {":expected": text(expected)})}
        free = " OR ".join(["attribute_not_exists(sk)", *(f"#first = {holder}" for holder in holders)])
        present = await self._table.put(item, Condition(free, {"#first": "first"}, holders))
        return request_id if present is None else str(_standing(present, "dedup key")["first"]["S"])

    async def recall(self, node_type: Role, token: int) -> GroupMemory:
        """What is remembered of a node type; claims it for our token. Raises Fenced."""
        return _memory(await self._recall(f"group#{node_type}", f"memory of {node_type} nodes", token))

    async def remember(self, node_type: Role, memory: GroupMemory, token: int) -> None:
        """Write it down. Raises Fenced."""
        what = f"memory of {node_type} nodes"
        await self._remember(f"group#{node_type}", what, _attributes(memory), memory.revision, token)

    async def recall_pause(self, token: int) -> PauseMemory:
        """Who paused or resumed last; claims it for our token. Raises Fenced."""
        return _pause_memory(await self._recall(SORT, "the pause", token))

    async def remember_pause(self, memory: PauseMemory, token: int) -> None:
        """Write it down. Raises Fenced."""
        await self._remember(SORT, "the pause", _pause_attributes(memory), memory.revision, token)

    async def publish(self, document: Status | Heartbeat, token: int, revision: int) -> None:
        """Put the status document or the heartbeat down. Raises Fenced, Refused."""
        sort = "status" if isinstance(document, Status) else "heartbeat"
        await self._remember(sort, f"the {sort}", {"document": {"B": packed(document)}}, revision, token)

    async def _recall(self, sort: str, what: str, token: int) -> Item:
        found = await self._table.claim(self._layout.key(sort), token, _FREE_OR_OURS)
        if isinstance(found, Present):
            raise _fenced(what, token, found)
        return found

    async def _remember(self, sort: str, what: str, attributes: Item, revision: int, token: int) -> None:
        item = {**self._layout.key(sort), "token": number(token), "revision": number(revision), **attributes}
        present = await self._table.put(item, _later_than_what_stands(token, revision))
        if present is None or present.item == item:
            return
        if present.item is not None and present.item["token"] == number(token):
            raise Unavailable(f"item {sort}: a later write of ours stands there")
        raise _fenced(f"item {sort}", token, present)


_FREE_OR_OURS = "attribute_not_exists(sk) OR #token <= :token"
_MOMENTS = ("desired_at", "up_ended_at", "down_ended_at")


def _later_than_what_stands(token: int, revision: int) -> Condition:
    return Condition(
        "attribute_not_exists(sk) OR #token < :token OR "
        "(#token = :token AND (attribute_not_exists(#revision) OR #revision < :revision))",
        {"#token": "token", "#revision": "revision"},
        {":token": number(token), ":revision": number(revision)},
    )


def _made_from(record: Record) -> Condition:
    return Condition(
        "#token = :token AND #revision = :revision",
        {"#token": "token", "#revision": "revision"},
        {":token": number(record.token), ":revision": number(record.revision)},
    )


def _readable(item: Item) -> Record | None:
    """A record that somebody has spoilt costs itself, not all the others."""
    try:
        return record_of(item)
    except (ValueError, KeyError, TypeError):
        log.exception("record_unreadable", item=item.get("sk"))
        return None


def _attributes(memory: GroupMemory) -> dict[str, Any]:
    moments = {name: getattr(memory, name) for name in _MOMENTS}
    desired = {} if memory.desired is None else {"desired": number(memory.desired)}
    members = {"members": text(json.dumps(dict(memory.members)))} if memory.members else {}
    drained = {node: [each.request, each.was] for node, each in memory.drained.items()}
    return {
        **desired,
        **members,
        **({"drained": text(json.dumps(drained))} if drained else {}),
        **({"abandoned": text(" ".join(memory.abandoned))} if memory.abandoned else {}),
        **{name: text(rfc3339(moment)) for name, moment in moments.items() if moment is not None},
    }


def _memory(item: Item) -> GroupMemory:
    known: dict[str, Any] = {name: parse_rfc3339(item[name]["S"]) for name in _MOMENTS if name in item}
    desired = int(item["desired"]["N"]) if "desired" in item else None
    abandoned = tuple(item.get("abandoned", {}).get("S", "").split())
    known |= {"members": _members(item), "drained": _drained(item), "abandoned": abandoned}
    return GroupMemory(desired=desired, revision=_revision(item), **known)


def _revision(item: Item) -> int:
    return int(item.get("revision", {"N": "0"})["N"])


def _pause_attributes(memory: PauseMemory) -> dict[str, Any]:
    document = {
        "request": memory.request,
        "requested_at": None if memory.requested_at is None else rfc3339(memory.requested_at),
        SORT: None if memory.pause is None else memory.pause.document(),
    }
    return {"document": text(json.dumps(document))}


def _pause_memory(item: Item) -> PauseMemory:
    """What cannot be read is no pause: a cluster that nobody can resume would be worse than one that scales."""
    try:
        document = json.loads(item["document"]["S"]) if "document" in item else {}
        requested_at, paused = document.get("requested_at"), document.get(SORT)
        return PauseMemory(
            request=str(document.get("request", "")),
            requested_at=None if requested_at is None else parse_rfc3339(requested_at),
            pause=None if paused is None else Pause.parse(paused),
            revision=_revision(item),
        )
    except (ValueError, AttributeError, KeyError, TypeError):
        log.warning("pause_unreadable", item=item.get("sk"))
        return PauseMemory(revision=_revision(item))


def _members(item: Item) -> dict[str, str]:
    """Those that are remembered; what cannot be read is forgotten: then nodes are left that could be removed."""
    try:
        members = json.loads(item["members"]["S"]) if "members" in item else {}
        return {str(instance_id): str(name) for instance_id, name in members.items()}
    except (ValueError, AttributeError):
        log.warning("members_unreadable", item=item.get("sk"))
        return {}


def _drained(item: Item) -> dict[str, Drained]:
    """The nodes that were drained; what cannot be read is forgotten: then they are given back as active."""
    try:
        drained = json.loads(item["drained"]["S"]) if "drained" in item else {}
        return {
            str(node): Drained(str(request), "pause" if was == "pause" else "active")
            for node, (request, was) in drained.items()
        }
    except (ValueError, AttributeError, TypeError):
        log.warning("drained_nodes_unreadable", item=item.get("sk"))
        return {}


def _standing(present: Present, what: str) -> Item:
    if present.item is None:
        raise Unavailable(f"{what}: it stood in the way of the write, and was gone when it was read")
    return present.item


def _fenced(what: str, token: int, present: Present) -> Fenced:
    stands = "nothing" if present.item is None else f"token {present.item['token']['N']}"
    return Fenced(f"{what}: written with token {token}, but {stands} stands there")
