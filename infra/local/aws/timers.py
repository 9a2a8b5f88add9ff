"""Things that happen later inside the embedded AWS: an instance enters service, a launch is tried again.

One thread, asleep unless something is due; each action runs under the lock that also guards requests. `skip` makes
time pass at once: what takes 48 hours in AWS need not do so in a test.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

_log = logging.getLogger(__name__)

Action = Callable[[], None]


class Timers:
    """A queue of actions by the moment they are due."""

    def __init__(self, guard: AbstractContextManager[Any]) -> None:
        self._guard = guard
        self._due: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._stopped = False
        self._skipped = 0.0
        self._thread = threading.Thread(target=self._run, name="aws-timers", daemon=True)

    def start(self) -> None:
        """Begin to carry out what is due."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what is still due never happens."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def now(self) -> float:
        """The time that actions go by, in seconds from some moment on."""
        return time.monotonic() + self._skipped

    def after(self, seconds: float, action: Action) -> None:
        """Carry out `action` in `seconds`; those due at the same moment keep their order."""
        with self._changed:
            heapq.heappush(self._due, (self.now() + seconds, next(self._order), action))
            self._changed.notify()

    def skip(self, seconds: float) -> None:
        """Let so much time pass now: what is due within it is done on return, each at its moment, in order."""
        with self._guard:
            end = self.now() + seconds
            while (first := self._first_due()) is not None and first <= end:
                self._skipped += max(0.0, first - self.now())
                self._carry_out_one()
            self._skipped += max(0.0, end - self.now())
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        while self._wait_for_one():
            with self._guard:
                self._carry_out_one()

    def _wait_for_one(self) -> bool:
        """Whether something is due; False where there is an end."""
        with self._changed:
            while not self._stopped:
                wait = self._due[0][0] - self.now() if self._due else None
                if wait is not None and wait <= 0:
                    return True
                self._changed.wait(wait)
            return False

    def _first_due(self) -> float | None:
        with self._changed:
            return self._due[0][0] if self._due else None

    def _carry_out_one(self) -> None:
        """What is due, if it still is: taken and done under the guard, so that nothing is half done outside it."""
        with self._changed:
            if not self._due or self._due[0][0] > self.now():
                return
            action = heapq.heappop(self._due)[2]
        try:
            action()
        except Exception:  # noqa: BLE001 - one action's failure must not end the others
            _log.exception("aws-timer-failed")
