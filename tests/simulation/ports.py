"""The worker's ports to its queue, its table and Alertmanager; effects of calls become evidence."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.alertmanager import Alert
from shared.errors import Refused, Unavailable
from shared.records import Record
from tests.fakes.queue import POLL_SECONDS
from tests.simulation.cloud import at_once
from tests.simulation.network import Call
from tests.simulation.port import Port, carried
from worker.ports.queue import Message
from worker.ports.storage import LeaseItem


class InboxPort(Port):
    """SQS."""

    port = "inbox"

    async def receive(self) -> Sequence[Message]:
        """A long poll."""
        queue = self.world.queue
        limit = POLL_SECONDS + self.seconds
        found: list[Message] = await self.ask(
            "receive", lambda call: queue.receive(lambda: not call.given_up and self.process.alive), seconds=limit
        )
        return found

    async def delete(self, message: Message) -> None:
        """Take a message out."""
        await self.ask("delete", lambda _: self.world.queue.delete(message), message.id)

    async def discard(self, messages: Sequence[Message]) -> None:
        """Take messages out."""

        def discard(_: Call) -> None:
            for message in messages:
                self.world.queue.delete(message)

        await self.ask("discard", discard, ", ".join(message.id for message in messages))

    async def dead_letter(self, message: Message, error: str) -> None:
        """Bury a copy."""
        await self.ask("dead_letter", lambda _: self.world.queue.bury(message, error), message.id)


class JournalPort(Port):
    """DynamoDB: the journal."""

    port = "journal"
    fenced = frozenset(
        {"create", "save", "claim", "first_of", "recall", "remember", "recall_pause", "remember_pause", "publish"}
    )

    create = carried("create", lambda record: record.id)
    get = carried("get")
    open = carried("open")
    claim = carried("claim")
    first_of = carried("first_of")
    recall = carried("recall")
    remember = carried("remember", lambda _type, memory, _token: str(memory.desired))
    recall_pause = carried("recall_pause")
    remember_pause = carried("remember_pause", lambda memory, _token: str(memory.pause))
    publish = carried("publish", lambda document, _token, revision: f"{type(document).__name__} {revision}")

    @property
    def target(self) -> Any:
        """The table."""
        return self.world.journal

    async def ask(self, name: str, act: Callable[[Call], Any], about: str = "", seconds: float | None = None) -> Any:
        """A call, after whose answer something may lie in wait."""

        def answered(call: Call) -> Any:
            self.world.chaos.moments.answered(self.process)
            return act(call)

        return await super().ask(name, answered, about, seconds)

    async def save(self, record: Record) -> Record:
        """See Journal."""
        about = f"{record.id} {record.state} {record.step}"
        saved: Record = await self.ask("save", lambda _: self._save(record), about)
        return saved

    def _save(self, record: Record) -> Record:
        before = self.world.journal.records.get(record.id)
        saved = at_once(self.world.journal.save(record))
        self.world.judge.saved(before, saved, self.process)
        self.world.chaos.moments.saved(before, saved)
        self.world.events.saved(saved)
        return saved


class LeasePort(Port):
    """DynamoDB: the lease."""

    port = "lease"

    read = carried("read")

    @property
    def target(self) -> Any:
        """The table."""
        return self.world.leases

    async def replace(self, expected: LeaseItem | None, item: LeaseItem) -> bool:
        """See LeaseStore."""
        about = f"token {item.token} renewals {item.renewals} owner {item.owner}"
        done: bool = await self.ask("replace", lambda call: self._replace(call, expected, item), about)
        return done

    def _replace(self, call: Call, expected: LeaseItem | None, item: LeaseItem) -> bool:
        done = at_once(self.world.leases.replace(expected, item))
        if done and item.owner is not None:
            lease = self.world.settings.lease_seconds.total_seconds()
            self.process.proved_until = max(self.process.proved_until, call.issued_at + lease)
        if done and item.renewals == 0 and item.owner is not None:
            self.world.trace.counts["take-overs"] += 1
            self.world.led_since = self.world.clockwork.now
            self.world.trace.add(self.process.name, "* takes the lease", token=item.token)
        return done


class AlertsPort(Port):
    """Alertmanager."""

    port = "alerts"

    async def post(self, alert: Alert, now: datetime, timeout: timedelta) -> None:
        """See AlertSink."""
        await self.ask("post", lambda _: self._take(alert), alert.summary[:60], timeout.total_seconds())

    def _take(self, alert: Alert) -> None:
        if self.world.alerts_broken in {"fails", "hangs"}:
            raise Unavailable("Alertmanager: 500")
        self.world.offered.append(alert)
        if self.world.alerts_broken == "refuses":
            raise Refused("Alertmanager: 400 bad data")
