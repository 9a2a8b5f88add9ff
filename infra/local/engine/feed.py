"""The change feed: who watches the store hears of every write, in order.

Most watchers hear of it in a later turn of the event loop, a slice at a time, so that a write never runs its
consequences inside itself and 20,000 of them do not keep clients waiting. Watchers `at_once` are called inside
the write and must not write themselves.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from infra.local.engine.clock import Clock
from infra.local.engine.model import Node, Service, Task, TaskState

_SLICE = 500


@dataclass(frozen=True, slots=True)
class NodeChanged:
    before: Node | None
    after: Node


@dataclass(frozen=True, slots=True)
class NodeRemoved:
    node: Node


@dataclass(frozen=True, slots=True)
class ServiceChanged:
    before: Service | None
    after: Service


@dataclass(frozen=True, slots=True)
class ServiceRemoved:
    service: Service


@dataclass(frozen=True, slots=True)
class TaskChanged:
    """`was` is the state before, None for a task just created."""

    task: Task
    was: TaskState | None
    was_desired: TaskState


@dataclass(frozen=True, slots=True)
class TaskRemoved:
    task: Task


Change = NodeChanged | NodeRemoved | ServiceChanged | ServiceRemoved | TaskChanged | TaskRemoved
ChangeT = TypeVar("ChangeT", NodeChanged, NodeRemoved, ServiceChanged, ServiceRemoved, TaskChanged, TaskRemoved)


class Feed:
    """Delivers each change to the watchers of its kind."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[Change] = deque()
        self._watchers: dict[type, list[Callable[[Any], None]]] = {}
        self._prompt_watchers: dict[type, list[Callable[[Any], None]]] = {}
        self._delivering = False

    def watch(self, kind: type[ChangeT], watcher: Callable[[ChangeT], None], *, at_once: bool = False) -> None:
        watchers = self._prompt_watchers if at_once else self._watchers
        watchers.setdefault(kind, []).append(watcher)

    def publish(self, change: Change) -> None:
        for watcher in self._prompt_watchers.get(type(change), ()):
            watcher(change)
        self._waiting.append(change)
        if not self._delivering:
            self._delivering = True
            self._clock.soon(self._deliver)

    def _deliver(self) -> None:
        for _ in range(min(_SLICE, len(self._waiting))):
            change = self._waiting.popleft()
            for watcher in self._watchers.get(type(change), ()):
                watcher(change)
        self._delivering = bool(self._waiting)
        if self._delivering:
            self._clock.soon(self._deliver)
