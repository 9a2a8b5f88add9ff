"""What asks for something: what is posted, what is followed, and how it ends."""

from __future__ import annotations

import base64
import getpass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.complaints import Exit
from cli.following import Pace
from tests.behaviour.cli.documents import record
from tests.behaviour.cli.server import Run, Server, runner
from tests.http_servers import Asked

PARAMETERS = {"parameters": [{"name": "dry_run"}]}


def posted(server: Server) -> tuple[str, dict[str, str]]:
    """The path and the query of the one POST."""
    (asked,) = [asked for asked in server.asked if asked.method == "POST"]
    parts = urlsplit(asked.path)
    return parts.path, {name: value for name, (value,) in parse_qs(parts.query).items()}


@pytest.mark.parametrize(
    ("words", "path", "query"),
    [
        ("nodes up", "/v1/scale-nodes", {"scale": "up", "type": "worker"}),
        ("nodes down -n 2 --type manager", "/v1/scale-nodes", {"scale": "down", "type": "manager", "by": "2"}),
        ("service up web -n 3", "/v1/scale-service", {"service": "web", "scale": "up", "by": "3"}),
        ("service down web", "/v1/scale-service", {"service": "web", "scale": "down"}),
        ("reschedule", "/v1/reschedule-services", {}),
        ("reschedule web --reason new", "/v1/reschedule-service", {"service": "web", "reason": "new"}),
        ("node replace ip-1", "/v1/replace-node", {"node": "ip-1"}),
        ("node drain ip-1", "/v1/drain-node", {"node": "ip-1"}),
        ("node undrain ip-1", "/v1/drain-node", {"node": "ip-1", "back": "true"}),
        ("pause --for 2h --reason moving", "/v1/pause", {"for": "7200", "reason": "moving"}),
        ("pause", "/v1/pause", {}),
        ("resume", "/v1/resume", {}),
        ("cancel r2", "/v1/requests/r2/cancel", {}),
        ("cancel a/b?c", "/v1/requests/a%2Fb%3Fc/cancel", {}),
    ],
)
def test_each_command_is_one_post(server: Server, scaler: Run, words: str, path: str, query: dict[str, str]) -> None:
    server.queued(path, record("succeeded", "done"))
    ended = scaler(*words.split())
    assert (ended.code, ended.err) == (0, "")
    assert posted(server) == (path, query)
    assert server.asked[0].headers["Prefer"] == "wait=0"
    assert ended.rows[-1][1:] == ["message", "done"]


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("failed", 1), ("skipped", 5)])
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_the_outcome_is_the_exit_code(
    server: Server, scaler: Run, state: str, code: int, more: tuple[str, ...]
) -> None:
    server.queued("/v1/scale-nodes", record("running"), record(state, "what became of it"))
    ended = scaler("nodes", "up", *more)
    assert ended.code == code
    assert "what became of it" in ended.out
    if more:
        assert ended.json["state"] == state


def test_what_is_followed_is_told_once_each_in_lines(server: Server, scaler: Run) -> None:
    waits = {"what": "nodes", "until": None, "behind": "r0", "last_error": "AWS is slow"}
    open_ = record("running", waiting_for=waits)
    server.queued("/v1/scale-nodes", record("queued", steps=[]), open_, open_, record("succeeded", "2 nodes are up"))
    assert [row[1:] for row in scaler("nodes", "up").rows] == [
        ["id", "r1"],
        ["step", "plan"],
        ["waits", "waits for nodes, behind r0, AWS is slow"],
        ["ended", "succeeded (plan 1.00 s)"],
        ["message", "2 nodes are up"],
    ]


def test_a_person_sees_the_board_and_what_became_of_it(server: Server, scaler: Run) -> None:
    server.queued("/v1/scale-nodes", record("running"), record("succeeded", "2 worker nodes are up"))
    ended = scaler("nodes", "up", person=True)
    assert ended.code == 0
    assert "Docker Scaler" in ended.out
    assert "scale nodes up worker" in ended.out
    assert ended.out.rstrip().endswith("2 worker nodes are up")


def test_without_waiting_the_id_is_all(server: Server, scaler: Run) -> None:
    server.queued("/v1/scale-nodes", record("running"))
    assert scaler("nodes", "up", "--no-wait").out == "r1\n"
    assert scaler("nodes", "up", "--no-wait", "--json").json["id"] == "r1"
    assert {asked.method for asked in server.asked} == {"POST"}


def test_what_is_answered_without_a_request_is_the_answer(server: Server, scaler: Run) -> None:
    server.says["POST /v1/resume"] = (200, {"status": "OK", "message": "Nothing is paused"})
    ended = scaler("resume")
    assert (ended.code, ended.out) == (0, "Nothing is paused\n")


def test_a_refusal_is_the_servers_own_sentence(server: Server, scaler: Run) -> None:
    server.says["POST /v1/requests/r1/cancel"] = (409, {"status": "NOK", "message": "It has ended"})
    ended = scaler("cancel", "r1")
    assert (ended.code, ended.err) == (1, "scaler: It has ended\n")


def test_a_dry_run_is_never_asked_of_a_server_that_would_do_it(server: Server, scaler: Run) -> None:
    server.queued("/v1/scale-nodes", record("succeeded"))
    server.says["GET /docs/openapi.json"] = (200, {"paths": {"/v1/scale-nodes": {"post": {"parameters": []}}}})
    for words in (("nodes", "down", "--dry-run"), ("explain", "down")):
        ended = scaler(*words)
        assert (ended.code, "update ingest" in ended.err) == (1, True)
    assert {asked.method for asked in server.asked} == {"GET"}


