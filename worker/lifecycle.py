"""The worker's life: standing by, leading for a period, releasing the lease, standing by again.

Whatever ends a leadership period (lease lost, Swarm lost, a stop from outside) ends everything that ran in it at once.
Calls that have changed something are awaited to their end before the lease is released.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from shared.clock import Clock
from shared.records import Record
from worker.decisions.pools import node_pools
from worker.dispatch.executor import Executor
from worker.dispatch.known import Known
from worker.dispatch.standby import Standby
from worker.dispatch.status_writer import StatusWriter
from worker.errors import LeadershipOver, SwarmLost, leadership_end
from worker.intake.lookout import Lookout
from worker.intake.pause_end import PauseEnd
from worker.intake.receiver import Receiver
from worker.leadership.eligibility import SwarmEligibility
from worker.leadership.fence import Fence, FencedGroups, FencedJournal, FencedSwarm
from worker.leadership.lease import HeldLease, Lease
from worker.leadership.memory import Memory
from worker.leadership.pausing import Pausing
from worker.leadership.period import Leadership
from worker.leadership.swarm_events import SwarmEvents
from worker.leadership.watchdog import Watchdog
from worker.metrics import Metrics
from worker.ports.alerts import AlertSink
from worker.ports.queue import Inbox
from worker.ports.scaling import GroupChanges, Groups
from worker.ports.storage import Journal, LeaseStore
from worker.ports.swarm import Swarm
from worker.ports.swarm_changes import SwarmChanges
from worker.requests import owners
from worker.requests.open_requests import OpenRequests
from worker.requests.outbox import Outbox
from worker.settings import WorkerSettings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside world of one worker."""

    inbox: Inbox
    journal: Journal
    leases: LeaseStore
    groups: Groups
    change_groups: GroupChanges
    swarm: Swarm
    change_swarm: SwarmChanges
    alerts: AlertSink | None


class Worker:
    """One worker process's part in the cluster."""

    def __init__(self, ports: Ports, settings: WorkerSettings, clock: Clock, metrics: Metrics, owner: str) -> None:
        self._ports = ports
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._lease = Lease(ports.leases, clock, settings.lease_seconds, owner)
        self._eligibility = SwarmEligibility(ports.swarm, self._leaving_nodes)
        self._standby = Standby(ports.alerts, ports.leases, clock)
        self._in_hand: Callable[[], Sequence[Record]] = tuple
        """The records that flows of the last leadership period worked on."""

    async def run(self) -> None:
        """Stand by and lead, in turns, until cancelled."""
        while True:
            held = await self._win()
            try:
                await self._lead(held)
            except* LeadershipOver as over:
                reason = leadership_end(over)
                log.warning("leadership_lost", reason=str(reason), token=held.token)
                if isinstance(reason, SwarmLost):
                    self._standby.leave(self._in_hand())

    async def _leaving_nodes(self) -> Collection[str]:
        return owners.leaving_nodes(await self._ports.journal.open())

    async def _win(self) -> HeldLease:
        """Stand by until the lease is ours."""
        telling = asyncio.ensure_future(self._standby.tell())
        try:
            return await self._lease.win(self._eligibility)
        finally:
            telling.cancel()

    async def _lead(self, held: HeldLease) -> None:
        self._metrics.active.set(1)
        self._metrics.takeovers.inc()
        log.info("leadership_begun", token=held.token)
        try:
            await self._work(held)
        finally:
            self._metrics.active.set(0)
            await self._ports.change_swarm.idle()
            await self._lease.release(held)
            log.info("leadership_ended", token=held.token)

    async def _work(self, held: HeldLease) -> None:
        leadership, outbox = self._leadership(held), Outbox(self._ports.alerts, self._clock)
        requests = OpenRequests(held.token, leadership.journal, outbox, self._clock)
        self._in_hand = requests.begun
        executor = Executor(leadership, requests, self._metrics)
        receiver = Receiver(self._ports.inbox, leadership, requests, outbox, self._metrics)
        status = StatusWriter(leadership, requests, outbox, self._lease, held)
        known = Known(leadership, requests, outbox, self._lease, held, lambda: status.newest)
        with self._metrics.leading(known):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._lease.keep(held, leadership.watchdog))
                tasks.create_task(leadership.events.run())
                tasks.create_task(outbox.run())
                tasks.create_task(executor.run())
                tasks.create_task(receiver.run())
                tasks.create_task(status.run())
                tasks.create_task(Lookout(leadership, requests).run())
                tasks.create_task(PauseEnd(leadership, requests).run())

    def _leadership(self, held: HeldLease) -> Leadership:
        ports, settings = self._ports, self._settings
        fence = Fence(self._lease, held, settings.call_timeout())
        journal = FencedJournal(ports.journal, fence)
        return Leadership(
            token=held.token,
            settings=settings,
            pools=node_pools(settings),
            clock=self._clock,
            journal=journal,
            groups=ports.groups,
            change_groups=FencedGroups(ports.change_groups, fence),
            swarm=ports.swarm,
            change_swarm=FencedSwarm(ports.change_swarm, fence),
            identity=held.identity,
            events=SwarmEvents(ports.swarm, check_seconds=settings.reschedule_ticker_interval.total_seconds()),
            watchdog=Watchdog(),
            memory=Memory(journal, held.token),
            pausing=Pausing(journal, held.token, self._clock),
            yields=not held.alone,
        )
