"""Lists of base URLs in one variable, separated by commas or white space. Pure."""

import re
from urllib.parse import urlsplit

_HOST = re.compile(r"[^\s;,/?#@%]+")
_BETWEEN = re.compile(r"[\s,]+")


def addresses(text: str) -> tuple[str, ...]:
    """The URLs, each once, without a slash at the end. Raises ValueError where one is none, or there is none."""
    given = [part for part in _BETWEEN.split(text) if part]
    if not given:
        raise ValueError("must name at least one URL")
    for part in given:
        if not _is_base_url(part):
            raise ValueError("must be a URL that begins with http:// or https://, or several, separated by commas")
    return tuple(dict.fromkeys(part.rstrip("/") for part in given))


def _is_base_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in {"http", "https"} and bool(_HOST.fullmatch(url.hostname or "")) and url.port != 0
    except ValueError:  # a port that is no number, or a bracket that is not closed
        return False
