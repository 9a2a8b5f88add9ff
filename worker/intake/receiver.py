"""The receiver: from messages in the queue to records in the journal.

A message is deleted only when its request stands in the journal, or its copy in the dead-letter queue. Taking one
message twice is harmless: a known id is the same request. What a message says is left to `records` and the sources,
whether it repeats another to `duplicates`, which events are about instances of ours to `ours`.
"""

import asyncio
from collections.abc import Sequence

import structlog

from shared.action import Request
from shared.errors import InvalidRequest, Refused, Unavailable
from shared.records import Record
from worker.errors import error_boundary
from worker.intake.duplicates import first_request, key_of
from worker.intake.envelope import Envelope, Event
from worker.intake.eventbridge import REBALANCE
from worker.intake.ours import Ours
from worker.intake.records import duplicate, named_action, record_of, request_of, unwrap
from worker.leadership.period import Leadership
from worker.metrics import Metrics
from worker.ports.queue import Inbox, Message
from worker.requests import wording
from worker.requests.open_requests import OpenRequests
from worker.requests.outbox import Outbox

log = structlog.get_logger()

RETRY_SECONDS = 1.0


class Receiver:
    """Takes messages for as long as it runs."""

    def __init__(
        self, inbox: Inbox, leadership: Leadership, requests: OpenRequests, outbox: Outbox, metrics: Metrics
    ) -> None:
        self._inbox = inbox
        self._leadership = leadership
        self._requests = requests
        self._outbox = outbox
        self._metrics = metrics
        self._ours = Ours(leadership, requests)

    async def run(self) -> None:
        """Receive and take, for ever."""
        with self._leadership.watchdog.watching("intake"):
            while True:
                await self._take_all(await self._sifted(await self._receive()))

    async def _receive(self) -> Sequence[Message]:
        self._leadership.watchdog.heartbeat("intake")
        try:
            return await self._inbox.receive()
        except (Unavailable, Refused) as error:
            log.warning("inbox_unavailable", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            return ()

    async def _sifted(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages without the events that nobody here has to do anything about: those are deleted at once."""
        events = {message.id: event for message in messages if (event := _event_in(message)) is not None}
        sent = ((events[each.id], each.sent_at) for each in messages if each.id in events)
        about = {
            each: moment
            for event, moment in sent
            for each in (event.instance, *event.instances)
            if each and not event.group
        }
        await self._ours.recognise(about)
        idle = [each for each in messages if each.id in events and not self._counts(events[each.id])]
        await self._discard(idle)
        return [message for message in messages if message not in idle]

    def _counts(self, event: Event) -> bool:
        """Whether an event is to become a record; if not, it is counted here."""
        if event.request is None or not self._is_our_hook(event) or not self._is_wanted(event):
            outcome = "ignored"
        elif not self._is_ours(event):
            outcome = "foreign"
        elif event.joins and self._requests.about(event.instance):
            outcome = "joined"
        else:
            return True
        self._metrics.events.labels(event.kind, outcome).inc()
        return False

    def _is_ours(self, event: Event) -> bool:
        if event.group:
            return self._ours.owns(event.group)
        return any(self._ours.has(each) for each in event.instances or (event.instance,))

    def _is_our_hook(self, event: Event) -> bool:
        """Somebody else's hook is somebody else's to complete."""
        return not event.hook or event.hook in self._leadership.settings.hooks()

    def _is_wanted(self, event: Event) -> bool:
        """A recommendation is one: whether it is followed, the setting says."""
        return event.kind != REBALANCE or self._leadership.settings.rebalance_action == "drain"

    async def _discard(self, messages: Sequence[Message]) -> None:
        """Those that stay come again, and are counted once more."""
        try:
            if messages:
                await self._inbox.discard(messages)
        except (Unavailable, Refused) as error:
            log.warning("events_not_deleted", messages=len(messages), error=str(error))

    async def _take_all(self, messages: Sequence[Message]) -> None:
        """One after the other; scale-ups that were taken already are raised together with those behind them."""
        try:
            for left in range(len(messages), 0, -1):
                self._requests.note_arriving(left)
                message = messages[-left]
                with error_boundary("message_not_understood", message=message.id):  # it stays in the queue
                    await self._take_patiently(message)
                    self._requests.note_arriving(left - 1)
                    await self._delete(message)
        finally:
            self._requests.note_arriving(0)

    async def _take_patiently(self, message: Message) -> None:
        """Nothing is received while the journal, or the dead-letter queue, does not take what it should."""
        while True:
            self._leadership.watchdog.heartbeat("intake")
            try:
                await self._take(message)
            except (Unavailable, Refused) as error:
                log.warning("message_not_taken_yet", message=message.id, error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    async def _take(self, message: Message) -> None:
        """Make one message a record, or a dead letter. Raises Unavailable and Refused; safe to repeat."""
        try:
            said = unwrap(message)
            if isinstance(said, Event):
                await self._take_event(said, message)
            else:
                await self._take_request(said, message, request_of(said, event=False))
        except InvalidRequest as error:
            await self._dead_letter(message, str(error))

    async def _take_event(self, event: Event, message: Message) -> None:
        if event.request is not None:
            await self._take_request(event.request, message, request_of(event.request, event=True))
            self._metrics.events.labels(event.kind, "taken").inc()

    async def _take_request(self, envelope: Envelope, message: Message, request: Request) -> None:
        now = self._leadership.clock.now()
        await self._create(record_of(envelope, request, message, self._leadership.token, now), request)

    async def _create(self, record: Record, request: Request) -> None:
        first = await self._first(record, request)
        if first is not None:
            record = duplicate(record, first, self._leadership.clock.now())
        known = await self._leadership.journal.create(record)
        log.info(
            "request_taken", request=record.id, action=record.action, source=record.source, known=known is not None
        )
        if known is None and record.state.ended:
            self._metrics.ended(record)
        self._requests.take(known or record)

    async def _first(self, record: Record, request: Request) -> str | None:
        """The id of the request that this one repeats, if it does."""
        key = None if record.dry_run else key_of(request, self._leadership.settings.dedup_window)
        return None if key is None else await first_request(self._leadership.journal, record, key)

    async def _dead_letter(self, message: Message, error: str) -> None:
        log.warning("message_dead_lettered", message=message.id, error=error)
        await self._inbox.dead_letter(message, error)
        self._metrics.dead_letters.inc()
        self._outbox.offer(wording.bad_request(named_action(message.body), error))

    async def _delete(self, message: Message) -> None:
        """A message that stays comes again, and is known then."""
        try:
            await self._inbox.delete(message)
        except (Unavailable, Refused) as error:
            log.warning("message_not_deleted", message=message.id, error=str(error))


def _event_in(message: Message) -> Event | None:
    """What AWS says in a message by itself. What cannot be understood is no event: whoever takes it says so."""
    try:
        said = unwrap(message)
    except InvalidRequest:
        return None
    return said if isinstance(said, Event) else None
