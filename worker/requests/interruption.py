"""Interrupting the waits of a request: what waits in a block ends at once when somebody cancels the request.

As `asyncio.timeout` does with a moment. Whether a request may be interrupted is left to the request.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from worker.errors import Cancelled


class Interruption:
    """The waits of one request. `reason`: why it goes no further, None while it does."""

    def __init__(self, reason: Callable[[], str | None]) -> None:
        self._reason = reason
        self._waits: list[asyncio.Task[Any]] = []
        """The tasks that wait in blocks which can be interrupted."""
        self._interrupted: set[asyncio.Task[Any]] = set()

    def check(self) -> None:
        """Raise Cancelled where the request goes no further."""
        reason = self._reason()
        if reason is not None:
            raise Cancelled(reason)

    def interrupt(self) -> None:
        """End all waits that may be ended."""
        if self._reason() is None:
            return
        for task in set(self._waits) - self._interrupted:
            self._interrupted.add(task)
            task.cancel()

    @contextmanager
    def possible(self) -> Iterator[None]:
        """What waits in this block can be ended. Raises Cancelled.

        Nothing may be left half done where that happens: only waits and looks belong here.
        """
        self.check()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - whoever waits is a task
        self._waits.append(task)
        others = task.cancelling()
        try:
            yield
        except asyncio.CancelledError:
            if task in self._interrupted and task.uncancel() <= others:
                self._interrupted.discard(task)
                raise Cancelled(self._reason() or "Cancelled") from None
            raise
        finally:
            self._waits.remove(task)
