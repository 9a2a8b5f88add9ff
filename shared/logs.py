"""Logs: one line an event, a constant name and fields, as JSON or as text, on standard error; secrets blanked."""

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
    """Set up structlog and the standard library's logging. `form` is `json` or `text`."""
    before = _before(secrets)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_handler(before, form)]
    root.setLevel(level.upper())
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _before(secrets: Iterable[str]) -> list[Processor]:
    """What every line goes through before it is rendered, whoever writes it."""
    known = sorted((secret for secret in secrets if len(secret) >= 3), key=len, reverse=True)
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _Redact(known),
    ]


def _handler(before: list[Processor], form: str) -> logging.Handler:
    """Renders lines, also those of libraries, on standard error."""
    render: Processor = (
        structlog.processors.JSONRenderer(default=str)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    return handler


class _Redact:
    """Blanks known secrets wherever a string holds one."""

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
