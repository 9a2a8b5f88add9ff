"""What is looked at: tables for a person, tab-separated lines when piped, JSON when asked for."""

from __future__ import annotations

import json

import pytest

from cli.following import Pace
from tests.behaviour.cli.documents import STATUS, record
from tests.behaviour.cli.server import Run, Server


def test_status_piped_begins_each_line_with_what_it_is(server: Server, scaler: Run) -> None:
    server.says["GET /v1/status"] = (200, {**STATUS, "requests": [record("running")]})
    ended = scaler("status")
    assert ended.code == 0
    kinds = [row[0] for row in ended.rows]
    assert kinds == ["cluster", "problem", "problem", "group", "node", "node", "request", "queue"]
    by_kind = {row[0]: row[1:] for row in ended.rows}
    assert by_kind["cluster"][:2] == ["blue", "manager-1"]
    assert by_kind["cluster"][4] == "until resumed by alice, the network is being moved"
    assert by_kind["group"][:7] == ["worker", "NodeAsg", "3", "2", "2", "0", "5"]
    assert by_kind["group"][7:] == [
        "DEFAULT_MIN_WORKER_NODES, MaxSize",
        "yes",
        "1, no capacity, Terminate is suspended",
    ]
    assert by_kind["queue"] == ["4", "12.500", "1"]
    first = next(row for row in ended.rows if row[0] == "node")
    assert first[1:8] == [
        "ip-10-0-3-12",
        "worker",
        "ready",
        "active",
        "2",
        "-",
        "would-not-fit: web.1 fits on no other node",
    ]


def test_status_for_a_person_names_everything(server: Server, scaler: Run) -> None:
    server.says["GET /v1/status"] = (200, STATUS)
    out = scaler("status", person=True).out
    for word in (
        "blue",
        "manager-1",
        "alice",
        "NodeAsg",
        "ip-10-0-3-13",
        "would-not-fit",
        "Docker",
        "nobody takes",
        "1.5 s",
    ):
        assert word in out


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"groups": None, "nodes": "many", "queue": [], "active": None, "paused": True},
        {"nodes": [{}, None, {"removable": True}, {"removable": ["quorum"]}], "groups": [{}], "requests": [{}]},
        {"active": {"lease_age": "soon", "since": 12}, "as_of": "yesterday", "problems": [{}], "troubles": [{}]},
    ],
)
def test_a_document_of_another_version_is_shown_as_far_as_it_goes(server: Server, scaler: Run, odd: object) -> None:
    server.says["GET /v1/status"] = (200, odd)
    for person in (False, True):
        ended = scaler("status", person=person)
        assert (ended.code, ended.err) == (0, "")
        assert "active" in ended.out.lower() or ended.rows[0][0] == "cluster"


def test_no_active_worker_is_said(server: Server, scaler: Run) -> None:
    server.says["GET /v1/status"] = (200, {**STATUS, "active": None})
    assert "no worker is active" in scaler("status").out


