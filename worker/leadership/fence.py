"""The fence around outside effects: nothing is changed outside unless the lease provably outlasts the call.

`FencedGroups`, `FencedSwarm` and `FencedJournal` are the only way by which anything is changed or written. A change
that has been sent is awaited to its end even when its flow is cancelled: it cannot be called back, so the lease must
not be given up while it is under way. A call in flight when the lease is *lost* cannot be fenced; it is bounded by its
timeout, which is shorter than what the lease proved when it began.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from shared.fields import Role
from shared.records import Record
from shared.status import Heartbeat, Status
from worker.leadership.lease import HeldLease, Lease
from worker.ports.hooks import Hold, Release
from worker.ports.scaling import GroupChanges
from worker.ports.storage import GroupMemory, Journal, PauseMemory
from worker.ports.swarm import Availability
from worker.ports.swarm_changes import ServiceChange, SwarmChanges

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fence:
    """The proof that the lease outlasts one call."""

    lease: Lease
    held: HeldLease
    call_timeout: timedelta
    """The whole timeout of one call, retries included."""

    async def prove(self) -> None:
        """Return once the lease provably outlasts one call. Raises LeaseLost."""
        await self.lease.prove(self.held, self.call_timeout)

    async def guard(self, call: Callable[[], Awaitable[T]]) -> T:
        """The proof, then the call; and the proof once more in one breath with the call. Raises LeaseLost.

        A process may be stopped between any two steps of its loop, and find its lease gone when it goes on.
        """
        await self.prove()
        return await to_its_end(self.allow(call))

    async def allow(self, call: Callable[[], Awaitable[T]]) -> T:
        """The proof in one breath with the call, which is not awaited any more when cancelled. Raises LeaseLost."""
        await self.prove()
        return await call()


async def to_its_end(call: Coroutine[Any, Any, T]) -> T:
    """Await a call; when cancelled meanwhile, await its end first."""
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # read, or asyncio complains of an exception that nobody saw
        raise


@dataclass(frozen=True, slots=True)
class FencedGroups:
    """Changes of Auto Scaling groups, behind the fence."""

    inner: GroupChanges
    fence: Fence

    async def set_desired(self, name: str, desired: int) -> None:
        """See GroupChanges."""
        await self.fence.guard(lambda: self.inner.set_desired(name, desired))

    async def terminate(self, instance_id: str) -> int | None:
        """See GroupChanges."""
        return await self.fence.guard(lambda: self.inner.terminate(instance_id))

    async def replace(self, instance_id: str) -> None:
        """See GroupChanges."""
        await self.fence.guard(lambda: self.inner.replace(instance_id))

    async def complete(self, hold: Hold, release: Release) -> None:
        """See GroupChanges."""
        await self.fence.guard(lambda: self.inner.complete(hold, release))

    async def heartbeat(self, hold: Hold) -> None:
        """See GroupChanges."""
        await self.fence.guard(lambda: self.inner.heartbeat(hold))


@dataclass(frozen=True, slots=True)
class FencedJournal:
    """The journal, its writes behind the fence: a worker that wakes up after its lease writes nothing."""

    inner: Journal
    fence: Fence

    async def create(self, record: Record) -> Record | None:
        """See Journal."""
        return await self.fence.allow(lambda: self.inner.create(record))

    async def save(self, record: Record) -> Record:
        """See Journal."""
        return await self.fence.allow(lambda: self.inner.save(record))

    async def get(self, request_id: str) -> Record | None:
        """See Journal."""
        return await self.inner.get(request_id)

    async def open(self) -> Sequence[Record]:
        """See Journal."""
        return await self.inner.open()

    async def claim(self, request_id: str, token: int) -> Record | None:
        """See Journal."""
        return await self.fence.allow(lambda: self.inner.claim(request_id, token))

    async def first_of(self, key: str, request_id: str, expected: str | None = None) -> str:
        """See Journal."""
        return await self.fence.allow(lambda: self.inner.first_of(key, request_id, expected))

    async def recall(self, node_type: Role, token: int) -> GroupMemory:
        """See Journal."""
        return await self.fence.allow(lambda: self.inner.recall(node_type, token))

    async def remember(self, node_type: Role, memory: GroupMemory, token: int) -> None:
        """See Journal."""
        await self.fence.allow(lambda: self.inner.remember(node_type, memory, token))

    async def recall_pause(self, token: int) -> PauseMemory:
        """See Journal."""
        return await self.fence.allow(lambda: self.inner.recall_pause(token))

    async def remember_pause(self, memory: PauseMemory, token: int) -> None:
        """See Journal."""
        await self.fence.allow(lambda: self.inner.remember_pause(memory, token))

    async def publish(self, document: Status | Heartbeat, token: int, revision: int) -> None:
        """See Journal."""
        await self.fence.allow(lambda: self.inner.publish(document, token, revision))


@dataclass(frozen=True, slots=True)
class FencedSwarm:
    """Changes of the Swarm, behind the fence."""

    inner: SwarmChanges
    fence: Fence

    async def update_node(
        self,
        node_id: str,
        *,
        availability: Availability | None = None,
        role: Role | None = None,
        expected: Collection[Availability] | None = None,
    ) -> None:
        """See SwarmChanges."""
        await self.fence.guard(
            lambda: self.inner.update_node(node_id, availability=availability, role=role, expected=expected)
        )

    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """See SwarmChanges."""
        await self.fence.guard(lambda: self.inner.remove_node(node_id, force=force))

    async def idle(self) -> None:
        """See SwarmChanges."""
        await self.inner.idle()

    async def update_service(self, service_id: str, change: ServiceChange) -> None:
        """See SwarmChanges."""
        await self.fence.guard(lambda: self.inner.update_service(service_id, change))
