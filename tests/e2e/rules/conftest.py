"""A simulated Swarm behind a socket, in a loop and thread of its own."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from infra.local.engine import SimulatedSwarm, serve

T = TypeVar("T")


class Swarm:
    """One manager, whose socket may go away and come back."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "docker.sock"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._exits = AsyncExitStack()
        self._serving = AsyncExitStack()
        self._swarm: SimulatedSwarm = self._run(lambda: self._exits.enter_async_context(SimulatedSwarm()))
        self._do(lambda: self._swarm.add_node("manager", role="manager", address="10.0.1.1"))
        self.serve()

    @property
    def docker_host(self) -> str:
        """As DOCKER_HOST writes it."""
        return f"unix://{self.socket}"

    def serve(self) -> None:
        """The socket is there."""
        self._run(lambda: self._serving.enter_async_context(serve(self._swarm, self.socket)))

    def away(self) -> None:
        """The socket is gone."""
        self._run(self._serving.aclose)

    def create(self, name: str, labels: Mapping[str, str], *, replicas: int | None = 1) -> None:
        """A service; global without replicas."""
        mode: dict[str, Any] = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
        spec = {"Name": name, "Labels": dict(labels), "Mode": mode, "TaskTemplate": {"ContainerSpec": {"Image": "x"}}}
        self._do(lambda: self._swarm.control.create_service(spec))

    def update(self, name: str, **change: Any) -> None:
        """Change parts of a service's specification."""

        def change_it() -> None:
            service = self._swarm.control.service(name)
            body = {**service.spec.body, **change}
            self._swarm.control.update_service(name, service.meta.version, body, rollback=False)

        self._do(change_it)

    def remove(self, name: str) -> None:
        """The service is gone."""
        self._do(lambda: self._swarm.control.remove_service(name))

    def close(self) -> None:
        """End it."""
        self.away()
        self._run(self._exits.aclose)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, make: Callable[[], Any]) -> Any:
        async def made() -> Any:
            return await make()

        return asyncio.run_coroutine_threadsafe(made(), self._loop).result(20)

    def _do(self, do: Callable[[], T]) -> T:
        async def done() -> T:
            return do()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(20)


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    """A Swarm of one manager without services. Its folder's name is short: a socket's path has 108 characters."""
    with tempfile.TemporaryDirectory() as folder:
        swarm = Swarm(Path(folder))
        yield swarm
        swarm.close()
