"""One Docker engine: calls through the SDK in threads, the stream of events through asyncio.

The SDK blocks, so calls run in a few threads; what they mean is left to `swarm`. Three things to know:

- Cancelling a call does not stop its thread. What it has sent, it has sent; but it sends nothing more, and ends
  with its time-out. `idle` waits for that.
- Each thread has an SDK client of its own: a requests session keeps state (cookies, redirects, adapters) that is
  not made for two threads, and the API version is negotiated anew after the engine was away.
- The endless read of the events has no thread: nothing could stop one that waits in the SDK's stream.
"""

import asyncio
import codecs
import json
import math
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Self, TypeVar

import aiohttp
import requests
from docker import APIClient
from docker.errors import DockerException
from docker.utils import parse_host

from shared.clock import SystemClock
from shared.errors import NotFound, Refused, ScalerError, Unavailable

THREADS = 4
"""So many calls at once; more wait for their turn, inside their time-out."""

CHUNK_BYTES = 64 * 1024

T = TypeVar("T")


class OutOfSequence(Unavailable):
    """An update named a version that is not the newest any more. Nothing was changed."""


_CLOCK = SystemClock()
"""One that runs on while the machine is suspended: what was queued before must not go out afterwards."""


class _Limit:
    """How long one call may still send and read."""

    def __init__(self, limit: timedelta) -> None:
        self._deadline = _CLOCK.uptime() + limit.total_seconds()
        self.abandoned = False

    def left(self) -> float:
        """Seconds. Raises Unavailable where there are none, or nobody waits for the call any more."""
        left = self._deadline - _CLOCK.uptime()
        if self.abandoned or left <= 0:
            raise Unavailable("Docker: no answer in time")
        return left


class Api:
    """The engine's API for one call, from within its thread. Raises Unavailable, Refused or NotFound."""

    def __init__(self, client: APIClient, limit: _Limit) -> None:
        self._client = client
        self._limit = limit

    def get(self, path: str, **params: Any) -> Any:
        """The JSON that a path answers with."""
        with self._request("GET", path, params=params) as answer:
            return answer.json()

    def each(self, path: str, filters: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
        """The objects of a JSON array, one at a time: 20,000 tasks are 40 MB of JSON and 200 MB as dictionaries."""
        with self._request("GET", path, params={"filters": json.dumps(filters)}, stream=True) as answer:
            yield from elements(self._chunks(answer))

    def post(self, path: str, body: Any, **params: Any) -> None:
        """Send JSON. Raises OutOfSequence too."""
        self._request("POST", path, params=params, json=body).close()

    def delete(self, path: str, **params: Any) -> None:
        """Remove what the path names."""
        self._request("DELETE", path, params=params).close()

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        url = f"{self._client.base_url}/v{self._client.api_version}{path}"
        answer = self._client.request(method, url, timeout=self._limit.left(), allow_redirects=False, **options)
        if answer.status_code >= 300:
            with answer:
                raise _refusal(answer)
        return answer

    def _chunks(self, answer: requests.Response) -> Iterator[bytes]:
        for chunk in answer.iter_content(CHUNK_BYTES):
            self._limit.left()
            yield chunk


class Engine:
    """The way to one engine. Close it with `aclose`, or use it as an asynchronous context manager."""

    def __init__(self, docker_host: str, call_timeout: timedelta) -> None:
        self._host = docker_host
        self._call_timeout = call_timeout
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="docker")
        self._own = threading.local()
        self._clients: set[APIClient] = set()
        self._outages = 0
        self._running: set[Future[Any]] = set()

    async def run(self, work: Callable[[Api], T]) -> T:
        """Run blocking work in a thread. The whole of it has the call's time-out."""
        limit = _Limit(self._call_timeout)
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

    @asynccontextmanager
    async def events(self, filters: Mapping[str, list[str]]) -> AsyncIterator[AsyncIterator[None]]:
        """One item per burst of events, subscribed from entering on. It ends when the engine goes away.

        The engine answers a moment before it subscribes: `since` makes it hand out what came in between.
        """
        try:
            base, connector = _reachable(self._host)
        except DockerException as error:
            raise Unavailable(f"Docker: {_brief(error)}") from error
        params = {"filters": json.dumps(filters), "since": str(int(time.time()) - 1)}
        endless = aiohttp.ClientTimeout(total=None, sock_connect=self._call_timeout.total_seconds())
        async with aiohttp.ClientSession(connector=connector, timeout=endless) as session:
            try:
                async with asyncio.timeout(self._call_timeout.total_seconds()):
                    answer = await session.get(f"{base}/events", params=params)
                    if answer.status >= 300:
                        raise Unavailable(f"Docker events: {answer.status} {(await answer.text())[:200].strip()}")
            except (aiohttp.ClientError, OSError) as error:
                raise Unavailable(f"Docker events: {_brief(error)}") from error
            try:
                yield _Bursts(answer.content)
            finally:
                answer.close()

    async def idle(self) -> None:
        """Wait until no thread is at work any more, of calls that were cancelled too. Bounded by their time-outs."""
        await asyncio.to_thread(wait, tuple(self._running))

    async def aclose(self) -> None:
        """End the threads and close their connections."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        while self._clients:
            self._clients.pop().close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _work(self, work: Callable[[Api], T], limit: _Limit) -> T:
        try:
            _knock(self._host, limit.left())
            return work(Api(self._client(limit), limit))
        except ScalerError:
            raise
        except (DockerException, requests.RequestException, OSError, ValueError) as error:
            self._outages += 1
            self._hang_up()
            raise Unavailable(f"Docker: {_brief(error)}") from error

    def _client(self, limit: _Limit) -> APIClient:
        """This thread's client. A new one, also after any thread's trouble, asks which API version is spoken."""
        client: APIClient | None = getattr(self._own, "client", None)
        if client is not None and self._own.outages == self._outages:
            return client
        self._hang_up()
        self._own.outages = self._outages
        client = APIClient(base_url=self._host, version="auto", timeout=math.ceil(limit.left()), max_pool_size=1)
        self._own.client = client
        self._clients.add(client)
        return client

    def _hang_up(self) -> None:
        client: APIClient | None = getattr(self._own, "client", None)
        if client is not None:
            self._own.client = None
            self._clients.discard(client)
            client.close()


class _Bursts:
    """Whatever has come in since the last look is one item. The filters let nothing else come in."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> None:
        try:
            come = await self._content.readany()
        except (aiohttp.ClientError, OSError):
            raise StopAsyncIteration from None
        if not come:
            raise StopAsyncIteration


