"""Where ingest is, and what it wants to see: `SCALER_URL`, `SCALER_TOKEN`. Nothing here opens anything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from cli.complaints import Complaint, Exit
from shared.environment import URL, URL_WORDS, resolve

DEFAULT_URL: Final = "http://localhost:8080"
VARIABLES: Final[Mapping[str, tuple[str, str]]] = {
    "SCALER_URL": (DEFAULT_URL, "Where ingest is; with its prefix, where it is reached below one."),
    "SCALER_TOKEN": ("unset", "Ingest's WEBHOOK_TOKEN. The login's name goes along with it, for the record."),
}
"""Default and meaning; each may be given as `X_FILE`, too."""
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Settings:
    """`url` has no slash at its end."""

    url: str
    token: str | None


def read(environ: Mapping[str, str]) -> Settings:
    """Raises Complaint, with a line for each problem, naming the variable."""
    values, problems = resolve(environ, set(VARIABLES))
    url = values.get("SCALER_URL", DEFAULT_URL).strip().rstrip("/")
    token = (values.get("SCALER_TOKEN") or "").strip() or None
    problems += [f"SCALER_URL: {problem}" for problem in _url_problems(url)]
    if token and _UNPRINTABLE.search(token):
        problems.append("SCALER_TOKEN: must be one line without control characters")
    if problems:
        raise Complaint(Exit.USAGE, "\n".join(problems))
    return Settings(url, token)


def _url_problems(url: str) -> list[str]:
    if not re.match(URL, url):
        return [URL_WORDS]
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError as error:
        return [str(error)]
    if parts.username is not None:
        return ["must not hold a login; give the token as SCALER_TOKEN"]
    return ["must end with the path: no `?` and no `#`"] if parts.query or parts.fragment else []
