"""Membership: nodes that join, die, come back, change their role, and leave for good.

A machine that dies takes its manager out of the consensus at once; the Swarm calls the node down a little later, and
only while it has a leader. A change of role is wanted at once and real a little later.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from infra.local.engine.agents import Agents
from infra.local.engine.clock import Clock
from infra.local.engine.config import SwarmConfig
from infra.local.engine.feed import Feed, NodeChanged
from infra.local.engine.identity import Identities
from infra.local.engine.model import Machine, Node, NodeSpec, NodeState, Role, TaskState
from infra.local.engine.raft import Raft
from infra.local.engine.store import Store

PowerWatcher = Callable[[str, bool], None]


class Membership:
    """Which nodes there are, and which of their machines are alive."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        clock: Clock,
        config: SwarmConfig,
        raft: Raft,
        agents: Agents,
        ids: Identities,
    ) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._raft = raft
        self._agents = agents
        self._ids = ids
        self._dead: dict[str, None] = {}
        self._detections: dict[str, asyncio.Handle] = {}
        self._power_watchers: list[PowerWatcher] = []
        feed.watch(NodeChanged, lambda change: self._check_role(change.after.id))

    @contextmanager
    def watching_power(self, watcher: PowerWatcher) -> Iterator[None]:
        """Have `watcher(node id, is alive)` called when a machine dies or boots again."""
        self._power_watchers.append(watcher)
        try:
            yield
        finally:
            self._power_watchers.remove(watcher)

    def is_alive(self, node_id: str) -> bool:
        """Whether the machine runs, whatever the Swarm knows about it."""
        return node_id in self._store.nodes and node_id not in self._dead

    def join(self, machine: Machine, spec: NodeSpec) -> Node:
        node = Node(id=self._ids.swarm_id("node"), spec=spec, machine=machine, role=spec.role)
        if spec.role is Role.MANAGER:
            self._raft.join(node.id)
        return self._store.put_node(node)

    def lose(self, node_id: str) -> None:
        if not self.is_alive(node_id):
            return
        self._dead[node_id] = None
        self._agents.lose(node_id)
        self._raft.lose(node_id, self._config.election_seconds)
        self._detect_later(node_id)
        self._tell_power(node_id, alive=False)

    def revive(self, node_id: str) -> None:
        """The same machine boots again and its node is ready."""
        if node_id not in self._dead:
            return
        del self._dead[node_id]
        if node_id in self._detections:
            self._detections.pop(node_id).cancel()
        self._raft.find(node_id, self._config.election_seconds)
        self._agents.revive(node_id)
        self._set_state(node_id, NodeState.READY, "")
        self._tell_power(node_id, alive=True)

    def remove(self, node_id: str) -> None:
        """The node leaves for good; its tasks will never be heard of again."""
        for task in self._store.tasks_on(node_id):
            if not task.ended:
                message = "Task belonged to a node that has been deleted"
                self._store.set_status(task, TaskState.ORPHANED, message)
        self._dead.pop(node_id, None)
        if self._raft.is_member(node_id):
            self._raft.leave(node_id)
        self._store.remove_node(node_id)

    def resume(self) -> None:
        """A new leader finds out again who is silent, and who has not got the wanted role yet."""
        for node_id in self._dead:
            self._detect_later(node_id)
        for node_id in self._store.nodes:
            self._check_role(node_id)

    def _tell_power(self, node_id: str, *, alive: bool) -> None:
        for watcher in list(self._power_watchers):
            watcher(node_id, alive)

    def _detect_later(self, node_id: str) -> None:
        if node_id in self._detections:
            self._detections[node_id].cancel()
        self._detections[node_id] = self._clock.later(self._config.down_detection_seconds, self._detect, node_id)

    def _detect(self, node_id: str) -> None:
        del self._detections[node_id]
        if node_id in self._dead and self._raft.leader is not None:
            self._set_state(node_id, NodeState.DOWN, "heartbeat failure")

    def _set_state(self, node_id: str, state: NodeState, message: str) -> None:
        node = self._store.nodes.get(node_id)
        if node is not None and node.state is not state:
            self._store.put_node(replace(node, state=state, message=message))

    def _check_role(self, node_id: str) -> None:
        node = self._store.nodes.get(node_id)
        if node is not None and node.spec.role is not node.role:
            self._clock.later(self._config.role_change_seconds, self._take_role, node_id)

    def _take_role(self, node_id: str) -> None:
        """Make the wanted role the real one, if it is still wanted."""
        node = self._store.nodes.get(node_id)
        if node is None or node.spec.role is node.role or self._raft.leader is None:
            return
        if node.spec.role is Role.MANAGER:
            self._raft.join(node_id)
        else:
            self._raft.leave(node_id)
        self._store.put_node(replace(node, role=node.spec.role))
