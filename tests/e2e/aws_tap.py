"""The tap on the embedded AWS: each request of an SDK as a call, with the process that sent it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psutil

from infra.local.aws import EmbeddedAws
from infra.local.aws.request import ConnectionDropped, Handler, Reply, Request
from tests.e2e.tap import Call, Tap

_POLL: Final = "ReceiveMessage"
_LOOKS: Final = 20


@contextmanager
def tapped(aws: EmbeddedAws, access_key: str, tap: Tap) -> Iterator[None]:
    """From here to the end the calls of one access key come by the tap. Long polls do not: they wait."""

    def between(handle: Handler) -> Handler:
        def watched(request: Request) -> Reply:
            if request.access_key != access_key or request.action == _POLL:
                return handle(request)
            call = Call(request.action, _body(request), lambda: _sender(request))
            if tap.arrives(call):
                raise ConnectionDropped
            reply = handle(request)
            if reply.status < 300 and tap.carried_out(call):
                raise ConnectionDropped
            return reply

        return watched

    with aws.between(between):
        yield


def _body(request: Request) -> dict[str, Any]:
    if request.form_encoded:
        return {name: values[0] for name, values in request.form().items()}
    return dict(json.loads(request.body or b"{}"))


def _sender(request: Request) -> int:
    """The process at the other end of the connection. The kernel's list may miss a line while others come and go."""
    if request.client is None:
        raise LookupError("no connection")
    port = request.client.getpeername()[1]
    for _ in range(_LOOKS):
        for one in psutil.net_connections("tcp4"):
            if one.laddr and one.laddr.port == port and one.pid is not None:
                return one.pid
    raise LookupError(f"nobody has the port {port}")
