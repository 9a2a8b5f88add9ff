"""Alerts to Alertmanager's v2 API (`POST /api/v2/alerts`), and so to Slack.

An alert is one fact about one thing: alertname and service say the thing, status says how it went. Posting one also
resolves the other statuses of the same thing: a group that holds `pending` and `success` at once has no common
summary, and Slack shows an empty text. When to say what is left to the callers.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self

import aiohttp

from shared.clock import rfc3339
from shared.errors import Refused, Unavailable

Status = Literal["success", "error", "pending"]
STATUSES: tuple[Status, ...] = ("success", "error", "pending")


_OPTIONAL = frozenset({"node", "id", "asked_by"})


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to say. `request` is what was asked, `summary` what became of it; the rest may be empty.

    `node`: the node that it is about; then only that node's other statuses are over. `id` and `asked_by` are the
    request's, for a link and a name in Slack.
    """

    alertname: str
    service: str
    status: Status
    request: str
    summary: str
    node: str = ""
    id: str = ""
    asked_by: str = ""

    def document(self) -> dict[str, str]:
        """As JSON, for the journal. What is empty is left out: an older worker knows the first five only."""
        return {name: value for name, value in asdict(self).items() if value or name not in _OPTIONAL}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The reverse of `document`."""
        return cls(**document)


def payload(alert: Alert, now: datetime, lasts: timedelta) -> list[dict[str, Any]]:
    """The body of a post: the alert, lasting a while, and its other statuses, over."""
    own = _entry(alert, alert.status, starts=now, ends=now + lasts)
    others = (status for status in STATUSES if status != alert.status)
    return [own, *(_entry(alert, status, starts=now - lasts, ends=now) for status in others)]


def _entry(alert: Alert, status: Status, *, starts: datetime, ends: datetime) -> dict[str, Any]:
    node = {"node": alert.node} if alert.node else {}
    asked = {"id": alert.id, "asked_by": alert.asked_by}
    return {
        "labels": {"alertname": alert.alertname, "service": alert.service, **node, "status": status},
        "annotations": {
            "request": alert.request,
            "summary": alert.summary,
            **{name: value for name, value in asked.items() if value},
        },
        "startsAt": rfc3339(starts),
        "endsAt": rfc3339(ends),
    }


class Alertmanager:
    """One Alertmanager, over a session that the process's entry opened."""

    def __init__(self, session: aiohttp.ClientSession, address: str, lasts: timedelta) -> None:
        self._session = session
        self._url = f"{address.rstrip('/')}/api/v2/alerts"
        self._lasts = lasts

    async def post(self, alert: Alert, now: datetime, timeout: timedelta) -> None:
        """Hand one alert over. Raises Unavailable, or Refused where Alertmanager says it is wrong (4xx)."""
        limit = aiohttp.ClientTimeout(total=timeout.total_seconds())
        try:
            async with self._session.post(self._url, json=payload(alert, now, self._lasts), timeout=limit) as answer:
                status, text = answer.status, (await answer.text())[:200]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"Alertmanager: {str(error) or 'no answer in time'}") from error
        if status >= 500 or status == 429:
            raise Unavailable(f"Alertmanager: {status} {text}")
        if status >= 400:
            raise Refused(f"Alertmanager: {status} {text}")
