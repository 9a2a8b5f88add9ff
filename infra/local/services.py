"""One ingest and some workers as child processes, on the variables they are given: started, asked, stopped.

Ports are free ones unless the settings name them. A worker that was killed stays dead; `start_worker` makes a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp

from infra.local import children
from infra.local.children import Child
from infra.local.loopback import HOST, free_ports
from infra.local.surroundings import given, inherited

_SET_UP_SECONDS: Final = 30.0
_ANSWER: Final = aiohttp.ClientTimeout(total=3)


class Services:
    """The processes. `ends` hears of each that ends, in words."""

    ingest: Child

    def __init__(
        self,
        http: aiohttp.ClientSession,
        settings: Mapping[str, str],
        own: Mapping[str, str],
        logs: Path,
        ends: Callable[[str], None],
    ) -> None:
        """`settings`: what was given from outside; `own`: what the environment says, and nobody else."""
        self.workers: list[Child] = []
        self._http = http
        self._settings = settings
        self._environ = inherited(settings) | dict(own)
        self._logs = logs
        self._ends = ends
        self._ports = free_ports()
        self._watches: list[asyncio.Task[None]] = []

    async def start(self, workers: int) -> None:
        """Return when ingest is ready and a worker is active. Raises SetUpFailed."""
        await self._start_ingest()
        for _ in range(workers):
            await self.start_worker()
        await children.until(self._ingest_is_ready, self.all, "A ready ingest", _SET_UP_SECONDS)
        await children.until(self._one_is_active, self.all, "An active worker", _SET_UP_SECONDS)
        self._watches += [asyncio.create_task(self._watch(child)) for child in self.all]

    async def stop(self) -> None:
        """End what still runs."""
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        await children.stop(self.all)

    @property
    def all(self) -> list[Child]:
        """The processes, those that have ended included."""
        return [*([self.ingest] if hasattr(self, "ingest") else []), *self.workers]

    @property
    def authorization(self) -> dict[str, str]:
        """The headers that ingest wants, if it has been given a token."""
        token = self._token
        return {"Authorization": f"Bearer {token}"} if token else {}

    @property
    def variables(self) -> dict[str, str]:
        """Their part of `.local/env`."""
        return {
            "INGEST_URL": self.ingest.url or "",
            "WORKER_URLS": " ".join(filter(None, (worker.url for worker in self.workers))),
            "INGEST_PID": str(self.ingest.pid),
            "WORKER_PIDS": " ".join(str(worker.pid) for worker in self.workers),
            "SCALER_URL": self.ingest.url or "",
        } | ({"WEBHOOK_TOKEN": self._token, "SCALER_TOKEN": self._token} if self._token else {})

    @property
    def _token(self) -> str | None:
        return given(self._settings, "WEBHOOK_TOKEN")

    async def start_worker(self) -> Child:
        """One more worker. The first takes the port that WORKER_PORT names, if any; 0 gives none of them one."""
        number, asked = len(self.workers) + 1, given(self._settings, "WORKER_PORT")
        port = asked if asked and (number == 1 or asked == "0") else str(next(self._ports))
        url = None if port == "0" else f"http://{HOST}:{port}"
        worker = await self._start(f"worker-{number}", "worker", {"WORKER_PORT": port}, url)
        self.workers.append(worker)
        return worker

    async def active_worker(self) -> Child | None:
        """The worker that holds the lease, as its metrics say."""
        for worker in self.workers:
            if worker.alive and worker.url and "scaler_active 1.0" in await self._text(f"{worker.url}/metrics"):
                return worker
        return None

    async def listens(self, child: Child) -> bool:
        """Whether a process answers."""
        return bool(await self._text(f"{child.url}/healthz"))

    async def _start_ingest(self) -> None:
        asked = given(self._settings, "INGEST_PORT")
        port = asked if asked and asked != "0" else str(next(self._ports))
        host = given(self._environ, "INGEST_HOST") or HOST
        url = f"http://{HOST if host == '0.0.0.0' else host}:{port}"
        self.ingest = await self._start("ingest", "ingest", {"INGEST_PORT": port}, url)

    async def _start(self, name: str, module: str, more: Mapping[str, str], url: str | None) -> Child:
        log = self._logs / f"{name}.log"
        log.unlink(missing_ok=True)
        return await children.start(name, module, {**self._environ, **more}, log, url)

    async def _one_is_active(self) -> bool:
        """Workers without a port keep it to themselves."""
        return not any(worker.url for worker in self.workers) or await self.active_worker() is not None

    async def _ingest_is_ready(self) -> bool:
        return bool(await self._text(f"{self.ingest.url}/readyz"))

    async def _text(self, url: str) -> str:
        """The text of an answer with 200, else nothing."""
        with suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
            async with self._http.get(url, headers=self.authorization, timeout=_ANSWER) as answer:
                return await answer.text() if answer.status == 200 else ""
        return ""

    async def _watch(self, child: Child) -> None:
        self._ends(f"{child.name} ({child.pid}) {await child.ended()}")
