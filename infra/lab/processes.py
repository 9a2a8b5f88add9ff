"""Services as in `make up`, but each worker speaks to a manager of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from infra.local.children import Child
from infra.local.services import Services

Socket = Callable[[int], Path]

_WORKER: Final = "worker"


class LabServices(Services):
    """`sockets` names the Docker socket of a worker by its number, from 1."""

    sockets: Socket

    @cached_property
    def by_worker(self) -> dict[str, Path]:
        """The socket that each worker was given, by the worker's name."""
        return {}

    async def _start(self, name: str, module: str, more: Mapping[str, str], url: str | None) -> Child:
        if module == _WORKER:
            number = int(name.rpartition("-")[2])
            self.by_worker[name] = self.sockets(number)
            more = {**more, "DOCKER_HOST": f"unix://{self.by_worker[name]}"}
        return await super()._start(name, module, more, url)
