"""The cluster as it is, without anybody's view in between: for tests that look, and for what follows the Swarm."""

from infra.local.engine import SimulatedSwarm
from infra.local.engine.model import Node as EngineNode
from infra.local.engine.model import Service as EngineService
from infra.local.engine.model import Task as EngineTask
from infra.local.engine.views import node_view, service_view
from tests.fakes.engine import task_view
from worker.adapters.swarm_json import nodes_of, service_of, tasks_of
from worker.ports.swarm import Node, Service, Task


class Cluster:
    """Everything in the Swarm as it is now, in the worker's words. Who wants to know it needs no manager."""

    def __init__(self, swarm: SimulatedSwarm) -> None:
        self._swarm = swarm
        self._nodes: dict[str, tuple[EngineNode, tuple[bool, bool, bool], Node]] = {}
        self._services: dict[str, tuple[EngineService, Service]] = {}
        self._tasks: dict[str, tuple[tuple[object, ...], Task]] = {}

    @property
    def nodes(self) -> dict[str, Node]:
        """All nodes by id."""
        return {node.id: self._node(node) for node in self._swarm.store.nodes.values()}

    @property
    def services(self) -> dict[str, Service]:
        """All services by id."""
        return {service.id: self._service(service) for service in self._swarm.store.services.values()}

    @property
    def tasks(self) -> list[Task]:
        """All tasks, old ones too."""
        return [self._task(task) for task in self._swarm.store.tasks.values()]

    @property
    def managers(self) -> list[Node]:
        """The members of the consensus."""
        return [node for node in self.nodes.values() if node.manager is not None]

    @property
    def leader(self) -> Node | None:
        """Who leads; None while nobody can."""
        return self.nodes.get(self._swarm.raft.leader or "")

    def lives(self, node_id: str) -> bool:
        """The node's machine runs, whatever the Swarm knows of it."""
        return self._swarm.membership.is_alive(node_id)

    @property
    def has_quorum(self) -> bool:
        """Whether most of the managers are alive."""
        return self._swarm.raft.has_quorum

    def _node(self, node: EngineNode) -> Node:
        raft = self._swarm.raft
        status = raft.is_member(node.id), raft.is_reachable(node.id), raft.leader == node.id
        kept = self._nodes.get(node.id)
        if kept is None or kept[0] is not node or kept[1] != status:
            (seen,) = nodes_of([node_view(node, raft)])
            kept = self._nodes[node.id] = node, status, seen
        return kept[2]

    def _service(self, service: EngineService) -> Service:
        kept = self._services.get(service.id)
        if kept is None or kept[0] is not service:
            view = service_view(service, self._swarm.store, with_status=False, insert_defaults=False)
            kept = self._services[service.id] = service, service_of(view)
        return kept[1]

    def _task(self, task: EngineTask) -> Task:
        shown = task.state, task.desired, task.error, task.node_id, id(task.spec)
        kept = self._tasks.get(task.id)
        if kept is None or kept[0] != shown:
            (seen,) = tasks_of([task_view(task)])
            kept = self._tasks[task.id] = shown, seen
        return kept[1]
