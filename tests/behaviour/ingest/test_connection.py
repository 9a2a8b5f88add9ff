"""What callers can do to a connection, byte by byte. Only deadlines that are to run out are short here."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import pytest

from ingest import connection
from ingest.bodies import LONGEST
from ingest.connection import Deadlines
from tests.behaviour.ingest.serving import Service, serving
from tests.fakes.ingest import record
from tests.waiting import tries

SHORT = Deadlines(tick=0.02, receive=0.3, drain=0.1, idle=1.0, answer=1.0, linger=0.2)
PATIENT = Deadlines(tick=SHORT.tick)
PATIENCE = 5.0

EMPTY = b"Content-Length: 0\r\n\r\n"
POST = b"POST /v1/scale-nodes?scale=up&type=worker HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def hasty() -> AsyncIterator[Service]:
    """With deadlines that are to run out."""
    async with serving(deadlines=SHORT) as running:
        yield running


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server hangs up."""
    async with asyncio.timeout(PATIENCE):
        with suppress(ConnectionError):
            return await reader.read()
    return b""


async def exchange(service: Service, sent: bytes, drip: bytes = b"", pause: float = 0.05) -> bytes:
    """Send, then drip until the server hangs up; what it said."""
    reader, writer = await service.connect()
    writer.write(sent)
    async with asyncio.TaskGroup() as group:
        dripping = group.create_task(_drip(writer, drip, pause))
        said = await until_closed(reader)
        dripping.cancel()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return said


async def _drip(writer: asyncio.StreamWriter, drip: bytes, pause: float) -> None:
    with suppress(ConnectionError):
        while drip:
            writer.write(drip)
            await writer.drain()
            await asyncio.sleep(pause)


def status(said: bytes) -> int:
    return int(said.split(b" ", 2)[1])


def body(said: bytes) -> Any:
    return json.loads(said.partition(b"\r\n\r\n")[2])


