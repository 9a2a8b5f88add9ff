"""Things that happen later inside the embedded AWS: an instance enters service, a launch is tried again.

One thread, asleep unless something is due; each action runs under the lock that also guards requests.
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

    def after(self, seconds: float, action: Action) -> None:
        """Carry out `action` in `seconds`; those due at the same moment keep their order."""
        with self._changed:
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), action))
            self._changed.notify()

    def _run(self) -> None:
        while (action := self._next()) is not None:
            try:
                with self._guard:
                    action()
            except Exception:  # noqa: BLE001 - one action's failure must not end the others
                _log.exception("aws-timer-failed")

    def _next(self) -> Action | None:
        with self._changed:
            while not self._stopped:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)
            return None
