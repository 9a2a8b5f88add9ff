"""How long a caller will wait for the outcome: `?wait=SECONDS`, else `Prefer: wait=SECONDS`, else a default."""

import re
from collections.abc import Sequence
from datetime import timedelta

from ingest.query import Query
from shared.errors import InvalidRequest

LONGEST = timedelta(minutes=15)

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_PREFERENCE = re.compile(r'\s*wait\s*=\s*"?(?P<seconds>[0-9]{1,9})"?\s*(;.*)?', re.IGNORECASE)


def longest_wait(query: Query, prefer: Sequence[str], default: timedelta) -> timedelta:
    """The time to wait. Raises InvalidRequest for a query that makes no sense; such a header is passed over."""
    asked = query.one("wait")
    if asked is not None:
        return _asked(asked)
    preferred = _preferred(prefer)
    return default if preferred is None else preferred


def _asked(text: str) -> timedelta:
    if not _NUMBER.fullmatch(text) or (wait := timedelta(seconds=float(text))) > LONGEST:
        shown = text if text.isprintable() and len(text) <= 40 else "..."
        limit = int(LONGEST.total_seconds())
        raise InvalidRequest(f"Incorrect wait: {shown}, wait can only be a number of seconds from 0 to {limit}")
    return wait


def _preferred(headers: Sequence[str]) -> timedelta | None:
    """The first `wait` among the preferences; what cannot be met is ignored (RFC 7240, section 2)."""
    preferences = (part for header in headers for part in header.split(","))
    match = next(filter(None, map(_PREFERENCE.fullmatch, preferences)), None)
    wait = None if match is None else timedelta(seconds=int(match["seconds"]))
    return None if wait is None or wait > LONGEST else wait
