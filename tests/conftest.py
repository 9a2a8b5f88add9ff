"""What all tests share."""

import asyncio

import pytest
from hypothesis import HealthCheck, settings

# Property tests fail for what they find, never for how busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session", autouse=True)
def _no_loop_of_before() -> None:
    """Without it pytest-asyncio makes a loop on Python 3.11 that nobody closes, and some later test is blamed."""
    asyncio.set_event_loop(None)
