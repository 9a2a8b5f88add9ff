"""A Docker socket in front of another one, which counts the calls that come through it."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_REQUEST: Final = re.compile(rb"^([A-Z]+) (\S+) HTTP/1\.[01]\r\n", re.MULTILINE)
_CHUNK: Final = 65_536


class CountingSocket:
    """The calls, as (time.monotonic(), "METHOD path") in the order in which they came."""

    def __init__(self, path: Path, behind: Path) -> None:
        self.path = path
        self.calls: list[tuple[float, str]] = []
        self._behind = behind
        self._listener = socket.socket(socket.AF_UNIX)
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = [self._listener]

    def since(self, when: float) -> list[str]:
        """The calls from a moment of `time.monotonic()` on."""
        return [call for at, call in list(self.calls) if at >= when]

    def open(self) -> None:
        """Listen."""
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._run(self._accept)

    def close(self) -> None:
        """Hang up, everywhere."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join()

    def _run(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                engine = socket.socket(socket.AF_UNIX)
                self._sockets += [client, engine]
                engine.connect(str(self._behind))
                self._run(self._pass, client, engine, True)
                self._run(self._pass, engine, client, False)

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if counted:
                    self._count(data)
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _count(self, data: bytes) -> None:
        for method, path in _REQUEST.findall(data):
            self.calls.append((time.monotonic(), f"{method.decode()} {path.decode()}"))


@contextmanager
def counting(path: Path, behind: Path) -> Iterator[CountingSocket]:
    """A counting socket at `path`, in front of the engine at `behind`."""
    proxy = CountingSocket(path, behind)
    proxy.open()
    try:
        yield proxy
    finally:
        proxy.close()
