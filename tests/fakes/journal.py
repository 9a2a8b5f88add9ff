"""The journal in memory. Records pass through JSON on their way in, as in the table; who reads gets a copy."""

import json
from copy import deepcopy
from typing import Any

from shared.clock import Clock
from shared.errors import Refused, Unavailable
from shared.fields import Role
from shared.records import Record
from shared.status import Heartbeat, Status, packed, unpacked
from shared.table import Layout, record_of
from tests.fakes.hooks import Hooks, Port, hooked
from worker.errors import Fenced
from worker.ports.storage import GroupMemory, Overtaken, PauseMemory

MAX_ITEM_BYTES = 400 * 1024
MAX_KEY_BYTES = 1024

_LAYOUT = Layout("memory")


class InMemoryJournal(Port):
    """The Journal port."""

    port = "journal"

    def __init__(self, clock: Clock, hooks: Hooks | None = None) -> None:
        super().__init__(hooks)
        self._clock = clock
        self.records: dict[str, Record] = {}
        self.holders: dict[str, str] = {}
        """Dedup keys, and who holds them."""
        self.memories: dict[str, tuple[int, Any]] = {}
        """What is remembered of what, and with which token."""
        self.published: dict[type[Status | Heartbeat], tuple[int, int, Status | Heartbeat]] = {}
        """The status document and the heartbeat, each with its token and revision."""
        self.writes: list[Record] = []
        """Every state of every record, in the order of the writes."""

    @hooked
    async def create(self, record: Record) -> Record | None:
        """Put a new record down. None: done, also where exactly this record stands there already."""
        record, present = _stored(record), self.records.get(record.id)
        if present is None:
            self._write(record)
            return None
        return None if present == record else _copy(present)

    @hooked
    async def save(self, record: Record) -> Record:
        """Overwrite the revision that a record was made from, if it carries our token."""
        record, present = _stored(record), self.records.get(record.id)
        if present is None or present.token != record.token:
            stands = None if present is None else present.token
            raise Fenced(f"record {record.id}: written with token {record.token}, but {stands} stands there")
        new = record.but(revision=record.revision + 1)
        if present.revision != record.revision and present != new:
            raise Overtaken(_copy(present))
        self._write(new)
        return _copy(new)

    @hooked
    async def get(self, request_id: str) -> Record | None:
        """One record."""
        record = self.records.get(request_id)
        return None if record is None else _copy(record)

    @hooked
    async def open(self) -> list[Record]:
        """All records that are not settled, oldest first."""
        unsettled = (_copy(record) for record in self.records.values() if not record.settled)
        return sorted(unsettled, key=lambda record: (record.requested_at, record.id))

    @hooked
    async def claim(self, request_id: str, token: int) -> Record | None:
        """Put our token on a record with a lower one, and read it."""
        record = self.records.get(request_id)
        if record is None or record.token > token:
            return None
        if record.token < token:
            self._write(record.but(token=token))
        return _copy(self.records[request_id])

    @hooked
    async def first_of(self, key: str, request_id: str, expected: str | None = None) -> str:
        """The id of the request that holds a dedup key: ours, if nobody or `expected` held it."""
        if self.holders.get(key) in {None, request_id, expected}:
            self.holders[key] = request_id
        return self.holders[key]

    @hooked
    async def recall(self, node_type: Role, token: int) -> GroupMemory:
        """What is remembered of a node type; claims it for our token."""
        memory: GroupMemory = self._recall(node_type, token, GroupMemory())
        return memory

    @hooked
    async def remember(self, node_type: Role, memory: GroupMemory, token: int) -> None:
        """Write it down, unless a later write of ours stands there."""
        self._remember(node_type, memory, token)

    @hooked
    async def recall_pause(self, token: int) -> PauseMemory:
        """Who paused or resumed last; claims it for our token."""
        memory: PauseMemory = self._recall("the pause", token, PauseMemory())
        return memory

    @hooked
    async def remember_pause(self, memory: PauseMemory, token: int) -> None:
        """Write it down, unless a later write of ours stands there."""
        self._remember("the pause", memory, token)

    @hooked
    async def publish(self, document: Status | Heartbeat, token: int, revision: int) -> None:
        """Put the status document or the heartbeat down, unless a later write of ours stands there."""
        kind, data = type(document), packed(document)
        if len(data) > MAX_ITEM_BYTES:
            raise Refused("Item size has exceeded the maximum allowed size")
        holder, present, stands = self.published.get(kind, (0, 0, document))
        if holder > token:
            raise Fenced(f"{kind.__name__}: written with token {token}, but {holder} stands there")
        if holder == token and revision <= present and packed(stands) != data:
            raise Unavailable(f"{kind.__name__}: a later write of ours stands there")
        self.published[kind] = (token, revision, kind.parse(unpacked(data)))

    def status(self) -> Status | None:
        """The status document as it stands."""
        found = self.published.get(Status)
        return found[2] if found is not None and isinstance(found[2], Status) else None

    def heartbeat(self) -> Heartbeat | None:
        """The heartbeat as it stands."""
        found = self.published.get(Heartbeat)
        return found[2] if found is not None and isinstance(found[2], Heartbeat) else None

    def _recall(self, what: str, token: int, nothing: Any) -> Any:
        return self._put(what, token, self.memories.get(what, (0, nothing))[1])

    def _remember(self, what: str, memory: Any, token: int) -> None:
        holder, present = self.memories.get(what, (0, memory))
        if holder == token and present != memory and memory.revision <= present.revision:
            raise Unavailable(f"memory of {what}: a later write of ours stands there")
        self._put(what, token, memory)

    def _put(self, what: str, token: int, memory: Any) -> Any:
        holder = self.memories.get(what, (0, memory))[0]
        if holder > token:
            raise Fenced(f"memory of {what}: written with token {token}, but {holder} stands there")
        self.memories[what] = (token, memory)
        return memory

    def _write(self, record: Record) -> None:
        self.records[record.id] = record
        self.writes.append(record)


def _copy(record: Record) -> Record:
    """The reader's own: a change made in place is nobody else's."""
    mutable = {name: deepcopy(getattr(record, name)) for name in ("request", "plan", "notices")}
    return record.but(**mutable)


def _stored(record: Record) -> Record:
    """The record as the table gives it back: times in milliseconds, nothing that JSON has not got."""
    item = _LAYOUT.item(record)
    if not 0 < len(f"{item['sk']['S']}#{record.requested_at}".encode(errors="replace")) <= MAX_KEY_BYTES:
        raise Refused("One or more parameter values were invalid: Size of rangekey has exceeded 1024 bytes")
    if len(json.dumps(item).encode()) > MAX_ITEM_BYTES:
        raise Refused("Item size has exceeded the maximum allowed size")
    return record_of(item)
