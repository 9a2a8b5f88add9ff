"""The waits of an open request: what it waits for at the moment, and who does not answer, so that a step is repeated.

Whether a wait may be interrupted is left to the request.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from shared.clock import Clock, parse_rfc3339, rfc3339
from shared.errors import Unavailable
from worker.requests import notices

SETTLED_SECONDS = 3.0
"""A wait that lasts so long is worth a write of its own."""
QUIET_SECONDS = 20.0
"""After so long without another error what was away is there again: longer than a call and the pause after it."""


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


class Waits:
    """Of one request. `document`: what its record shows, which the worker before us may have written."""

    def __init__(self, document: Mapping[str, Any] | None, clock: Clock) -> None:
        self._clock = clock
        self._wait = Waiting.parse(document)
        self._trouble: Waiting | None = None
        self._last_trouble = asyncio.get_running_loop().time()
        if self._wait is not None and self._wait.last_error is not None:
            self._trouble, self._wait = self._wait, None
        self.inherited_trouble = self._trouble
        """The trouble that the worker before us had: it may be over."""

    @property
    def present(self) -> Waiting | None:
        """What the request waits for; None while it works."""
        return self.trouble or self._wait

    @property
    def until(self) -> datetime | None:
        """When the wait that it is in gives up."""
        return None if self._wait is None else self._wait.until

    @property
    def trouble(self) -> Waiting | None:
        """Who does not answer at the moment, so that its step is tried again and again."""
        if self._trouble is not None and asyncio.get_running_loop().time() - self._last_trouble > QUIET_SECONDS:
            self._trouble = None
        return self._trouble

    def begin(
        self, what: str, *, seconds: float | None = None, behind: str | None = None, since: datetime | None = None
    ) -> None:
        """It waits, for at most so many seconds. A wait that it is in already goes on."""
        present, now = self._wait, self._clock.now()
        if present is None or (present.what, present.behind) != (what, behind):
            until = None if seconds is None else now + timedelta(seconds=max(seconds, 0))
            self._wait = Waiting(what, since or now, until, behind)

    def end(self) -> None:
        """It waits for nothing."""
        self._wait = None

    @contextmanager
    def within(self, what: str, *, seconds: float | None = None, since: datetime | None = None) -> Iterator[None]:
        """It waits in this block; a wait around it goes on behind it."""
        before = self._wait
        self.begin(what, seconds=seconds, since=since)
        try:
            yield
        finally:
            self._wait = before

    def stumbles(self, error: Unavailable) -> None:
        """Its step will be tried again."""
        what = notices.DOCKER if str(error).startswith("Docker") else notices.AWS
        present, self._last_trouble = self.trouble, asyncio.get_running_loop().time()
        since = present.since if present is not None and present.what == what else self._clock.now()
        self._trouble = Waiting(what, since, last_error=str(error))

    def differ_from(self, document: Mapping[str, Any] | None) -> bool:
        """Whether a record that shows `document` should show another wait. Short ones are not worth a write."""
        present = self.present
        if present is None:
            return document is not None
        lasts = (self._clock.now() - present.since).total_seconds() >= SETTLED_SECONDS
        return lasts and present.differs(Waiting.parse(document))
