"""The way into moto: every request is logged, may meet a fault, and is carried out one at a time.

Takes whole requests, gives whole replies; sockets are the server's business.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Any, Final

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import EnvironBuilder, run_wsgi_app

from infra.local.aws.calls import CallLog
from infra.local.aws.errors import error_reply
from infra.local.aws.longpoll import LongPolls
from infra.local.aws.request import ConnectionDropped, Reply, Request
from infra.local.aws.world import REGION, World

_log = logging.getLogger(__name__)


class Gateway:
    """Everything between a parsed HTTP request and moto."""

    def __init__(self, world: World, calls: CallLog, spared: frozenset[str] = frozenset()) -> None:
        """`spared`: access keys that no fault meets."""
        self._world = world
        self._spared = spared
        self._calls = calls
        self._moto = Moto()
        self._open = True
        self._polls = LongPolls(world, self._carry_out, self._wanted)
        world.knobs.on_change(self._polls.bells.ring_all)
        world.ring, world.ring_all = self._polls.bells.ring, self._polls.bells.ring_all

    def close(self) -> None:
        """End the long polls in flight."""
        self._open = False
        self._polls.bells.ring_all()

    def handle(self, request: Request) -> Reply:
        """Answer one request. Raises ConnectionDropped where the answer must not be sent."""
        self._calls.note(request.service, request.action, request.access_key, request.headers.get("user-agent", ""))
        if request.access_key in self._spared:
            return self._answer(request)
        refused = self._fault(request)
        if refused is not None:
            return refused
        reply = self._answer(request)
        if self._world.knobs.take_lost_answer(request.service, request.action):
            raise ConnectionDropped
        return reply

    def _answer(self, request: Request) -> Reply:
        return self._polls.handle(request) if request.service == "sqs" else self._carry_out(request)

    def _fault(self, request: Request) -> Reply | None:
        knobs = self._world.knobs
        if knobs.is_down(request.service):
            raise ConnectionDropped
        if seconds := knobs.latency(request.service, request.action):
            time.sleep(seconds)
        code = knobs.take_error(request.service, request.action)
        return None if code is None else error_reply(request, code)

    def _wanted(self) -> bool:
        return self._open and not self._world.knobs.is_down("sqs")

    def _carry_out(self, request: Request) -> Reply:
        environ = _environ(request, self._world.account_id)
        with self._world.lock:
            try:
                body, status, headers = run_wsgi_app(self._moto.application(request, environ), environ, buffered=True)
            except Exception:  # noqa: BLE001 - moto's failure is AWS's, and of this one call
                _log.exception("aws-call-failed: %s.%s", request.service, request.action)
                return error_reply(request, "InternalFailure")
            return Reply(int(status.split()[0]), tuple(headers.items()), b"".join(body))


class Moto:
    """moto's Flask applications, one per service.

    moto finds the service of each request anew, with a look at 180 directories; here the answer is kept.
    """

    def __init__(self) -> None:
        self._dispatcher = DomainDispatcherApplication(create_backend_app)
        self._known: dict[str, Callable[..., Any]] = {}

    def application(self, request: Request, environ: dict[str, Any]) -> Callable[..., Any]:
        """The application that answers this request."""
        key = request.service
        if key == "dynamodb":
            key = request.headers.get("x-amz-target", "").partition(".")[0]
        if key not in _ONE_APPLICATION or request.path.startswith("/moto-api"):
            return self._find(environ)
        if key not in self._known:
            self._known[key] = self._find(environ)
        return self._known[key]

    def _find(self, environ: dict[str, Any]) -> Callable[..., Any]:
        application: Callable[..., Any] = self._dispatcher.get_application(environ)
        return application


# Services whose requests all go to one application, wherever they are sent.
_ONE_APPLICATION: Final = frozenset({"DynamoDB_20120810", "autoscaling", "cloudformation", "ec2", "iam", "sqs", "sts"})


def _environ(request: Request, account_id: str) -> dict[str, Any]:
    """What WSGI makes of it, in our one region and in the account of this AWS."""
    host, port = request.server
    scope = _REGION_IN_SCOPE.sub(rf"\g<1>{REGION}/", request.headers.get("authorization", ""))
    headers = {**request.headers, "authorization": scope, "x-moto-account-id": account_id}
    base = f"http://{host}:{port}"
    return dict(
        EnvironBuilder(
            request.target, base, method=request.method, headers=headers.items(), data=request.body
        ).get_environ()
    )


# Where moto learns which region a request is for.
_REGION_IN_SCOPE: Final = re.compile(r"(Credential=[^/,\s]+/\d+/)[^/,\s]+/")
