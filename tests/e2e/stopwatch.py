"""A stopwatch that does not count the time for which the processes it watches wait for a processor.

So a bound in seconds is about what they do, not about what else the machine does. Linux keeps that time for each thread
(https://docs.kernel.org/scheduler/sched-stats.html: the second number of `/proc/PID/schedstat`, nanoseconds). Threads
wait beside each other, so of a process the one counts that has waited longest; processes pass a thing on one after the
other, so theirs is added up. What is forgiven so is a share of the time at the most.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MOST_FORGIVEN: Final = 0.75
"""Of the time: beyond, also a machine without a processor to spare counts."""
PROC: Final = Path("/proc")


class Stopwatch:
    """Runs from the moment that it is made."""

    def __init__(self, pids: Iterable[int], proc: Path = PROC) -> None:
        self._pids = tuple(pids)
        self._proc = proc
        self._first = self._read()
        self._last = dict(self._first)
        self._of_others = 0.0
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds, without those that were lost."""
        whole = time.monotonic() - self._began
        return whole - min(self.lost, MOST_FORGIVEN * whole)

    @property
    def lost(self) -> float:
        """Seconds for which they have waited for a processor. A thread that has ended counts as it was seen last."""
        self._last |= self._read()
        longest = dict.fromkeys(self._pids, 0)
        for (pid, thread), nanoseconds in self._last.items():
            longest[pid] = max(longest[pid], nanoseconds - self._first.get((pid, thread), 0))
        return sum(longest.values()) / 1e9 + self._of_others

    def add(self, seconds: float) -> None:
        """Somebody who came and went has waited so long, too."""
        self._of_others += seconds

    def _read(self) -> dict[tuple[int, str], int]:
        """Each thread, and how long it has waited."""
        found = {}
        for pid in self._pids:
            for path in (self._proc / str(pid) / "task").glob("*/schedstat"):
                try:
                    found[pid, path.parent.name] = int(path.read_text().split()[1])
                except OSError:
                    continue  # it has just ended
        return found


def waited(pid: int, proc: Path = PROC) -> float:
    """Seconds for which the one thread of a process has waited: also of one that has ended, until somebody reaps it."""
    return int((proc / str(pid) / "schedstat").read_text().split()[1]) / 1e9


def ended(pid: int) -> None:
    """Return when a child has ended, and do not reap it."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
