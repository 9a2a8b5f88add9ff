"""A server that hears one request and hangs up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(slots=True)
class Heard:
    """Where it listens, and what came first."""

    url: str
    text: str = ""


@contextmanager
def first_request() -> Iterator[Heard]:
    """Listen on loopback; whoever comes is cut off after its headers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = Heard(f"http://127.0.0.1:{server.getsockname()[1]}")
        thread = threading.Thread(target=_listen, args=(server, heard))
        thread.start()
        try:
            yield heard
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _listen(server: socket.socket, heard: Heard) -> None:
    with suppress(OSError):
        while True:
            caller, _ = server.accept()
            with caller:
                caller.settimeout(5)
                text = _headers(caller)
                heard.text = heard.text or text


def _headers(caller: socket.socket) -> str:
    data = b""
    with suppress(OSError):
        while b"\r\n\r\n" not in data:
            more = caller.recv(65_536)
            if not more:
                break
            data += more
    return data.decode("latin-1")
