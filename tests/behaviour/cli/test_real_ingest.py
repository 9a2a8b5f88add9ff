"""The program against the real service: what it posts is understood, what is answered is understood here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.cli.server import Ended, runner
from tests.behaviour.ingest.serving import Service, serving
from tests.fakes.ingest import NOON, record


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    """What the service logs goes to the same standard output, in this process only."""
    with capture_logs():
        yield


async def ask(service: Service, monkeypatch: pytest.MonkeyPatch, *words: str, url: str = "", **environ: str) -> Ended:
    """One run, while the service serves."""
    monkeypatch.setattr("cli.following._LOOK", timedelta())
    run = runner(monkeypatch, f"http://127.0.0.1:{service.port}{url}", **environ)
    return await asyncio.to_thread(run, *words)


def end(service: Service, state: State, message: str) -> None:
    """As a worker does: each message becomes a record that has ended."""

    def on_send(message_: dict[str, object]) -> None:
        service.journal.write(record(str(message_["id"]), state, message, ended_at=NOON))

    service.inbox.on_send = on_send


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nodes up", {"action": "scale-nodes", "scale": "up", "type": "worker"}),
        ("nodes down -n 3 --type manager", {"action": "scale-nodes", "scale": "down", "type": "manager", "by": 3}),
        ("service up web -n 2", {"action": "scale-service", "service": "web", "scale": "up", "by": 2}),
        ("reschedule --reason moved", {"action": "reschedule-services", "reason": "moved"}),
        ("reschedule web", {"action": "reschedule-service", "service": "web"}),
    ],
)
async def test_what_is_asked_for_is_what_is_queued(
    service: Service, monkeypatch: pytest.MonkeyPatch, words: str, message: dict[str, object]
) -> None:
    end(service, State.SUCCEEDED, "done")
    ended = await ask(service, monkeypatch, *words.split())
    assert (ended.code, ended.err) == (0, "")
    (sent,) = service.inbox.messages
    assert message.items() <= sent.items()
    assert ended.rows[-1][-1] == "done"


async def test_below_a_prefix_with_a_token_the_record_says_who_asked(
    prefixed: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    end(prefixed, State.FAILED, "no room")
    ended = await ask(prefixed, monkeypatch, "nodes", "down", url="/scaler", SCALER_TOKEN="correct horse")
    assert (ended.code, ended.rows[-1][-1]) == (1, "no room")
    assert prefixed.inbox.messages[0]["asked_by"]["user"] == "alice"


@pytest.mark.parametrize(("environ", "words"), [({}, "wants a token"), ({"SCALER_TOKEN": "wrong"}, "does not take")])
async def test_without_the_token_nothing_is_shown(
    prefixed: Service, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], words: str
) -> None:
    ended = await ask(prefixed, monkeypatch, "requests", **environ)
    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err


async def test_who_waits_by_default_is_still_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving({"DEFAULT_WAIT": "900"}) as service:
        ended = await ask(service, monkeypatch, "nodes", "up", "--timeout", "0.01")
    assert ended.code == 4


async def test_what_ingest_refuses_is_its_own_sentence(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = await ask(service, monkeypatch, "service", "up", "x" * 256)
    assert ended.code == 1
    assert "service" in ended.err
    assert service.inbox.bodies == []


async def test_a_queue_that_is_away_fails(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.inbox.failure = Unavailable("SQS: no answer in time")
    ended = await ask(service, monkeypatch, "nodes", "up")
    assert (ended.code, "may not have been queued" in ended.err) == (1, True)


async def test_a_route_that_this_ingest_does_not_have(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.commands.looking._STATUS", "/v1/nonsense")
    ended = await ask(service, monkeypatch, "status")
    assert (ended.code, ended.err) == (1, "scaler: This server has no such route (GET /v1/nonsense): update ingest\n")


async def test_requests_and_show_are_what_the_journal_holds(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.journal.write(record("one", State.SKIPPED, "nothing to do"))
    listed = await ask(service, monkeypatch, "requests", "--state", "skipped")
    assert [(row[0], row[3], row[-1]) for row in listed.rows] == [("one", "skipped", "nothing to do")]
    shown = await ask(service, monkeypatch, "show", "one", "--json")
    assert shown.json["message"] == "nothing to do"
    absent = await ask(service, monkeypatch, "show", "two")
    assert (absent.code, "There is no request two" in absent.err) == (1, True)
