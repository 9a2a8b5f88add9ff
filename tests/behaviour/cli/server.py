"""A small server that says what a test wants, and remembers what it was asked; and one run of `scaler`."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cli import program

NO_ROUTE = {"status": "NOK", "message": "There is no such route; GET /docs says which there are"}
Body = dict[str, Any] | list[Any] | bytes


@dataclass
class Asked:
    """One request that came in."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class Server:
    """`says`: to `METHOD path` (without the query), a code and a body; a list is said one after the other."""

    says: dict[str, Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""
    on_ask: Callable[[Asked], None] = lambda _asked: None

    def queued(self, path: str, record: dict[str, Any], *more: dict[str, Any]) -> None:
        """A POST that is queued as `r1`, and its records, the last one for good."""
        self.says[f"POST {path}"] = (202, {"status": "OK", "message": "Queued", "id": "r1"})
        self.says["GET /v1/requests/r1"] = [(200, each) for each in (record, *more)]

    def answer(self, asked: Asked) -> tuple[int, Body]:
        """What is said next."""
        self.asked.append(asked)
        self.on_ask(asked)
        said = self.says.get(f"{asked.method} {asked.path.partition('?')[0]}", (404, NO_ROUTE))
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        code, body = said
        return code, body


@contextmanager
def serving() -> Iterator[Server]:
    """On a free port."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = server.answer(Asked(self.command, self.path, dict(self.headers)))
            self.send_response(code)
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        do_POST = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{listening.server_address[1]}"
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()


@dataclass
class Ended:
    """A run of `scaler`."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        """Piped lines."""
        return [line.split("\t") for line in self.out.splitlines()]


class Terminal(io.StringIO):
    """A person looks."""

    def isatty(self) -> bool:
        return True


Run = Callable[..., Ended]


def runner(monkeypatch: pytest.MonkeyPatch, url: str, **environ: str) -> Run:
    """Runs the program in this process, piped unless `person` looks."""

    def run(*words: str, person: bool = False) -> Ended:
        out, err = Terminal() if person else io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch:
            for name in ("SCALER_TOKEN", "SCALER_TOKEN_FILE", "SCALER_URL_FILE"):
                patch.delenv(name, raising=False)
            for name, value in {"SCALER_URL": url, "NO_PROXY": "127.0.0.1", "COLUMNS": "150", **environ}.items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            try:
                code = program.main(words)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Ended(code, out.getvalue(), err.getvalue())

    return run
