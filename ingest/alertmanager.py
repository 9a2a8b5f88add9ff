"""Alertmanager's webhook, version 4, as far as ingest reads it; the tutorial's minimal body is one too.

https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
Everything may be missing. What is there has the right type, but for labels: those nobody looks at may be anything.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import InvalidRequest

_WORDS = {
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "list_type": "must be an array",
    "string_type": "must be a string",
    "string_unicode": "must be text that UTF-8 can carry",
}


class Alert(BaseModel):
    """One alert of a delivery: who it is, and since when it fires."""

    model_config = ConfigDict(frozen=True, strict=True)

    fingerprint: str | None = None
    starts_at: str | None = Field(default=None, alias="startsAt")


class Webhook(BaseModel):
    """One delivery of one group of alerts."""

    model_config = ConfigDict(frozen=True, strict=True)

    status: str | None = None
    receiver: Any = None
    group_key: str | None = Field(default=None, alias="groupKey")
    group_labels: dict[Any, Any] | None = Field(default=None, alias="groupLabels")
    common_labels: dict[Any, Any] | None = Field(default=None, alias="commonLabels")
    common_annotations: dict[Any, Any] | None = Field(default=None, alias="commonAnnotations")
    alerts: list[Alert] | None = None

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Self:
        """The webhook in a JSON object. Raises InvalidRequest."""
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(str(part) for part in problem["loc"])
            words = _WORDS.get(problem["type"], problem["msg"])
            raise InvalidRequest(f"Incorrect {field} in the body: {words}") from error

    def label(self, name: str) -> Any:
        """A label of the group, else one that its alerts have in common; None where it is absent or empty."""
        for labels in (self.group_labels, self.common_labels):
            value = (labels or {}).get(name)
            if value is not None and value != "":
                return value
        return None

    @property
    def summary(self) -> str | None:
        """What its alerts say in common."""
        value = (self.common_annotations or {}).get("summary")
        return value if isinstance(value, str) and value else None


def alert_names(body: Mapping[str, Any]) -> list[str]:
    """The names of a delivery's alerts, empty for those without; the group's name where none are listed."""
    alerts = body.get("alerts")
    if isinstance(alerts, list) and alerts:
        return [_name(alert.get("labels") if isinstance(alert, dict) else None) for alert in alerts]
    names = (_name(body.get(place)) for place in ("groupLabels", "commonLabels"))
    return [name for name in names if name][:1]


def _name(labels: object) -> str:
    name = labels.get("alertname") if isinstance(labels, dict) else None
    return name if isinstance(name, str) else ""
