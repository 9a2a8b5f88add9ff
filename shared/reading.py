"""Reading documents that another version has written: what cannot be read costs its own field, and is logged."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from shared.clock import parse_rfc3339

log = structlog.get_logger()


def readable(name: str, read: Callable[[Any], Any], value: Any) -> Any:
    """A field's value. None: there is none, or it cannot be read."""
    try:
        return None if value is None else read(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        log.warning("record_field_unreadable", field=name)
        return None


def of_kind(kind: type) -> Callable[[Any], Any]:
    """Reads what is of this kind. Raises TypeError for anything else."""

    def read(value: Any) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"{value!r} is no {kind.__name__}")
        return value

    return read


def each_of(name: str, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads a list; an element that cannot be read is passed over."""

    def read_all(values: Any) -> Any:
        found = (readable(name, read, value) for value in of_kind(list)(values))
        return tuple(value for value in found if value is not None)

    return read_all


def moment(text: str) -> datetime:
    """A wall time. Raises ValueError, also where it has no zone, and TypeError where it is no text."""
    read = parse_rfc3339(text)
    if read.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return read