def test_a_dry_run_says_what_would_be(server: Server, scaler: Run) -> None:
    server.queued("/v1/scale-nodes", record("succeeded", "Would change the number"))
    server.says["GET /docs/openapi.json"] = (200, {"paths": {"/v1/scale-nodes": {"post": PARAMETERS}}})
    ended = scaler("nodes", "down", "--dry-run")
    assert ended.code == 0
    assert posted(server)[1]["dry_run"] == "true"
    assert ended.rows[-1][-1] == "Would change the number"


def test_a_dry_run_of_one_node_has_a_line_for_each_node(server: Server, scaler: Run) -> None:
    meant = {"name": "ip-1", "goes": True, "why": "it was asked for", "reasons": [], "moves": {"web": {"ip-2": 2}}}
    other = {"name": "ip-2", "goes": False, "reasons": [{"code": "not-asked-for", "text": "nobody has"}], "moves": {}}
    foreseen = {**record("succeeded", "Would drain ip-1"), "plan": {"nodes": [meant, other]}}
    server.queued("/v1/drain-node", foreseen)
    server.says["GET /docs/openapi.json"] = (200, {"paths": {"/v1/drain-node": {"post": PARAMETERS}}})
    ended = scaler("node", "drain", "ip-1", "--dry-run")
    assert ended.code == 0
    assert ended.rows[-2:] == [
        ["node", "ip-1", "yes", "-", "it was asked for", "web to ip-2 (2)"],
        ["node", "ip-2", "no", "not-asked-for", "nobody has", "-"],
    ]


def test_a_time_that_is_over_is_exit_4_with_how_to_look_again(server: Server, scaler: Run) -> None:
    server.queued("/v1/scale-nodes", record("running"))
    ended = scaler("nodes", "up", "--timeout", "0.01")
    assert ended.code == Exit.RUNNING
    assert ended.err.endswith("Request r1 goes on; look again with: scaler show r1 --follow\n")


def test_a_request_that_no_worker_takes_says_so(server: Server, scaler: Run) -> None:
    server.queued("/v1/scale-nodes", record("running"))
    server.says["GET /v1/requests/r1"] = (404, {"status": "NOK", "message": "There is no such request"})
    ended = scaler("nodes", "up", "--timeout", "0.01")
    assert (ended.code, "no worker has taken it yet" in ended.err) == (Exit.RUNNING, True)


def test_ctrl_c_says_that_the_request_goes_on(server: Server, scaler: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.program.Pace", lambda: Pace(pause=interrupted))
    server.queued("/v1/scale-nodes", record("running"))
    ended = scaler("nodes", "up")
    assert ended.code == Exit.RUNNING
    assert ended.err == "scaler: Request r1 goes on; look again with: scaler show r1 --follow\n"


def test_an_ingest_that_is_away_for_a_moment_is_waited_for(server: Server, scaler: Run) -> None:
    server.queued("/v1/scale-nodes", record("running"))
    gone = (502, b"")
    server.says["GET /v1/requests/r1"] = [gone, gone, (200, record("succeeded", "done"))]
    ended = scaler("nodes", "up")
    assert ended.code == 0
    assert [row[1] for row in ended.rows].count("trouble") == 1


def test_an_ingest_that_stays_away_is_exit_3_with_the_id(
    server: Server, scaler: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 20))
    monkeypatch.setattr("cli.program.Pace", lambda: Pace(now=lambda: float(next(clock)), pause=lambda _: None))
    server.queued("/v1/scale-nodes", record("running"))
    server.says["GET /v1/requests/r1"] = (502, b"")
    ended = scaler("nodes", "up")
    assert ended.code == Exit.UNREACHABLE
    assert "Request r1 goes on" in ended.err


def test_what_is_no_passing_trouble_ends_it_at_once(server: Server, scaler: Run) -> None:
    server.queued("/v1/scale-nodes", record("running"))
    server.says["GET /v1/requests/r1"] = (401, {"status": "NOK", "message": "no"})
    ended = scaler("nodes", "up")
    assert (ended.code, "Request r1 goes on" in ended.err) == (1, True)


def test_the_token_goes_along_with_who_asks(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "token").write_text("correct: horse\n")
    monkeypatch.setattr(getpass, "getuser", lambda: "alice")
    run = runner(monkeypatch, server.url, SCALER_TOKEN_FILE=str(tmp_path / "token"))
    run("requests")
    scheme, _, login = server.asked[-1].headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(login)) == ("Basic", b"alice:correct: horse")


def test_where_nobody_is_logged_in_the_token_goes_alone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nobody)
    runner(monkeypatch, server.url, SCALER_TOKEN="horse")("requests")
    assert server.asked[-1].headers["Authorization"] == "Bearer horse"


def test_without_a_token_nothing_is_shown(server: Server, scaler: Run) -> None:
    scaler("requests")
    assert "Authorization" not in server.asked[-1].headers


def test_a_prefix_stands_before_every_route(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.says["GET /scaler/v1/requests"] = (200, {"requests": []})
    assert runner(monkeypatch, f"{server.url}/scaler/")("requests").code == 0


def test_a_request_is_asked_for_once_even_where_the_answer_is_lost(server: Server, scaler: Run) -> None:
    def lose(_asked: Asked) -> None:
        raise ConnectionResetError

    server.on_ask = lose
    ended = scaler("nodes", "up")
    assert ended.code == Exit.UNREACHABLE
    assert [asked.method for asked in server.asked] == ["POST"]
