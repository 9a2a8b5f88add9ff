"""The commands that ask for something: each is one POST, then its request is followed to the end.

A dry run is asked for only of a server whose own description knows it: an older one would pass the parameter over, and
do what it was asked to only think of.
"""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from cli import records
from cli.client import Answer, Client
from cli.complaints import Complaint, Exit
from cli.context import Context
from cli.following import ended
from cli.parser import LONGEST_ANSWER

_DESCRIPTION: Final = "/docs/openapi.json"


def nodes(context: Context, arguments: Namespace) -> Exit:
    """One more or one less."""
    query = {"scale": arguments.scale, "type": arguments.type, "by": arguments.by}
    return _ask(context, arguments, "/v1/scale-nodes", query)


def service(context: Context, arguments: Namespace) -> Exit:
    """Replicas."""
    query = {"service": arguments.name, "scale": arguments.scale, "by": arguments.by}
    return _ask(context, arguments, "/v1/scale-service", query)


def reschedule(context: Context, arguments: Namespace) -> Exit:
    """All labelled services, or one."""
    if arguments.name is None:
        return _ask(context, arguments, "/v1/reschedule-services", {})
    return _ask(context, arguments, "/v1/reschedule-service", {"service": arguments.name})


def node(context: Context, arguments: Namespace) -> Exit:
    """One node."""
    path = "/v1/replace-node" if arguments.what == "replace" else "/v1/drain-node"
    back = "true" if arguments.what == "undrain" else None
    return _ask(context, arguments, path, {"node": arguments.name, "back": back})


def explain(context: Context, arguments: Namespace) -> Exit:
    """The dry run of a node scale, a line for each node."""
    query = {"scale": arguments.scale, "type": arguments.type, "by": arguments.by}
    client = context.client()
    answer = _post(client, "/v1/scale-nodes", query, dry_run=True)
    record = context.follower(client, arguments.timeout or LONGEST_ANSWER).wait(str(answer.document["id"]))
    return _told(context, record)


def pause(context: Context, arguments: Namespace) -> Exit:
    """No node scales until resumed."""
    seconds = None if arguments.time is None else f"{arguments.time.total_seconds():g}"
    return _ask(context, arguments, "/v1/pause", {"for": seconds})


def resume(context: Context, arguments: Namespace) -> Exit:
    """Go on."""
    return _ask(context, arguments, "/v1/resume", {})


def cancel(context: Context, arguments: Namespace) -> Exit:
    """End another request."""
    return _ask(context, arguments, f"/v1/requests/{quote(arguments.id, safe='')}/cancel", {})


def _ask(context: Context, arguments: Namespace, path: str, query: Mapping[str, Any]) -> Exit:
    """Post it, follow it, say what became of it."""
    client, dry_run = context.client(), getattr(arguments, "dry_run", False)
    answer = _post(client, path, {**query, "reason": arguments.reason}, dry_run=dry_run)
    if "id" not in answer.document:
        return _answered(context, answer)
    if getattr(arguments, "no_wait", False):
        return _queued(context, answer)
    follower = context.follower(client, arguments.timeout or (LONGEST_ANSWER if dry_run else None))
    title = records.what({"action": path.rpartition("/")[2], **query}) + (" (dry run)" if dry_run else "")
    record = follower.follow(str(answer.document["id"]), title)
    return _told(context, record)


def _told(context: Context, record: records.Record) -> Exit:
    """What became of it; and of a dry run, what it says of each node."""
    output = context.output
    if output.as_json:
        output.document(record)
        return ended(record)
    output.line(str(record.get("message") or ""))
    judged = records.nodes(record)
    if judged.rows:
        output.table(judged)
    return ended(record)


def _post(client: Client, path: str, query: Mapping[str, Any], *, dry_run: bool) -> Answer:
    if not dry_run:
        return client.post(path, **query)
    described = client.get(_DESCRIPTION).document
    if not _knows_dry_runs(described, path):
        raise Complaint(Exit.FAILED, "This server knows no dry run, nothing was asked of it: update ingest")
    return client.post(path, **query, dry_run="true")


def _knows_dry_runs(description: Mapping[str, Any], path: str) -> bool:
    """Whether the server's own description of a route has the parameter."""
    routes = description.get("paths")
    route = routes.get(path) if isinstance(routes, Mapping) else None
    post = route.get("post") if isinstance(route, Mapping) else None
    parameters = post.get("parameters") if isinstance(post, Mapping) else None
    return any(isinstance(each, Mapping) and each.get("name") == "dry_run" for each in parameters or ())


def _answered(context: Context, answer: Answer) -> Exit:
    """Ingest has done it, or ignored it, without a request of its own."""
    if context.output.as_json:
        context.output.document(answer.document)
    elif context.output.person:
        context.output.line(answer.message)
    else:
        context.output.raw(answer.message)
    return Exit.DONE


def _queued(context: Context, answer: Answer) -> Exit:
    """It goes on by itself."""
    if context.output.as_json:
        context.output.document(answer.document)
    else:
        context.output.raw(str(answer.document["id"]))
    return Exit.DONE
