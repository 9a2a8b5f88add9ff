"""Alerts to Alertmanager's v2 API (`POST /api/v2/alerts`), and so to Slack.

An alert is one fact about one thing: alertname and service say the thing, status says how it went. Posting one also
resolves the other statuses of the same thing: a group that holds `pending` and `success` at once has no common
summary, and Slack shows an empty text. When to say what is left to the callers.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Self

import aiohttp
import structlog

from shared.addresses import addresses
from shared.causes import cause
from shared.clock import rfc3339
from shared.errors import Refused, ScalerError, Unavailable
from shared.settings import Settings

_log = structlog.get_logger(__name__)

Status = Literal["success", "error", "pending"]
STATUSES: tuple[Status, ...] = ("success", "error", "pending")


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
    unknown: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """Fields that a newer version has written into the journal: kept there, and never posted."""

    def document(self) -> dict[str, Any]:
        """As JSON, for the journal. An older worker knows the first five only, so `node` is left out where it is empty;
        `id` and `asked_by` stand in the request's record.
        """
        node = {"node": self.node} if self.node else {}
        return {**self.unknown, **{name: getattr(self, name) for name in _REQUIRED}, **node}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The reverse of `document`. Raises KeyError, or TypeError where it is no document."""
        known = {name: document[name] for name in _REQUIRED}
        unknown = {name: value for name, value in document.items() if name not in {*_REQUIRED, "node"}}
        return cls(**known, node=str(document.get("node") or ""), unknown=unknown)


_REQUIRED = ("alertname", "service", "status", "request", "summary")


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
    """One Alertmanager or several, over a session that the process's entry opened. `address` lists their base URLs."""

    def __init__(self, session: aiohttp.ClientSession, address: str, lasts: timedelta) -> None:
        self._session = session
        self._addresses = addresses(address)
        self._lasts = lasts

    async def post(self, alert: Alert, now: datetime, timeout: timedelta) -> None:
        """Hand one alert over to all of them at once; one that takes it is enough, as for Prometheus.

        Raises Unavailable where none took it, or Refused where all say that it is wrong (4xx).
        """
        body = payload(alert, now, self._lasts)
        async with asyncio.TaskGroup() as group:
            offers = [group.create_task(self._offer(address, body, timeout)) for address in self._addresses]
        errors = [offer.result() for offer in offers]
        if None not in errors:
            raise next((error for error in errors if isinstance(error, Unavailable)), errors[0] or Unavailable())
        for address, error in zip(self._addresses, errors, strict=True):
            if error is not None:
                _log.warning("alertmanager_missed_alert", address=address, alertname=alert.alertname, error=str(error))

    async def _offer(self, address: str, body: object, timeout: timedelta) -> ScalerError | None:
        """Why one of them did not take it."""
        limit = aiohttp.ClientTimeout(total=timeout.total_seconds())
        try:
            async with self._session.post(f"{address}/api/v2/alerts", json=body, timeout=limit) as answer:
                status, text = answer.status, " ".join((await answer.text())[:200].split())
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return Unavailable(f"Alertmanager: {cause(error)}")
        if status >= 500 or status == 429:
            return Unavailable(f"Alertmanager: {status} {text}")
        return Refused(f"Alertmanager: {status} {text}") if status >= 400 else None


async def open_alertmanager(stack: AsyncExitStack, settings: Settings) -> Alertmanager | None:
    """As the settings name it, over a session that lives as long as the stack. None: they name none."""
    if settings.alertmanager_address is None:
        return None
    session = await stack.enter_async_context(aiohttp.ClientSession())
    return Alertmanager(session, settings.alertmanager_address, settings.alert_timeout)
