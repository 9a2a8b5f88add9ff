"""What a request asks for, read off the wire before moto sees it: service, action, who asks.

Knows the three wire formats AWS uses for the services of this project: a JSON body named by `X-Amz-Target`,
a form with `Action`, and the operation at the end of the path (CloudWatch's CBOR).
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode

Protocol = Literal["json", "query", "ec2", "other"]

_SCOPE: Final = re.compile(r"Credential=([^/,\s]+)/[^/]*/([^/]*)/([^/]*)/aws4_request")
_BOTO_NAME: Final = {"monitoring": "cloudwatch"}


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request with its body read, and the client's socket, to see whether it is still there."""

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    client: socket.socket | None = None
    server: tuple[str, int] = ("127.0.0.1", 0)
    service: str = field(init=False)
    access_key: str = field(init=False)
    action: str = field(init=False)

    def __post_init__(self) -> None:
        service, access_key = _who(self.headers.get("authorization", ""))
        object.__setattr__(self, "service", service)
        object.__setattr__(self, "access_key", access_key)
        object.__setattr__(self, "action", _action(self))

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def content_type(self) -> str:
        """The media type, in lower case."""
        return self.headers.get("content-type", "").lower()

    @property
    def protocol(self) -> Protocol:
        """How errors of this service look on the wire."""
        if self.service == "ec2":
            return "ec2"
        if "json" in self.content_type:
            return "json"
        return "query" if self.form_encoded else "other"

    @property
    def form_encoded(self) -> bool:
        """Whether the body is an HTML form."""
        return "x-www-form-urlencoded" in self.content_type

    def parameters(self) -> dict[str, Any]:
        """What it asks for, by name: the fields of a form, or of a JSON object; nothing where the body is neither."""
        if self.form_encoded:
            return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))
        try:
            body = json.loads(self.body or b"{}")
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def asking(self, **changes: Any) -> Request:
        """The same request with other parameters."""
        asked = self.parameters() | changes
        body = (urlencode(asked) if self.form_encoded else json.dumps(asked)).encode()
        return replace(self, body=body, headers={**self.headers, "content-length": str(len(body))})


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


Handler = Callable[[Request], Reply]


class ConnectionDropped(Exception):
    """Close the connection without an answer."""


def _who(authorization: str) -> tuple[str, str]:
    found = _SCOPE.search(authorization)
    if found is None:
        return "", ""
    access_key, _region, service = found.groups()
    return _BOTO_NAME.get(service, service), access_key


def _action(request: Request) -> str:
    target = request.headers.get("x-amz-target", "")
    if target:
        return target.rpartition(".")[2]
    if request.form_encoded:
        return str(request.parameters().get("Action", ""))
    return request.path.rpartition("/")[2] or request.method
