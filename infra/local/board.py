"""Alerts as they stand, and what Slack would say of them; pure, the time is handed in.

Taken as strictly as Alertmanager's v2 API takes them (and a little more: a label without a value is refused). Slack
is told by group, of alertname, service and node, in the words of the tutorial's template: the summary that all
alerts of the group have in common; nothing, where they differ. Unlike the real one, which gathers for a while, the
board speaks at once, about every post.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from pydantic import model_validator as validates_model

KEPT: Final = 1000
RESOLVE_TIMEOUT: Final = timedelta(minutes=5)
"""How long an alert lasts that does not say."""
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_UNSET: Final = datetime.min.replace(tzinfo=UTC)

Said = Callable[["Message"], None]


class BadAlerts(ValueError):
    """A post that Alertmanager would answer with 400; the text says why."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it stands."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime
    updated_at: datetime
    generator_url: str = ""

    @property
    def fingerprint(self) -> str:
        """The same for the same labels."""
        return hashlib.blake2b(json.dumps(sorted(self.labels.items())).encode(), digest_size=8).hexdigest()

    @property
    def group(self) -> tuple[str, str, str]:
        """What it is told together with: alertname, service and node, as `stacks/alertmanager` groups them."""
        alertname, service, node = (self.labels.get(name, "") for name in ("alertname", "service", "node"))
        return alertname, service, node

    def document(self) -> dict[str, Any]:
        """As `GET /api/v2/alerts` shows it."""
        return {
            "labels": dict(self.labels),
            "annotations": dict(self.annotations),
            "startsAt": _text(self.starts_at),
            "endsAt": _text(self.ends_at),
            "updatedAt": _text(self.updated_at),
            "fingerprint": self.fingerprint,
            "generatorURL": self.generator_url,
            "receivers": [{"name": "slack"}],
            "status": {"state": "active", "inhibitedBy": [], "silencedBy": []},
        }


@dataclass(frozen=True, slots=True)
class Message:
    """What Slack says once: a group's common labels and annotations; empty where its alerts differ."""

    at: datetime
    alertname: str
    service: str
    status: str
    request: str
    summary: str


class Board:
    """Takes posts; remembers alerts while they last, and the newest messages."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque(maxlen=KEPT)
        self._alerts: dict[str, Alert] = {}
        self._listeners: list[Said] = []

    def on_message(self, listener: Said) -> None:
        """Have `listener` called with each message."""
        self._listeners.append(listener)

    def post(self, body: object, now: datetime) -> None:
        """Take a post, all of it or nothing. Raises BadAlerts."""
        alerts = parse(body, now)
        self._alerts = {key: alert for key, alert in self._alerts.items() if alert.ends_at > now}
        self._alerts.update({alert.fingerprint: alert for alert in alerts})
        for group in dict.fromkeys(alert.group for alert in alerts if alert.ends_at > now):
            self._tell(group, now)

    def active(self, now: datetime) -> list[Alert]:
        """The alerts that last."""
        return [alert for alert in self._alerts.values() if alert.ends_at > now]

    def _tell(self, group: tuple[str, str, str], now: datetime) -> None:
        alerts = [alert for alert in self.active(now) if alert.group == group]
        labels, annotations = _common([one.labels for one in alerts]), _common([one.annotations for one in alerts])
        message = Message(
            now, *group[:2], labels.get("status", ""), annotations.get("request", ""), annotations.get("summary", "")
        )
        self.messages.append(message)
        for listener in self._listeners:
            listener(message)


def parse(body: object, now: datetime) -> list[Alert]:
    """The alerts of a post. Raises BadAlerts."""
    try:
        posted = _POST.validate_python(body)
    except ValidationError as error:
        raise BadAlerts("; ".join(map(_problem, error.errors()))) from error
    return [one.alert(now) for one in posted]


def _common(many: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The entries that all have, with the same value."""
    first, *others = many
    return {key: value for key, value in first.items() if all(other.get(key) == value for other in others)}


def _moment(value: object) -> object:
    """RFC 3339; Go's zero time, which means that nothing was said, is none."""
    if value is None:
        return None
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("is no RFC 3339 date-time")
    moment = datetime.fromisoformat(value)
    return None if moment == _UNSET else moment


Text = Annotated[str, StringConstraints(strict=True, min_length=1)]
Name = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Moment = Annotated[datetime | None, BeforeValidator(_moment)]


class _Posted(BaseModel):
    """`postableAlert` of Alertmanager's OpenAPI description."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    labels: Annotated[dict[Name, Text], Field(min_length=1)]
    annotations: dict[Name, Annotated[str, StringConstraints(strict=True)]] = {}
    starts_at: Annotated[Moment, Field(alias="startsAt")] = None
    ends_at: Annotated[Moment, Field(alias="endsAt")] = None
    generator_url: Annotated[str, Field(alias="generatorURL")] = ""

    @validates_model(mode="after")
    def _in_order(self) -> Self:
        if self.starts_at and self.ends_at and self.ends_at < self.starts_at:
            raise ValueError("start time must be before end time")
        return self

    def alert(self, now: datetime) -> Alert:
        """As it stands from now on."""
        ends = self.ends_at or now + RESOLVE_TIMEOUT
        starts = self.starts_at or min(now, ends)
        return Alert(self.labels, self.annotations, starts, ends, now, self.generator_url)


_POST: Final = TypeAdapter(list[_Posted])


def _problem(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"])
    return f"{place}: {error['msg'].removeprefix('Value error, ')}" if place else error["msg"]


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def spoken(message: Message) -> str:
    """One line of Slack."""
    return " ".join(message.summary.split())
