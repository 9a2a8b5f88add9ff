"""Lifecycle hooks in memory: the rules of Auto Scaling on the loop's time, in the words of the worker's ports."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Literal, Protocol

from infra.local.scaling import messages
from infra.local.scaling.hooks import Hook, Hooks
from infra.local.scaling.lifecycle import TIMED_OUT, Action, Lifecycle, Outcome
from infra.local.scaling.messages import LAUNCHING, TERMINATING, Place
from infra.local.scaling.refusals import Refusal
from shared.errors import NotFound
from worker.ports.hooks import Hold, LifecycleHook, Release

Transition = Literal["launch", "termination"]
_AWS_WORDS = {"launch": LAUNCHING, "termination": TERMINATING}


class LoopTimers:
    """The event loop's time."""

    def now(self) -> float:
        """The present moment."""
        return asyncio.get_running_loop().time()

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Carry out `action` in `seconds`."""
        asyncio.get_running_loop().call_later(seconds, action)


class HoldWatcher(Protocol):
    """Who is told of holds: the instance, the hook, and how it ended."""

    def holds(self, instance: str, hook: str) -> None:
        """It has begun."""

    def released(self, instance: str, hook: str, how: str) -> None:
        """It is over: `CONTINUE`, `ABANDON`, or `timeout`."""


class Holds(Lifecycle):
    """The hooks of one group, and what they hold. `announce` hears what EventBridge would."""

    watcher: HoldWatcher | None = None
    """Told of each hold at once; may be set at any moment."""

    def __init__(self, group: str, now: Callable[[], datetime], announce: Callable[[dict[str, Any]], None]) -> None:
        numbers = count(1)
        super().__init__(LoopTimers(), self._announce, lambda: f"token-{group}-{next(numbers)}")
        self._group = group
        self._place = Place("123456789012", "us-east-1", now)
        self._listener = announce
        self._known = Hooks(group)
        self.ended: list[tuple[str, str, str]] = []
        """Instance, hook, and how the hold ended: `CONTINUE`, `ABANDON`, or `timeout`."""
        self.beats: Counter[str] = Counter()
        """Heartbeats by instance."""

    def add(self, name: str, timeout: float = 300, transition: Transition = "termination") -> None:
        """Another hook, as the cluster's template makes them."""
        settings: dict[str, Any] = {"heartbeat_timeout": int(timeout), "default_result": "CONTINUE"}
        self._known.put(name, transition=_AWS_WORDS[transition], **settings)

    def hold_at(self, transition: Transition, instance: str, then: Callable[[Outcome], None]) -> bool:
        """Whether a hook holds the instance from now on."""
        return self.hold(instance, self._known.of(_AWS_WORDS[transition]), then)

    @property
    def hooks(self) -> dict[str, LifecycleHook]:
        """The hooks by name."""
        return {hook.name: _shown(hook) for hook in self._known.all()}

    @property
    def held(self) -> set[tuple[str, str]]:
        """Which instance which hook holds."""
        return {(action.instance_id, action.hook.name) for action in self._open}

    def complete_hold(self, hold: Hold, release: Release) -> None:
        """Let it go on. Raises NotFound."""
        with _over_is_not_found():
            self.complete(hold.hook, hold.token, hold.instance_id, release)

    def beat(self, hold: Hold) -> None:
        """Begin the time anew. Raises NotFound."""
        with _over_is_not_found():
            self.heartbeat(hold.hook, hold.token, hold.instance_id)
        self.beats[hold.instance_id] += 1

    def _announce(self, action: Action) -> None:
        if self.watcher is not None:
            self.watcher.holds(action.instance_id, action.hook.name)
        self._listener(
            messages.lifecycle_event(self._place, f"arn:aws:autoscaling:::{self._group}", action.detail(self._group))
        )

    def _end(self, action: Action, result: str, reason: str) -> None:
        how = "timeout" if reason == TIMED_OUT else result
        self.ended.append((action.instance_id, action.hook.name, how))
        if self.watcher is not None:
            self.watcher.released(action.instance_id, action.hook.name, how)
        super()._end(action, result, reason)


def _shown(hook: Hook) -> LifecycleHook:
    transition: Transition = "launch" if hook.transition == LAUNCHING else "termination"
    return LifecycleHook(hook.name, transition, timedelta(seconds=hook.heartbeat_timeout), hook.default_result)


@contextmanager
def _over_is_not_found() -> Iterator[None]:
    try:
        yield
    except Refusal as refusal:
        raise NotFound(f"{refusal} ({refusal.code})") from refusal
