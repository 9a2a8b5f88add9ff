"""Faults and speeds of the embedded AWS, settable while it runs.

One thread-safe object with named knobs; whoever offers them over HTTP only needs `set` and `snapshot`.
It knows what can be asked for, not how a fault is done: that is the gateway's and the groups' work.

Keys of the dict-valued knobs name what they apply to, the narrowest wins: `service.Action`
(`dynamodb.PutItem`), `service` (`sqs`), `*`. Services are called as in boto3 (`autoscaling`, `ec2`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

DEFAULTS: Final[Mapping[str, Any]] = {
    # {group or "*": "InsufficientInstanceCapacity" | "VcpuLimitExceeded" | any sentence}
    "refuse_launches": {},
    # {group or "*": sentence}: EC2 takes each instance back while it is pending, as with a key that it may not use
    "kill_launches": {},
    # DescribeAutoScalingGroups and -Instances tell the state of so many seconds ago, but none from before
    # this was set: what was seen once is not unseen
    "describe_lag_seconds": 0.0,
    # {key: seconds} before the call is carried out
    "latency_seconds": {},
    # {key: error code, or {"code": ..., "times": n}}; "throttle" is what that service calls it
    "errors": {},
    # services (or "*") that close every connection
    "down": [],
    # {key: how many}: the call takes effect, then the connection is dropped instead of an answer
    "lose_answers": {},
    "pending_seconds": 0.5,
    # Pending:Proceed and, before EC2 begins to end an instance, Terminating:Proceed
    "proceed_seconds": 0.2,
    "terminating_seconds": 1.0,
    "launch_retry_seconds": 3.0,
    "health_check_seconds": 0.5,
}


class Knobs:
    """Named settings with defaults; unknown names are refused, so that a typo is not a silent success."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values = _fresh()
        self._lagging_since = 0.0
        self._listeners: list[Callable[[], None]] = []

    def set(self, **changes: Any) -> None:
        """Change the named knobs, all or none. Raises ValueError for an unknown name or a wrong type."""
        checked = {name: _checked(name, value) for name, value in changes.items()}
        with self._lock:
            self._values.update(checked)
            if "describe_lag_seconds" in checked:
                self._lagging_since = time.monotonic()
        self._tell()

    def reset(self) -> None:
        """Every knob back to its default."""
        with self._lock:
            self._values = _fresh()
        self._tell()

    def snapshot(self) -> dict[str, Any]:
        """All knobs, as values that JSON can carry and that the caller may keep."""
        with self._lock:
            return {name: _copied(value) for name, value in self._values.items()}

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def seconds(self, name: str) -> float:
        """A knob that is a duration."""
        with self._lock:
            return float(self._values[name])

    def described_moment(self) -> float | None:
        """The moment (as `time.monotonic()`) whose state Describe tells; None for now."""
        with self._lock:
            lag = float(self._values["describe_lag_seconds"])
            return max(time.monotonic() - lag, self._lagging_since) if lag else None

    def latency(self, service: str, action: str) -> float:
        """Seconds to wait before this call."""
        with self._lock:
            return float(_narrowest(self._values["latency_seconds"], service, action) or 0.0)

    def is_down(self, service: str) -> bool:
        """Whether this service closes every connection."""
        with self._lock:
            return service in self._values["down"] or "*" in self._values["down"]

    def take_error(self, service: str, action: str) -> str | None:
        """The error code this call is to fail with; counts it off where the rule has a number."""
        with self._lock:
            rules = self._values["errors"]
            key = _key(rules, service, action)
            return None if key is None else _take_error(rules, key)

    def take_lost_answer(self, service: str, action: str) -> bool:
        """Whether this call's answer is to be lost; counts it off."""
        with self._lock:
            rules = self._values["lose_answers"]
            key = _key(rules, service, action)
            return key is not None and _count_off(rules, key)

    def launch_refusal(self, group: str) -> str | None:
        """Why EC2 refuses to launch for this group: a code or a sentence."""
        return self._of_group("refuse_launches", group)

    def launch_end(self, group: str) -> str | None:
        """Why EC2 takes back what it has launched for this group: a sentence."""
        return self._of_group("kill_launches", group)

    def _of_group(self, name: str, group: str) -> str | None:
        with self._lock:
            reasons = self._values[name]
            reason = reasons.get(group) or reasons.get("*")
            return None if reason is None else str(reason)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _fresh() -> dict[str, Any]:
    return {name: _copied(value) for name, value in DEFAULTS.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return list(value) if isinstance(value, list) else value


def _checked(name: str, value: Any) -> Any:
    if name not in DEFAULTS:
        raise ValueError(f"unknown knob {name}; there are: {', '.join(DEFAULTS)}")
    value = _widened(name, value)
    wanted = type(DEFAULTS[name])
    if not isinstance(value, wanted) or (wanted is float and value < 0):
        raise ValueError(f"knob {name} takes a {wanted.__name__} like {DEFAULTS[name]!r}, not {value!r}")
    return _copied(value)


def _widened(name: str, value: Any) -> Any:
    """The short ways to say it: a reason for all groups, one service, a whole number of seconds, nothing."""
    default = DEFAULTS[name]
    if value is None:
        return _copied(default)
    if isinstance(value, str) and isinstance(default, dict):
        return {"*": value}
    if isinstance(value, str) and isinstance(default, list):
        return [value]
    return float(value) if isinstance(value, int) and isinstance(default, float) else value


def _key(rules: Mapping[str, Any], service: str, action: str) -> str | None:
    return next((key for key in (f"{service}.{action}", service, "*") if key in rules), None)


def _narrowest(rules: Mapping[str, Any], service: str, action: str) -> Any:
    key = _key(rules, service, action)
    return None if key is None else rules[key]


def _take_error(rules: dict[str, Any], key: str) -> str:
    rule = rules[key]
    if isinstance(rule, str):
        return rule
    if "times" in rule:
        _count_off(rule, "times")
        if rule["times"] == 0:
            del rules[key]
    return str(rule["code"])


def _count_off(rules: dict[str, Any], key: str) -> bool:
    """One off the count under `key`; whether there was one left to take."""
    left = int(rules[key])
    rules[key] = max(0, left - 1)
    return left > 0
