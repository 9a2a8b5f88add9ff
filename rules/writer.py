"""One look: services in, rules out. What fails leaves the file as it is, and is said."""

from pathlib import Path
from typing import Protocol

import structlog

from rules import own_shortcuts
from rules.decision import decide
from rules.file import RuleFile
from rules.metrics import Metrics
from rules.model import Decision, Problem, Service
from rules.rendering import rendered
from shared.errors import Unavailable

log = structlog.get_logger()


class Services(Protocol):
    """Who knows the services."""

    def services(self) -> list[Service]:
        """All of them. Raises Unavailable."""


class Writer:
    """Keeps the file true to the services."""

    def __init__(self, swarm: Services, file: RuleFile, folder: Path, metrics: Metrics) -> None:
        self._swarm = swarm
        self._file = file
        self._folder = folder
        self._metrics = metrics
        self._told: frozenset[Problem] = frozenset()
        self._away = ""

    def look(self) -> bool:
        """Read, decide, write. Whether all of it could be done."""
        try:
            services = self._swarm.services()
        except Unavailable as error:
            self._fail("read", str(error))
            return False
        self._metrics.read()
        decision = self._decide(services)
        self._tell(decision.problems)
        try:
            changed = self._file.write(rendered(decision))
        except OSError as error:
            self._fail("write", str(error))
            return False
        self._metrics.decided(decision)
        self._away = ""
        if changed:
            self._metrics.written()
            log.info("rules_written", rules=len(decision.rules), left_out=len(decision.problems))
        return True

    def _decide(self, services: list[Service]) -> Decision:
        own, problems = own_shortcuts.read(self._folder)
        decision = decide(services, own)
        return Decision(decision.rules, tuple(sorted({*decision.problems, *problems})))

    def _tell(self, problems: tuple[Problem, ...]) -> None:
        """Each problem once, when it comes, and once when it is mended."""
        now = frozenset(problems)
        for problem in sorted(now - self._told):
            log.warning("rule_left_out", service=problem.service, alert=problem.alert, reason=problem.reason)
        for problem in sorted(self._told - now):
            log.info("rule_mended", service=problem.service, alert=problem.alert)
        self._told = now

    def _fail(self, what: str, reason: str) -> None:
        """Said when it begins and whenever the reason is another; counted each time."""
        self._metrics.failed(what)
        if reason != self._away:
            log.error("rules_unchanged", what=what, error=reason, file="stays as it is")
        self._away = reason
