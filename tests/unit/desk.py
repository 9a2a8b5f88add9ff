"""What the units around a request need, over the fakes: a journal, an outbox, a leadership period. Fake loop time."""

from datetime import timedelta
from typing import Any

from shared.records import Record, State
from tests.fakes import InMemoryAlerts, InMemoryGroups, InMemoryJournal, InMemorySwarm, LoopClock, Scripted
from tests.fakes.clock import START
from tests.unit.build import settings
from worker.decisions.pools import node_pools
from worker.leadership.memory import Memory
from worker.leadership.pausing import Pausing
from worker.leadership.period import Leadership
from worker.leadership.swarm_events import SwarmEvents
from worker.leadership.watchdog import Watchdog
from worker.ports.swarm import SwarmIdentity
from worker.requests.open_requests import OpenRequests
from worker.requests.outbox import Outbox
from worker.requests.request import OpenRequest

TOKEN = 7


def record(name: str = "r", **fields: Any) -> Record:
    """A scale-up of workers that was made at the start, and carries our token."""
    values: dict[str, Any] = {"action": "scale-nodes", "scale": "up", "type": "worker", "token": TOKEN, "source": "sqs"}
    return Record(**{"id": name, "requested_at": START, "request": {}, **values, **fields})


class Desk:
    """One worker's desk. Make it inside the loop."""

    def __init__(self, **variables: Any) -> None:
        self.clock, self.hooks = LoopClock(), Scripted()
        self.journal = InMemoryJournal(self.clock).through(self.hooks)
        self.alerts = InMemoryAlerts().through(self.hooks)
        self.groups, self.swarm = InMemoryGroups(self.clock).through(self.hooks), InMemorySwarm().through(self.hooks)
        self.manager = self.swarm.join("manager", "manager")
        self.outbox = Outbox(self.alerts, self.clock)
        self.requests = OpenRequests(TOKEN, self.journal, self.outbox, self.clock)
        own = settings(**variables)
        self.leadership = Leadership(
            token=TOKEN,
            settings=own,
            pools=node_pools(own),
            clock=self.clock,
            journal=self.journal,
            groups=self.groups,
            change_groups=self.groups,
            swarm=self.swarm,
            change_swarm=self.swarm,
            identity=SwarmIdentity("cluster", self.manager),
            events=SwarmEvents(self.swarm, check_seconds=60.0),
            watchdog=Watchdog(),
            memory=Memory(self.journal, TOKEN),
            pausing=Pausing(self.journal, TOKEN, self.clock),
        )

    def put(self, name: str = "r", **fields: Any) -> OpenRequest:
        """A request whose record stands in the journal, in hand."""
        written = record(name, **fields)
        self.journal.records[name] = written
        return OpenRequest(written, self.journal, self.outbox, self.clock)

    def state(self, name: str = "r") -> State:
        """The state of a record in the journal."""
        return self.journal.records[name].state


def later(seconds: float) -> Any:
    """A moment so long after the start."""
    return START + timedelta(seconds=seconds)
