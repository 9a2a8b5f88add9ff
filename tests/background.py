"""An asynchronous context on an event loop and thread of its own, for tests that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")
LONGEST = 30.0


class Background:
    """Entered and left in one task over there; what entering raises is raised here."""

    def __init__(self, context: AbstractAsyncContextManager[Any]) -> None:
        self._context = context
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="background")
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Have it run there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(LONGEST)

    def call(self, call: Callable[[], T]) -> T:
        """Call it there."""

        async def there() -> T:
            return call()

        return self.run(there())

    def _live(self) -> None:
        async def life() -> None:
            async with self._context:
                self._ready.set()
                await self._over.wait()

        try:
            self._loop.run_until_complete(life())
        except BaseException as error:  # noqa: BLE001 - told by __enter__
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()
