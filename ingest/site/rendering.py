"""Rendering: templates, the words for times and states, and the headers that every page carries."""

import zlib
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from sanic import HTTPResponse
from sanic.response import html, raw

from shared.clock import parse_rfc3339, rfc3339
from shared.records import asker

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


class Templates:
    """The templates, compiled once. Whatever comes from outside is escaped."""

    def __init__(self) -> None:
        loader = PackageLoader("ingest.site")
        self._environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._environment.filters.update(when=when, clock=clock, duration=duration, asker=asker)

    def page(self, name: str, status: int = 200, **values: Any) -> HTTPResponse:
        """A whole page."""
        return html(self._environment.get_template(name).render(values), status=status, headers=dict(HEADERS))

    def section(self, name: str, **values: Any) -> "Section":
        """A part of a page that is exchanged by itself."""
        text = self._environment.get_template(f"sections/{name}.html").render(values)
        return Section(name, Markup(text))  # noqa: S704 - rendered with autoescape


class Section:
    """A rendered part, with a mark that changes when it does."""

    def __init__(self, name: str, text: Markup) -> None:
        self.name = name
        self.text = text
        self.mark = f"{zlib.crc32(text.encode()):08x}"


def static(name: str) -> HTTPResponse | None:
    """A file that pages need. None: there is no such file."""
    kind = _TYPES.get(name.rpartition(".")[2])
    if kind is None or "/" in name or name.startswith("."):
        return None
    path = files("ingest.site").joinpath("static", name)
    if not path.is_file():
        return None
    return raw(path.read_bytes(), content_type=kind, headers={**HEADERS, "Cache-Control": "max-age=300"})


# --- Words ------------------------------------------------------------------------------------------------------


def when(moment: datetime | str | None) -> Markup:
    """A moment, as an element that the script turns into the reader's own time."""
    known = _moment(moment)
    if known is None:
        return Markup("")
    return Markup('<time datetime="{}">{} UTC</time>').format(rfc3339(known), f"{known:%Y-%m-%d %H:%M:%S}")


def clock(moment: datetime | str | None) -> Markup:
    """The same without the day."""
    known = _moment(moment)
    if known is None:
        return Markup("")
    return Markup('<time datetime="{}" data-clock>{} UTC</time>').format(rfc3339(known), f"{known:%H:%M:%S}")


def duration(seconds: float | None) -> str:
    """Seconds in words: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _moment(moment: datetime | str | None) -> datetime | None:
    if isinstance(moment, str):
        try:
            return parse_rfc3339(moment)
        except ValueError:
            return None
    return moment
