"""The HTTP service: which routes there are, who may use them, and what is counted of them."""

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import structlog
from sanic import HTTPResponse, Request, Sanic
from sanic.config import Config
from sanic.exceptions import Forbidden, Unauthorized

from ingest import bodies, metrics
from ingest.answers import Errors
from ingest.auth import CHALLENGE, Gate
from ingest.bad_requests import BadRequests
from ingest.connection import Deadlines
from ingest.headers import cross_site, header
from ingest.outcomes import Outcomes
from ingest.overview import Overview
from ingest.ports import Counts, Inbox, Journal
from ingest.posts import Posts
from ingest.reads import Reads, Status
from ingest.settings import IngestSettings
from ingest.site.pages import Site
from ingest.turned_away import Door
from shared.actions import ACTIONS
from shared.clock import Clock

_log = structlog.get_logger(__name__)

Handler = Callable[..., Coroutine[Any, Any, HTTPResponse]]
App = Sanic[Config, SimpleNamespace]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the service is made of."""

    settings: IngestSettings
    inbox: Inbox
    journal: Journal
    counts: Counts
    outcomes: Outcomes
    bad_requests: BadRequests
    clock: Clock
    deadlines: Deadlines = field(default_factory=Deadlines)


def create_app(parts: Parts) -> App:
    """The service, not serving yet. One at a time in a process; `Sanic.unregister_app` makes room."""
    app: App = Sanic("ingest", config=_config(), error_handler=Errors(), configure_logging=False)
    app.ctx.deadlines = parts.deadlines
    counted = metrics.Metrics(
        lambda: parts.outcomes.waiting, parts.settings.scaler_cluster, lambda: parts.counts.newest
    )
    token = parts.settings.webhook_token
    door = Door()
    guard = Guard(Gate(None if token is None else token.get_secret_value()), counted, door, parts.clock)
    routes = Routes(app, guard)
    posts = Posts(
        parts.settings, parts.inbox, parts.journal, parts.outcomes, parts.bad_requests, parts.clock, guard.gate, counted
    )
    overview = Overview(parts.journal, parts.counts, parts.clock, parts.settings.scaler_cluster, door)
    status = Status(parts.inbox, counted, overview, parts.settings)
    site = Site(overview, parts.journal, parts.clock)
    for prefix in _prefixes(parts.settings):
        _add_pages(routes, prefix, site)
        _add_routes(routes, prefix, posts, Reads(parts.journal, overview), status)
    routes.get("/metrics", status.metrics)
    app.on_request(_begun)
    app.on_response(partial(_answered, counted))  # type: ignore[no-untyped-call]  # Sanic's
    return app


def _add_routes(routes: "Routes", prefix: str, posts: Posts, reads: Reads, status: Status) -> None:
    """All routes that exist without the prefix and with it."""
    for action in ACTIONS.values():
        routes.post(f"{prefix}{action.route.replace('{id}', '<request_id:str>')}", partial(posts.post, action, prefix))
    routes.get(f"{prefix}/v1/requests/<request_id:str>", reads.one)
    routes.get(f"{prefix}/v1/requests", reads.newest)
    routes.get(f"{prefix}/v1/status", reads.status)
    routes.get(f"{prefix}/readyz", status.ready)
    routes.get(f"{prefix}/docs", status.docs)
    routes.get(f"{prefix}/docs/openapi.json", status.openapi)
    routes.open(f"{prefix}/v1/ping", status.alive)
    routes.open(f"{prefix}/healthz", status.alive)


def _add_pages(routes: "Routes", prefix: str, site: Site) -> None:
    """The pages for browsers, likewise."""
    routes.get(f"{prefix}/", partial(site.home, prefix))
    routes.get(f"{prefix}/live", partial(site.live, prefix))
    routes.get(f"{prefix}/requests/<request_id:str>", partial(site.request, prefix))
    routes.get(f"{prefix}/requests/<request_id:str>/live", partial(site.part, prefix))
    routes.get(f"{prefix}/static/<name:str>", site.file)


class Guard:
    """Lets in whoever has the token; others are logged and counted."""

    def __init__(self, gate: Gate, counted: metrics.Metrics, door: Door, clock: Clock) -> None:
        self.gate = gate
        self._counted = counted
        self._door = door
        self._clock = clock

    async def pass_on(self, handler: Handler, request: Request, **parameters: str) -> HTTPResponse:
        """The handler's answer. Raises Unauthorized."""
        if not self.gate.admits(header(request, "authorization")):
            self._counted.not_let_in()
            self._door.refused(self._clock.now(), request.ip, request.path)
            _log.warning("auth_failed", address=request.ip, method=request.method, path=request.path)
            raise Unauthorized("The token is missing or wrong", headers={"WWW-Authenticate": CHALLENGE})
        return await handler(request, **parameters)

    async def pass_on_post(self, handler: Handler, request: Request, **parameters: str) -> HTTPResponse:
        """The handler's answer. Raises Forbidden for what the page of another site sends, token or not."""
        reason = cross_site(request)
        if reason is not None:
            _log.warning("cross_site_refused", address=request.ip, path=request.path, reason=reason)
            raise Forbidden(f"Refused: {reason}")
        return await self.pass_on(handler, request, **parameters)


class Routes:
    """Adds routes to the app. Handlers of POSTs read their bodies themselves, after the caller was let in."""

    def __init__(self, app: App, guard: Guard) -> None:
        self._app = app
        self._guard = guard

    def post(self, path: str, handler: Handler) -> None:
        """A POST for whoever has the token."""
        route = self._app.route(path, methods=["POST"], name=_name("POST", path), stream=True, unquote=True)
        route(partial(self._guard.pass_on_post, handler))

    def get(self, path: str, handler: Handler) -> None:
        """A GET for whoever has the token."""
        self.open(path, partial(self._guard.pass_on, handler))

    def open(self, path: str, handler: Handler) -> None:
        """A GET for everyone."""
        methods = ["GET", "HEAD"]
        self._app.route(path, methods=methods, name=_name("GET", path), ignore_body=True, unquote=True)(handler)


def _name(method: str, path: str) -> str:
    """A route's name, as Sanic takes it."""
    return f"{method}{path}".translate(str.maketrans("/<>:.~-", "_______"))


def _config() -> Config:
    """Sanic's configuration: none of it from the environment. Deadlines are those of `connection`."""
    config = Config(env_prefix=None)
    config.ACCESS_LOG = False
    config.MOTD = False
    config.AUTO_EXTEND = False
    config.FALLBACK_ERROR_FORMAT = "json"
    config.REQUEST_MAX_SIZE = bodies.LONGEST
    return config


def _prefixes(settings: IngestSettings) -> Iterator[str]:
    yield ""
    if settings.server_prefix:
        yield settings.server_prefix


async def _begun(request: Request) -> None:
    request.ctx.begun = perf_counter()


async def _answered(counted: metrics.Metrics, request: Request, response: HTTPResponse) -> None:
    route = "unknown" if request.route is None else f"/{request.route.path}"
    begun = getattr(request.ctx, "begun", None)
    counted.answered(route, response.status, 0.0 if begun is None else perf_counter() - begun)
