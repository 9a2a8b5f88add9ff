"""Where notices go."""

from datetime import datetime, timedelta
from typing import Protocol

from shared.alertmanager import Alert


class AlertSink(Protocol):
    """Where alerts go."""

    async def post(self, alert: Alert, now: datetime, timeout: timedelta) -> None:
        """Hand one alert over. Raises Unavailable or Refused."""
