"""Following a request to its end, live: the one loop that waits.

A request goes on whatever becomes of whoever follows it; each early end here says so, with its id.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cli.board import ENDS, Board, Line
from cli.client import Client
from cli.complaints import Complaint, Exit
from cli.output import Output, piped
from cli.records import Following, Record

PATIENCE: Final = timedelta(seconds=60)
"""So long may ingest not answer while a request is followed."""
_LOOK: Final = timedelta(seconds=0.25)
_LATER_LOOK: Final = timedelta(seconds=1)
_LATER: Final = timedelta(seconds=10)
ENDED: Final[Mapping[str, Exit]] = {"succeeded": Exit.DONE, "failed": Exit.FAILED, "skipped": Exit.SKIPPED}


@dataclass(frozen=True, slots=True)
class Pace:
    """The time, and how to let it pass; both in seconds."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class Follower:
    """Follows requests of one ingest."""

    client: Client
    output: Output
    timeout: timedelta | None = None
    """How long to follow; None: to the end."""
    pace: Pace = field(default_factory=Pace)

    def follow(self, request_id: str, title: str) -> Record:
        """Its record when it has ended. Raises Complaint: it goes on, and why nobody looks any more."""
        board: Board[Following] = Board(self.output.console, self._tell, live=self.output.person)
        with goes_on(request_id), board.lit():
            return self._to_its_end(board, request_id, title)

    def wait(self, request_id: str) -> Record:
        """The same, and nothing is shown meanwhile."""
        board: Board[Following] = Board(self.output.console, lambda _view, _line: None, live=False)
        with goes_on(request_id):
            return self._to_its_end(board, request_id, "")

    def _to_its_end(self, board: Board[Following], request_id: str, title: str) -> Record:
        begun = heard = self.pace.now()
        record: Record | None = None
        while True:
            trouble = ""
            try:
                record, heard = self.client.record(request_id) or record, self.pace.now()
            except Complaint as complaint:
                trouble = self._patient(complaint, request_id, self.pace.now() - heard)
            passed = self.pace.now() - begun
            board.show(Following(title, request_id, passed, record, trouble))
            if record is not None and record.get("state") in ENDS:
                return record
            self._in_time(request_id, passed, record)
            self.pace.pause((_LOOK if passed < _LATER.total_seconds() else _LATER_LOOK).total_seconds())

    def _patient(self, complaint: Complaint, request_id: str, silent: float) -> str:
        """What ails ingest, for the board; raised where it is no passing trouble."""
        if complaint.code is not Exit.UNREACHABLE or silent > PATIENCE.total_seconds():
            raise Complaint(complaint.code, f"{complaint}. {still(request_id)}") from complaint
        return f"{complaint}; trying on"

    def _in_time(self, request_id: str, passed: float, record: Record | None) -> None:
        if self.timeout is None or passed < self.timeout.total_seconds():
            return
        lack = "" if record is not None else " no worker has taken it yet: `scaler status` says who is active;"
        raise Complaint(Exit.RUNNING, f"Not ended after {self.timeout.total_seconds():g} s:{lack} {still(request_id)}")

    def _tell(self, _view: Following, line: Line) -> None:
        if not self.output.as_json:
            self.output.raw("\t".join((piped(datetime.now(UTC)), line.kind or "message", piped(line.text))))


@contextmanager
def goes_on(request_id: str) -> Iterator[None]:
    """While somebody follows it: Ctrl-C says that it goes on without them."""
    try:
        yield
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            sys.stderr.write("\n")  # behind the ^C
        raise Complaint(Exit.RUNNING, still(request_id)) from None


def still(request_id: str) -> str:
    """That it goes on, and how to look again."""
    return f"Request {request_id} goes on; look again with: scaler show {request_id} --follow"


def ended(record: Mapping[str, Any]) -> Exit:
    """The exit code that a record's end stands for."""
    return ENDED.get(str(record.get("state")), Exit.RUNNING)