UNFINISHED = {
    "headers": (POST, b""),
    "headers, dripping": (POST, b"a"),
    "one header, dripping": (POST + b"X: ", b"a"),
    "request line, dripping": (b"P", b"O"),
    "body": (POST + b"Content-Length: 50\r\n\r\n", b""),
    "body, dripping": (POST + b"Content-Length: 5000\r\n\r\n", b" "),
    "chunked body": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n", b""),
    "chunked body, dripping": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "chunk's size, dripping": (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1"),
    "body after Expect": (POST + b"Expect: 100-continue\r\nContent-Length: 50\r\n\r\n", b""),
    "body of an upgrade": (POST + b"Upgrade: websocket\r\nContent-Length: 50\r\n\r\n", b""),
}


@pytest.mark.parametrize("case", UNFINISHED)
async def test_what_never_arrives_is_cut_off_with_408(hasty: Service, case: str) -> None:
    said = (await exchange(hasty, *UNFINISHED[case])).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert status(said) == 408
    assert body(said)["status"] == "NOK"
    assert hasty.inbox.messages == []


async def test_after_a_408_nothing_more_is_waited_for() -> None:
    async with serving(deadlines=replace(SHORT, drain=100.0)) as service:
        said = await exchange(service, *UNFINISHED["body, dripping"])
        assert status(said) == 408


async def test_a_connection_that_says_nothing_is_closed(hasty: Service) -> None:
    assert await exchange(hasty, b"") == b""


@pytest.mark.parametrize(
    ("request_line", "code"), [(b"GET /healthz HTTP/1.1\r\n", 200), (b"POST /nope HTTP/1.1\r\n", 404)]
)
async def test_a_body_that_nobody_wants_is_not_waited_for(request_line: bytes, code: int) -> None:
    """The answer comes while the body does not."""
    async with serving(deadlines=replace(PATIENT, drain=100.0)) as service:
        reader, writer = await service.connect()
        writer.write(request_line + b"Content-Length: 5000\r\n\r\nx")
        assert status(await reader.readuntil(b"\r\n\r\n")) == code
        writer.close()


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_a_body_of_no_bytes_is_none_to_speak_of(
    service: Service, method: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sent = method + b" /healthz HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
    said = await exchange(service, sent + sent + method + b" /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert said.count(b"HTTP/1.1 200 OK") == 3
    assert [entry.getMessage() for entry in caplog.records if entry.levelname == "ERROR"] == []


async def test_a_second_request_has_the_same_deadline(hasty: Service) -> None:
    said = await exchange(hasty, b"GET /healthz HTTP/1.1\r\n\r\n" + POST, b"a")
    assert said.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 408 " in said


async def test_an_idle_connection_is_closed_in_the_end_and_not_before() -> None:
    loop = asyncio.get_running_loop()
    async with serving(deadlines=replace(PATIENT, idle=SHORT.idle)) as service:
        reader, writer = await service.connect()
        began = loop.time()
        writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
        await reader.readuntil(b'alive"}')
        assert await until_closed(reader) == b""
        assert loop.time() - began >= 0.9 * SHORT.idle
        writer.close()


async def test_requests_one_after_the_other_have_all_the_time_together(hasty: Service) -> None:
    """A pause that lasts longer than the deadline, on a busy machine, spoils a try."""
    for one in tries():
        reader, writer = await hasty.connect()
        with one, closing(writer):
            for _ in range(8):  # 0.05 s each: together longer than the deadline
                writer.write(POST + b"Content-Length: 2\r\n\r\n{")
                await asyncio.sleep(0.05)
                writer.write(b"}")
                head = await reader.readuntil(b"\r\n\r\n")
                assert status(head) == 202
                await reader.readuntil(b"}")


async def test_an_answer_that_takes_longer_than_any_wait_is_given_up() -> None:
    async with serving(deadlines=replace(PATIENT, answer=SHORT.answer)) as service:
        service.inbox.hangs = True
        said = await exchange(service, POST + b"Content-Length: 0\r\n\r\n")
        assert (status(said), body(said)["message"]) == (503, "No answer in time")


# --- callers that end their side, or go away --------------------------------------------------------------------------


async def half_closed(service: Service, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await service.connect()
    writer.write(sent)
    writer.write_eof()
    return reader, writer


@pytest.mark.parametrize("request_bytes", [POST + b"Content-Length: 0\r\n\r\n", b"GET /healthz HTTP/1.1\r\n\r\n"])
async def test_a_half_closed_connection_gets_its_answer(service: Service, request_bytes: bytes) -> None:
    reader, writer = await half_closed(service, request_bytes)
    assert status(await until_closed(reader)) in {200, 202}
    writer.close()


async def test_a_half_closed_connection_gets_all_its_answers(service: Service) -> None:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    reader, writer = await half_closed(service, (POST + b"Content-Length: 2\r\n\r\n{}") * 2 + chunked)
    assert (await until_closed(reader)).count(b"HTTP/1.1 202 ") == 3
    assert len(service.inbox.messages) == 3
    writer.close()


async def test_a_half_closed_connection_may_wait_for_its_outcome(service: Service) -> None:
    reader, writer = await half_closed(service, POST.replace(b"scale=up", b"wait=30&scale=up") + EMPTY)
    await waits(service, 1)
    await asyncio.sleep(3 * PATIENT.tick)
    service.journal.write(record(service.inbox.messages[0]["id"], message="the end"))
    said = await until_closed(reader)
    assert (status(said), body(said)["message"]) == (200, "the end")
    writer.close()


@pytest.mark.parametrize("case", [case for case in UNFINISHED if "dripping" not in case])
async def test_what_can_never_arrive_is_400_at_once(service: Service, case: str) -> None:
    reader, writer = await half_closed(service, UNFINISHED[case][0])
    said = (await until_closed(reader)).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert (status(said), body(said)["status"]) == (400, "NOK")
    assert service.inbox.messages == []
    writer.close()


async def test_a_half_closed_connection_that_says_nothing_is_closed_at_once(service: Service) -> None:
    reader, writer = await half_closed(service, b"")
    assert await until_closed(reader) == b""
    writer.close()


@pytest.mark.parametrize("first_half", [False, True])
async def test_a_caller_that_goes_away_is_forgotten_and_is_no_error(
    first_half: bool, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(deadlines=PATIENT) as service:
        _, writer = await service.connect()
        writer.write(POST.replace(b"scale=up", b"wait=300&scale=up") + EMPTY)
        await waits(service, 1)
        if first_half:
            writer.write_eof()
            await asyncio.sleep(3 * PATIENT.tick)
            assert service.outcomes.waiting == 1
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
        writer.transport.abort()
        await waits(service, 0)
        metrics = (await service.get("/metrics")).text
    assert "error" not in (caplog.text + capsys.readouterr().out).lower()
    assert 'code="500"' not in metrics


async def waits(service: Service, number: int) -> None:
    """Until so many callers wait."""
    async with asyncio.timeout(PATIENCE):
        while service.outcomes.waiting != number:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


# --- framing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", [b"Chunked", b"CHUNKED", b"chunked ", b"\tchunKed\t", b"chunked"])
@pytest.mark.parametrize("last", [True, False])
async def test_a_chunked_body_is_read_in_any_case(service: Service, coding: bytes, last: bool) -> None:
    header = b"Transfer-Encoding:" + coding + b"\r\n"
    lines = b"Connection: close\r\n" + header if last else header + b"Connection: close\r\n"
    said = await exchange(service, POST + lines + b"\r\n2\r\n{}\r\n0\r\n\r\n")
    assert status(said) == 202


async def test_what_only_looks_like_a_header_is_none(service: Service) -> None:
    said = await exchange(service, POST + b"X: a\ntransfer-encoding: Chunked\r\nConnection: close\r\n\r\n")
    assert (status(said), len(service.inbox.messages)) == (202, 1)


TRAILERS = b"0;last=yes\r\nExpires: never\r\nX-Sum: 1\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("end", [TRAILERS, b"00 \r\nA:\r\n\r\n", b"0\r\n\r\n"])
async def test_trailers_are_read_and_thrown_away(service: Service, end: bytes) -> None:
    follows = b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n"
    said = await exchange(service, CHUNKED + b"2\r\n{}\r\n" + end + follows)
    assert [int(part.split()[0]) for part in said.split(b"HTTP/1.1")[1:]] == [202, 200]


async def test_trailers_may_arrive_byte_by_byte(service: Service) -> None:
    reader, writer = await service.connect()
    for byte in CHUNKED + b"2\r\n{}\r\n" + TRAILERS:
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert status(await reader.readuntil(b"\r\n\r\n")) == 202
    writer.close()


async def test_a_body_of_trailers_alone_is_empty(service: Service) -> None:
    said = await exchange(service, POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + TRAILERS)
    assert status(said) == 202


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (b"0\r\nGET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"0\r\nno colon\r\n\r\n", 400),
        (b"0\r\nA: b\nC: d\0\r\n\r\n", 400),
        (b"0\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 413),
    ],
)
async def test_what_is_no_trailer_is_refused_and_never_the_next_request(
    service: Service, end: bytes, code: int
) -> None:
    said = await exchange(service, CHUNKED + b"2\r\n{}\r\n" + end + b"GET /healthz HTTP/1.1\r\n\r\n")
    assert said.count(b"HTTP/1.1 ") == 1
    assert status(said) == code


# --- size ---------------------------------------------------------------------------------------------------------


async def test_a_body_of_exactly_the_longest_length_is_read(service: Service) -> None:
    assert (await service.post("/v1/scale-nodes?scale=up&type=worker", b"{}" + b" " * (LONGEST - 2))).code == 202


@pytest.mark.parametrize("length", [LONGEST + 1, 50 * 1024 * 1024, 10**18])
async def test_a_longer_body_is_413_before_any_of_it_arrives(service: Service, length: int) -> None:
    said = await exchange(service, POST + b"Content-Length: %d\r\n\r\n" % length)
    assert (status(said), body(said)["status"]) == (413, "NOK")


@pytest.mark.parametrize("chunk", [100, 60_000, LONGEST + 1])
async def test_a_longer_chunked_body_is_413(service: Service, chunk: int) -> None:
    piece = b"%x\r\n%b\r\n" % (chunk, b"x" * chunk)
    said = await exchange(service, POST + b"Transfer-Encoding: chunked\r\n\r\n" + piece * (LONGEST // chunk + 1), piece)
    assert (status(said), body(said)["status"]) == (413, "NOK")


async def test_who_sends_first_and_reads_then_gets_the_413_too(service: Service) -> None:
    """Without lingering, the reset that a close with unread bytes causes would overtake the answer."""
    reader, writer = await service.connect()
    writer.write(POST + b"Content-Length: 8000000\r\n\r\n")
    for _ in range(80):
        writer.write(b"x" * 100_000)
        await writer.drain()
    assert status(await until_closed(reader)) == 413
    writer.close()


async def test_headers_that_are_too_long_are_refused(service: Service) -> None:
    said = await exchange(service, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n")
    assert (status(said), body(said)["status"]) == (413, "NOK")


async def test_too_many_bodies_at_once_are_refused_not_held(hasty: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that do not meet, on a busy machine, are a try that is spoilt."""
    monkeypatch.setattr("ingest.bodies.TOGETHER", 100_000)
    half = POST + b"Content-Length: 80000\r\n\r\n" + b" " * 60_000
    for one in tries():
        with one:
            first, second = await asyncio.gather(exchange(hasty, half), exchange(hasty, half))
            assert sorted((status(first), status(second))) == [408, 503]
            assert (await hasty.post("/v1/scale-nodes?scale=up&type=worker", b"{}" + b" " * 90_000)).code == 202


async def test_one_connection_too_many_is_told_so(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MOST", 3)
    others = [await service.connect() for _ in range(3)]
    reader, writer = await service.connect()
    said = await until_closed(reader)
    assert (status(said), body(said)["status"]) == (503, "NOK")
    for _, other in [*others, (reader, writer)]:
        other.close()
        with suppress(ConnectionError):
            await other.wait_closed()


# --- what is no HTTP ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/3\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        POST + b"Content-Length: abc\r\n\r\n",
        POST + b"Content-Length: -5\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        POST + b"Transfer-Encoding: gzip\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 100,
    ],
)
async def test_what_is_no_http_is_400_in_json(service: Service, sent: bytes) -> None:
    said = await exchange(service, sent)
    assert (status(said), body(said)["status"]) == (400, "NOK")
    assert service.inbox.messages == []


@pytest.mark.parametrize("path", [b"//[", b"*", b"http://h/nope", b"/%", b"/%ff%00", b"/..", b"/v1/requests/%2e%2e"])
async def test_strange_paths_are_404_in_json(service: Service, path: bytes) -> None:
    said = await exchange(service, b"GET " + path + b" HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert (status(said), body(said)["status"]) == (404, "NOK")


async def test_a_header_that_is_not_utf8_is_no_key(service: Service) -> None:
    said = await exchange(service, POST + b"Idempotency-Key: caf\xe9\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert (status(said), service.inbox.messages) == (400, [])


async def test_a_header_that_is_not_utf8_is_no_token() -> None:
    async with serving({"WEBHOOK_TOKEN": "caf\xe9"}, SHORT) as service:
        for shown, code in ((b"caf\xe9", 401), (b"caf\xc3\xa9", 202)):
            head = POST + b"Authorization: Bearer " + shown + b"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            assert status(await exchange(service, head)) == code
