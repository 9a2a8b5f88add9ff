"""What a machine's boot needs of the Docker Engine API: is it ready, an image, beginning and joining a Swarm."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

_ANSWER: Final = aiohttp.ClientTimeout(total=30)
_LOOK_SECONDS: Final = 0.05
_PORT: Final = 2377
_ADDRESSES: Final = {"DefaultAddrPool": ["10.255.0.0/16"], "SubnetSize": 24}  # overlays: away from the machines'


class EngineError(Exception):
    """The engine does not answer, or says no; its words."""


class EngineClient:
    """One engine, by its socket. Use as an asynchronous context manager."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def __aenter__(self) -> Self:
        connector = aiohttp.UnixConnector(str(self._socket))
        self._http = aiohttp.ClientSession("http://docker", connector=connector, timeout=_ANSWER)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def wait_until_ready(self, within: float) -> None:
        """Return when it answers. Raises EngineError after so many seconds."""
        deadline = time.monotonic() + within
        while True:
            try:
                await self.call("GET", "/_ping")
            except EngineError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_LOOK_SECONDS)
            else:
                return

    async def load(self, image: str, rootfs: bytes) -> None:
        """Make an image of a tar archive."""
        repository, _, tag = image.rpartition(":")
        query = {"fromSrc": "-", "repo": repository, "tag": tag}
        await self.call("POST", "/images/create", data=io.BytesIO(rootfs), params=query)

    async def begin(self, address: str) -> None:
        """The first manager of a new Swarm."""
        body = {"ListenAddr": f"0.0.0.0:{_PORT}", "AdvertiseAddr": address, **_ADDRESSES}
        await self.call("POST", "/swarm/init", json=body)

    async def join(self, address: str, managers: list[str], token: str) -> None:
        """One more node of a Swarm."""
        body = {
            "ListenAddr": f"0.0.0.0:{_PORT}",
            "AdvertiseAddr": address,
            "RemoteAddrs": [f"{manager}:{_PORT}" for manager in managers],
            "JoinToken": token,
        }
        await self.call("POST", "/swarm/join", json=body)

    async def join_token(self, role: str) -> str:
        """What a new node of that role needs. Raises EngineError unless this engine is a manager."""
        swarm = await self.call("GET", "/swarm")
        return str(swarm["JoinTokens"][role.capitalize()])

    async def membership(self) -> Mapping[str, Any]:
        """`Swarm` of `docker info`."""
        info = await self.call("GET", "/info")
        membership: Mapping[str, Any] = info["Swarm"]
        return membership

    async def call(self, method: str, path: str, **sent: Any) -> Any:
        """The answer's JSON; None where it is not JSON. Raises EngineError."""
        try:
            async with self._http.request(method, path, **sent) as answer:
                if answer.status >= 400:
                    raise EngineError(f"{method} {path}: {answer.status} {(await answer.text()).strip()}")
                if answer.content_type != "application/json" or path.startswith("/images/create"):
                    await answer.read()
                    return None
                return await answer.json()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineError(f"{method} {path}: {str(error) or 'no answer in time'}") from error
