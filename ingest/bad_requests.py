"""Telling Alertmanager about requests that can never be valid: whoever wrote the rule does not see our answers."""

from datetime import timedelta

import structlog

from ingest.ports import Alerts
from shared.action import Action
from shared.alertmanager import Alert
from shared.clock import Clock
from shared.errors import ScalerError

LONGEST = timedelta(seconds=1)

_log = structlog.get_logger(__name__)


class BadRequests:
    """Posts one alert for each bad request; without an Alertmanager, none."""

    def __init__(self, alerts: Alerts | None, clock: Clock) -> None:
        self._alerts = alerts
        self._clock = clock

    async def tell(self, action: Action, message: str) -> None:
        """Say it, for at most a second. Alertmanager's own trouble changes nothing."""
        if self._alerts is None:
            return
        alert = Alert(action.alert_name, "bad_request", "error", "Incorrect request", message)
        try:
            await self._alerts.post(alert, self._clock.now(), LONGEST)
        except ScalerError as error:
            _log.warning("alert_not_taken", alertname=alert.alertname, error=str(error))
