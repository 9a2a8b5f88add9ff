"""Ingest over HTTP: one request at a time, its answer as JSON, and every trouble as a line that says what to do.

The standard library's client is enough: nothing here runs side by side, and a command should start at once. It honours
the proxies of the environment and SSL_CERT_FILE. Redirects are not followed: they would take the token elsewhere, and
make a GET of a POST.
"""

import base64
import getpass
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

from cli.complaints import Complaint, Exit
from cli.settings import Settings
from shared import __version__

NO_ROUTE: Final = "There is no such route"
"""How ingest begins its answer to a route that it does not have."""
NO_WAIT: Final = "wait=0"
"""Whatever ingest's DEFAULT_WAIT is: who follows a request wants to see it begin."""
_GATEWAY: Final = frozenset({502, 503, 504})
_MOST_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """What ingest has said; below 400."""

    code: int
    document: Mapping[str, Any]

    @property
    def message(self) -> str:
        """Its sentence."""
        return str(self.document.get("message", ""))


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other."""

    def redirect_request(self, *_: Any) -> None:
        """Never."""


class Client:
    """Talks to one ingest. `timeout` is in seconds, for each step of one exchange."""

    def __init__(self, settings: Settings, timeout: float = 30.0) -> None:
        self.url = settings.url
        self._has_token = settings.token is not None
        self._headers = {"Accept": "application/json", "Prefer": NO_WAIT, "User-Agent": f"scaler/{__version__}"}
        if settings.token is not None:
            self._headers["Authorization"] = _authorization(settings.token)
        self._timeout = timeout
        self._opener = urllib.request.build_opener(_NoRedirects)

    def get(self, path: str, **query: object) -> Answer:
        """Raises Complaint."""
        return self._exchange("GET", path, query)

    def post(self, path: str, **query: object) -> Answer:
        """Raises Complaint."""
        return self._exchange("POST", path, query)

    def record(self, request_id: str) -> Mapping[str, Any] | None:
        """A request's record; None: there is none (yet). Raises Complaint."""
        answer = self._exchange("GET", f"/v1/requests/{request_id}", {}, absent=True)
        return None if answer.code == 404 else answer.document

    def _exchange(self, method: str, path: str, query: Mapping[str, object], *, absent: bool = False) -> Answer:
        given = urlencode({name: value for name, value in query.items() if value is not None})
        url = f"{self.url}{path}{'?' if given else ''}{given}"
        body = b"" if method == "POST" else None
        request = urllib.request.Request(url, data=body, headers=self._headers, method=method)  # noqa: S310 - http(s) only, see settings
        code, headers, text = self._sent(request)
        document = _document(text)
        if code >= 300 and not (absent and code == 404 and _own(document) and not _no_route(document)):
            self._refused(f"{method} {path}", code, headers, document)
        if document is None:
            raise Complaint(Exit.UNREACHABLE, f"What answers at {self.url} is not ingest (no JSON): {_ADDRESS}")
        return Answer(code, document)

    def _sent(self, request: urllib.request.Request) -> tuple[int, Message, bytes]:
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                return answer.status, answer.headers, answer.read(_MOST_BYTES)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Complaint(Exit.UNREACHABLE, f"{self.url} is not reachable: {_why(error)}") from error

    def _refused(self, what: str, code: int, headers: Message, document: Mapping[str, Any] | None) -> NoReturn:
        if 300 <= code < 400:
            target = headers.get("Location", "nowhere")
            raise Complaint(Exit.UNREACHABLE, f"{self.url} redirects to {target}: set SCALER_URL to where ingest is")
        if code == 401:
            lack = "does not take this token: correct" if self._has_token else "wants a token: set"
            raise Complaint(Exit.FAILED, f"{self.url} {lack} SCALER_TOKEN (ingest's WEBHOOK_TOKEN)")
        if document is None or not _own(document):
            why = "ingest is not reachable behind it" if code in _GATEWAY else f"not as ingest does: {_ADDRESS}"
            raise Complaint(Exit.UNREACHABLE, f"{self.url} answers {code} to {what}, {why}")
        if code == 405 or _no_route(document):
            raise Complaint(Exit.FAILED, f"This server has no such route ({what}): update ingest")
        message, hint = str(document["message"]), document.get("hint")
        raise Complaint(Exit.FAILED, f"{message} ({hint})" if hint else message)


_ADDRESS: Final = "SCALER_URL must lead to ingest, with its prefix"


def _authorization(token: str) -> str:
    """Basic with the login's name, so that the record says who asked; the token alone where nobody is logged in."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = ""
    if not name or ":" in name:
        return f"Bearer {token.encode().decode('latin-1')}"
    return f"Basic {base64.b64encode(f'{name}:{token}'.encode()).decode()}"


def _document(text: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(text)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _own(document: Mapping[str, Any] | None) -> bool:
    """Whether an answer has the shape that ingest gives to errors."""
    return document is not None and isinstance(document.get("message"), str)


def _no_route(document: Mapping[str, Any] | None) -> bool:
    return document is not None and str(document.get("message")).startswith(NO_ROUTE)


def _why(error: Exception) -> str:
    """With what to do, where that can be told."""
    from shared.causes import cause  # noqa: PLC0415 - knows another client's errors, too; loading that takes a while

    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    text = cause(reason) if isinstance(reason, Exception) else str(reason)
    match reason:
        case ssl.SSLCertVerificationError():
            return f"{text}; SSL_CERT_FILE may name the file of its CA"
        case ssl.SSLError():
            return f"{text}; does it speak https?"
        case ConnectionRefusedError():
            return f"{text}; does ingest run there? SCALER_URL says where it is"
        case _:
            return text
