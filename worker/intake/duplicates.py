"""Duplicates: which earlier request a new one repeats, settled before its record is made.

The journal holds an item per key, whose value is the id of the first request with that key. A key that names the
request itself is no duplicate: the item had been written, and only the answer was lost.
"""

from dataclasses import dataclass
from datetime import timedelta

from shared.action import Request
from shared.records import Record
from worker.ports.storage import Journal

IDEMPOTENCY_WINDOW = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Key:
    """What makes two requests the same, and for how long after the first was requested it counts."""

    text: str
    window: timedelta


def key_of(request: Request, dedup_window: timedelta) -> Key | None:
    """The key of a request. None: it repeats nothing."""
    if request.idempotency_key:
        return Key(f"idempotency:{request.idempotency_key}", IDEMPOTENCY_WINDOW)
    return Key(f"delivery:{request.dedup_key}", dedup_window) if request.dedup_key else None


async def first_request(journal: Journal, record: Record, key: Key) -> str | None:
    """The id of the request that this one repeats. None: it is the first. Raises Unavailable, Refused."""
    holder = await journal.first_of(key.text, record.id)
    while holder != record.id:
        first = await journal.get(holder)
        if first is None or _counts(first, record, key.window):
            return holder
        holder = await journal.first_of(key.text, record.id, expected=holder)
    return None


def _counts(first: Record, record: Record, window: timedelta) -> bool:
    return not first.state.ended or record.requested_at - first.requested_at < window
