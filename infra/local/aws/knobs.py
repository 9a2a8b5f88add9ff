"""Faults and speeds of the embedded AWS, settable while it runs.

It knows what can be asked for, not how a fault is done: that is the gateway's and the groups' work.

Keys of the dict-valued knobs name what they apply to, the narrowest wins: `service.Action`
(`dynamodb.PutItem`), `service` (`sqs`), `*`. Services are called as in boto3 (`autoscaling`, `ec2`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from infra.local import settings
from infra.local.settings import Count, Seconds, Settings

Rule = TypeVar("Rule")


class Times(Settings):
    """An error so many times."""

    code: str
    times: Count


def _for_all(value: Any) -> Any:
    """The short ways to say it: a reason for everything, or nothing."""
    return {"*": value} if isinstance(value, str) else value or {}


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value or []


ByGroup = Annotated[dict[str, str], BeforeValidator(_for_all)]


class AwsSettings(Settings):
    """The knobs, and how it is where nobody sets them."""

    # {group or "*": "InsufficientInstanceCapacity" | "VcpuLimitExceeded" | any sentence}
    refuse_launches: ByGroup = Field(default_factory=dict)
    # {group or "*": sentence}: EC2 takes each instance back while it is pending, as with a key that it may not use
    kill_launches: ByGroup = Field(default_factory=dict)
    # DescribeAutoScalingGroups and -Instances tell the state of so many seconds ago, but none from before
    # this was set: what was seen once is not unseen
    describe_lag_seconds: Seconds = 0.0
    # {key: seconds} before the call is carried out
    latency_seconds: Annotated[dict[str, Seconds], BeforeValidator(_for_all)] = Field(default_factory=dict)
    # {key: error code, or {"code": ..., "times": n}}; "throttle" is what that service calls it
    errors: Annotated[dict[str, str | Times], BeforeValidator(_for_all)] = Field(default_factory=dict)
    # services (or "*") that close every connection
    down: Annotated[list[str], BeforeValidator(_several)] = Field(default_factory=list)
    # {key: how many}: the call takes effect, then the connection is dropped instead of an answer
    lose_answers: Annotated[dict[str, Count], BeforeValidator(_for_all)] = Field(default_factory=dict)
    pending_seconds: Seconds = 0.5
    # Pending:Proceed and, before EC2 begins to end an instance, Terminating:Proceed
    proceed_seconds: Seconds = 0.2
    terminating_seconds: Seconds = 1.0
    launch_retry_seconds: Seconds = 3.0
    health_check_seconds: Seconds = 0.5


class Knobs(settings.Knobs[AwsSettings]):
    """Those that count now."""

    def __init__(self) -> None:
        super().__init__(AwsSettings())
        self._lagging_since = 0.0
        self._listeners: list[Callable[[], None]] = []

    def set(self, **changes: Any) -> None:
        """Change the named knobs, all or none. Raises ValueError for an unknown name or a wrong value."""
        super().set(**changes)
        with self._lock:
            if "describe_lag_seconds" in changes:
                self._lagging_since = time.monotonic()
        self._tell()

    def reset(self) -> None:
        """Every knob back to its default."""
        with self._lock:
            self._values = AwsSettings()
        self._tell()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change."""
        self._listeners.append(listener)

    def seconds(self, name: str) -> float:
        """A knob that is a duration."""
        with self._lock:
            return float(getattr(self._values, name))

    def described_moment(self) -> float | None:
        """The moment (as `time.monotonic()`) whose state Describe tells; None for now."""
        with self._lock:
            lag = self._values.describe_lag_seconds
            return max(time.monotonic() - lag, self._lagging_since) if lag else None

    def latency(self, service: str, action: str) -> float:
        """Seconds to wait before this call."""
        with self._lock:
            return _narrowest(self._values.latency_seconds, service, action)[1] or 0.0

    def is_down(self, service: str) -> bool:
        """Whether this service closes every connection."""
        with self._lock:
            return service in self._values.down or "*" in self._values.down

    def take_error(self, service: str, action: str) -> str | None:
        """The error code this call is to fail with; counts it off where the rule has a number."""
        with self._lock:
            key, rule = _narrowest(self._values.errors, service, action)
            if not isinstance(rule, Times):
                return rule
            rule.times -= 1
            if rule.times <= 0:
                del self._values.errors[key]
            return rule.code

    def take_lost_answer(self, service: str, action: str) -> bool:
        """Whether this call's answer is to be lost; counts it off."""
        with self._lock:
            key, left = _narrowest(self._values.lose_answers, service, action)
            if left:
                self._values.lose_answers[key] = left - 1
            return bool(left)

    def launch_refusal(self, group: str) -> str | None:
        """Why EC2 refuses to launch for this group: a code or a sentence."""
        with self._lock:
            return _of_group(self._values.refuse_launches, group)

    def launch_end(self, group: str) -> str | None:
        """Why EC2 takes back what it has launched for this group: a sentence."""
        with self._lock:
            return _of_group(self._values.kill_launches, group)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _of_group(reasons: Mapping[str, str], group: str) -> str | None:
    return reasons.get(group) or reasons.get("*")


def _narrowest(rules: Mapping[str, Rule], service: str, action: str) -> tuple[str, Rule | None]:
    """The rule for a call, under its key; None where there is none."""
    return next(((key, rules[key]) for key in (f"{service}.{action}", service, "*") if key in rules), ("", None))
