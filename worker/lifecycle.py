"""The worker's life: standing by, leading for a period, releasing the lease, standing by again.

Whatever ends a leadership period (lease lost, Swarm lost, a stop from outside) ends everything that ran in it at once.
Calls that have changed something are awaited to their end before the lease is released.
"""

import asyncio
from dataclasses import dataclass

import structlog

from shared.clock import Clock
from shared.errors import Unavailable
from worker.dispatch.executor import Executor
from worker.errors import LeadershipOver, leadership_end
from worker.intake.receiver import Intake
from worker.leadership.fence import FencedGroups, FencedSwarm
from worker.leadership.lease import HeldLease, Lease
from worker.leadership.memory import Memory
from worker.leadership.period import Leadership, ServiceLocks
from worker.leadership.swarm_events import SwarmEvents
from worker.leadership.watchdog import Watchdog
from worker.metrics import Metrics
from worker.ports.alerts import AlertSink
from worker.ports.queue import Inbox
from worker.ports.scaling import GroupChanges, Groups
from worker.ports.storage import Journal, LeaseStore
from worker.ports.swarm import Swarm, SwarmChanges, SwarmIdentity
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
        self._identity: SwarmIdentity | None = None
        self._eligible = True

    async def run(self) -> None:
        """Stand by and serve, in turns, until cancelled."""
        while True:
            held = await self._lease.win(self._swarm_id)
            try:
                await self._serve(held)
            except* LeadershipOver as over:
                log.warning("leadership_lost", reason=str(leadership_end(over)), token=held.token)

    async def _serve(self, held: HeldLease) -> None:
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
        watchdog = Watchdog()
        watch = SwarmEvents(self._ports.swarm, check_seconds=self._settings.reschedule_ticker_interval.total_seconds())
        leadership = self._leadership(held, watchdog, watch)
        outbox = Outbox(self._ports.alerts, self._clock)
        executor = Executor(leadership, outbox, self._metrics)
        with self._metrics.oldest_request(executor.oldest_age):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._lease.keep(held, watchdog.all_alive))
                tasks.create_task(watch.run())
                tasks.create_task(outbox.run(executor.forget))
                tasks.create_task(executor.run())
                tasks.create_task(self._intake(leadership, executor).run())

    def _leadership(self, held: HeldLease, watchdog: Watchdog, events: SwarmEvents) -> Leadership:
        ports, need = self._ports, self._settings.call_timeout()

        async def prove() -> None:
            await self._lease.prove(held, need)

        assert self._identity is not None  # noqa: S101 - the lease was won after the Swarm had said who it is
        return Leadership(
            token=held.token,
            settings=self._settings,
            clock=self._clock,
            journal=ports.journal,
            groups=ports.groups,
            change_groups=FencedGroups(ports.change_groups, prove),
            swarm=ports.swarm,
            change_swarm=FencedSwarm(ports.change_swarm, prove),
            identity=self._identity,
            events=events,
            watchdog=watchdog,
            memory=Memory(ports.journal, held.token),
            service_locks=ServiceLocks(),
        )

    def _intake(self, leadership: Leadership, executor: Executor) -> Intake:
        return Intake(
            self._ports.inbox,
            self._ports.journal,
            executor,
            self._clock,
            dedup_window=self._settings.dedup_window,
            token=leadership.token,
            watchdog=leadership.watchdog,
        )

    async def _swarm_id(self) -> str | None:
        """The Swarm that this worker could serve now."""
        try:
            self._identity = await self._ports.swarm.identity()
        except Unavailable as error:
            if self._eligible:
                log.warning("standing_by_without_swarm", error=str(error))
            self._eligible = False
            return None
        self._eligible = True
        return self._identity.cluster_id