def elements(chunks: Iterator[bytes]) -> Iterator[Any]:
    """The elements of a JSON array of objects, as its text comes in. Raises ValueError where it is not one."""
    scan = json.JSONDecoder().raw_decode
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, position = "", 0
    for chunk in chunks:
        text, position = text[position:] + decoder.decode(chunk), 0
        while True:
            position = _next(text, position)
            try:
                element, position = scan(text, position)
            except ValueError:  # not all here yet
                break
            if element is None:  # Go's empty list
                return
            yield element
    if text[position:].strip() != "]":
        raise ValueError("the answer ends in the middle of a list")


def _next(text: str, position: int) -> int:
    """Where the next element begins: past white space, the opening bracket and commas."""
    while position < len(text) and text[position] in " \t\r\n[,":
        position += 1
    return position


def _refusal(answer: requests.Response) -> ScalerError:
    """The engine's "no" as one of our errors, in its own words."""
    words = _words(answer)
    if "out of sequence" in words:
        return OutOfSequence(f"Docker: {words}")
    if answer.status_code == 404:
        return NotFound(words)
    if answer.status_code >= 500 or answer.status_code in {408, 429}:
        return Unavailable(f"Docker: {words}")
    return Refused(f"Docker: {words}")


def _words(answer: requests.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text.strip()[:500] or f"{answer.status_code} {answer.reason}"


def _knock(docker_host: str, seconds: float) -> None:
    """Raise OSError where nobody listens on a unix socket: the SDK would forget to close its own end of that."""
    base = str(parse_host(docker_host))
    if base.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(seconds)
            probe.connect(base.removeprefix(_UNIX))


_UNIX = "http+unix://"


def _reachable(docker_host: str) -> tuple[str, aiohttp.BaseConnector]:
    """The base URL and the connector for an address as DOCKER_HOST writes it."""
    base = str(parse_host(docker_host))
    if base.startswith(_UNIX):
        return "http://docker", aiohttp.UnixConnector(path=base.removeprefix(_UNIX))
    return base, aiohttp.TCPConnector()


def _brief(error: Exception) -> str:
    return str(error) or type(error).__name__
