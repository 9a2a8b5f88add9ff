"""What happened in a world, in order: to be read by people, and to be compared between runs."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import structlog
from structlog.typing import EventDict

UNEXPECTED = frozenset({"request_failed_unexpectedly", "message_not_understood"})
"""Log events that only a fault of the worker can cause."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. Minor ones (questions, answers) are not shown unless asked for."""

    time: float
    who: str
    what: str
    fields: tuple[tuple[str, object], ...]
    minor: bool

    def __str__(self) -> str:
        facts = " ".join(f"{key}={value}" for key, value in self.fields)
        return f"{self.time:10.3f}  {self.who:<12} {self.what:<28} {facts}".rstrip()


@dataclass(slots=True)
class Trace:
    """The lines of one world, and what is counted of it."""

    now: Callable[[], float]
    lines: list[Line] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)

    def add(self, who: str, what: str, /, **fields: object) -> None:
        """Something that people want to see."""
        self.lines.append(Line(self.now(), who, what, tuple(fields.items()), minor=False))

    def add_minor(self, who: str, what: str, /, **fields: object) -> None:
        """Something that matters only to whoever looks closely."""
        self.lines.append(Line(self.now(), who, what, tuple(fields.items()), minor=True))

    def log(self, who: str, event: EventDict) -> None:
        """A log line of the worker."""
        name = str(event.pop("event"))
        if name in UNEXPECTED:
            self.unexpected.append(f"{who}: {name} {event}")
        self.add(who, name, **{key: value for key, value in event.items() if key != "exc_info"})

    def digest(self) -> str:
        """The same for the same history."""
        digest = sha256()
        for line in self.lines:
            digest.update(f"{line.time!r} {line.who} {line.what} {line.fields}\n".encode())
        return digest.hexdigest()

    def text(self, *, minor: bool = False) -> str:
        """For people."""
        return "\n".join(str(line) for line in self.lines if minor or not line.minor)


class captured_logs:  # noqa: N801 - used like a function
    """While it lasts, what the worker logs goes to `take` instead of standard error."""

    def __init__(self, take: Callable[[EventDict], None]) -> None:
        self._take = take
        self._before: dict[str, Any] = {}

    def __enter__(self) -> None:
        self._before = structlog.get_config()
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, self._capture],
            wrapper_class=structlog.make_filtering_bound_logger("info"),
            logger_factory=structlog.ReturnLoggerFactory(),
            cache_logger_on_first_use=False,
        )

    def __exit__(self, *_: object) -> None:
        structlog.configure(**self._before)

    def _capture(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        self._take(event)
        raise structlog.DropEvent
