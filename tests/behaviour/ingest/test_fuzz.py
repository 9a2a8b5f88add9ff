"""Any body and any query, over real HTTP: never a 500, always our JSON, and nothing queued that no worker can read."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Collection, Iterator
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.query import Query
from shared.actions import ACTIONS
from tests.behaviour.ingest.serving import Service, serving
from tests.unit.ingest.test_translate import BODIES, QUERIES

CODES = {200, 202, 400}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One for all examples, on a thread with a loop of its own."""
    running: list[Service] = []
    loop, started, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving() as made:
            running.append(made)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    yield running[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


def ask(service: Service, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def check(
    service: Service, path: str, body: bytes, headers: dict[str, str], codes: Collection[int] = frozenset(CODES)
) -> None:
    service.inbox.bodies.clear()
    service.alerts.told.clear()
    code, text = ask(service, "POST", path, body, headers)
    answer = json.loads(text)
    assert code in codes
    assert answer["status"] == ("OK" if code < 400 else "NOK")
    assert "Traceback" not in answer["message"]
    assert len(service.inbox.messages) == (code == 202)
    assert [alert.summary for alert in service.alerts.told] == ([answer["message"]] if code == 400 else [])


@settings(max_examples=300, deadline=None)
@given(action=st.sampled_from(list(ACTIONS)), query=QUERIES, body=BODIES)
def test_no_body_or_query_is_a_500(service: Service, action: str, query: Query, body: bytes) -> None:
    pairs = "&".join(f"{quote(name)}={quote(value)}" for name, value in query.pairs if name != "wait")
    route = ACTIONS[action].route
    codes = CODES | {404} if "{id}" in route else CODES
    check(service, f"{route}?{pairs}", body, {}, codes)


@settings(max_examples=150, deadline=None)
@given(
    query=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=60),
    key=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
    prefer=st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
)
def test_no_raw_query_or_header_is_a_500(service: Service, query: str, key: str, prefer: str) -> None:
    headers = {"Idempotency-Key": key, "Prefer": f"x{prefer}"}
    check(service, f"/v1/scale-nodes?scale=up&type=worker&{query.replace('wait', '').replace('#', '')}", b"", headers)


@settings(max_examples=150, deadline=None)
@given(
    path=st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "BREW"]),
)
def test_no_path_is_a_500(service: Service, path: str, method: str) -> None:
    code, text = ask(service, method, f"/{path}", b"", {})
    assert code in {200, 202, 400, 404, 405}
    page = path.startswith(("docs", "metrics", "live")) or text.startswith(b"<!doctype html>")
    assert method == "HEAD" or page or json.loads(text)