def test_watching_says_it_again_only_where_it_changed(
    server: Server, scaler: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([None, None, None])

    def pause(_seconds: float) -> None:
        if next(looks, "enough") == "enough":
            raise KeyboardInterrupt

    monkeypatch.setattr("cli.program.Pace", lambda: Pace(pause=pause))
    older = {**STATUS, "as_of": None, "age": 9.0, "active": {**STATUS["active"], "lease_age": 2.5}}
    resumed = {**STATUS, "paused": None}
    server.says["GET /v1/status"] = [(200, STATUS), (200, older), (502, b""), (200, resumed)]
    ended = scaler("status", "--watch", "--json")
    assert ended.code == 0
    assert [json.loads(line)["paused"] for line in ended.out.splitlines()] == [STATUS["paused"], None]


def test_requests_are_a_list_in_three_ways(server: Server, scaler: Run) -> None:
    found = {"requests": [record("succeeded", "2 worker\nnodes are up"), record("failed", "no")]}
    server.says["GET /v1/requests"] = (200, found)
    ended = scaler("requests", "-n", "5", "--state", "failed")
    assert ended.rows[0] == [
        *("r1", "2026-11-27T02:00:00.000Z", "scale nodes up worker by 1", "succeeded", "plan", "4.000"),
        "2 worker nodes are up",
    ]
    assert server.asked[-1].path == "/v1/requests?limit=5&state=failed"
    assert scaler("requests", "--json").json == found
    assert "MESSAGE" in scaler("requests", person=True).out


def test_requests_that_are_followed_are_told_as_they_change(
    server: Server, scaler: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([None, None])

    def pause(_seconds: float) -> None:
        if next(looks, "enough") == "enough":
            raise KeyboardInterrupt

    monkeypatch.setattr("cli.program.Pace", lambda: Pace(pause=pause))
    old, new = record("running"), {**record("queued"), "id": "r2"}
    lists = [[old], [old], [new, old], [new, record("succeeded")]]
    server.says["GET /v1/requests"] = [(200, {"requests": each}) for each in lists]
    assert [(row[0], row[3]) for row in scaler("requests", "--follow").rows] == [
        ("r1", "running"),
        ("r2", "queued"),
        ("r1", "succeeded"),
    ]


def test_show_says_all_that_stands_in_a_record(server: Server, scaler: Run) -> None:
    shown = record(
        "failed",
        "Nothing was removed",
        asked_by={"address": "10.0.0.1", "user": "alice"},
        warnings=["not protected"],
        plan={"nodes": [{"name": "ip-1", "goes": False, "reasons": [{"code": "protected", "text": "a label"}]}]},
        notices=[{"alertname": "scale_nodes", "status": "error", "summary": "Nothing was removed"}],
    )
    server.says["GET /v1/requests/r1"] = (200, shown)
    rows = scaler("show", "r1").rows
    assert ["fact", "message", "Nothing was removed"] in rows
    assert ["fact", "asked_by", "address 10.0.0.1, user alice"] in rows
    assert ["fact", "warnings", "not protected"] in rows
    assert ["step", "plan", "2026-11-27T02:00:01.000Z", "2026-11-27T02:00:02.000Z", "1.000"] in rows
    assert ["node", "ip-1", "no", "protected", "a label", "-"] in rows
    assert ["notice", "scale_nodes", "error", "Nothing was removed"] in rows
    assert scaler("show", "r1", "--json").json == shown
    assert scaler("show", "r1").code == 0
    assert scaler("show", "r1", "--follow").code == 1


def test_show_follows_what_has_not_ended(server: Server, scaler: Run) -> None:
    server.says["GET /v1/requests/r1"] = [(200, record("running")), (200, record("running")), (200, record("skipped"))]
    assert scaler("show", "r1", "--follow").code == 5


def test_a_request_that_is_not_there_is_said(server: Server, scaler: Run) -> None:
    server.says["GET /v1/requests/r1"] = (404, {"status": "NOK", "message": "There is no such request"})
    ended = scaler("show", "r1")
    assert (ended.code, "There is no request r1" in ended.err) == (1, True)


_PROTECTED = {"code": "protected", "text": "it carries the label"}
_FULL = {"code": "would-not-fit", "text": "web fits nowhere else"}


def test_explain_is_a_line_for_each_node(server: Server, scaler: Run) -> None:
    nodes = [
        {
            "name": "ip-1",
            "goes": True,
            "why": "the fewest tasks",
            "reasons": [],
            "moves": {"web": {"ip-2": 2, "ip-3": 1}},
        },
        {"name": "ip-2", "goes": False, "why": "", "reasons": [_PROTECTED, _FULL], "moves": {}},
    ]
    server.queued("/v1/scale-nodes", record("succeeded", "Would change the number", plan={"nodes": nodes}))
    known = {"post": {"parameters": [{"name": "dry_run"}]}}
    server.says["GET /docs/openapi.json"] = (200, {"paths": {"/v1/scale-nodes": known}})
    ended = scaler("explain", "down")
    assert ended.code == 0
    assert ended.rows == [
        ["node", "ip-1", "yes", "-", "the fewest tasks", "web to ip-2 (2), ip-3"],
        ["node", "ip-2", "no", "protected, would-not-fit", "it carries the label; web fits nowhere else", "-"],
    ]
    assert "Would change the number" in scaler("explain", "down", person=True).out
