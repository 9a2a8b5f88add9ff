"""Calls to what is outside: how long they take, and how many fail, by who is asked and for what.

`measured` stands around a port, so that nobody who asks has to think of it: each of the port's coroutines is measured
under its own name. Their number is bounded by the ports.
"""

import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Summary

P = TypeVar("P")


class Calls:
    """Seconds and errors."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ["target", "operation"]
        self._seconds = Summary(
            "scaler_call_seconds",
            "Seconds that calls to what is outside took, failed ones too.",
            labels,
            registry=registry,
        )
        self._errors = Counter(
            "scaler_call_errors",
            "Calls to what is outside that failed: no answer, or a refusal.",
            labels,
            registry=registry,
        )

    def measured(self, target: str, port: P) -> P:
        """The port, with every call of it measured as one to `target`."""
        return cast("P", _Measured(self, target, port))

    def made(self, target: str, operation: str, seconds: float, *, failed: bool) -> None:
        """One call has ended."""
        self._seconds.labels(target, operation).observe(seconds)
        errors = self._errors.labels(target, operation)  # so that the first one is an increase, too
        if failed:
            errors.inc()


class _Measured:
    """Hands out the port's own attributes; its coroutines measured."""

    def __init__(self, calls: Calls, target: str, port: Any) -> None:
        self._calls = calls
        self._target = target
        self._port = port

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        measured = self._around(name, found) if inspect.iscoroutinefunction(found) else found
        setattr(self, name, measured)
        return measured

    def _around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def measured(*args: Any, **kwargs: Any) -> Any:
            began, failed = time.monotonic(), False
            try:
                return await call(*args, **kwargs)
            except Exception:  # not one that was given up: that is no failure
                failed = True
                raise
            finally:
                self._calls.made(self._target, name, time.monotonic() - began, failed=failed)

        return measured
