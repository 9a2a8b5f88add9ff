"""One Docker engine: calls through the SDK in threads.

The SDK blocks, so calls run in a few threads; what they mean is left to `swarm`. Three things to know:

- Cancelling a call does not stop its thread. What it has sent, it has sent; but it sends nothing more, and ends
  with its time-out. `idle` waits for that.
- Each thread has an SDK client of its own: a requests session keeps state (cookies, redirects, adapters) that is
  not made for two threads, and the API version is negotiated anew after the engine was away.
- The endless read of the events has no thread: `engine_events`.
"""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any, TypeVar

import requests
from docker import APIClient
from docker.errors import DockerException

from shared.causes import cause
from shared.errors import ScalerError, Unavailable
from worker.adapters.engine_address import EngineAddress
from worker.adapters.engine_api import Api, CallLimit
from worker.adapters.engine_events import subscription

THREADS = 4
"""So many calls at once; more wait for their turn, inside their time-out."""

T = TypeVar("T")


class _Client(APIClient):
    """The SDK's client, which trusts whom it was told to trust: requests lets REQUESTS_CA_BUNDLE overrule that."""

    def merge_environment_settings(self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any) -> Any:
        """What one request is sent with."""
        verify = self.verify if verify is None else verify
        return super().merge_environment_settings(url, proxies, stream, verify, cert)


class Engine:
    """The way to one engine. Close it with `aclose`."""

    def __init__(self, address: EngineAddress, call_timeout: timedelta) -> None:
        self._address = address
        self._call_timeout = call_timeout
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")
        self._own = threading.local()
        self._clients: set[APIClient] = set()
        self._outages = 0
        self._running: set[Future[Any]] = set()

    async def run(self, work: Callable[[Api], T]) -> T:
        """Run blocking work in a thread. The whole of it has the call's time-out."""
        limit = CallLimit(self._call_timeout)
        future = self._threads.submit(self._work, work, limit)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        try:
            async with asyncio.timeout(self._call_timeout.total_seconds()):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise Unavailable("Docker: no answer in time") from error
        finally:
            limit.abandoned = True

    def events(self, filters: Mapping[str, list[str]]) -> AbstractAsyncContextManager[AsyncIterator[None]]:
        """One item per burst of events, subscribed from entering on. It ends when the engine goes away."""
        return subscription(self._address, filters, self._call_timeout)

    async def idle(self) -> None:
        """Wait until no thread is at work any more, of calls that were cancelled too. Bounded by their time-outs."""
        await asyncio.to_thread(wait, tuple(self._running))

    async def aclose(self) -> None:
        """End the threads and close their connections."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        while self._clients:
            self._clients.pop().close()

    def _work(self, work: Callable[[Api], T], limit: CallLimit) -> T:
        try:
            self._address.knock(limit.left())
            return work(Api(self._client(limit), limit))
        except ScalerError:
            raise
        except (DockerException, requests.RequestException, OSError, ValueError) as error:
            self._outages += 1
            self._hang_up()
            raise Unavailable(f"Docker: {cause(error)}") from error

    def _client(self, limit: CallLimit) -> APIClient:
        """This thread's client. A new one, also after any thread's trouble, asks which API version is spoken."""
        client: APIClient | None = getattr(self._own, "client", None)
        if client is not None and self._own.outages == self._outages:
            return client
        self._hang_up()
        self._own.outages = self._outages
        seconds, tls = math.ceil(limit.left()), self._address.sdk_tls()
        client = _Client(base_url=self._address.host, version="auto", timeout=seconds, tls=tls, max_pool_size=1)
        self._own.client = client
        self._clients.add(client)
        return client

    def _hang_up(self) -> None:
        client: APIClient | None = getattr(self._own, "client", None)
        if client is not None:
            self._own.client = None
            self._clients.discard(client)
            client.close()
