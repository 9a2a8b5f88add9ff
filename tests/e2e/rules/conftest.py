"""A simulated Swarm behind a socket, in a loop and thread of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from infra.local.engine import SimulatedSwarm, serve
from tests.background import Background


class Swarm:
    """One manager, whose socket may go away and come back."""

    def __init__(self, swarm: SimulatedSwarm, background: Background, folder: Path) -> None:
        self.socket = folder / "docker.sock"
        self._swarm, self._background = swarm, background
        self._serving = AsyncExitStack()

    @property
    def docker_host(self) -> str:
        """As DOCKER_HOST writes it."""
        return f"unix://{self.socket}"

    def serve(self) -> None:
        """The socket is there."""
        self._background.run(self._serving.enter_async_context(serve(self._swarm, self.socket)))

    def away(self) -> None:
        """The socket is gone."""
        self._background.run(self._serving.aclose())

    def create(self, name: str, labels: Mapping[str, str], *, replicas: int | None = 1) -> None:
        """A service; global without replicas."""
        mode: dict[str, Any] = {"Global": {}} if replicas is None else {"Replicated": {"Replicas": replicas}}
        spec = {"Name": name, "Labels": dict(labels), "Mode": mode, "TaskTemplate": {"ContainerSpec": {"Image": "x"}}}
        self._background.call(lambda: self._swarm.control.create_service(spec))

    def update(self, name: str, **change: Any) -> None:
        """Change parts of a service's specification."""

        def change_it() -> None:
            service = self._swarm.control.service(name)
            body = {**service.spec.body, **change}
            self._swarm.control.update_service(name, service.meta.version, body, rollback=False)

        self._background.call(change_it)

    def remove(self, name: str) -> None:
        """The service is gone."""
        self._background.call(lambda: self._swarm.control.remove_service(name))


@pytest.fixture
def swarm() -> Iterator[Swarm]:
    """A Swarm of one manager without services. Its folder's name is short: a socket's path has 108 characters."""
    simulated = SimulatedSwarm()
    with tempfile.TemporaryDirectory() as folder, Background(simulated) as background:
        background.call(lambda: simulated.add_node("manager", role="manager", address="10.0.1.1"))
        swarm = Swarm(simulated, background, Path(folder))
        swarm.serve()
        yield swarm
        swarm.away()
