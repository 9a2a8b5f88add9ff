"""Intake: from messages in the queue to records in the journal.

A message is deleted only when its request stands in the journal, or its copy in the dead-letter queue. Taking one
message twice is harmless: a known id is the same request. Whether a request is a duplicate of an earlier one is
settled here, before its record is made.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeGuard

import structlog

from shared.alertmanager import Alert
from shared.clock import Clock
from shared.errors import InvalidRequest, Refused, Unavailable
from shared.messages import MAX_ID_BYTES, Request, parse_body, parse_request
from shared.records import Record, State
from worker.errors import error_boundary
from worker.leadership.watchdog import Watchdog
from worker.ports.queue import Inbox, Message
from worker.ports.storage import Journal
from worker.requests import wording

log = structlog.get_logger()

IDEMPOTENCY_WINDOW = timedelta(hours=24)
PAUSE_SECONDS = 1.0


class Accepts(Protocol):
    """Who takes new records, and hears of what can never be one."""

    def take(self, record: Record, *, known: bool) -> None:
        """A record that stands in the journal; known: it stood there before."""
        ...

    def reject(self, alert: Alert) -> None:
        """A message was dead-lettered."""
        ...


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a message says, unwrapped."""

    body: Mapping[str, Any]
    fallback_id: str
    source: str


@dataclass(frozen=True, slots=True)
class Key:
    """What makes two requests the same: the key, and for how long after the first was requested it counts."""

    text: str
    window: timedelta


class Intake:
    """Takes messages for as long as it runs."""

    def __init__(
        self,
        inbox: Inbox,
        journal: Journal,
        accepts: Accepts,
        clock: Clock,
        *,
        dedup_window: timedelta,
        token: int,
        watchdog: Watchdog,
    ) -> None:
        self._inbox = inbox
        self._journal = journal
        self._accepts = accepts
        self._clock = clock
        self._dedup_window = dedup_window
        self._token = token
        self._watchdog = watchdog

    async def run(self) -> None:
        """Receive and take, for ever."""
        with self._watchdog.watching("intake"):
            while True:
                for message in await self._receive():
                    with error_boundary("message_not_understood", message=message.id):  # it stays in the queue
                        await self._take_patiently(message)

    async def _receive(self) -> Sequence[Message]:
        self._watchdog.heartbeat("intake")
        try:
            return await self._inbox.receive()
        except (Unavailable, Refused) as error:
            log.warning("inbox_unavailable", error=str(error))
            await asyncio.sleep(PAUSE_SECONDS)
            return ()

    async def _take_patiently(self, message: Message) -> None:
        """Nothing is received while the journal, or the dead-letter queue, does not take what it should."""
        while True:
            self._watchdog.heartbeat("intake")
            try:
                await self.take(message)
            except (Unavailable, Refused) as error:
                log.warning("message_not_taken_yet", message=message.id, error=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    async def take(self, message: Message) -> None:
        """Make one message a record, or a dead letter. Raises Unavailable and Refused; safe to repeat."""
        try:
            envelope = _unwrap(message)
            request = parse_request(envelope.body)
            await self._record(_record(envelope, request, message, self._token, self._clock.now()), request)
        except InvalidRequest as error:
            await self._dead_letter(message, str(error))
        await self._delete(message)

    async def _record(self, record: Record, request: Request) -> None:
        key = _key(request, self._dedup_window)
        first = await self._first(record, key) if key else None
        if first is not None:
            record = _duplicate(record, first, self._clock.now())
        known = await self._journal.create(record)
        log.info(
            "request_taken", request=record.id, action=record.action, source=record.source, known=known is not None
        )
        self._accepts.take(known or record, known=known is not None)

    async def _first(self, record: Record, key: Key) -> str | None:
        """The id of the request that this one repeats, if it does."""
        holder = await self._journal.first_of(key.text, record.id)
        while holder != record.id:
            first = await self._journal.get(holder)
            if first is None or _counts(first, record, key.window):
                return holder
            holder = await self._journal.first_of(key.text, record.id, expected=holder)
        return None

    async def _dead_letter(self, message: Message, error: str) -> None:
        log.warning("message_dead_lettered", message=message.id, error=error)
        await self._inbox.dead_letter(message, error)
        self._accepts.reject(wording.bad_request(_action(message.body), error))

    async def _delete(self, message: Message) -> None:
        """A message that stays comes again, and is known then."""
        try:
            await self._inbox.delete(message)
        except (Unavailable, Refused) as error:
            log.warning("message_not_deleted", message=message.id, error=str(error))


def _unwrap(message: Message) -> Envelope:
    """The request in a message, out of its SNS envelope if it came in one. Raises InvalidRequest."""
    body = parse_body(message.body)
    if body.get("Type") != "Notification" or "action" in body:
        return Envelope(body, message.id, "sqs")
    inner, sns_id = body.get("Message"), body.get("MessageId")
    if not isinstance(inner, str):
        raise InvalidRequest("The SNS notification has no Message")
    return Envelope(parse_body(inner), sns_id if _is_id(sns_id) else message.id, "sns")


def _is_id(value: object) -> TypeGuard[str]:
    """Whether the table takes it as a key: anybody can write what looks like an envelope."""
    return isinstance(value, str) and 0 < len(value.encode()) <= MAX_ID_BYTES


def _record(envelope: Envelope, request: Request, message: Message, token: int, now: datetime) -> Record:
    # SQS's own time counts where a caller's clock runs ahead of it.
    requested = min(request.requested_at or message.sent_at, message.sent_at).astimezone(UTC)
    return Record(
        id=request.id or envelope.fallback_id,
        action=request.action,
        requested_at=requested,
        received_at=now,
        source=request.source or envelope.source,
        request=envelope.body,
        scale=getattr(request, "scale", None),
        type=getattr(request, "type", None),
        by=getattr(request, "by", None),
        service=getattr(request, "service", None),
        token=token,
    )


def _key(request: Request, dedup_window: timedelta) -> Key | None:
    if request.idempotency_key:
        return Key(f"idempotency:{request.idempotency_key}", IDEMPOTENCY_WINDOW)
    return Key(f"delivery:{request.dedup_key}", dedup_window) if request.dedup_key else None


def _counts(first: Record, record: Record, window: timedelta) -> bool:
    return not first.state.ended or record.requested_at - first.requested_at < window


def _duplicate(record: Record, first: str, now: datetime) -> Record:
    return record.but(
        state=State.SKIPPED,
        message=f"Duplicate of request {first}",
        duplicate_of=first,
        started_at=now,
        ended_at=now,
        settled=True,
    )


def _action(body: str) -> object:
    """The action that a bad message names, itself or in its SNS envelope, if it can be read."""
    try:
        value = json.loads(body)
        if isinstance(value, dict) and "action" not in value and isinstance(value.get("Message"), str):
            value = json.loads(value["Message"])
    except (ValueError, RecursionError):
        return None
    return value.get("action") if isinstance(value, dict) else None
