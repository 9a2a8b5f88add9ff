"""The Swarm in memory, as one of its clients sees it through one of its managers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, Self

from shared.errors import NotFound, Refused, Unavailable
from shared.messages import Role
from tests.fakes.cluster import Cluster, Pace
from tests.fakes.hooks import Hooks, Port, hooked
from worker.ports.swarm import (
    Availability,
    Manager,
    Node,
    Service,
    ServiceChange,
    ServiceMode,
    SwarmIdentity,
    Task,
    with_nodes_avoided,
)

GIB = 1024**3


class Subscription:
    """One client's view of the events: something has changed since it last looked, or it is over."""

    def __init__(self, view: "InMemorySwarm") -> None:
        self.view = view
        self.changed = asyncio.Event()
        self.over = False

    def __aiter__(self) -> Self:
        return self

    def end(self) -> None:
        """The engine has gone away."""
        self.over = True
        self.changed.set()

    async def __anext__(self) -> None:
        await self.changed.wait()
        self.changed.clear()
        if self.over:
            raise StopAsyncIteration


class InMemorySwarm(Port):
    """The Swarm and SwarmChanges ports."""

    port = "swarm"

    def __init__(self, hooks: Hooks | None = None, *, pace: Pace | None = None) -> None:
        super().__init__(hooks)
        self.cluster = Cluster(self._changed, pace or Pace())
        self._own: str | None = None
        self._subscriptions: set[Subscription] = set()

    def through(self, hooks: Hooks, node_id: str | None = None) -> Self:
        """As another process sees it: over the socket of a node, or without one over the leader's."""
        view = super().through(hooks)
        view._own = node_id
        return view

    # --- What tests set up and look at --------------------------------------------------------------------------

    @property
    def pace(self) -> Pace:
        """How long things take."""
        return self.cluster.pace

    def join(self, hostname: str, role: Role = "worker", **facts: Any) -> str:
        """A node joins, and is Ready; `facts` are fields of Node. The first one must be a manager. Its id."""
        identity = f"node-{self.cluster.number()}"
        manager = Manager(leader=self.cluster.leader is None) if role == "manager" else None
        room = {"cpus": 4 * 10**9, "memory": 8 * GIB, **facts}
        self.cluster.put_node(Node(id=identity, hostname=hostname, role=role, manager=manager, **room))
        return identity

    def lose(self, node_id: str) -> None:
        """The machine dies, without a word."""
        self.cluster.lose(node_id)
        for subscription in self._subscriptions:
            if subscription.view._own == node_id:
                subscription.end()

    def revive(self, node_id: str) -> None:
        """It boots again."""
        self.cluster.revive(node_id)

    def label(self, node_id: str, **labels: str) -> None:
        """A person sets labels of a node; `_` in a key stands for a dot."""
        node = self.cluster.nodes[node_id]
        named = {key.replace("_", "."): value for key, value in labels.items()}
        self.cluster.put_node(replace(node, labels={**node.labels, **named}))

    def create(self, name: str, replicas: int = 1, mode: ServiceMode = "replicated", **wishes: Any) -> str:
        """A service; `wishes` are fields of Service. Its id."""
        identity = f"service-{self.cluster.number()}"
        count = 0 if mode in {"global", "global-job"} else replicas
        service = Service(id=identity, name=name, version=0, mode=mode, replicas=count, **wishes)
        self.cluster.put_service(service, template_changed=True)
        return identity

    def remove(self, service_id: str) -> None:
        """A person removes a service."""
        self.cluster.drop_service(service_id)

    def running_on(self, node_id: str) -> list[Task]:
        """The tasks that run there."""
        return [task for task in self._tasks() if task.node_id == node_id and task.state == "running"]

    def hang_up(self) -> None:
        """The engine of this view goes away for a moment: its subscriptions end."""
        for subscription in self._subscriptions:
            if subscription.view is self:
                subscription.end()

    # --- Questions ----------------------------------------------------------------------------------------------

    @hooked
    async def identity(self) -> SwarmIdentity:
        """The cluster's id, and the node this view goes through."""
        leader = self._need_leader()
        return SwarmIdentity("cluster", self._own or leader.id)

    @hooked
    async def nodes(self) -> list[Node]:
        """All nodes."""
        self._need_leader()
        return list(self.cluster.nodes.values())

    @hooked
    async def services(self, label: str | None = None) -> list[Service]:
        """All services, or those with a label."""
        self._need_leader()
        key, has_value, value = (label or "").partition("=")
        return [
            service
            for service in self.cluster.services.values()
            if label is None or (key in service.labels and (not has_value or service.labels[key] == value))
        ]

    @hooked
    async def service(self, name: str) -> Service:
        """One service, by its exact name or id."""
        self._need_leader()
        return self._service(name)

    @hooked
    async def tasks(self, *, service_id: str | None = None, node_id: str | None = None) -> list[Task]:
        """Tasks, also old ones."""
        self._need_leader()
        return [
            task for task in self._tasks() if service_id in {None, task.service_id} and node_id in {None, task.node_id}
        ]

    def changes(self) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """Events of nodes and services."""
        return self._changes()

    @asynccontextmanager
    async def _changes(self) -> AsyncIterator[AsyncIterator[None]]:
        await self.hooks.before("swarm.changes")
        self._need_engine()
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    # --- Changes ------------------------------------------------------------------------------------------------

    @hooked
    async def update_node(
        self, node_id: str, *, availability: Availability | None = None, role: Role | None = None
    ) -> None:
        """Set one or both."""
        self._need_leader()
        node = self.cluster.nodes.get(node_id)
        if node is None:
            raise NotFound(f"node {node_id} not found")
        new = replace(node, availability=availability or node.availability, role=role or node.role)
        if new == node:
            return
        if new.role != node.role:
            self._check_role(node, new.role)
            self.cluster.later(self.pace.role, self.cluster.take_role, node_id)
        self.cluster.put_node(new)

    @hooked
    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """Remove a Down node."""
        self._need_leader()
        node = self.cluster.nodes.get(node_id)
        if node is None:
            return
        if node.role == "manager" and node.manager is not None:
            raise Refused(f"node {node_id} is a cluster manager and is a member of the raft cluster")
        if node.ready and not force:
            raise Refused(f"node {node_id} is not down and can't be removed")
        self.cluster.drop_node(node_id)

    @hooked
    async def update_service(self, service_id: str, change: ServiceChange) -> None:
        """Change one field and the request label, if the label does not name this request yet."""
        self._need_leader()
        service = self._service(service_id)
        if change.avoid or change.allow:
            self._avoid(service, change)
            return
        if service.labels.get(change.label) == change.request_id:
            return
        if change.replicas is not None and service.mode != "replicated":
            raise Refused(f"service {service.name} is not a replicated service")
        new = replace(
            service,
            replicas=service.replicas if change.replicas is None else change.replicas,
            env=service.env if change.env is None else {**service.env, change.env[0]: change.env[1]},
            labels={**service.labels, change.label: change.request_id},
            update_state=None,
            update_message="",
        )
        self.cluster.put_service(new, template_changed=change.force or new.env != service.env)

    def _avoid(self, service: Service, change: ServiceChange) -> None:
        constraints = with_nodes_avoided(service.constraints, change)
        if constraints != service.constraints:
            new = replace(service, constraints=constraints, update_state=None, update_message="")
            self.cluster.put_service(new, template_changed=False, placement_changed=True)

    async def idle(self) -> None:
        """No call goes on after it was cancelled. Nobody is asked, so this is never without an answer."""

    # --- How it works -------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        for subscription in self._subscriptions:
            subscription.changed.set()

    def _need_engine(self) -> None:
        node = self.cluster.nodes.get(self._own or "")
        if self._own is not None and (node is None or self._own in self.cluster.dead):
            raise Unavailable("Docker: Connection refused")

    def _need_leader(self) -> Node:
        self._need_engine()
        node = self.cluster.nodes.get(self._own or "")
        if node is not None and node.manager is None:
            raise Unavailable("Docker: This node is not a swarm manager.")
        leader = self.cluster.leader
        if leader is None:
            raise Unavailable("Docker: The swarm does not have a leader.")
        return leader

    def _check_role(self, node: Node, role: Role) -> None:
        if role == "worker" and node.manager is not None:
            if len(self.cluster.managers) == 1:
                raise Refused("attempting to demote the last manager of the swarm")
            if not self.cluster.quorum_without(node.id):
                raise Refused("can't remove member from the raft: this would result in a loss of quorum")

    def _service(self, name: str) -> Service:
        for service in self.cluster.services.values():
            if name in {service.id, service.name}:
                return service
        raise NotFound(f"service {name} not found")

    def _tasks(self) -> list[Task]:
        return [self.cluster.task(job) for job in self.cluster.jobs.values()]
