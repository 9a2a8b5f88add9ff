"""Logs: one line an event, a constant name and fields, as JSON or as text, on standard error; secrets blanked."""

import json
import logging
import sys
from collections.abc import Iterable
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

BLANK = "***"


NOISY = ("botocore", "aiobotocore", "urllib3", "docker", "asyncio", "aiohttp.access")
"""Libraries of which only warnings are of interest."""


def configure(level: str, form: str, secrets: Iterable[str] = ()) -> None:
    """Set up structlog and the standard library's logging. `form` is `json` or `text`.

    Our own lines are rendered and written here and now: a detour through the standard library's logging would cost
    more than all else about a line. Those of libraries are made to look the same.
    """
    render = [*_COMMON, *_rendering(form, secrets)]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *render],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_handler(render)]
    root.setLevel(level.upper())
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


_COMMON: tuple[Processor, ...] = (
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


_ENCODER = json.JSONEncoder(default=str)
"""One for all lines: `json.dumps` makes a new one each time where it is told how to show what JSON does not know."""


def _as_json(event: EventDict, **_options: Any) -> str:
    return _ENCODER.encode(event)


def _rendering(form: str, secrets: Iterable[str]) -> list[Processor]:
    """From an event's fields to its line, secrets blanked; in JSON once it is rendered, where each has one spelling."""
    known = sorted((secret for secret in secrets if len(secret) >= 3), key=len, reverse=True)
    if form == "json":
        return [structlog.processors.JSONRenderer(serializer=_as_json), _RedactLine(known)]
    return [_Redact(known), structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]


def _handler(render: list[Processor]) -> logging.Handler:
    """Renders lines of libraries, on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = structlog.stdlib.ProcessorFormatter
    handler.setFormatter(formatter(processors=[formatter.remove_processors_meta, *render]))
    return handler


class _RedactLine:
    """Blanks known secrets in a line of JSON. A quote in a secret is escaped there, so that it never ends a string."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = [json.dumps(secret)[1:-1] for secret in secrets]

    def __call__(self, _logger: object, _method: str, line: EventDict) -> str:
        text = str(line)
        for secret in self._secrets:
            text = text.replace(secret, BLANK)
        return text


class _Redact:
    """Blanks known secrets wherever a field holds one."""

    def __init__(self, secrets: list[str]) -> None:
        self._secrets = secrets

    def __call__(self, _logger: object, _method: str, event: EventDict) -> EventDict:
        return {key: self._blank(value) for key, value in event.items()} if self._secrets else event

    def _blank(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._blank_text(value)
        if isinstance(value, dict):
            return {key: self._blank(item) for key, item in value.items()}
        if type(value) in {list, tuple}:
            return type(value)(self._blank(item) for item in value)
        if isinstance(value, (int, float, type(None))):
            return value
        text = str(value)  # as it would be rendered later
        blanked = self._blank_text(text)
        return value if blanked == text else blanked

    def _blank_text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, BLANK)
        return text
