"""A plugin of pytest: writes down which tests failed, whether those are marked `real`, and which passed.

`pytest -p infra.ci.outcomes --outcomes=FILE`. The file is there only when the run has come to its end.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import pytest

MARK = "real"


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed, in whichever of its phases, or a module that could not be collected."""

    test: str
    real: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the tests of one run. A test that failed while it was torn down has failed."""

    failures: tuple[Failure, ...] = ()
    passed: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def read(cls, path: Path) -> Self:
        """From the plugin's file; where it has written none, nothing is known."""
        if not path.exists():
            return cls()
        document = json.loads(path.read_text())
        return cls(tuple(Failure(**failure) for failure in document["failures"]), frozenset(document["passed"]))


class Recorder:
    """Hears pytest's reports; side by side, those of all its processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._failures: dict[str, Failure] = {}
        self._passed: set[str] = set()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A module that cannot be collected is never run again."""
        if report.failed:
            self._failures[report.nodeid] = Failure(report.nodeid, real=False, reason="it could not be collected")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of one test."""
        if report.failed:
            failure = Failure(report.nodeid, MARK in report.keywords, _reason(report))
            self._failures.setdefault(report.nodeid, failure)
        elif report.passed and report.when == "call":
            self._passed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write."""
        failures = [asdict(failure) for failure in self._failures.values()]
        passed = sorted(self._passed - self._failures.keys())
        self._path.write_text(json.dumps({"failures": failures, "passed": passed}))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The file."""
    parser.addoption("--outcomes", type=Path, help="where to write what became of each test")


def pytest_configure(config: pytest.Config) -> None:
    """Only the process that hears of all tests writes."""
    path: Path | None = config.getoption("--outcomes")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(path))


def _reason(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr if crash is None else crash.message)
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
