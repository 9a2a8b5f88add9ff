"""What all tests share."""

import asyncio

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_loop_of_before() -> None:
    """Without it pytest-asyncio makes a loop on Python 3.11 that nobody closes, and some later test is blamed."""
    asyncio.set_event_loop(None)
