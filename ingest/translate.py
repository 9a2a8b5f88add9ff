"""From what a caller posts to the message that goes into the queue. Pure: no clocks, no ids, no IO."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ingest.alertmanager import Webhook
from ingest.caller import Caller, asked_by
from ingest.dedup import dedup_key
from ingest.ignored import why_ignored
from ingest.query import Query
from shared.action import Action, Parameter
from shared.clock import rfc3339
from shared.errors import InvalidRequest
from shared.fields import shown
from shared.messages import parse_object, parse_request, refuse_dry_run

LONGEST_SUMMARY = 200

FOR_ALL = ("wait", "reason", "dry_run")
"""The query parameters of every POST, beside those of its action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One POST, as it came."""

    action: Action
    query: Query
    body: bytes = b""
    idempotency_key: str | None = None
    caller: Caller = field(default_factory=Caller)
    about: str | None = None
    """The id in the path."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A delivery that asks for nothing."""

    reason: str


def translate(post: Post, request_id: str, now: datetime) -> dict[str, Any] | Ignored:
    """The message for the queue. Raises InvalidRequest with the sentence for the caller."""
    body = parse_object(post.body) if post.body.strip() else {}
    webhook = Webhook.read(body)
    reason = why_ignored(body)
    if reason is not None:
        return Ignored(reason)
    _check(post, body)
    asked = {item.name: _value(item, post, webhook) for item in post.action.parameters}
    message = {
        "action": post.action.name,
        **asked,
        **_identity(post, webhook),
        **({"dry_run": True, "version": 2} if post.query.given("dry_run") == "true" else {}),
        "id": request_id,
        "requested_at": rfc3339(now),
        "source": "alertmanager" if webhook.group_key else "http",
        "asked_by": asked_by(post.caller, body, webhook) or None,
        "reason": post.query.one("reason")
        or (webhook.summary and shown(webhook.summary[:LONGEST_SUMMARY], LONGEST_SUMMARY)),
    }
    request = parse_request({name: value for name, value in message.items() if value is not None})
    return request.model_dump(mode="json", exclude_none=True)


def _check(post: Post, body: dict[str, Any]) -> None:
    """Raise InvalidRequest for what is not known here, and for a dry run that is asked for elsewhere."""
    post.query.check([*(item.name for item in post.action.parameters if item.place == "query"), *FOR_ALL])
    dry_run = post.query.given("dry_run")
    if dry_run not in {None, "false", "true"}:
        raise InvalidRequest(f"Incorrect dry_run: {shown(dry_run)}, dry_run can only be true or false")
    for place in (body, body.get("groupLabels"), body.get("commonLabels")):
        refuse_dry_run(name for name in place or () if isinstance(name, str))


def _value(parameter: Parameter, post: Post, webhook: Webhook) -> Any:
    """What counts for one parameter: the path; or the query, the group's labels, the common labels, in this order."""
    if parameter.place == "path":
        return post.about
    asked = post.query.one(parameter.name)
    return webhook.label(parameter.name) if asked is None else asked


def _utf8(key: str) -> str:
    """A header's text: HTTP servers hand bytes that are not UTF-8 on as lone surrogates, which JSON cannot carry."""
    if not key.isprintable():
        raise InvalidRequest("Incorrect Idempotency-Key: it can only be printable UTF-8 text")
    return key


def _identity(post: Post, webhook: Webhook) -> dict[str, str | None]:
    """What makes this the same request as another: the caller's own key, else what Alertmanager delivered."""
    if post.idempotency_key:
        return {"idempotency_key": _utf8(post.idempotency_key)}
    return {"dedup_key": dedup_key(post.action.name, webhook, post.query)}
