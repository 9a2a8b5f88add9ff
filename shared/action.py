"""An action: what ingest and the wire format know of one thing that can be asked for, and what each request may say.

Which actions there are is the registry's (`shared.actions`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from shared.fields import (
    AskedBy,
    Key,
    OptionalMoment,
    Reason,
    RequestId,
    Source,
    Version,
)

Lane = Literal["nodes", "services", "none"]
"""What waits for what: requests of one lane are done in turn, those of different lanes never wait for each other.

What steers the scaler itself waits in none.
"""


class Request(BaseModel):
    """What every request may say. Unknown fields are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, serialize_by_alias=True)

    action: str
    id: RequestId | None = None
    idempotency_key: Key | None = None
    dedup_key: Key | None = None
    requested_at: OptionalMoment = None
    source: Source | None = None
    asked_by: AskedBy = None
    """Alert names, receiver and group of Alertmanager; address and user of an HTTP caller. Never a secret."""
    reason: Reason | None = None
    version: Version = 1
    dry_run: bool | None = None
    """Say what would be done, and do nothing. Version 2 alone: a worker of before would do it."""

    @field_validator("dry_run")
    @classmethod
    def _of_version_2(cls, value: bool | None, info: ValidationInfo) -> bool | None:
        if value and info.data.get("version") != 2:
            raise ValueError("a dry run takes version 2: an older worker would do what is asked for")
        if value and cls.steers:
            raise ValueError("there is no dry run of that")
        return value

    steers: ClassVar[bool] = False
    """It steers the scaler itself: there is nothing to try out."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A field that an HTTP caller gives in the query or as a label. `example` is a value that would do."""

    name: str
    description: str
    example: str
    place: Literal["query", "path"] = "query"
    """path: it stands in the route's own path, as `{id}`."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """What the sender is told of a field. `{}` in `wrong` is the value that was given."""

    missing: str
    wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that can be asked for."""

    name: str
    """As SQS messages and records call it."""
    model: type[Request]
    lane: Lane
    alert_name: str
    """The `alertname` of all that Alertmanager is told about it."""
    parameters: tuple[Parameter, ...] = ()
    """What HTTP callers may say, in the order of the documentation."""
    sentences: Mapping[str, Sentences] = field(default_factory=dict)
    """For fields that have words of their own; what is wrong with these is said first."""
    stoppable: frozenset[str] | None = None
    """The steps in which it can be cancelled, beside the time before its first one. None: it never can.

    What was begun by then is given back, or stays and is told. While an instance is being terminated it is too late.
    """
    path: str = ""
    """The path of its HTTP route, where that is not made of its name."""
    needs_backend: bool = False
    """Whether it takes a backend that scales nodes: absent while `NODE_SCALER_BACKEND` is `none`."""
    summary: str
    description: str
    example: tuple[str, str] = ("", "")
    """Query and body of a call, for the documentation."""

    @property
    def fields(self) -> Mapping[str, FieldInfo]:
        """The fields of its messages, by the names that messages have for them."""
        return {item.alias or name: item for name, item in self.model.model_fields.items()}

    @property
    def route(self) -> str:
        """The path of the HTTP route, without the caller's prefix."""
        return self.path or f"/v1/{self.name}"
