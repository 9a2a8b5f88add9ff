"""The nodes that the worker has taken out of use: what ran there, whose they are, what they are given back as."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from shared.records import Record, State
from tests.fakes.swarm import wanted
from tests.simulation.hindsight import MOMENT_SECONDS, nodes_of
from tests.simulation.network import Call
from worker.ports.swarm import Availability, Node

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Drained:
    """A node that we took out of use: when, and which slots ran there."""

    time: float
    slots: tuple[tuple[str, int], ...]
    request: str | None
    was: Availability
    """What it has to be given back as."""
    unseen: bool
    """Somebody else had only just changed it, or to what we wanted: we could not know, and give back what we knew."""


class DrainedNodes:
    """The drained nodes of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._nodes: dict[str, Drained] = {}
        self._demoted: dict[str, str | None] = {}
        self._emptied: dict[str, float] = {}

    def __iter__(self) -> Iterator[str]:
        """Their ids."""
        return iter(tuple(self._nodes))

    def get(self, node_id: str) -> Drained | None:
        """One of them."""
        return self._nodes.get(node_id)

    def forget(self, node_id: str) -> None:
        """Somebody else changed it: it is theirs now."""
        self._nodes.pop(node_id, None)

    def was_empty(self, node_id: str, since: float) -> bool:
        """Somebody has looked, and all that ran there ran elsewhere."""
        return self._emptied.get(node_id, float("-inf")) >= since

    def touched(self, call: Call, node_id: str, before: Node, after: Node) -> None:
        """We changed a node's availability or role, or set it to what somebody else had set it to already.

        Who makes a node active that we are draining, and drains it again between two looks, leaves us nothing to see:
        then what runs there when we set it once more is what has to move. So it is with a node that an earlier request
        has left drained: what ran there then has had its own fate elsewhere since.
        """
        known, same = self._nodes.get(node_id), before.availability == after.availability
        back = known is not None and not same and (before.availability, after.availability) == ("drain", known.was)
        if after.availability == "active" or back:
            self._nodes.pop(node_id, None)
        elif known is None or (known.request != call.request and (not same or self._has_ended(known.request))):
            now = self._world.clockwork.now
            unseen = same or self._world.judge.changed_between(node_id, call.issued_at - MOMENT_SECONDS, now)
            slots = self._slots_on(node_id)
            self._emptied.pop(node_id, None)
            request = self._world.departures.whose(node_id, call.request)
            self._nodes[node_id] = Drained(now, slots, request, before.availability, unseen)
        if (before.role, after.role) == ("manager", "worker"):
            self._demoted[node_id] = call.request
        elif after.role == "manager":
            self._demoted.pop(node_id, None)

    def looked(self) -> None:
        """A worker reads the tasks: which drained nodes are empty now, with all of their slots running elsewhere?"""
        for node_id, drained in self._nodes.items():
            if not any(True for _ in self.missing(drained)):
                self._emptied[node_id] = self._world.clockwork.now

    def missing(self, drained: Drained) -> Iterator[str]:
        """The slots that are still wanted and run on no node but those that are on their way out."""
        cluster = self._world.swarm.cluster
        leaving = {node for node, other in self._nodes.items() if other.request == drained.request}
        places: dict[str, dict[int, set[str | None]]] = {}
        """Service ids, their wanted slots, and the nodes on which the task of a slot runs (none: it does not yet)."""
        tasks = cluster.tasks
        for task in filter(wanted, tasks):
            running = places.setdefault(task.service_id, {}).setdefault(task.slot, set())
            running |= {task.node_id} if task.state == "running" else set()
        completed = {(task.service_id, task.slot) for task in tasks if task.state == "complete"}
        newest = {(task.service_id, task.slot): task for task in tasks}
        failed = {slot for slot, task in newest.items() if task.state == "failed"}
        for service_id, slot in drained.slots:
            if (service_id, slot) in completed:
                continue  # it ran elsewhere, and has finished
            service, slots = cluster.services.get(service_id), places.get(service_id, {})
            if (service_id, slot) in failed:
                continue  # it has ended by itself, and has no attempt left
            given_up = service is not None and slot not in slots and len(slots) >= service.replicas
            if service is not None and not given_up and not slots.get(slot, set()) - leaving:
                yield f"{service.name}.{slot} runs nowhere else"

    def _stays(self, drained: Drained) -> bool:
        """Somebody wanted the node to be drained, and so it is."""
        record = self._world.journal.records.get(drained.request or "")
        return record is not None and record.action == "drain-node" and record.state is State.SUCCEEDED

    def _has_ended(self, request: str | None) -> bool:
        record = self._world.journal.records.get(request or "")
        return record is not None and record.state.ended

    def _slots_on(self, node_id: str) -> tuple[tuple[str, int], ...]:
        services, tasks = self._world.swarm.cluster.services, self._world.swarm.running_on(node_id)
        movable = (task for task in tasks if wanted(task) and services[task.service_id].mode == "replicated")
        return tuple(sorted({(task.service_id, task.slot) for task in movable}))

    def take_over(self, record: Record) -> None:
        """A departure takes nodes over as they are, and has to give them back as they were."""
        if record.plan.get("forced") is True and not record.state.ended:
            for node_id in nodes_of(record):
                if (drained := self._nodes.get(node_id)) is not None:
                    was: Availability = "drain" if self._stays(drained) else drained.was
                    self._nodes[node_id] = replace(drained, request=record.id, was=was)
                if node_id in self._demoted:
                    self._demoted[node_id] = record.id

    def left_out(self) -> Iterator[tuple[str, str, str | None]]:
        """Nodes that we took out of use, or demoted, and have not given back: the node, how it is, and for whom."""
        for node in self._world.swarm.cluster.nodes.values():
            drained = self._nodes.get(node.id)
            if drained is not None and not drained.unseen and node.availability not in {drained.was, "active"}:
                yield node.id, node.availability, drained.request
            if node.id in self._demoted and node.role == "worker":
                yield node.id, "demoted", self._demoted[node.id]
