"""The event stream: what subscribers of `/events` see of nodes, services and networks. Tasks emit none.

Subscribers get an event within the write that caused it. The last 256 events are kept for those who ask back.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from infra.local.engine.clock import Clock
from infra.local.engine.feed import Feed, NodeChanged, NodeRemoved, ServiceChanged, ServiceRemoved
from infra.local.engine.model import Node, Service
from infra.local.engine.specs import Mode

_KEPT = 256


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the Swarm's scope."""

    kind: str
    action: str
    actor_id: str
    attributes: dict[str, str]
    time_ns: int


Subscriber = Callable[[Event], None]


class EventLog:
    """Makes events of changes, and hands them to subscribers."""

    def __init__(self, feed: Feed, clock: Clock) -> None:
        self._clock = clock
        self._recent: deque[Event] = deque(maxlen=_KEPT)
        self._subscribers: dict[Subscriber, None] = {}
        feed.watch(NodeChanged, self._node_changed, at_once=True)
        feed.watch(NodeRemoved, self._node_removed, at_once=True)
        feed.watch(ServiceChanged, self._service_changed, at_once=True)
        feed.watch(ServiceRemoved, self._service_removed, at_once=True)

    @contextmanager
    def subscription(self, since_ns: int | None) -> Iterator[tuple[list[Event], asyncio.Queue[Event]]]:
        """The kept events from that time on (none without a time), and a queue of those to come."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        past = [] if since_ns is None else [event for event in self._recent if event.time_ns >= since_ns]
        self.watch(queue.put_nowait)
        try:
            yield past, queue
        finally:
            self.forget(queue.put_nowait)

    def watch(self, subscriber: Subscriber) -> None:
        """Have it called within every write that causes an event."""
        self._subscribers[subscriber] = None

    def forget(self, subscriber: Subscriber) -> None:
        """Call it no more."""
        self._subscribers.pop(subscriber, None)

    def emit(self, kind: str, action: str, actor_id: str, attributes: dict[str, str]) -> None:
        event = Event(kind, action, actor_id, attributes, self._clock.now_ns())
        self._recent.append(event)
        for subscriber in list(self._subscribers):
            subscriber(event)

    def leader_changed(self, node: Node, *, leads: bool) -> None:
        change = {"leader.old": str(not leads).lower(), "leader.new": str(leads).lower()}
        self.emit("node", "update", node.id, {"name": _node_name(node), **change})

    def _node_changed(self, change: NodeChanged) -> None:
        attributes = {"name": _node_name(change.after)}
        if change.before is not None:
            attributes |= _node_differences(change.before, change.after)
        self.emit("node", "update" if change.before else "create", change.after.id, attributes)

    def _node_removed(self, change: NodeRemoved) -> None:
        self.emit("node", "remove", change.node.id, {"name": _node_name(change.node)})

    def _service_changed(self, change: ServiceChanged) -> None:
        attributes = {"name": change.after.spec.name}
        if change.before is not None:
            attributes |= _service_differences(change.before, change.after)
        self.emit("service", "update" if change.before else "create", change.after.id, attributes)

    def _service_removed(self, change: ServiceRemoved) -> None:
        self.emit("service", "remove", change.service.id, {"name": change.service.spec.name})


def _node_name(node: Node) -> str:
    return node.spec.name or node.machine.hostname


def _node_differences(before: Node, after: Node) -> dict[str, str]:
    return (
        _difference("availability", before.spec.availability, after.spec.availability)
        | _difference("role", before.role, after.role)
        | _difference("state", before.state, after.state)
    )


def _service_differences(before: Service, after: Service) -> dict[str, str]:
    return (
        _difference("image", before.spec.image, after.spec.image)
        | _difference("replicas", _replicas(before), _replicas(after))
        | _update_state_difference(before, after)
    )


def _update_state_difference(before: Service, after: Service) -> dict[str, str]:
    if after.update_status is None:
        return {}
    if before.update_status is None:
        return {"updatestate.new": after.update_status.state.value}
    return _difference("updatestate", before.update_status.state, after.update_status.state)


def _replicas(service: Service) -> str:
    return str(service.spec.replicas) if service.spec.mode is Mode.REPLICATED else ""


def _difference(name: str, before: str, after: str) -> dict[str, str]:
    return {} if before == after else {f"{name}.old": str(before), f"{name}.new": str(after)}
