"""The worker's way to the Swarm, and to its events."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Self

from shared.errors import Unavailable
from shared.fields import Role
from tests.simulation.cloud import at_once
from tests.simulation.network import Call
from tests.simulation.port import Port, carried
from worker.ports.swarm import Availability, Node, Task, Workload
from worker.ports.swarm_changes import ServiceChange

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World


class Subscription(AbstractAsyncContextManager["Subscription"]):
    """The events of the Swarm, on their way to one process."""

    def __init__(self, swarm: "SwarmPort") -> None:
        self._swarm = swarm
        self._changed = asyncio.Event()
        self._over = False
        self._told = False

    async def __aenter__(self) -> Self:
        await self._swarm.ask("changes", lambda _: self._swarm.subscribe(self))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._swarm.unsubscribe(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> None:
        await self._changed.wait()
        self._changed.clear()
        if self._over:
            raise StopAsyncIteration

    def tell(self) -> None:
        """Something has changed; the process hears of it in a moment."""
        if not self._told:
            self._told = True
            self._swarm.world.loop.call_later(0.01, self._arrive)

    def end(self) -> None:
        """The engine has gone away."""
        self._over = True
        self._changed.set()

    def _arrive(self) -> None:
        self._told = False
        self._changed.set()


class SwarmPort(Port):
    """The Docker socket of the node that the process runs on."""

    port = "swarm"

    def __init__(self, world: "World", process: "Process") -> None:
        super().__init__(world, process)
        self.target = world.swarm.view(process.node_id)
        self._pending: dict[asyncio.Future[Any], None] = {}

    def send(
        self, name: str, act: Callable[[Call], Any], about: str, *, changes: bool, seconds: float | None
    ) -> "asyncio.Future[Any]":
        """Calls run in threads: who cancels one does not stop it."""
        answer = super().send(name, act, about, changes=changes, seconds=seconds)
        self._pending[answer] = None
        answer.add_done_callback(self._forget)
        return asyncio.shield(answer)

    def _forget(self, answer: "asyncio.Future[Any]") -> None:
        del self._pending[answer]

    identity = carried("identity")
    services = carried("services")
    service = carried("service")

    async def tasks(self, *, service_id: str | None = None, node_id: str | None = None) -> Sequence[Task]:
        """See Swarm."""
        found: Sequence[Task] = await self.ask("tasks", lambda _: self._tasks(service_id, node_id))
        return found

    def _tasks(self, service_id: str | None, node_id: str | None) -> Sequence[Task]:
        self.world.judge.drained.looked()
        found: Sequence[Task] = at_once(self.target.tasks(service_id=service_id, node_id=node_id))
        return found

    async def nodes(self, ids: Collection[str] | None = None) -> Sequence[Node]:
        """See Swarm."""
        found: Sequence[Node] = await self.ask("nodes", lambda _: at_once(self.target.nodes(ids)))
        return found

    async def workload(self, node_ids: Collection[str], service_ids: Collection[str] = ()) -> Workload:
        """See Swarm."""
        found: Workload = await self.ask("workload", lambda _: self._workload(node_ids, service_ids))
        return found

    def _workload(self, node_ids: Collection[str], service_ids: Collection[str]) -> Workload:
        self.world.judge.drained.looked()
        found: Workload = at_once(self.target.workload(node_ids, service_ids))
        return found

    def changes(self) -> Subscription:
        """See Swarm."""
        return Subscription(self)

    def subscribe(self, subscription: Subscription) -> None:
        """From now on it is told."""
        self.world.swarm.listeners.append(subscription.tell)
        self.world.subscriptions.append((self.process, subscription))

    def unsubscribe(self, subscription: Subscription) -> None:
        """It is told nothing any more."""
        listeners = self.world.swarm.listeners
        listeners[:] = [listener for listener in listeners if listener != subscription.tell]
        self.world.subscriptions[:] = [one for one in self.world.subscriptions if one[1] is not subscription]

    async def idle(self) -> None:
        """See SwarmChanges."""
        while self._pending:
            await asyncio.wait([next(iter(self._pending))])

    async def update_node(
        self,
        node_id: str,
        *,
        availability: Availability | None = None,
        role: Role | None = None,
        expected: Collection[Availability] | None = None,
    ) -> None:
        """See SwarmChanges."""
        wishes = " ".join(filter(None, (availability, role)))
        read = self.world.swarm.cluster.nodes.get(node_id)

        def act(call: Call) -> None:
            _in_sequence(call, read, self.world.swarm.cluster.nodes.get(node_id))
            self._update_node(call, node_id, availability, role, expected)

        await self.change("update_node", act, f"{node_id} {wishes}")

    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """See SwarmChanges."""
        await self.change("remove_node", lambda call: self._remove_node(call, node_id, force), f"{node_id} {force}")

    async def update_service(self, service_id: str, change: ServiceChange) -> None:
        """See SwarmChanges."""
        about = f"{service_id} replicas={change.replicas} env={change.env} force={change.force} for {change.request_id}"
        read = self.world.swarm.cluster.services.get(service_id)

        def act(call: Call) -> None:
            _in_sequence(call, read, self.world.swarm.cluster.services.get(service_id))
            self._update_service(call, service_id, change)

        await self.change("update_service", act, about)

    def _update_node(
        self,
        call: Call,
        node_id: str,
        availability: Availability | None,
        role: Role | None,
        expected: Collection[Availability] | None,
    ) -> None:
        world, before = self.world, self.world.swarm.cluster.nodes.get(node_id)
        world.judge.before_role(call, node_id, role)
        at_once(self.target.update_node(node_id, availability=availability, role=role, expected=expected))
        after = world.swarm.cluster.nodes[node_id]
        if before is not None:
            world.note(call, "availability", node_id, before.availability, after.availability)
            world.note(call, "role", node_id, before.role, after.role)
            world.judge.touched(call, node_id, before, after)

    def _remove_node(self, call: Call, node_id: str, force: bool) -> None:
        world = self.world
        there = world.swarm.cluster.nodes.get(node_id)
        world.judge.before_removal(call, node_id)
        at_once(self.target.remove_node(node_id, force=force))
        world.note(call, "removed", node_id, there is not None, False)

    def _update_service(self, call: Call, service_id: str, change: ServiceChange) -> None:
        world, before = self.world, self.world.swarm.cluster.services.get(service_id)
        at_once(self.target.update_service(service_id, change))
        after = world.swarm.cluster.services[service_id]
        if before is not None:
            world.note(call, "service", service_id, before, after)


def _in_sequence(call: Call, read: object, present: object) -> None:
    """An update names the version that was read, and the client reads afresh only while somebody waits for it."""
    if call.given_up and read is not present:
        raise Unavailable("update out of sequence")
