"""Alertmanager in memory: it keeps what it is told."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.alertmanager import Alert
from tests.fakes.hooks import Hooks, Port, hooked


@dataclass(frozen=True, slots=True)
class Posted:
    """An alert, and when it was said to have begun."""

    alert: Alert
    at: datetime


class InMemoryAlerts(Port):
    """The AlertSink port."""

    port = "alerts"

    def __init__(self, hooks: Hooks | None = None) -> None:
        super().__init__(hooks)
        self.posted: list[Posted] = []

    @property
    def summaries(self) -> list[str]:
        """What was said, in order."""
        return [posted.alert.summary for posted in self.posted]

    @hooked
    async def post(self, alert: Alert, now: datetime, timeout: timedelta) -> None:
        """Keep it."""
        self.posted.append(Posted(alert, now))
