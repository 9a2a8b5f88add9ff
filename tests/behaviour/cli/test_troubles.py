"""Whatever goes wrong has one clear line on standard error and its exit code; never a traceback."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import Any

import pytest

from cli.complaints import Exit
from tests.behaviour.cli.server import NO_ROUTE, Run, Server, runner

PING = "GET /v1/requests"


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        ((404, NO_ROUTE), 1, "This server has no such route (GET /v1/requests): update ingest"),
        ((405, {"status": "NOK", "message": "Method GET not allowed"}), 1, "update ingest"),
        ((400, {"status": "NOK", "message": "No scale direction", "hint": "Give scale"}), 1, "direction (Give scale)"),
        ((401, {"status": "NOK", "message": "The token is missing or wrong"}), 1, "wants a token: set SCALER_TOKEN"),
        ((403, {"status": "NOK", "message": "Refused: Origin"}), 1, "Refused: Origin"),
        ((404, {"status": "NOK", "message": "Node scaling is switched off"}), 1, "Node scaling is switched off"),
        ((409, {"status": "NOK", "message": "It has terminated an instance"}), 1, "It has terminated an instance"),
        ((503, {"status": "NOK", "message": "SQS does not answer"}), 1, "SQS does not answer"),
        ((503, b"Service Unavailable"), 3, "answers 503 to GET /v1/requests, ingest is not reachable behind it"),
        ((502, b"<html>"), 3, "ingest is not reachable behind it"),
        ((404, b"404 page not found"), 3, "not as ingest does: SCALER_URL must lead to ingest, with its prefix"),
        ((200, b"<html>"), 3, "is not ingest (no JSON)"),
        ((200, b"[1]"), 3, "is not ingest (no JSON)"),
        ((200, b'{"requests": '), 3, "is not ingest (no JSON)"),
        ((500, {"status": "NOK", "message": "Internal error"}), 1, "Internal error"),
    ],
)
def test_each_answer_has_its_line_and_its_code(server: Server, scaler: Run, said: Any, code: int, words: str) -> None:
    server.says[PING] = said
    ended = scaler("requests")
    assert ended.code == code
    assert words in ended.err
    assert ended.err.startswith("scaler: ")
    assert len(ended.err.splitlines()) == 1
    assert ended.out == ""


def test_a_wrong_token_is_told_from_a_missing_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.says[PING] = (401, {"status": "NOK", "message": "The token is missing or wrong"})
    ended = runner(monkeypatch, server.url, SCALER_TOKEN="correct horse")("requests")
    assert (ended.code, "does not take this token" in ended.err) == (1, True)
    assert "correct horse" not in ended.err + ended.out


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        ended = runner(monkeypatch, f"http://127.0.0.1:{taken.getsockname()[1]}")("status")
    assert ended.code == Exit.UNREACHABLE
    assert "connection refused; does ingest run there? SCALER_URL says where it is" in ended.err


def test_a_redirect_is_not_followed_and_takes_no_token_along(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.says[PING] = (302, b"")
    server.headers["Location"] = f"{server.url}/elsewhere"
    ended = runner(monkeypatch, server.url, SCALER_TOKEN="correct horse")("requests")
    assert (ended.code, len(server.asked)) == (3, 1)
    assert f"redirects to {server.url}/elsewhere: set SCALER_URL" in ended.err


@pytest.mark.parametrize("first", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"])
def test_what_breaks_off_or_is_no_http_is_not_reachable(monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        caller, _ = listener.accept()
        with caller:
            caller.recv(4096)
            caller.sendall(first)

    thread = threading.Thread(target=serve)
    thread.start()
    ended = runner(monkeypatch, f"http://127.0.0.1:{listener.getsockname()[1]}")("status")
    thread.join()
    listener.close()
    assert ended.code == Exit.UNREACHABLE
    assert len(ended.err.splitlines()) == 1


def test_tls_where_there_is_none(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = runner(monkeypatch, server.url.replace("http:", "https:"))("status")
    assert ended.code == Exit.UNREACHABLE
    assert "TLS failed" in ended.err
    assert "does it speak https?" in ended.err


def test_a_certificate_that_nobody_has_signed(server: Server, scaler: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refused.verify_message = "self-signed certificate"

    def fails(*_: object, **__: object) -> None:
        raise refused

    monkeypatch.setattr("urllib.request.OpenerDirector.open", fails)
    ended = scaler("status")
    assert ended.code == Exit.UNREACHABLE
    assert "not trusted: self-signed certificate; SSL_CERT_FILE may name the file of its CA" in ended.err


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"SCALER_URL": "localhost:8080"}, "SCALER_URL: must be a URL"),
        ({"SCALER_URL": "http://a:b@host"}, "SCALER_URL: must not hold a login"),
        ({"SCALER_URL": "http://host/?x=1"}, "SCALER_URL: must end with the path"),
        ({"SCALER_URL": "http://host:port"}, "SCALER_URL: "),
        ({"SCALER_TOKEN": "two\nlines"}, "SCALER_TOKEN: must be one line"),
        ({"SCALER_TOKEN_FILE": "/nowhere"}, "SCALER_TOKEN: cannot read SCALER_TOKEN_FILE /nowhere"),
        ({"SCALER_TOKEN": "a", "SCALER_TOKEN_FILE": "/b"}, "SCALER_TOKEN: set both directly"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], problem: str
) -> None:
    ended = runner(monkeypatch, **{"url": "http://127.0.0.1:1", **environ})("status")
    assert ended.code == Exit.USAGE
    assert problem in ended.err


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("up",),
        ("nodes",),
        ("nodes", "sideways"),
        ("nodes", "up", "-n", "0"),
        ("nodes", "up", "-n", "10001"),
        ("nodes", "up", "--type", "leader"),
        ("nodes", "up", "--timeout", "soon"),
        ("nodes", "up", "--dry"),
        ("pause", "--for", "0s"),
        ("requests", "-n", "101"),
        ("dead-letters", "show"),
        ("dead-letters", "drop"),
        ("dead-letters", "list", "x"),
        ("dead-letters", "drop", "x", "--all"),
        ("completion", "tcsh"),
    ],
)
def test_wrong_usage_asks_nobody(server: Server, scaler: Run, words: tuple[str, ...]) -> None:
    ended = scaler(*words)
    assert ended.code == Exit.USAGE
    assert ended.err
    assert server.asked == []


def test_a_server_cannot_steer_the_terminal(server: Server, scaler: Run) -> None:
    server.says[PING] = (400, {"status": "NOK", "message": "\x1b[2J\x07gone"})
    assert "\x1b" not in scaler("requests").err
    server.says[PING] = (200, {"requests": [{"id": "r1", "message": "\x1b[2Jgone\tnext"}]})
    assert scaler("requests").rows[0][-1] == "[2Jgone next"
    assert "\x1b[2J" not in scaler("requests", person=True).out


def test_whoever_stops_reading_gets_no_traceback(server: Server, scaler: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError

    server.says[PING] = (200, {"requests": [{"id": "r1"}]})
    monkeypatch.setattr("cli.output.Output._write", broken)
    monkeypatch.setattr("cli.program.swallow_output", lambda: None)
    assert (scaler("requests").code, scaler("requests").err) == (0, "")
