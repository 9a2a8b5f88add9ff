"""Services as in `make up`, but each worker speaks to a manager of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from infra.local.children import Child
from infra.local.services import Services

Socket = Callable[[int], Path]

_WORKER: Final = "worker"


class LabServices(Services):
    """`sockets` names the Docker socket of a worker by its number, from 1."""

    sockets: Socket

    async def _start(self, name: str, module: str, more: Mapping[str, str], url: str | None) -> Child:
        if module == _WORKER:
            number = int(name.rpartition("-")[2])
            more = {**more, "DOCKER_HOST": f"unix://{self.sockets(number)}"}
        return await super()._start(name, module, more, url)
