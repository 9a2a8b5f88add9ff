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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures that tests have taken down (`measured` in tests/e2e). Side by side, runs read only this file."""
    reports = [one for outcome in ("passed", "failed") for one in terminalreporter.getreports(outcome)]
    figures = [figure for one in reports if one.when == "call" for figure in one.user_properties]
    if figures:
        terminalreporter.section("measured")
        for name, value in figures:
            terminalreporter.write_line(f"{name}: {value}")
