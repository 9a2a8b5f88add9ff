"""A caller's connection: how long a request may take to arrive, and how a connection ends.

Sanic's own time-outs start again with each byte that arrives, count a body's arrival as part of the answer's time, and
wait for ever for what is left of a body after an early answer. Here, one deadline holds from a request's first byte to
its last, however slowly it drips. A caller that has said that it sends nothing more still gets its answer. The body's
framing is read as RFC 9112 has it where Sanic is stricter. Everything else about HTTP is Sanic's.
"""

from asyncio import CancelledError
from dataclasses import dataclass
from typing import Any, Literal, cast

from sanic.exceptions import BadRequest, RequestTimeout, SanicException, ServiceUnavailable
from sanic.http import Http, Stage
from sanic.server import HttpProtocol

from ingest import framing, presence


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a connection may take for what; seconds."""

    tick: float = 1.0
    """Between two looks at a connection."""
    receive: float = 10.0
    """For a request to arrive, headers and body; and for the first byte of a new connection."""
    drain: float = 1.0
    """For what is left of a request that has been answered already."""
    idle: float = 75.0
    """Between two requests: longer than proxies keep theirs."""
    answer: float = 930.0
    """For an answer: the longest `wait`, and some."""
    linger: float = 10.0
    """To go on reading, and throwing away, after an error was answered while the caller was still sending. Without it
    the caller sees a reset connection in place of the answer (RFC 9112, section 9.6)."""


MOST = 1_000
"""Connections open at once."""

_FULL = b'{"status":"NOK","message":"Too many connections"}'
_FULL_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_FULL), _FULL)
)


Phase = Literal["idle", "receiving", "answering", "draining"]


class Exchange(Http):
    """The requests and answers on one connection, counted."""

    __slots__ = ("number",)

    def __init__(self, protocol: "Connection") -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]  # Sanic's
        self.number = 0

    def init_for_request(self) -> None:
        """A new request begins."""
        super().init_for_request()  # type: ignore[no-untyped-call]  # Sanic's
        self.number += 1

    async def http1_request_header(self) -> None:
        """Read the headers. A body of no bytes is none: it would be reported as one that nobody has read."""
        await self._whole_header()
        framing.write_plainly(self.recv_buffer)
        await super().http1_request_header()  # type: ignore[no-untyped-call]  # Sanic's
        if not self.request_bytes and "transfer-encoding" not in self.request.headers:
            self.request_body = None

    async def _whole_header(self) -> None:
        """Wait for the end of the headers, or for more than is allowed of them, which Sanic refuses."""
        while b"\r\n\r\n" not in self.recv_buffer and len(self.recv_buffer) <= self.HEADER_MAX_SIZE:
            await self._receive_more()

    async def read(self) -> bytes | None:
        """Some bytes of the body; trailers at its end are thrown away."""
        chunked: bool = self.request_body == "chunked"  # type: ignore[comparison-overlap]  # Sanic's
        if chunked and not self.request_bytes_left and not self.expecting_continue:
            while not framing.without_trailers(self.recv_buffer):
                await self._receive_more()
        chunk: bytes | None = await super().read()
        return chunk

    async def http1(self) -> None:
        """Serve requests until the connection ends; after an error the caller may still be sending."""
        try:
            await super().http1()  # type: ignore[no-untyped-call]  # Sanic's
        finally:
            response = self.response if self.number else None
            if response is not None and response.status >= 400:
                cast("Connection", self.protocol).expect_more(response.status)

    def create_empty_request(self) -> None:
        """A stand-in for a request that could not be read, for its error's sake."""
        try:
            super().create_empty_request()
        except SanicException:  # what came in place of a URL is none
            self.url = None
            super().create_empty_request()

    async def error_response(self, exception: Exception) -> None:
        """Answer an error. What never arrived is not waited for any longer."""
        await super().error_response(exception)
        if isinstance(exception, RequestTimeout):
            self.request_body = None

    @property
    def phase(self) -> Phase:
        """What the connection is waiting for."""
        if self.stage is Stage.IDLE:
            return "draining" if self.number and self.request_body else "idle"
        receiving = self.stage is Stage.REQUEST or bool(self.request_body)
        return "receiving" if receiving else "answering"


