"""The pages: the cluster at a glance, its parts by themselves for the script, and one request."""

from typing import Any

from sanic import HTTPResponse, Request
from sanic.exceptions import NotFound

from ingest.overview import Overview
from ingest.ports import Journal
from ingest.problems import unreadable
from ingest.query import Query
from ingest.site import views
from ingest.site.rendering import Section, Templates, static
from shared.clock import Clock
from shared.errors import ScalerError
from shared.records import Record
from shared.status import Status

RECENT = 20
_KNOWN = ("q", "page", "have")


class Site:
    """The pages of one service."""

    def __init__(self, overview: Overview, journal: Journal, clock: Clock) -> None:
        self._overview = overview
        self._journal = journal
        self._clock = clock
        self._templates = Templates()

    async def home(self, prefix: str, request: Request) -> HTTPResponse:
        """The cluster at a glance."""
        if request.raw_url == b"*":  # of the server, not of a page; Sanic takes it for the root
            raise NotFound("There is no such route; GET /docs says which there are")
        query = Query.parse(request.query_string)
        query.check(_KNOWN)
        status, sections = await self._sections(prefix, query)
        named = {section.name: section for section in sections}
        return self._templates.page("home.html", prefix=prefix, cluster=status.cluster, sections=named)

    async def live(self, prefix: str, request: Request) -> HTTPResponse:
        """The parts of it that have changed: `have` names what the page shows already, `NAME-MARK` each."""
        query = Query.parse(request.query_string)
        query.check(_KNOWN)
        have = set((query.one("have") or "").split(","))
        _, sections = await self._sections(prefix, query)
        changed = [section for section in sections if f"{section.name}-{section.mark}" not in have]
        return self._templates.page("live.html", sections=changed)

    async def request(self, prefix: str, request: Request, request_id: str) -> HTTPResponse:
        """One request, from who asked to what became of it."""
        Query.parse(request.query_string).check(())
        try:
            record = (await self._journal.records([request_id])).get(request_id)
        except ScalerError as error:
            told = {"prefix": prefix, "request_id": request_id, "sentence": unreadable(error)}
            return self._templates.page("unreadable.html", 503, **told)
        if record is None:
            return self._templates.page("absent.html", 404, prefix=prefix, request_id=request_id)
        return self._templates.page("request.html", prefix=prefix, section=self._record(prefix, record), record=record)

    async def part(self, prefix: str, _request: Request, request_id: str) -> HTTPResponse:
        """The part of that page that changes."""
        record = (await self._journal.records([request_id])).get(request_id)
        if record is None:
            raise NotFound("There is no such request, or no worker has taken it yet")
        return self._templates.page("live.html", sections=[self._record(prefix, record)])

    async def file(self, _request: Request, name: str) -> HTTPResponse:
        """A style sheet or a script."""
        found = static(name)
        if found is None:
            raise NotFound("There is no such file")
        return found

    # --- Parts --------------------------------------------------------------------------------------------------

    async def _sections(self, prefix: str, query: Query) -> tuple[Status, list[Section]]:
        status, recent = await self._overview.known(), await self._recent()
        page = query.one("page") or "1"
        nodes = views.nodes_view(status, query.one("q") or "", int(page) if page.isdecimal() and len(page) < 6 else 1)
        groups = [views.group_view(group) for group in status.groups]
        values: dict[str, dict[str, Any]] = {
            "problems": {"status": status},
            "groups": {"status": status, "groups": groups},
            "requests": {"status": status, "prefix": prefix, "title": views.title},
            "nodes": {"status": status, "nodes": nodes},
            "recent": {"recent": recent, "prefix": prefix, "title": views.title},
        }
        return status, [self._templates.section(name, **given) for name, given in values.items()]

    async def _recent(self) -> list[Record] | None:
        """None: they cannot be read."""
        try:
            return list(await self._journal.newest(RECENT))
        except ScalerError:
            return None

    def _record(self, prefix: str, record: Record) -> Section:
        return self._templates.section(
            "record",
            record=record,
            asked_by=record.view()["asked_by"],
            reason=record.view()["reason"],
            title=views.title(record),
            steps=views.step_views(record, self._clock.now()),
            candidates=views.candidates(record.plan),
            timeline=views.timeline(record),
            prefix=prefix,
        )
