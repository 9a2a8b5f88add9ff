"""The inbox's contract, over memory and over SQS."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from localstack_client.session import Session

from infra.local.aws import EmbeddedAws
from shared.clock import SystemClock
from shared.errors import Refused, Unavailable
from tests.adapters.conftest import CALL, unique
from tests.fakes import InMemoryInbox
from worker.adapters.sqs import MESSAGE_BYTES, SqsInbox
from worker.ports.queue import Inbox, Message

pytestmark = pytest.mark.asyncio(loop_scope="module")

VISIBILITY = 1
LONG_VISIBILITY = 5
"""For tests in which a message that comes again would look like a fault, or hide one."""
AGAIN = 20
"""Seconds in which it comes again, on a machine that is busy with other things."""
MIB = MESSAGE_BYTES[0]


@dataclass(frozen=True, slots=True)
class Bench:
    """An inbox, and the two ends of its queues that are not the inbox's."""

    inbox: Inbox
    send: Callable[[str], str]
    dead: Callable[[], list[tuple[str, str | None]]]


@pytest.fixture(params=["memory", "sqs"])
def kind(request: pytest.FixtureRequest) -> Callable[[int], Bench]:
    """Both, for a visibility."""
    if request.param == "memory":
        return memory_bench
    return partial(make_bench, request.getfixturevalue("sqs"), request.getfixturevalue("session"))


@pytest.fixture
def bench(kind: Callable[[int], Bench]) -> Bench:
    """Both."""
    return kind(VISIBILITY)


@pytest.fixture
def patient(kind: Callable[[int], Bench]) -> Bench:
    """Both; what was taken does not come again soon."""
    return kind(LONG_VISIBILITY)


@pytest.fixture
def sqs_bench(sqs: Any, session: Session) -> Bench:
    """The real thing, with queues of its own."""
    return make_bench(sqs, session)


def memory_bench(visibility: int) -> Bench:
    """The queue in memory."""
    inbox = InMemoryInbox(SystemClock(), visibility=visibility)
    return Bench(inbox, inbox.send, lambda: [(letter.body, letter.error) for letter in inbox.dead])


def make_bench(sqs: Any, session: Session, visibility: int = VISIBILITY, **dead_letter_queue: str) -> Bench:
    """The real thing; further attributes are the dead-letter queue's."""
    client = session.client("sqs")
    attributes = {"VisibilityTimeout": str(visibility)}
    queue = client.create_queue(QueueName=unique("inbox"), Attributes=attributes)["QueueUrl"]
    graves = client.create_queue(QueueName=unique("dead"), Attributes=dead_letter_queue)["QueueUrl"]

    def send(body: str) -> str:
        return str(client.send_message(QueueUrl=queue, MessageBody=body)["MessageId"])

    def dead() -> list[tuple[str, str | None]]:
        answer = client.receive_message(QueueUrl=graves, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        return [
            (found["Body"], found.get("MessageAttributes", {}).get("error", {}).get("StringValue"))
            for found in answer.get("Messages", [])
        ]

    return Bench(SqsInbox(sqs, sqs, queue, graves, SystemClock(), CALL), send, dead)


async def let_go() -> None:
    """The loop closes a cancelled call's connection in its next rounds."""
    for _ in range(5):
        await asyncio.sleep(0)


def message(body: str) -> Message:
    """One that a poll might have brought."""
    return Message("id", body, "receipt", datetime.now(UTC))


async def test_a_message_comes_with_its_id_and_when_it_was_sent(bench: Bench) -> None:
    identity = bench.send('{"action": "ü"}')
    (found,) = await bench.inbox.receive()
    assert (found.id, found.body) == (identity, '{"action": "ü"}')
    assert abs(datetime.now(UTC) - found.sent_at) < timedelta(seconds=5)


async def test_a_waiting_poll_gets_a_message_as_it_comes(bench: Bench) -> None:
    waiting = asyncio.create_task(bench.inbox.receive())
    await asyncio.sleep(0)
    bench.send("now")
    async with asyncio.timeout(5):
        assert [found.body for found in await waiting] == ["now"]


async def test_several_messages_come_at_once_and_at_most_ten(patient: Bench) -> None:
    for number in range(12):
        patient.send(str(number))
    first, second = await patient.inbox.receive(), await patient.inbox.receive()
    assert 1 < len(first) <= 10
    assert len({found.body for found in (*first, *second)}) == len(first) + len(second)


async def test_a_received_message_is_away_until_its_visibility_ends(bench: Bench) -> None:
    bench.send("again")
    (first,) = await bench.inbox.receive()
    async with asyncio.timeout(AGAIN):
        (second,) = await bench.inbox.receive()
    assert (second.id, second.body) == (first.id, first.body)


async def test_a_deleted_message_does_not_come_again(bench: Bench) -> None:
    bench.send("gone")
    (found,) = await bench.inbox.receive()
    await bench.inbox.delete(found)
    await bench.inbox.delete(found)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(VISIBILITY * 1.5):
            await bench.inbox.receive()


async def test_several_messages_are_taken_out_in_one_call(bench: Bench) -> None:
    bench.send("one")
    (one,) = await bench.inbox.receive()
    bench.send("two")
    (two,) = await bench.inbox.receive()
    await bench.inbox.discard([one, two])
    await bench.inbox.discard([one, two])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(VISIBILITY * 1.5):
            await bench.inbox.receive()


async def test_a_cancelled_poll_takes_no_message_with_it(patient: Bench) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await patient.inbox.receive()
    await let_go()
    patient.send("still here")
    async with asyncio.timeout(0.9 * LONG_VISIBILITY):
        assert [found.body for found in await patient.inbox.receive()] == ["still here"]


async def test_a_dead_letter_is_a_copy_with_the_reason(bench: Bench) -> None:
    bench.send("poison")
    (found,) = await bench.inbox.receive()
    await bench.inbox.dead_letter(found, "No scale direction: ü")
    assert bench.dead() == [("poison", "No scale direction: ü")]
    async with asyncio.timeout(AGAIN):
        assert [again.id for again in await bench.inbox.receive()] == [found.id]


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        ("two\nlines\x00 and \x1b[31mred\x7f", "two lines  and  [31mred"),
        ("", "no reason given"),
        ("\x00\x01", "no reason given"),
        ("lone \ud800 surrogate \ufffe", "lone \ufffd surrogate \ufffd"),
    ],
)
async def test_a_reason_becomes_what_an_attribute_may_hold(bench: Bench, error: str, kept: str) -> None:
    await bench.inbox.dead_letter(message("poison"), error)
    assert bench.dead() == [("poison", kept)]


