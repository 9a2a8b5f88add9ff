"""What an open request waits for, as its record shows it while it waits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from shared.clock import parse_rfc3339, rfc3339


@dataclass(frozen=True, slots=True)
class Waiting:
    """One wait."""

    what: str
    since: datetime
    until: datetime | None = None
    """When the request gives up, where that is known."""
    behind: str | None = None
    """The id of the request that has to end first."""
    last_error: str | None = None

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "what": self.what,
            "since": rfc3339(self.since),
            "until": None if self.until is None else rfc3339(self.until),
            "behind": self.behind,
            "last_error": self.last_error,
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any] | None) -> Self | None:
        """The reverse of `document`. None also for what another version has written, and this one cannot read."""
        try:
            if document is None:
                return None
            until = document["until"]
            return cls(
                document["what"],
                parse_rfc3339(document["since"]),
                None if until is None else parse_rfc3339(until),
                document["behind"],
                document["last_error"],
            )
        except (KeyError, TypeError, ValueError):
            return None

    def differs(self, other: "Waiting | None") -> bool:
        """Whether people should see another wait. Each new error of the same trouble is none."""
        return other is None or {**self.document(), "last_error": None} != {**other.document(), "last_error": None}
