"""The fields of an event: what must be there, and in which shapes it comes. All raise InvalidRequest, by name."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from shared.clock import parse_rfc3339
from shared.errors import InvalidRequest
from shared.fields import shown

_INSTANCE = re.compile(r"i-[0-9A-Za-z]{1,60}")


def text(detail: Mapping[str, Any], name: str) -> str:
    """A text that must be there."""
    value = detail.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"The event has no {name}" if not value else f"Incorrect {name}: {shown(value)}")
    return value


def instance_id(detail: Mapping[str, Any], name: str) -> str:
    """An instance's id, bare or at the end of an ARN."""
    given = text(detail, name)
    found = given.rpartition("/")[2] if given.startswith("arn:") else given
    if not _INSTANCE.fullmatch(found):
        raise InvalidRequest(f"Incorrect {name}: {shown(given)} (must be an instance's id)")
    return found


def moment(value: object, otherwise: datetime | None = None) -> datetime:
    """A wall time, with a fraction or without. Where none is given, the other one counts."""
    if value is None:
        if otherwise is None:
            raise InvalidRequest("The event has no time")
        return otherwise.astimezone(UTC)
    try:
        read = parse_rfc3339(str(value))
    except ValueError as error:
        raise InvalidRequest(f"Incorrect time: {shown(value)} (must be a moment like 2026-11-24T10:00:00Z)") from error
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).astimezone(UTC)
