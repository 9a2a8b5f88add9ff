"""The whole check, in the order in which things depend on each other: each part by itself, whatever the others say."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.errors import NotFound, Refused, ScalerError, Unavailable
from worker.decisions.pools import node_pools
from worker.doctor.facts import Aws, Trial
from worker.doctor.finding import Finding, ok, wrong
from worker.doctor.groups import group, rebalancing
from worker.doctor.nodes import nodes
from worker.doctor.storage import queues, table
from worker.ports.scaling import Group, Groups
from worker.ports.swarm import Swarm
from worker.settings import WorkerSettings

APART = timedelta(seconds=10)
"""So far may the clock be from AWS's. Beyond, ages of requests and instances mislead; beyond minutes, AWS refuses."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What is looked at, and by which settings it is judged."""

    settings: WorkerSettings
    aws: Aws
    groups: Groups
    swarm: Swarm
    alertmanagers: Mapping[str, Trial]
    """Address to a call that succeeds where it is healthy."""

    async def findings(self) -> AsyncIterator[Finding]:
        """One after the other, as they come."""
        settings = self.settings
        place = f"cluster {settings.scaler_cluster} in {settings.aws_default_region}"
        yield ok(f"variables: {place}")
        yield ok("credentials: there are some")  # nobody could ask anything without them
        for what, look in self._parts().items():
            for finding in await _looked(what, look):
                yield finding

    def _parts(self) -> Mapping[str, Callable[[], Awaitable[Sequence[Finding]]]]:
        scaling = {"groups": self._groups} if self._names() else {}
        return {
            "clock": self._clock,
            "permissions": self._permissions,
            "queues": self._queues,
            f"DYNAMODB_TABLE {self.settings.dynamodb_table}": self._table,
            "DOCKER_HOST": self._docker,
            **scaling,
            "ALERTMANAGER_ADDRESS": self._alertmanager,
        }

    def _names(self) -> list[str]:
        return [pool.group for pool in node_pools(self.settings).values() if pool.group]

    async def _clock(self) -> Sequence[Finding]:
        ahead = await self.aws.clock_ahead()
        if ahead is None:
            return [ok("clock: not compared, for the answer of AWS has no Date header")]
        seconds = ahead.total_seconds()
        if abs(ahead) > APART:
            way = "ahead of" if seconds > 0 else "behind"
            return [wrong(f"clock: {abs(seconds):.0f} s {way} AWS's; let chrony or ntpd set it")]
        return [ok(f"clock: within {APART.total_seconds():.0f} s of AWS's")]

    async def _permissions(self) -> Sequence[Finding]:
        return [await _tried(what, trial) for what, trial in self.aws.trials(self._names()).items()]

    async def _queues(self) -> Sequence[Finding]:
        urls = {"SQS_QUEUE_URL": self.settings.sqs_queue_url, "SQS_DLQ_URL": self.settings.sqs_dlq_url}
        attributes, findings = [], []
        for name, url in urls.items():
            try:
                attributes.append(await self.aws.queue(url))
            except ScalerError as error:
                findings.append(wrong(f"{name}: {_advised(error, f'name a queue that is there; {url} is not')}"))
        return findings or queues(*attributes)

    async def _table(self) -> Sequence[Finding]:
        return table(self.settings.dynamodb_table, await self.aws.table())

    async def _docker(self) -> Sequence[Finding]:
        try:
            identity = await self.swarm.identity()
        except Unavailable as error:
            return [
                wrong(f"DOCKER_HOST: {error}; it must lead to a manager of a Swarm that has a leader (docker info)")
            ]
        return [ok(f"DOCKER_HOST: {self.settings.docker_host} is a manager of Swarm {identity.cluster_id}")]

    async def _groups(self) -> Sequence[Finding]:
        findings: list[Finding] = []
        seen: list[Group] = []
        for pool in node_pools(self.settings).values():
            try:
                facts = await self.groups.describe(pool.group)
                hooks = await self.groups.lifecycle_hooks(pool.group)
            except ScalerError as error:
                variable = f"AWS_{pool.role.upper()}_ASG"
                findings.append(wrong(f"{variable}: {_advised(error, f'{variable} must name a group of this region')}"))
                continue
            seen.append(facts)
            findings += group(pool, facts, hooks, self.settings.reschedule_timeout)
        if len(seen) < len(self._names()):
            return findings
        findings += rebalancing(self.settings.rebalance_action, seen)
        return [*findings, *await _looked("nodes", lambda: self._nodes(seen))]

    async def _nodes(self, groups: Sequence[Group]) -> Sequence[Finding]:
        return nodes(groups, await self.swarm.nodes())

    async def _alertmanager(self) -> Sequence[Finding]:
        if not self.alertmanagers:
            return [ok("ALERTMANAGER_ADDRESS: not set, nobody is notified")]
        return [await _healthy(address, trial) for address, trial in self.alertmanagers.items()]


async def _looked(what: str, look: Callable[[], Awaitable[Sequence[Finding]]]) -> Sequence[Finding]:
    try:
        return await look()
    except ScalerError as error:
        return [wrong(f"{what}: {_advised(error, 'it must be there')}")]


async def _tried(what: str, trial: Trial) -> Finding:
    try:
        await trial()
    except ScalerError as error:
        return wrong(f"permission {what}: {_advised(error, 'it can be tried when that is there, see below')}")
    return ok(f"permission {what}")


async def _healthy(address: str, trial: Trial) -> Finding:
    try:
        await trial()
    except ScalerError as error:
        return wrong(f"ALERTMANAGER_ADDRESS: {address}: {error}; name one that the manager reaches, or unset it")
    return ok(f"ALERTMANAGER_ADDRESS: {address} is healthy")


def _advised(error: ScalerError, absent: str) -> str:
    """The error, with what to do by its kind."""
    if isinstance(error, NotFound):
        return f"{error}; {absent}"
    if isinstance(error, Refused):
        return f"{error}; allow it (WorkerPolicy of scaler.yaml, or the queue's own policy), and check the region"
    return f"{error}; look at the network, and whether it runs"
