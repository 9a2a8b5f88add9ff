"""Headers of a request, as callers mean them, and what browsers say there about the page that sends it."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from sanic import Request

_OWN_SITES = frozenset({"same-origin", "none"})
_PORTS: Mapping[str, int] = {"http": 80, "https": 443}


def header(request: Request, name: str) -> str | None:
    """A header's text, None where it is absent or empty."""
    value: str | None = request.headers.getone(name, None)
    return value.strip() if value and value.strip() else None


def cross_site(request: Request) -> str | None:
    """Why a request comes from a page of another site, None where it does not; programs send neither header.

    https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
    """
    sites = request.headers.getall("sec-fetch-site", [])
    if any(site.strip().lower() not in _OWN_SITES for site in sites):
        return "Sec-Fetch-Site says that a page of another site sends it"
    asked = header(request, "host") or ""
    if any(not _same_host(origin.strip(), asked) for origin in request.headers.getall("origin", [])):
        return "Origin names another host than the one that was asked"
    return None


def _same_host(origin: str, asked: str) -> bool:
    """Whether an origin's host and port are those that were asked; a port that is not said is the scheme's."""
    try:
        page, host = urlsplit(origin), urlsplit(f"//{asked}")
        port = _PORTS.get(page.scheme)
        return bool(page.hostname) and (page.hostname, page.port or port) == (host.hostname, host.port or port)
    except ValueError:
        return False
