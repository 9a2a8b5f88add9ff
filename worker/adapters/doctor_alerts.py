"""Whether an Alertmanager answers: what `--check` asks of it. Nobody is told anything.

https://prometheus.io/docs/alerting/latest/management_api/
"""

from datetime import timedelta

import aiohttp

from shared.causes import cause
from shared.errors import Refused, Unavailable
from worker.doctor.facts import Trial


def probe(session: aiohttp.ClientSession, address: str, timeout: timedelta) -> Trial:
    """A call that raises Unavailable or Refused where the Alertmanager at a base URL is not healthy."""

    async def trial() -> None:
        limit = aiohttp.ClientTimeout(total=timeout.total_seconds())
        try:
            async with session.get(f"{address}/-/healthy", timeout=limit) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(cause(error)) from error
        if status != 200:
            raise Refused(f"GET /-/healthy answers {status}")

    return trial
