"""A service for each test; Sanic allows several in one process only when told so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from sanic import Sanic
from sanic.touchup import TouchUp

from tests.behaviour.ingest.serving import Service, serving


@pytest.fixture(autouse=True, scope="session")
def _several_services() -> Iterator[None]:
    Sanic.test_mode = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TouchUp, "run", _once(TouchUp.run))
        yield
    Sanic.test_mode = False


def _once(run: Callable[[Any], None]) -> Callable[[Any], None]:
    """Sanic recompiles its own classes for each service, which is most of its start-up; once does for all."""
    done: list[Any] = []

    def run_once(app: Any) -> None:
        if not done:
            done.append(app)
            run(app)

    return run_once


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """With default settings."""
    async with serving() as running:
        yield running


@pytest.fixture
async def prefixed() -> AsyncIterator[Service]:
    """With a prefix and a token."""
    async with serving({"SERVER_PREFIX": "scaler", "WEBHOOK_TOKEN": "correct horse"}) as running:
        yield running
