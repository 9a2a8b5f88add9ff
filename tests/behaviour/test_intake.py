"""From messages to records: whose a message is, what repeats what, and what can never be valid."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.clock import rfc3339
from shared.errors import Unavailable
from shared.records import State
from tests.behaviour.world import World, world


def scale(**fields: Any) -> str:
    """A scale of the service web."""
    return json.dumps({"action": "scale-service", "service": "web", "scale": "up", **fields})


def notification(inner: object, **fields: Any) -> str:
    """An SNS envelope."""
    return json.dumps({"Type": "Notification", "MessageId": "sns-1", "Message": inner, **fields})


async def taken(w: World, *bodies: str, **options: Any) -> list[str]:
    """The ids of the records that a few messages become."""
    before = set(w.journal.records)
    for body in bodies:
        w.inbox.send(body, **options)
    await w.until(lambda: not w.inbox.waiting)
    return [identity for identity in w.journal.records if identity not in before]


async def test_a_message_is_known_by_its_own_id_or_by_that_of_sns_or_of_sqs() -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        await w.started()
        assert await taken(w, scale(id="mine")) == ["mine"]
        assert await taken(w, notification(scale())) == ["sns-1"]
        assert await taken(w, scale(), message_id="sqs-1") == ["sqs-1"]
        assert await taken(w, notification(scale(id="inner"))) == ["inner"]
        assert [w.record(name).source for name in ("mine", "sns-1", "sqs-1")] == ["sqs", "sns", "sqs"]


async def test_the_same_id_is_the_same_request() -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        await w.started()
        await taken(w, *[scale(id="mine")] * 5)
        await w.ended("mine")
        assert await taken(w, scale(id="mine")) == []
        assert w.service("web").replicas == 2


@pytest.mark.parametrize("identity", ["x" * 5000, "", "\ud800", 7, None])
async def test_an_sns_id_that_can_be_nobodys_key_stops_nothing(identity: object) -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        await w.started()
        await taken(w, notification(scale(), MessageId=identity), scale(id="good"))
        assert (await w.ended("good")).state == State.SUCCEEDED
        assert w.service("web").replicas + len(w.inbox.dead) == 3


async def test_an_id_too_long_for_the_table_is_a_dead_letter_and_stops_nothing() -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        await w.started()
        await taken(w, scale(id="\U0001f600" * 256), scale(id="good"))
        assert (await w.ended("good")).state == State.SUCCEEDED
        assert len(w.inbox.dead) == 1


KEYS = [("idempotency_key", 24 * 3600), ("dedup_key", 300)]


@pytest.mark.parametrize(("field", "window"), KEYS)
async def test_a_key_counts_within_its_window_after_the_first_was_requested(field: str, window: int) -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        await w.started()
        at = w.clock.now()
        inside, outside = (rfc3339(at - timedelta(seconds=gap)) for gap in (1, 0))
        first = rfc3339(at - timedelta(seconds=window))
        keyed = {field: "k"}
        await taken(w, scale(id="a", requested_at=first, **keyed), scale(id="b", requested_at=inside, **keyed))
        record = w.record("b")
        assert (record.state, record.message, record.duplicate_of) == (
            State.SKIPPED,
            "Duplicate of request a",
            "a",
        )
        await w.ended("a")
        await taken(w, scale(id="c", requested_at=outside, **keyed))
        assert w.record("c").duplicate_of is None
        await taken(w, scale(id="d", requested_at=outside, **keyed))
        assert w.record("d").duplicate_of == "c"


async def test_a_key_counts_for_as_long_as_the_first_is_unfinished() -> None:
    async with world(boot=900.0) as w:
        await w.started()
        first = w.up(dedup_key="k")
        await w.at(first, "wait")
        await w.passes(600)
        second = await w.ended(w.up(dedup_key="k"))
        assert (second.state, second.duplicate_of) == (State.SKIPPED, first)
        assert w.desired == [1, 2]


async def test_a_key_that_names_me_is_no_duplicate() -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        process = await w.started()
        process.stage.lose_answer("journal.first_of", Unavailable("lost"))
        process.stage.lose_answer("journal.create", Unavailable("lost"))
        await taken(w, scale(id="a", idempotency_key="k"))
        assert (await w.ended("a")).state == State.SUCCEEDED


async def test_ten_deliveries_at_once_scale_once() -> None:
    async with world() as w:
        await w.started()
        requests = [w.up(dedup_key="k") for _ in range(10)]
        records = [await w.ended(request) for request in requests]
        assert sorted(record.state for record in records) == [State.SKIPPED] * 9 + [State.SUCCEEDED]
        assert w.desired == [1, 2]


async def test_a_message_is_deleted_only_when_its_record_stands() -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        process = await w.started()
        held = process.stage.hold("journal.create")
        w.inbox.send(scale(id="a"))
        await w.until(lambda: bool(process.stage.waiting))
        assert "inbox.delete" not in process.stage.calls
        held.set()
        await w.until(lambda: not w.inbox.waiting)
        calls = process.stage.calls
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
    async with world() as w:
        w.swarm.create("web", 1)
        process = await w.started()
        w.inbox.send(body)
        w.inbox.send(scale(id="good"))
        assert (await w.ended("good")).state == State.SUCCEEDED
        await w.until(lambda: len(w.told) == 2)
        (dead,) = w.inbox.dead
        assert dead.body == body
        assert dead.error
        (said,) = [one for one in w.told if one[1] == "bad_request"]
        assert said[1:4] == ("bad_request", "error", "Incorrect request")
        assert said[4][:60] == dead.error[:60]
        assert process.metrics.registry.get_sample_value("scaler_dead_letters_total") == 1
        assert set(w.journal.records) == {"good"}


@pytest.mark.parametrize(
    ("action", "alertname"),
    [("scale-nodes", "scale_nodes"), ("scale-service", "scale_service"), ("reschedule-service", "reschedule_service")],
)
async def test_a_bad_request_is_told_under_the_name_of_its_action(action: str, alertname: str) -> None:
    async with world() as w:
        await w.started()
        w.ask(action, by="many")
        await w.until(lambda: bool(w.told))
        assert w.told[0][:2] == (alertname, "bad_request")


async def test_a_bad_request_in_an_sns_envelope_is_told_under_the_name_of_its_action_too() -> None:
    async with world() as w:
        await w.started()
        w.inbox.send(notification('{"action": "reschedule-service"}'))
        await w.until(lambda: bool(w.told))
        assert w.told[0][:2] == ("reschedule_service", "bad_request")
        assert w.told[0][4] == "No service name in request"


async def test_a_bad_request_is_told_though_alertmanager_was_away_when_it_came() -> None:
    async with world() as w:
        process = await w.started()
        process.stage.away.add("alerts")
        w.inbox.send("{")
        w.inbox.send("[")
        await w.until(lambda: len(w.inbox.dead) == 2)
        process.stage.away.clear()
        await w.until(lambda: len(w.told) == 2)
        w.inbox.send("]")
        await w.until(lambda: len(w.told) == 3)


async def test_while_the_journal_is_away_nothing_is_received_and_nothing_becomes_a_dead_letter() -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        process = await w.started()
        process.stage.away |= {"journal.create", "journal.first_of"}
        for number in range(3):
            w.inbox.send(scale(id=f"r{number}"))
            await w.passes(1)
        await w.passes(20)
        received = process.stage.calls.count("inbox.receive")
        await w.passes(600)
        assert process.stage.calls.count("inbox.receive") == received
        process.stage.away.clear()
        for number in range(3):
            assert (await w.ended(f"r{number}")).state == State.SUCCEEDED
        assert (w.service("web").replicas, w.inbox.dead) == (4, [])


async def test_the_earlier_of_the_two_times_counts() -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        await w.started()
        now = w.clock.now()
        await taken(
            w,
            scale(id="before", requested_at=rfc3339(now - timedelta(hours=1))),
            scale(id="after", requested_at=rfc3339(now + timedelta(hours=1))),
            sent_at=now,
        )
        assert w.record("before").requested_at == now - timedelta(hours=1)
        assert w.record("after").requested_at == now
        stale = await w.ended("before")
        assert stale.state == State.SKIPPED
        assert stale.message == "Stale: the request is 3600 seconds old, and 1800 are allowed (REQUEST_MAX_AGE)"
        assert (await w.ended("after")).state == State.SUCCEEDED


async def test_unknown_fields_are_kept_and_shown() -> None:
    async with world() as w:
        w.swarm.create("web", 1)
        await w.started()
        await taken(w, scale(id="a", colour="red", deep={"x": [1, None]}, state="mine"))
        view = (await w.ended("a")).view()
        assert (view["colour"], view["deep"], view["state"]) == ("red", {"x": [1, None]}, "succeeded")
