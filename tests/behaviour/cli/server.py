"""A small server that says what a test wants, and remembers what it was asked; and one run of `scaler`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from cli import program
from tests import http_servers
from tests.http_servers import Answer, Asked

NO_ROUTE = {"status": "NOK", "message": "There is no such route; GET /docs says which there are"}


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

    def answer(self, asked: Asked) -> Answer:
        """What is said next."""
        self.asked.append(asked)
        self.on_ask(asked)
        said = self.says.get(f"{asked.method} {asked.path.partition('?')[0]}", (404, NO_ROUTE))
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        code, body = said
        return Answer(code, body if isinstance(body, bytes) else json.dumps(body).encode(), self.headers)


@contextmanager
def serving() -> Iterator[Server]:
    """On a free port."""
    server = Server()
    with http_servers.serving(server.answer) as server.url:
        yield server


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
