"""The call log: who asked the embedded AWS for what, so that a test can count a worker's calls.

Cheap on purpose: one short tuple per call in a bounded list, and counters. Nothing of a request's content.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

KEPT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived. `at` is `time.time()`."""

    at: float
    service: str
    action: str
    access_key: str
    user_agent: str


class CallLog:
    """The newest calls, and how many there were of each kind since the start (or `clear`)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=KEPT)
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def note(self, service: str, action: str, access_key: str, user_agent: str) -> None:
        """Remember a call that arrives now."""
        call = Call(time.time(), service, action, access_key, user_agent)
        with self._lock:
            self._calls.append(call)
            self._counts[access_key, service, action] += 1

    def counts(self, access_key: str | None = None) -> dict[str, int]:
        """How often each `service.Action` was asked for, by everyone or by one access key."""
        with self._lock:
            items = list(self._counts.items())
        found: Counter[str] = Counter()
        for (key, service, action), number in items:
            if access_key in (None, key):
                found[f"{service}.{action}"] += number
        return dict(found)

    def since(self, when: float, access_key: str | None = None) -> list[Call]:
        """The remembered calls from `when` (as `time.time()`) on, oldest first."""
        with self._lock:
            calls = list(self._calls)
        return [call for call in calls if call.at >= when and access_key in (None, call.access_key)]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._calls.clear()
            self._counts.clear()
