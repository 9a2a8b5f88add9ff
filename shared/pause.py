"""A pause: no node scale begins meanwhile. The value that the table keeps and everybody shows.

Setting it is the worker's; what it stops, the flows know.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from shared.clock import rfc3339
from shared.reading import moment, of_kind, readable

SORT = "paused"
"""The sort key of the item in which the worker keeps what was paused or resumed last (attribute `document`)."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Since when, until when, by whom and why no node scale begins."""

    since: datetime
    until: datetime | None = None
    """None: until somebody resumes."""
    by: str = ""
    """Who asked for it, in a word or two. Empty where nobody says."""
    reason: str = ""

    def holds(self, now: datetime) -> bool:
        """Whether it has not ended by itself."""
        return self.until is None or now < self.until

    def document(self) -> dict[str, Any]:
        """As JSON."""
        until = None if self.until is None else rfc3339(self.until)
        return {"since": rfc3339(self.since), "until": until, "by": self.by, "reason": self.reason}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The reverse of `document`. Raises KeyError, ValueError or TypeError for moments that make no sense."""
        until = document.get("until")
        return cls(
            since=moment(document["since"]),
            until=None if until is None else moment(until),
            by=readable("by", of_kind(str), document.get("by")) or "",
            reason=readable("reason", of_kind(str), document.get("reason")) or "",
        )
