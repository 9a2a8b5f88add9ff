"""The embedded environment on a thread of its own: begun, ended, and asked from other threads."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker

from infra.local.environment import Environment as EmbeddedEnvironment
from infra.local.loopback import free_ports
from tests.e2e.caller import Caller
from tests.waiting import T


class Embedded:
    """It lives as long as the block."""

    def __init__(self, folder: Path, settings: Mapping[str, str], workers: int = 2) -> None:
        self._settings = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **settings}
        self._environment = EmbeddedEnvironment(folder, self._settings, workers=workers)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="env")
        self._ready, self._over = threading.Event(), asyncio.Event()
        self._failure: BaseException | None = None
        self._exits = ExitStack()
        self._ports, self._numbers = free_ports(), itertools.count(1)

    def __enter__(self) -> Self:
        self._thread.start()
        self._exits.callback(self._end)
        self._ready.wait()
        if self._failure is not None:
            self._exits.close()
            raise self._failure
        self.variables = self._environment.variables
        self.caller = Caller(self.variables["INGEST_URL"])
        self._exits.callback(self.caller.close)
        self.docker: Any = docker.APIClient(self.variables["DOCKER_HOST"], version="1.44", timeout=30)
        self._exits.callback(self.docker.close)
        self._control = Caller(self.variables["CONTROL_URL"])
        self._exits.callback(self._control.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _live(self) -> None:
        async def life() -> None:
            async with self._environment:
                self._ready.set()
                await self._over.wait()

        try:
            self._loop.run_until_complete(life())
        except BaseException as error:  # noqa: BLE001 - told by __enter__
            self._failure = error
        finally:
            self._ready.set()
            self._loop.close()

    def _end(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def on_loop(self, call: Callable[[], T]) -> T:
        """Look at the environment where it lives."""

        async def there() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(30)
