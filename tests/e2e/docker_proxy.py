"""A Docker socket in front of another one: it counts the calls, shows each to a tap, and can vanish and come back."""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from tests.e2e.tap import Call, Tap

_CHUNK: Final = 65_536
_LENGTH: Final = re.compile(rb"(?im)^content-length:\s*(\d+)")
_VERSION: Final = re.compile(r"^/v[0-9.]+(?=/)")
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: unix(7)


class DockerProxy:
    """The calls, as (time.monotonic(), "METHOD path") in the order in which they came."""

    def __init__(self, path: Path, behind: Path, tap: Tap) -> None:
        self.path = path
        self.calls: list[tuple[float, str]] = []
        self._behind = behind
        self._tap = tap
        self._listener: socket.socket | None = None
        self._connections: set[_Connection] = set()

    def since(self, when: float) -> list[str]:
        """The calls from a moment of `time.monotonic()` on."""
        return [call for at, call in list(self.calls) if at >= when]

    def open(self) -> None:
        """Listen."""
        self._listener = listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def close(self) -> None:
        """Hang up, everywhere; the socket's file goes too, as when an engine ends."""
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.path.unlink(missing_ok=True)
        for connection in list(self._connections):
            connection.leave()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """One connection, to its end."""
        with client, socket.socket(socket.AF_UNIX) as engine, suppress(OSError):
            engine.connect(str(self._behind))
            connection = _Connection(client, engine, self._tap, self.calls)
            self._connections.add(connection)
            back = threading.Thread(target=connection.run, args=(connection.back,), daemon=True)
            back.start()
            connection.run(connection.forth)
            back.join()
            self._connections.discard(connection)


class _Connection:
    """One client's connection, and its other half to the engine: whole requests forth, bytes back."""

    def __init__(self, client: socket.socket, engine: socket.socket, tap: Tap, calls: list[tuple[float, str]]) -> None:
        self._client = client
        self._engine = engine
        self._tap = tap
        self._calls = calls
        self._sender = _peer(client)
        self._asked: Call | None = None
        self._answered = threading.Event()
        self._answered.set()

    def run(self, way: Callable[[], None]) -> None:
        """One of the two ways; where one ends, so does the other."""
        with suppress(OSError):
            way()
        self.hang_up()

    def forth(self) -> None:
        """Requests, one by one. A client that goes takes none back: what has been asked is carried out, and seen so."""
        try:
            self._ask()
        finally:
            self._answered.wait()

    def _ask(self) -> None:
        with self._client.makefile("rb") as reader:
            while request := _whole(reader):
                head, body = request
                method, path = head.split(b" ", 2)[:2]
                self._calls.append((time.monotonic(), f"{method.decode()} {path.decode()}"))
                plain = _VERSION.sub("", path.decode().partition("?")[0])
                call = Call(f"{method.decode()} {plain}", json.loads(body or b"{}"), self._sender)
                if self._tap.arrives(call):
                    return
                self._asked = call
                self._answered.clear()
                try:
                    self._engine.sendall(head + body)
                except OSError:
                    self._answered.set()
                    raise

    def back(self) -> None:
        """Answers as they come; the first bytes of one tell how it went."""
        try:
            while data := self._engine.recv(_CHUNK):
                call, self._asked = self._asked, None
                if call is not None and data.split(b" ", 2)[1].startswith(b"2") and self._tap.carried_out(call):
                    return
                self._answered.set()
                self._client.sendall(data)
        finally:
            self._answered.set()

    def leave(self) -> None:
        """Hang up on the client."""
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)

    def hang_up(self) -> None:
        """In both directions, on both sides."""
        for one in (self._client, self._engine):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _peer(client: socket.socket) -> int:
    """The process at the other end."""
    return int(_CREDENTIALS.unpack(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0])


def _whole(reader: BinaryIO) -> tuple[bytes, bytes] | None:
    """The head and the body of the next request; None at the end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = reader.readline(_CHUNK)
        if not line:
            return None
        head += line
    length = _LENGTH.search(head)
    return head, reader.read(int(length[1])) if length else b""


@contextmanager
def proxied(path: Path, behind: Path, tap: Tap | None = None) -> Iterator[DockerProxy]:
    """A socket at `path`, in front of the engine at `behind`."""
    proxy = DockerProxy(path, behind, tap or Tap())
    proxy.open()
    try:
        yield proxy
    finally:
        proxy.close()
