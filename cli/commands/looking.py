"""`scaler status`, `requests`, `show`: looking, also at what changes."""

import json
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from rich.console import Group
from rich.live import Live
from rich.text import Text

from cli import records, state
from cli.board import ENDS
from cli.client import Client
from cli.complaints import Complaint, Exit
from cli.context import Context
from cli.following import PATIENCE, ended
from cli.output import Output, Table, drawn

_STATUS: Final = "/v1/status"
_LOOK: Final = timedelta(seconds=2)
_FOLLOWED: Final = 100
"""Requests that are compared while somebody follows them all."""


def status(context: Context, arguments: Namespace) -> Exit:
    """How everything stands."""
    client, output = context.client(), context.output
    if not arguments.watch:
        found = client.get(_STATUS).document
        _show(output, found, state.tables(found))
        return Exit.DONE
    if output.person:
        _live(context, client)
        return Exit.DONE
    before = None
    for found in _looks(context, client, _STATUS):
        if state.lasting(found) != before:
            if before is not None and not output.as_json:
                output.raw("")
            _show(output, found, state.tables(found), line=True)
        before = state.lasting(found)
    return Exit.DONE


def requests(context: Context, arguments: Namespace) -> Exit:
    """The newest requests, the newest first; followed: the newest last, as they come."""
    client, output = context.client(), context.output
    query = {"limit": arguments.n, "state": arguments.state}
    found = _listed(client.get("/v1/requests", **query).document)
    if not arguments.follow:
        if output.as_json:
            output.document({"requests": found})
        else:
            output.table(records.listing(found))
        return Exit.DONE
    seen: dict[str, str] = {}
    _show_changed(output, found, seen)
    for document in _looks(context, client, "/v1/requests", limit=_FOLLOWED, state=arguments.state):
        _show_changed(output, _listed(document), seen)
    return Exit.DONE


def show(context: Context, arguments: Namespace) -> Exit:
    """One request; followed, its outcome."""
    client, output = context.client(), context.output
    record = client.record(arguments.id)
    if record is None:
        text = f"There is no request {arguments.id}, or no worker has taken it yet (`scaler status`: is one active?)"
        if not arguments.follow:
            raise Complaint(Exit.FAILED, text)
    elif not arguments.follow or record.get("state") in ENDS:
        _show(output, record, records.tables(record))
        return ended(record) if arguments.follow else Exit.DONE
    follower = context.follower(client, arguments.timeout)
    record = follower.follow(arguments.id, "request" if record is None else records.what(record))
    _show(output, record, records.tables(record))
    return ended(record)


def _show(output: Output, document: Mapping[str, Any], tables: Iterable[Table], *, line: bool = False) -> None:
    """A document as JSON, on one `line` where others follow; else its tables."""
    if output.as_json:
        output.document(document, line=line)
        return
    for table in tables:
        output.table(table)
        output.line("")


def _live(context: Context, client: Client) -> None:
    with Live(console=context.output.console, auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        for found in _looks(context, client, _STATUS):
            width = context.output.console.width
            parts = [part for table in state.tables(found) for part in (drawn(table, width), Text())]
            live.update(Group(*parts), refresh=True)


def _looks(context: Context, client: Client, path: str, **query: object) -> Iterator[Mapping[str, Any]]:
    """What ingest says, again and again, until Ctrl-C; it may be away for a while. Raises Complaint."""
    heard = context.pace.now()
    while True:
        try:
            found = client.get(path, **query).document
            heard = context.pace.now()
            yield found
        except Complaint as complaint:
            silent = context.pace.now() - heard
            if complaint.code is not Exit.UNREACHABLE or silent > PATIENCE.total_seconds():
                raise
        context.pace.pause(_LOOK.total_seconds())


def _listed(document: Mapping[str, Any]) -> list[records.Record]:
    found = document.get("requests")
    return [record for record in found if isinstance(record, Mapping)] if isinstance(found, list) else []


def _show_changed(output: Output, found: list[records.Record], seen: dict[str, str]) -> None:
    """Those that look different from the last time, the oldest first."""
    for record in reversed(found):
        request_id, text = str(record.get("id")), json.dumps([record.get(name) for name in _SHOWN])
        if seen.get(request_id) == text:
            continue
        seen[request_id] = text
        if output.as_json:
            output.document(record, line=True)
        else:
            output.table(records.listing([record]))


_SHOWN: Final = ("state", "step", "message", "waiting_for")
