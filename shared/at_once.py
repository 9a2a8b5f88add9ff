"""Calls that do not depend on each other, asked at once: together they take as long as the slowest of them.

Unlike a TaskGroup it cancels no call because another one has failed: a write that was sent must not be left in doubt
over a question beside it. What failed is raised as it is, not as a group.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")


class AtOnce:
    """Ask within the block; behind it every answer is there. Raises the error of the first, as asked, that failed."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[Any]] = []

    def ask(self, call: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Begin a call; they begin in the order in which they are asked."""
        task = asyncio.ensure_future(call)
        self._tasks.append(task)
        return task

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        answers = await asyncio.gather(*self._tasks, return_exceptions=True)
        failed = next((answer for answer in answers if isinstance(answer, BaseException)), None)
        if failed is not None and kind is None:
            raise failed