# aiohttp warns of bodies above 1 MiB; a dead letter is about as long, and rare.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_body_that_leaves_no_room_for_the_reason_is_cut(bench: Bench) -> None:
    await bench.inbox.dead_letter(message("é" * (MIB // 2)), "too long")
    ((body, error),) = bench.dead()
    assert error == "too long"
    assert set(body) == {"é"}
    assert MIB - 2 <= len(body.encode()) + len("error" + "String" + "too long") <= MIB


# aiohttp warns of bodies above 1 MiB; a dead letter is about as long, and rare.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_body_that_fits_exactly_is_not_cut(bench: Bench) -> None:
    body = "x" * (MIB - len("error" + "String" + "reason"))
    await bench.inbox.dead_letter(message(body), "reason")
    assert bench.dead() == [(body, "reason")]


async def test_an_empty_body_is_told(bench: Bench) -> None:
    await bench.inbox.dead_letter(message(""), "empty")
    assert bench.dead() == [("(empty)", "empty")]


class TestOverSqs:
    async def test_a_dead_letter_queue_of_the_old_size_gets_a_shorter_body(self, sqs: Any, session: Session) -> None:
        bench = make_bench(sqs, session, MaximumMessageSize="262144")
        await bench.inbox.dead_letter(message("x" * 300_000), "reason")
        ((body, error),) = bench.dead()
        assert (len(body), error) == (262_144 - len("error" + "String" + "reason"), "reason")

    async def test_a_small_message_that_is_refused_is_not_sent_twice(self, aws: EmbeddedAws, sqs_bench: Bench) -> None:
        aws.knobs.set(errors={"sqs.SendMessage": "AccessDenied"})
        aws.calls.clear()
        with pytest.raises(Refused):
            await sqs_bench.inbox.dead_letter(message("small"), "reason")
        assert aws.calls.counts() == {"sqs.SendMessage": 1}

    async def test_a_queue_that_is_away_is_unavailable(self, aws: EmbeddedAws, sqs_bench: Bench) -> None:
        aws.knobs.set(down=["sqs"])
        for call in (
            sqs_bench.inbox.receive(),
            sqs_bench.inbox.delete(message("")),
            sqs_bench.inbox.dead_letter(message("x"), "reason"),
        ):
            with pytest.raises(Unavailable):
                await call

    async def test_a_missing_queue_is_refused(self, sqs: Any) -> None:
        nowhere = "https://sqs.us-east-1.amazonaws.com/123456789012/no-such-queue"
        with pytest.raises(Refused):
            await SqsInbox(sqs, sqs, nowhere, nowhere, SystemClock(), CALL).receive()
