"""The simulated engine without HTTP: what the worker's adapter for Docker asks of an engine, answered in process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self, TypeVar

from infra.local.engine.engine import Engine
from infra.local.engine.errors import EngineError, OutOfSequenceError
from infra.local.engine.events import Event
from infra.local.engine.model import Task
from infra.local.engine.swarm import SimulatedSwarm
from infra.local.engine.views import node_view, service_view
from shared.errors import NotFound, Refused, ScalerError, Unavailable
from worker.adapters.engine_api import OutOfSequence

T = TypeVar("T")


class Subscription:
    """One client's view of the events: something has changed since it last looked, or the engine has gone away."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._over = False

    def __aiter__(self) -> Self:
        return self

    def tell(self, _event: Event) -> None:
        """Something has changed."""
        self._changed.set()

    def end(self) -> None:
        """The engine has gone away."""
        self._over = True
        self._changed.set()

    async def __anext__(self) -> None:
        await self._changed.wait()
        self._changed.clear()
        if self._over:
            raise StopAsyncIteration


class InProcessEngine:
    """`worker.adapters.engine.Engine` and its `Api`, over the engine of one node; without a node over the leader's."""

    def __init__(self, swarm: SimulatedSwarm, node_id: str | None = None) -> None:
        self._swarm = swarm
        self._node_id = node_id
        self._engine = Engine(swarm, node_id)
        self._subscriptions: dict[Subscription, None] = {}

    async def run(self, work: Callable[[Self], T]) -> T:
        """Do the work at once. Raises what the adapter's own engine raises."""
        self._need_machine()
        try:
            return work(self)
        except EngineError as error:
            raise _translated(error) from error

    @asynccontextmanager
    async def events(self, _filters: object = None) -> AsyncIterator[AsyncIterator[None]]:
        """Subscribed from entering on."""
        self._need_machine()
        subscription = Subscription()
        self._subscriptions[subscription] = None
        self._swarm.events.watch(subscription.tell)
        with self._swarm.membership.watching_power(self._power):
            try:
                yield subscription
            finally:
                self._swarm.events.forget(subscription.tell)
                del self._subscriptions[subscription]

    def hang_up(self) -> None:
        """The engine goes away for a moment: its subscriptions end."""
        for subscription in self._subscriptions:
            subscription.end()

    async def idle(self) -> None:
        """No call goes on after it was cancelled."""

    # --- The API --------------------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """One object."""
        match path.split("/")[1:]:
            case ["info"]:
                return self._engine.info()
            case ["nodes", name]:
                self._engine.need_control()
                return node_view(self._swarm.control.node(name), self._swarm.raft)
            case ["services", name]:
                self._engine.need_control()
                return self._service(self._swarm.control.service(name))
        raise NotImplementedError(path)

    def each(self, path: str, filters: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
        """Many objects. Who asks for services with a label chooses among all himself."""
        self._engine.need_control()
        ids = filters.get("id")
        match path:
            case "/nodes":
                nodes = (node for node in self._swarm.nodes if ids is None or node.id in ids)
                return (node_view(node, self._swarm.raft) for node in nodes)
            case "/services":
                return map(self._service, (each for each in self._swarm.services if ids is None or each.id in ids))
            case "/tasks":
                return map(task_view, self._tasks(filters))
        raise NotImplementedError(path)

    def post(self, path: str, body: Any, *, version: int, **_options: str) -> None:
        """Update a node or a service."""
        self._engine.need_control()
        match path.split("/")[1:]:
            case ["nodes", name, "update"]:
                self._swarm.control.update_node(name, version, body)
            case ["services", name, "update"]:
                self._swarm.control.update_service(name, version, body, rollback=False)
            case _:
                raise NotImplementedError(path)

    def delete(self, path: str, *, force: str) -> None:
        """Remove a node."""
        self._engine.need_control()
        self._swarm.control.remove_node(path.removeprefix("/nodes/"), force=force == "1")

    # --- How it works ---------------------------------------------------------------------------------------------

    def _need_machine(self) -> None:
        if self._node_id is not None and not self._swarm.membership.is_alive(self._node_id):
            raise Unavailable("Docker: Connection refused")

    def _power(self, node_id: str, alive: bool) -> None:
        if node_id == self._node_id and not alive:
            self.hang_up()

    def _service(self, service: Any) -> dict[str, Any]:
        return service_view(service, self._swarm.store, with_status=False, insert_defaults=False)

    def _tasks(self, filters: Mapping[str, list[str]]) -> list[Task]:
        """All, of some services, or on some nodes. Raises NotFound where one of those is gone, as the engine does."""
        store, control = self._swarm.store, self._swarm.control
        try:
            services = [control.service(name).id for name in filters.get("service", ())]
            nodes = [control.node(name).id for name in filters.get("node", ())]
        except EngineError as error:
            raise _translated(error) from error
        if nodes:
            on_nodes = (task for node_id in nodes for task in store.tasks_on(node_id))
            return [task for task in on_nodes if not services or task.service_id in services]
        if services:
            return [task for service_id in services for task in store.tasks_of(service_id)]
        return list(store.tasks.values())


def task_view(task: Task) -> dict[str, Any]:
    """What clients read of a task."""
    return {
        "ID": task.id,
        "ServiceID": task.service_id,
        "NodeID": task.node_id,
        "Slot": task.slot,
        "Spec": task.spec.template,
        "Status": {"State": task.state.name.lower(), "Err": task.error},
        "DesiredState": task.desired.name.lower(),
    }


def _translated(error: EngineError) -> ScalerError:
    if isinstance(error, OutOfSequenceError):
        return OutOfSequence(f"Docker: {error}")
    if error.status is HTTPStatus.NOT_FOUND:
        return NotFound(str(error))
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable(f"Docker: {error}")
    return Refused(str(error))
