"""A small threaded HTTP/1.1 server in front of the gateway: keep-alive, one thread per connection.

werkzeug's own server closes every connection after one answer and hides the socket's fate; a long poll
has to see whether its client is still there.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from infra.local.aws.request import ConnectionDropped, Handler, Reply, Request

_log = logging.getLogger(__name__)
_BODILESS: Final = (204, 304)


class Server(ThreadingHTTPServer):
    """Listens on 127.0.0.1 and gives each request to `handle`."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, handle: Handler) -> None:
        self.handle = handle
        self._connections: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), Connection)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.1,), name="aws-server", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and close every connection."""
        self.shutdown()
        self._thread.join()
        self.server_close()
        with self._guard:
            for connection in self._connections:
                hang_up(connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that stopping can close it."""
        with self._guard:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget it."""
        with self._guard:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is no news; anything else is."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("aws-connection-failed")


class Connection(BaseHTTPRequestHandler):
    """One client's connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """No access log; there is the call log."""

    def answer(self) -> None:
        """Read the request, give it to the gateway, write the reply."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = int(headers.get("content-length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # the client died while it sent: that was no request
            self.close_connection = True
            return
        address = ("127.0.0.1", self.server.server_port)
        request = Request(self.command, self.path, headers, body, self.connection, address)
        try:
            self._write(self.server.handle(request))
        except ConnectionDropped:
            self.close_connection = True
            hang_up(self.connection)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer  # noqa: N815 - http.server's names

    def _write(self, reply: Reply) -> None:
        """In one piece: two small writes would wait for each other's acknowledgement."""
        kept = [(name, value) for name, value in reply.headers if name.lower() not in _OWN_HEADERS]
        lines = [f"HTTP/1.1 {reply.status} {self.responses.get(reply.status, ('',))[0]}"]
        lines += [f"{name}: {value}" for name, value in kept]
        lines.append(f"Date: {self.date_time_string()}")
        if reply.status not in _BODILESS:
            lines.append(f"Content-Length: {len(reply.body)}")
        body = b"" if self.command == "HEAD" else reply.body
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


_OWN_HEADERS: Final = frozenset({"content-length", "connection", "date", "transfer-encoding"})


def hang_up(connection: socket.socket) -> None:
    """End a connection in both directions."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
