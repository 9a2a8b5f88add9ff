"""The worker's life: standing by, being active for a term, giving the lease up, standing by again.

Whatever ends a term (lease lost, Swarm lost, a stop from outside) ends everything that ran in it at once; calls that
have changed something are awaited to their end before the lease is let go.
"""

import asyncio
from dataclasses import dataclass

import structlog

from shared.clock import Clock
from shared.errors import Unavailable
from worker.errors import TermOver, end_of_term
from worker.executor import Executor
from worker.fence import FencedGroups, FencedSwarm
from worker.intake import Intake
from worker.lease import Lease, Tenure
from worker.metrics import Metrics
from worker.outbox import Outbox
from worker.ports import (
    AlertSink,
    GroupChanges,
    Groups,
    Inbox,
    Journal,
    LeaseStore,
    Swarm,
    SwarmChanges,
    SwarmIdentity,
)
from worker.pulse import Pulse
from worker.settings import WorkerSettings
from worker.term import Memory, ServiceLocks, Term
from worker.watch import Watch

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
            tenure = await self._lease.win(self._swarm_id)
            try:
                await self._serve(tenure)
            except* TermOver as over:
                log.warning("term_over", reason=str(end_of_term(over)), token=tenure.token)

    async def _serve(self, tenure: Tenure) -> None:
        self._metrics.active.set(1)
        self._metrics.takeovers.inc()
        log.info("term_begun", token=tenure.token)
        try:
            await self._work(tenure)
        finally:
            self._metrics.active.set(0)
            await self._ports.change_swarm.idle()
            await self._lease.release(tenure)
            log.info("term_ended", token=tenure.token)

    async def _work(self, tenure: Tenure) -> None:
        pulse = Pulse()
        watch = Watch(self._ports.swarm, check_seconds=self._settings.reschedule_ticker_interval.total_seconds())
        term = self._term(tenure, pulse, watch)
        outbox = Outbox(self._ports.alerts, self._clock)
        executor = Executor(term, outbox, self._metrics)
        with self._metrics.oldest_request(executor.oldest_age):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._lease.keep(tenure, pulse.steady))
                tasks.create_task(watch.run())
                tasks.create_task(outbox.run(executor.forget))
                tasks.create_task(executor.run())
                tasks.create_task(self._intake(term, executor).run())

    def _term(self, tenure: Tenure, pulse: Pulse, watch: Watch) -> Term:
        ports, need = self._ports, self._settings.call_timeout()

        async def prove() -> None:
            await self._lease.prove(tenure, need)

        assert self._identity is not None  # noqa: S101 - the lease was won after the Swarm had said who it is
        return Term(
            token=tenure.token,
            settings=self._settings,
            clock=self._clock,
            journal=ports.journal,
            groups=ports.groups,
            change_groups=FencedGroups(ports.change_groups, prove),
            swarm=ports.swarm,
            change_swarm=FencedSwarm(ports.change_swarm, prove),
            identity=self._identity,
            watch=watch,
            pulse=pulse,
            memory=Memory(ports.journal, tenure.token),
            service_locks=ServiceLocks(),
        )

    def _intake(self, term: Term, executor: Executor) -> Intake:
        return Intake(
            self._ports.inbox,
            self._ports.journal,
            executor,
            self._clock,
            dedup_window=self._settings.dedup_window,
            token=term.token,
            pulse=term.pulse,
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
