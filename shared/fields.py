"""What the fields of a request may hold, each as a type that pydantic checks, with the words for what is wrong."""

import json
import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field

MAX_BY = 10_000
MAX_ID_BYTES = 512
MAX_SECONDS = 30 * 24 * 3600

Direction = Literal["up", "down"]
Role = Literal["worker", "manager"]


def shown(value: object, longest: int = 80) -> str:
    """A value as a sentence quotes it: short, and on one line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = "".join(char if char.isprintable() else "?" for char in text[: longest + 1])
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _whole_number(value: object) -> object:
    """`by` as people and label values write it: a JSON integer or ASCII digits; never a bool or a float."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(MAX_BY)) + 8:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_BY:
        raise ValueError(f"Incorrect by: {shown(value)}, by can only be a whole number from 1 to {MAX_BY}")
    return value


def _seconds(value: object) -> object:
    """A time in seconds, as people and label values write it: a JSON number, or ASCII digits and a point."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_SECONDS:
        raise ValueError(f"must be a number of seconds above 0, at most {MAX_SECONDS}")
    return float(value)


def _flag(value: object) -> object:
    """Yes or no: a JSON boolean, or the words as a query has them."""
    known = {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value
    if known is not True and known is not False:
        raise ValueError("can only be true or false")
    return known


_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def _rfc3339(value: object) -> object:
    """A moment as RFC 3339 writes it: pydantic takes much besides, epoch seconds for one."""
    if value is not None and not (isinstance(value, str) and _MOMENT.match(value)):
        raise ValueError("must be a moment like 2026-11-24T10:00:00Z")
    return value


_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _known_version(value: object) -> object:
    """1, also where it is not said, or 2. True and 1.0 equal 1, and are refused."""
    if value is None:
        return 1
    if type(value) is not int or value not in {1, 2}:
        raise ValueError("version can only be 1 or 2")
    return value


def _plausible(moment: datetime) -> datetime:
    """Moments near the ends of the calendar overflow in arithmetic."""
    if not 2000 <= moment.year <= 9000:
        raise ValueError("must lie between the years 2000 and 9000")
    return moment


def _short_enough(request_id: str) -> str:
    """Ids stand in DynamoDB's sort keys, which are bounded in bytes (1024), beside a prefix or a moment."""
    if len(request_id.encode("utf-8", "surrogatepass")) > MAX_ID_BYTES:
        raise ValueError(f"must have at most {MAX_ID_BYTES} bytes")
    return request_id


def _object_or_nothing(value: object) -> object:
    """Who asked is for people to read: what makes no sense is passed over, and never costs the request."""
    return value if isinstance(value, dict) else None


RequestId = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_short_enough)]
By = Annotated[int, BeforeValidator(_whole_number)]
Moment = Annotated[AwareDatetime, Field(strict=False), AfterValidator(_plausible)]
OptionalMoment = Annotated[Moment | None, BeforeValidator(_rfc3339)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Flag = Annotated[bool, BeforeValidator(_flag)]
ServiceName = Annotated[str, Field(min_length=1, max_length=255)]
NodeName = Annotated[str, Field(min_length=1, max_length=255)]
Key = Annotated[str, Field(min_length=1, max_length=512)]
Reason = Annotated[str, Field(max_length=1000)]
AskedBy = Annotated[dict[str, Any] | None, BeforeValidator(_object_or_nothing)]
Source = Annotated[str, Field(min_length=1, max_length=64)]
Version = Annotated[Literal[1, 2], BeforeValidator(_known_version)]
