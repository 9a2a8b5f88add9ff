"""Lifecycle hooks in memory: they hold instances on their way out until they are completed, or their time is over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any, Literal

from shared.errors import NotFound
from worker.ports.hooks import Hold, LifecycleHook, Release

Transition = Literal["launch", "termination"]


@dataclass(slots=True)
class _Held:
    token: str
    timeout: float
    timer: asyncio.TimerHandle
    beats: int = 0


@dataclass(slots=True)
class Holds:
    """The hooks of one group, and what they hold. `released` is called when an instance may go on."""

    group: str
    hooks: dict[str, LifecycleHook] = field(default_factory=dict)
    held: dict[tuple[str, str], _Held] = field(default_factory=dict)
    """By instance and hook."""
    ended: list[tuple[str, str, str]] = field(default_factory=list)
    """Instance, hook, and how the hold ended: `CONTINUE`, `ABANDON`, or `timeout`."""
    beats: dict[str, int] = field(default_factory=dict)
    """Heartbeats by instance."""
    _released: dict[str, Callable[[], None]] = field(default_factory=dict)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def add(self, name: str, timeout: float = 300.0, transition: Transition = "termination") -> None:
        """Another hook."""
        self.hooks[name] = LifecycleHook(name, transition, timedelta(seconds=timeout))

    def hold(
        self,
        instance: str,
        released: Callable[[], None],
        tell: Callable[[dict[str, Any]], None],
        transition: Transition = "termination",
    ) -> bool:
        """Whether a hook holds the instance from now on; `tell` hears what EventBridge would."""
        hooks = [hook for hook in self.hooks.values() if hook.transition == transition]
        for hook in hooks:
            seconds, key = hook.timeout.total_seconds(), (instance, hook.name)
            token = f"token-{next(self.numbers)}-{instance}"
            timer = asyncio.get_running_loop().call_later(seconds, self._end, key, "timeout", released)
            self.held[key] = _Held(token, seconds, timer)
            tell(_event(self.group, hook.name, instance, token, transition))
        self._released[instance] = released
        return bool(hooks)

    def holds(self, instance: str) -> bool:
        """Whether any hook holds it."""
        return any(key[0] == instance for key in self.held)

    def complete(self, hold: Hold, release: Release) -> None:
        """Let it go on. Raises NotFound."""
        self._find(hold).timer.cancel()
        self._end((hold.instance_id, hold.hook), release, self._released[hold.instance_id])

    def heartbeat(self, hold: Hold) -> None:
        """Begin the time anew. Raises NotFound."""
        held = self._find(hold)
        held.timer.cancel()
        key, released = (hold.instance_id, hold.hook), self._released[hold.instance_id]
        held.timer = asyncio.get_running_loop().call_later(held.timeout, self._end, key, "timeout", released)
        self.beats[hold.instance_id] = self.beats.get(hold.instance_id, 0) + 1

    def _find(self, hold: Hold) -> _Held:
        held = self.held.get((hold.instance_id, hold.hook))
        if held is None or hold.token not in {None, held.token}:
            raise NotFound(f"No active Lifecycle Action found with instance ID {hold.instance_id} (ValidationError)")
        return held

    def _end(self, key: tuple[str, str], how: str, released: Callable[[], None]) -> None:
        del self.held[key]
        self.ended.append((*key, how))
        if not self.holds(key[0]):
            released()


def _event(group: str, hook: str, instance: str, token: str, transition: Transition) -> dict[str, Any]:
    leaving = transition == "termination"
    return {
        "version": "0",
        "id": token,
        "detail-type": f"EC2 Instance-{'terminate' if leaving else 'launch'} Lifecycle Action",
        "source": "aws.autoscaling",
        "account": "123456789012",
        "region": "us-east-1",
        "resources": [],
        "detail": {
            "LifecycleActionToken": token,
            "AutoScalingGroupName": group,
            "LifecycleHookName": hook,
            "EC2InstanceId": instance,
            "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{'TERMINATING' if leaving else 'LAUNCHING'}",
            "Origin": "AutoScalingGroup" if leaving else "EC2",
            "Destination": "EC2" if leaving else "AutoScalingGroup",
        },
    }
