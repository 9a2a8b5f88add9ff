"""The Swarm's services, and word that they have changed, from a Docker engine.

Over the standard library's HTTP client and in the caller's thread: aiohttp or Docker's SDK would be a fifth of the
memory that this process may have. It only ever sends GET. Paths have no version: the engine answers as its newest.
"""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote, urlsplit

from rules.model import Service
from shared.errors import Unavailable

CALL_SECONDS: Final = 10.0
QUIET_SECONDS: Final = 300.0
"""A stream of events that was silent for so long is opened anew: the engine may be gone without a word."""
_FILTERS: Final = {"type": ["node", "service"], "scope": ["swarm"]}

_BALLAST: Final = frozenset(
    {"TaskTemplate", "PreviousSpec", "Endpoint", "EndpointSpec", "UpdateConfig", "UpdateStatus"}
)


class Engine:
    """One engine: a manager of the Swarm."""

    def __init__(self, docker_host: str) -> None:
        self._host = docker_host

    def services(self) -> list[Service]:
        """All services of the Swarm. Raises Unavailable, also where the engine is no manager."""
        with self._answer("/services?status=true", CALL_SECONDS) as answer:
            try:
                return [_service(each) for each in json.load(answer, object_hook=_without_ballast) or []]
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise Unavailable(f"Docker: its list of services cannot be read ({error})") from error

    def changes(self) -> Iterator[None]:
        """One item when the subscription stands, and one for each event from then on. Ends with Unavailable."""
        filters = quote(json.dumps(_FILTERS))
        with self._answer(f"/events?filters={filters}", QUIET_SECONDS) as answer:
            yield
            while answer.readline():
                yield
        raise Unavailable("Docker: its stream of events has ended")

    @contextmanager
    def _answer(self, path: str, seconds: float) -> Iterator[http.client.HTTPResponse]:
        """The engine's answer to a GET. Raises Unavailable, also where it breaks off in the caller's hands."""
        connection = _connection(self._host, seconds)
        try:
            connection.request("GET", path, headers={"Host": "docker"})
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise Unavailable(f"Docker: {answer.status} {_words(answer.read(2000))}")
            yield answer
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"Docker: {str(error) or type(error).__name__}") from error
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("docker", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Open it. Raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _connection(docker_host: str, seconds: float) -> http.client.HTTPConnection:
    """For an address as DOCKER_HOST writes it."""
    address = urlsplit(docker_host)
    if address.scheme == "unix":
        return _UnixConnection(address.path, seconds)
    secure = address.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    return kind(address.hostname or "", address.port or (443 if secure else 2375), timeout=seconds)


def _service(document: Mapping[str, Any]) -> Service:
    spec = document["Spec"]
    mode = spec.get("Mode") or {}
    labels = {str(key): _whole(str(value)) for key, value in (spec.get("Labels") or {}).items()}
    if "Replicated" in mode:
        replicas = int((mode["Replicated"] or {}).get("Replicas", 1))
        return Service(spec["Name"], labels, replicas, scaled_to_zero=replicas == 0)
    # How many tasks a global service shall have, the engine says where it knows `status` (API 1.41).
    wanted = (document.get("ServiceStatus") or {}).get("DesiredTasks") if "Global" in mode else None
    return Service(spec["Name"], labels, wanted)


def _without_ballast(document: dict[str, Any]) -> dict[str, Any]:
    """What nobody here reads is dropped while the list is read: it is nine tenths of it."""
    return {key: value for key, value in document.items() if key not in _BALLAST}


def _whole(text: str) -> str:
    """Without halves of characters, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def _words(body: bytes) -> str:
    """What the engine says went wrong."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:200]
