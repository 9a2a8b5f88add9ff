"""A server, and `scaler` that asks it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.behaviour.cli.server import Run, Server, runner, serving
from tests.behaviour.ingest.conftest import _several_services, prefixed, service

__all__ = ["_several_services", "prefixed", "service"]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def scaler(server: Server, monkeypatch: pytest.MonkeyPatch) -> Run:
    """With the server's URL, and without a pause between two looks."""
    monkeypatch.setattr("cli.following._LOOK", timedelta())
    return runner(monkeypatch, server.url)
