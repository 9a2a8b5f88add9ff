"""The fence around outside effects: nothing is changed outside unless the lease provably outlasts the call.

`FencedGroups` and `FencedSwarm` are the only way by which flows change anything. A call that has begun is awaited to
its end even when the flow is cancelled meanwhile: what has been sent cannot be called back, so the lease must not be
given up while it is under way. A call in flight when the lease is *lost* cannot be fenced; it is bounded by its
timeout, which is shorter than what the lease proved when it began.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from shared.messages import Role
from worker.leadership.lease import HeldLease, Lease
from worker.ports.scaling import GroupChanges
from worker.ports.swarm import Availability, ServiceChange, SwarmChanges

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
        return await to_its_end(self._in_one_breath(call))

    async def _in_one_breath(self, call: Callable[[], Awaitable[T]]) -> T:
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


@dataclass(frozen=True, slots=True)
class FencedSwarm:
    """Changes of the Swarm, behind the fence."""

    inner: SwarmChanges
    fence: Fence

    async def update_node(
        self, node_id: str, *, availability: Availability | None = None, role: Role | None = None
    ) -> None:
        """See SwarmChanges."""
        await self.fence.guard(lambda: self.inner.update_node(node_id, availability=availability, role=role))

    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """See SwarmChanges."""
        await self.fence.guard(lambda: self.inner.remove_node(node_id, force=force))

    async def idle(self) -> None:
        """See SwarmChanges."""
        await self.inner.idle()

    async def update_service(self, service_id: str, change: ServiceChange) -> None:
        """See SwarmChanges."""
        await self.fence.guard(lambda: self.inner.update_service(service_id, change))
