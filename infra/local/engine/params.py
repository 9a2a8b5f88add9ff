"""What requests say: version, filters, flags, bodies. What cannot be read is an EngineError."""

import json
from decimal import Decimal, InvalidOperation

from aiohttp import web

from infra.local.engine.engine import API_VERSION
from infra.local.engine.errors import invalid
from infra.local.engine.filters import Filters
from infra.local.engine.specs import Json


def api_version(request: web.Request) -> tuple[int, int]:
    """What the path asks for, else the newest."""
    prefix = request.match_info.get("version")
    if prefix is None:
        return API_VERSION
    major, minor = prefix[1:].split(".")
    return int(major), int(minor)


def unversioned(request: web.Request) -> str:
    prefix = request.match_info.get("version")
    return request.path.removeprefix(f"/{prefix}") if prefix else request.path


def filters(request: web.Request, accepted: frozenset[str] | None) -> Filters:
    return Filters(request.query.get("filters"), accepted)


def flag(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() not in ("", "0", "no", "false", "none")


def object_version(request: web.Request, kind: str) -> int:
    text = request.query.get("version", "")
    if not text.isdecimal():
        syntax = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise invalid(f"invalid {kind} version '{text}': {syntax}")
    return int(text)


async def body(request: web.Request) -> Json:
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise invalid(f"invalid JSON: {error}") from None
    if not isinstance(body, dict):
        raise invalid("invalid JSON: not an object")
    return body


def moment(request: web.Request, name: str) -> int | None:
    """A Unix time in seconds, perhaps with a fraction, as nanoseconds."""
    text = request.query.get(name)
    if not text:
        return None
    try:
        return int(Decimal(text) * 1_000_000_000)
    except InvalidOperation:
        raise invalid(f'failed to parse value as a UNIX timestamp: "{text}"') from None
