"""From messages to records: whose a message is, what repeats what, and what can never be valid."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import rfc3339
from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.scenario import Scenario, scenario


def scale(**fields: Any) -> str:
    """A scale of the service web."""
    return json.dumps({"action": "scale-service", "service": "web", "scale": "up", **fields})


def notification(inner: object, **fields: Any) -> str:
    """An SNS envelope."""
    return json.dumps({"Type": "Notification", "MessageId": "sns-1", "Message": inner, **fields})


async def taken(s: Scenario, *bodies: str, **options: Any) -> list[str]:
    """The ids of the records that a few messages become."""
    before = set(s.journal.records)
    for body in bodies:
        s.inbox.send(body, **options)
    await s.until(lambda: not s.inbox.waiting)
    return [identity for identity in s.journal.records if identity not in before]


async def test_a_message_is_known_by_its_own_id_or_by_that_of_sns_or_of_sqs() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        await s.started()
        assert await taken(s, scale(id="mine")) == ["mine"]
        assert await taken(s, notification(scale())) == ["sns-1"]
        assert await taken(s, scale(), message_id="sqs-1") == ["sqs-1"]
        assert await taken(s, notification(scale(id="inner"))) == ["inner"]
        assert [s.record(name).source for name in ("mine", "sns-1", "sqs-1")] == ["sqs", "sns", "sqs"]


async def test_the_same_id_is_the_same_request() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        await s.started()
        await taken(s, *[scale(id="mine")] * 5)
        await s.ended("mine")
        assert await taken(s, scale(id="mine")) == []
        assert s.service("web").replicas == 2


@pytest.mark.parametrize("identity", ["x" * 5000, "", "\ud800", 7, None])
async def test_an_sns_id_that_can_be_nobodys_key_stops_nothing(identity: object) -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        await s.started()
        await taken(s, notification(scale(), MessageId=identity), scale(id="good"))
        assert (await s.ended("good")).state == State.SUCCEEDED
        assert s.service("web").replicas + len(s.inbox.dead) == 3


async def test_an_id_too_long_for_the_table_is_a_dead_letter_and_stops_nothing() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        await s.started()
        await taken(s, scale(id="\U0001f600" * 256), scale(id="good"))
        assert (await s.ended("good")).state == State.SUCCEEDED
        assert len(s.inbox.dead) == 1


KEYS = [("idempotency_key", 24 * 3600), ("dedup_key", 300)]


@pytest.mark.parametrize(("field", "window"), KEYS)
async def test_a_key_counts_within_its_window_after_the_first_was_requested(field: str, window: int) -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        await s.started()
        at = s.clock.now()
        inside, outside = (rfc3339(at - timedelta(seconds=gap)) for gap in (1, 0))
        first = rfc3339(at - timedelta(seconds=window))
        keyed = {field: "k"}
        await taken(s, scale(id="a", requested_at=first, **keyed), scale(id="b", requested_at=inside, **keyed))
        record = s.record("b")
        assert (record.state, record.message, record.duplicate_of) == (
            State.SKIPPED,
            "Duplicate of request a",
            "a",
        )
        await s.ended("a")
        await taken(s, scale(id="c", requested_at=outside, **keyed))
        assert s.record("c").duplicate_of is None
        await taken(s, scale(id="d", requested_at=outside, **keyed))
        assert s.record("d").duplicate_of == "c"


async def test_a_key_counts_for_as_long_as_the_first_is_unfinished() -> None:
    async with scenario(boot=900.0) as s:
        await s.started()
        first = s.up(dedup_key="k")
        await s.at(first, "wait")
        await s.passes(600)
        second = await s.ended(s.up(dedup_key="k"))
        assert (second.state, second.duplicate_of) == (State.SKIPPED, first)
        assert s.desired == [1, 2]


async def test_a_key_that_names_me_is_no_duplicate() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        process = await s.started()
        process.ports.lose_answer("journal.first_of", Unavailable("lost"))
        process.ports.lose_answer("journal.create", Unavailable("lost"))
        await taken(s, scale(id="a", idempotency_key="k"))
        assert (await s.ended("a")).state == State.SUCCEEDED


async def test_ten_deliveries_at_once_scale_once() -> None:
    async with scenario() as s:
        await s.started()
        requests = [s.up(dedup_key="k") for _ in range(10)]
        records = [await s.ended(request) for request in requests]
        assert sorted(record.state for record in records) == [State.SKIPPED] * 9 + [State.SUCCEEDED]
        assert s.desired == [1, 2]


async def test_a_message_is_deleted_only_when_its_record_stands() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        process = await s.started()
        held = process.ports.hold("journal.create")
        s.inbox.send(scale(id="a"))
        await s.until(lambda: bool(process.ports.waiting))
        assert "inbox.delete" not in process.ports.calls
        held.set()
        await s.until(lambda: not s.inbox.waiting)
        calls = process.ports.calls
        assert calls.index("journal.create") < calls.index("inbox.delete")


POISON = {
    "not JSON": "{",
    "an array": "[1]",
    "wrong types": '{"action": "scale-nodes", "scale": 7, "type": []}',
    "unknown action": '{"action": "explode"}',
    "no action": "{}",
    "too long": json.dumps({"action": "scale-nodes", "scale": "up", "type": "worker", "x": "y" * 70_000}),
    "lone surrogates": '{"action": "scale-service", "service": "\\ud800", "scale": "up"}',
    "deep nesting": "[" * 30_000,
    "NaN": '{"action": "scale-nodes", "scale": "up", "type": "worker", "by": NaN}',
    "an SNS envelope of nothing": '{"Type": "Notification"}',
    "an SNS envelope of poison": '{"Type": "Notification", "Message": "{"}',
    "a service name of the wrong type": '{"action": "reschedule-service", "service": {"a": 1}}',
}


@pytest.mark.parametrize("body", POISON.values(), ids=POISON.keys())
async def test_poison_is_a_dead_letter_with_its_reason_and_the_next_request_is_served(body: str) -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        process = await s.started()
        s.inbox.send(body)
        s.inbox.send(scale(id="good"))
        assert (await s.ended("good")).state == State.SUCCEEDED
        await s.until(lambda: len(s.told) == 2)
        (dead,) = s.inbox.dead
        assert dead.body == body
        assert dead.error
        (said,) = [one for one in s.told if one[1] == "bad_request"]
        assert said[1:4] == ("bad_request", "error", "Incorrect request")
        assert said[4][:60] == dead.error[:60]
        assert process.metrics.registry.get_sample_value("scaler_dead_letters_total") == 1
        assert set(s.journal.records) == {"good"}


@pytest.mark.parametrize(
    ("action", "alertname"),
    [("scale-nodes", "scale_nodes"), ("scale-service", "scale_service"), ("reschedule-service", "reschedule_service")],
)
async def test_a_bad_request_is_told_under_the_name_of_its_action(action: str, alertname: str) -> None:
    async with scenario() as s:
        await s.started()
        s.ask(action, by="many")
        await s.until(lambda: bool(s.told))
        assert s.told[0][:2] == (alertname, "bad_request")


async def test_a_bad_request_in_an_sns_envelope_is_told_under_the_name_of_its_action_too() -> None:
    async with scenario() as s:
        await s.started()
        s.inbox.send(notification('{"action": "reschedule-service"}'))
        await s.until(lambda: bool(s.told))
        assert s.told[0][:2] == ("reschedule_service", "bad_request")
        assert s.told[0][4] == "No service name in request"


async def test_a_bad_request_is_told_though_alertmanager_was_away_when_it_came() -> None:
    async with scenario() as s:
        process = await s.started()
        process.ports.away.add("alerts")
        s.inbox.send("{")
        s.inbox.send("[")
        await s.until(lambda: len(s.inbox.dead) == 2)
        process.ports.away.clear()
        await s.until(lambda: len(s.told) == 2)
        s.inbox.send("]")
        await s.until(lambda: len(s.told) == 3)


async def test_while_the_journal_is_away_nothing_is_received_and_nothing_becomes_a_dead_letter() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        process = await s.started()
        process.ports.away |= {"journal.create", "journal.first_of"}
        for number in range(3):
            s.inbox.send(scale(id=f"r{number}"))
            await s.passes(1)
        await s.passes(20)
        received = process.ports.calls.count("inbox.receive")
        await s.passes(600)
        assert process.ports.calls.count("inbox.receive") == received
        process.ports.away.clear()
        for number in range(3):
            assert (await s.ended(f"r{number}")).state == State.SUCCEEDED
        assert (s.service("web").replicas, s.inbox.dead) == (4, [])


async def test_the_earlier_of_the_two_times_counts() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        await s.started()
        now = s.clock.now()
        await taken(
            s,
            scale(id="before", requested_at=rfc3339(now - timedelta(hours=1))),
            scale(id="after", requested_at=rfc3339(now + timedelta(hours=1))),
            sent_at=now,
        )
        assert s.record("before").requested_at == now - timedelta(hours=1)
        assert s.record("after").requested_at == now
        stale = await s.ended("before")
        assert stale.state == State.SKIPPED
        assert stale.message == "Stale: the request is 3600 seconds old, and 1800 are allowed (REQUEST_MAX_AGE)"
        assert (await s.ended("after")).state == State.SUCCEEDED


async def test_unknown_fields_are_kept_and_shown() -> None:
    async with scenario() as s:
        s.swarm.create("web", 1)
        await s.started()
        await taken(s, scale(id="a", colour="red", deep={"x": [1, None]}, state="mine"))
        view = (await s.ended("a")).view()
        assert (view["colour"], view["deep"], view["state"]) == ("red", {"x": [1, None]}, "succeeded")
