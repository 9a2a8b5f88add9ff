"""Who came without the token lately, for the eyes of those who have it: nobody repeats a request that was answered 401.

Of this process alone, and forgotten with it; the log has each of them.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

LATELY = timedelta(minutes=5)
"""The sentence about them (ingest/problems.py) says so."""
_MOST = 1000
"""So many are counted."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """How many, and the last of them."""

    count: int
    last: datetime
    address: str
    path: str


class Door:
    """Remembers them for as long as they are told."""

    def __init__(self) -> None:
        self._times: deque[datetime] = deque(maxlen=_MOST)
        self._address = self._path = ""

    def refused(self, now: datetime, address: str, path: str) -> None:
        """Somebody was not let in."""
        self._times.append(now)
        self._address, self._path = address, path

    def lately(self, now: datetime) -> TurnedAway | None:
        """Those of the last minutes; None where there is none."""
        while self._times and now - self._times[0] > LATELY:
            self._times.popleft()
        if not self._times:
            return None
        return TurnedAway(len(self._times), self._times[-1], self._address, self._path)
