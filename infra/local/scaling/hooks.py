"""The lifecycle hooks of one group: what PutLifecycleHook was told, with AWS's limits and defaults.

https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from infra.local.scaling.messages import LAUNCHING, TERMINATING
from infra.local.scaling.refusals import Refusal

Result = Literal["CONTINUE", "ABANDON"]
RESULTS: Final = ("CONTINUE", "ABANDON")
SHORTEST: Final = 30
LONGEST: Final = 7200
LONGEST_WAIT: Final = 172_800
MOST: Final = 50


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook. Times in seconds."""

    name: str
    transition: str
    heartbeat_timeout: int = 3600
    default_result: str = "ABANDON"
    target_arn: str | None = None
    role_arn: str | None = None
    metadata: str | None = None

    @property
    def global_timeout(self) -> int:
        """How long an instance may wait at most, whatever heartbeats come."""
        return min(LONGEST_WAIT, 100 * self.heartbeat_timeout)

    def as_aws(self, group: str) -> dict[str, Any]:
        """The LifecycleHook shape of the API."""
        shape = {
            "LifecycleHookName": self.name,
            "AutoScalingGroupName": group,
            "LifecycleTransition": self.transition,
            "NotificationTargetARN": self.target_arn,
            "RoleARN": self.role_arn,
            "NotificationMetadata": self.metadata,
            "HeartbeatTimeout": self.heartbeat_timeout,
            "GlobalTimeout": self.global_timeout,
            "DefaultResult": self.default_result,
        }
        return {name: value for name, value in shape.items() if value is not None}


class Hooks:
    """By name. Those of instances that wait already stay as they were when the wait began."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._known: dict[str, Hook] = {}

    def put(self, name: str, **settings: Any) -> Hook:
        """Make one, or change what is given of it. Raises Refusal."""
        given = {key: value for key, value in settings.items() if value is not None}
        old = self._known.get(name)
        if old is None and "transition" not in given:
            raise Refusal("LifecycleTransition is required when creating a new lifecycle hook.")
        hook = Hook(name, **given) if old is None else replace(old, **given)
        _check(hook)
        if old is None and len(self._known) >= MOST:
            raise Refusal(f"AutoScalingGroup {self._group} already has {MOST} lifecycle hooks.")
        self._known[name] = hook
        return hook

    def delete(self, name: str) -> Hook:
        """Raises Refusal where there is none such."""
        self.named(name)
        return self._known.pop(name)

    def named(self, name: str) -> Hook:
        """Raises Refusal where there is none such."""
        if name not in self._known:
            raise Refusal(f"No Lifecycle Hook found with name {name} for AutoScalingGroup {self._group}")
        return self._known[name]

    def all(self, names: list[str] | None = None) -> list[Hook]:
        """Those of these names, or all."""
        return [hook for hook in self._known.values() if not names or hook.name in names]

    def of(self, transition: str) -> tuple[Hook, ...]:
        """Those that an instance meets there."""
        return tuple(hook for hook in self._known.values() if hook.transition == transition)


def _check(hook: Hook) -> None:
    if hook.transition not in (LAUNCHING, TERMINATING):
        raise Refusal(f"LifecycleTransition must be {LAUNCHING} or {TERMINATING}, not {hook.transition}.")
    if hook.default_result not in RESULTS:
        raise Refusal(f"DefaultResult must be CONTINUE or ABANDON, not {hook.default_result}.")
    if not SHORTEST <= hook.heartbeat_timeout <= LONGEST:
        raise Refusal(f"HeartbeatTimeout must be between {SHORTEST} and {LONGEST}, not {hook.heartbeat_timeout}.")
    if hook.target_arn and not hook.role_arn:
        raise Refusal("RoleARN is required where there is a NotificationTargetARN.")
    if hook.target_arn and hook.target_arn.endswith(".fifo"):
        raise Refusal("A FIFO queue can not be a notification target.")
