"""What all tests share."""

import asyncio

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.real import mark

# Property tests fail for what they find, never for how busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

ROWS = ("tests/e2e/test_crash_matrix.py", "tests/e2e/test_outages.py", "tests/simulation/")
"""Each of their tests may run in any process."""


class FilesThenRows(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """The tests of a file share what it sets up, and run in one process; rows go to whichever process has room."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(ROWS) else str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesThenRows | None:
    """For `--dist loadfile`."""
    return FilesThenRows(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rows come last: they fill the time in which some process still has a long file."""
    mark(items)
    items.sort(key=lambda item: item.nodeid.startswith(ROWS))


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