class Connection(HttpProtocol):
    """Sanic's connection with deadlines that hold."""

    HTTP_CLASS = Exchange
    __slots__ = ("_discards", "_ended", "_lingers", "_phase", "_since", "deadlines")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deadlines: Deadlines = self.app.ctx.deadlines
        self._lingers = 0.0
        self._discards = False
        self._ended = False
        self._phase: tuple[int, Phase] | None = None
        self._since = 0.0

    def connection_made(self, transport: Any) -> None:
        """Sanic's, unless there are too many."""
        super().connection_made(transport)  # type: ignore[no-untyped-call]  # Sanic's
        if len(self.connections) > MOST:
            transport.write(_FULL_ANSWER)
            self.close()

    def data_received(self, data: bytes) -> None:
        """Sanic's, until nobody listens any more."""
        if not self._discards:
            super().data_received(data)

    def eof_received(self) -> bool:
        """The caller sends nothing more. What has arrived is answered; whoever has gone altogether is noticed later.

        A closed connection looks the same as a half-closed one until its system says otherwise: it answers probes with
        a reset once it has forgotten the connection (on Linux after a minute).
        """
        self._ended = True
        self._data_received.set()
        presence.probe(self.transport)
        return self._task is not None

    async def receive_more(self) -> None:
        """Wait for more bytes. Ends an idle connection, or raises BadRequest, when none can come any more."""
        before = len(self.recv_buffer)
        if not self._ended:
            await super().receive_more()  # type: ignore[no-untyped-call]  # Sanic's
        if self._ended and len(self.recv_buffer) == before:
            exchange = cast("Exchange", self.http)
            if exchange.phase == "idle":
                raise CancelledError
            raise BadRequest("The connection was closed before the whole request had arrived")

    def expect_more(self, status: int) -> None:
        """An error was answered, maybe while the caller was still sending; whoever was too slow has had its time."""
        slow = status == RequestTimeout.status_code
        self._lingers = self.deadlines.drain if slow else self.deadlines.linger

    def close(self, timeout: float | None = None) -> None:
        """Sanic's; but after an error say first that nothing follows, and let the caller finish."""
        listens = self._lingers and not self._ended
        if listens and self.transport is not None and not self.transport.is_closing():
            self.loop.call_later(self._lingers, self.close)
            self._lingers, self._discards = 0.0, True
            self.transport.write_eof()
            self.transport.resume_reading()
        else:
            super().close(timeout)

    def check_timeouts(self) -> None:
        """Look at the connection, once a tick."""
        exchange = cast("Exchange | None", self.http)
        if self._task is None or exchange is None:
            return
        if self._ended and presence.gone(self.transport):
            self.abort()  # type: ignore[no-untyped-call]  # Sanic's
            return
        if (exchange.number, exchange.phase) != self._phase:
            self._phase, self._since = (exchange.number, exchange.phase), self.loop.time()
        if self.loop.time() - self._since > self._limit(exchange):
            self._cut(exchange)
        else:
            self._callback_check_timeouts = self.loop.call_later(self.deadlines.tick, self.check_timeouts)

    def _limit(self, exchange: Exchange) -> float:
        match exchange.phase:
            case "idle":
                return self.deadlines.receive if exchange.number <= 1 else self.deadlines.idle
            case "receiving":
                return self.deadlines.receive
            case "draining":
                return self.deadlines.drain
            case "answering":
                return self.deadlines.answer

    def _cut(self, exchange: Exchange) -> None:
        """End what is going on; a caller that waits for an answer gets one."""
        if exchange.phase == "receiving":
            exchange.exception = RequestTimeout(f"The request did not arrive within {self.deadlines.receive:g} seconds")
        elif exchange.phase == "answering":
            exchange.exception = ServiceUnavailable("No answer in time")
        self._callback_check_timeouts = self.loop.call_later(self.deadlines.tick, self.check_timeouts)
        if self._task is not None:
            self._task.cancel()
