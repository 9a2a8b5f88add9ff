"""The tap on the embedded AWS: each request of an SDK as a call, with the process whose access key it bears."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from infra.local.aws import EmbeddedAws
from infra.local.aws.request import ConnectionDropped, Handler, Reply, Request
from tests.e2e.tap import Call, Tap

_POLL: Final = "ReceiveMessage"


@contextmanager
def tapped(aws: EmbeddedAws, process_of: Callable[[str], int | None], tap: Tap) -> Iterator[None]:
    """From here to the end the calls whose access key is some process's come by the tap. Long polls do not: they wait.

    A connection would not do to tell who called: its port may be another connection's, too, and its process dead.
    """

    def between(handle: Handler) -> Handler:
        def watched(request: Request) -> Reply:
            sender = process_of(request.access_key)
            if sender is None or request.action == _POLL:
                return handle(request)
            call = Call(request.action, request.parameters(), sender)
            if tap.arrives(call):
                raise ConnectionDropped
            reply = handle(request)
            if reply.status < 300 and tap.carried_out(call):
                raise ConnectionDropped
            return reply

        return watched

    with aws.between(between):
        yield
