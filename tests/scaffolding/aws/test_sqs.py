"""SQS as inbox and dead-letter queue need it, and the long poll whose client has gone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError
from localstack_client.session import Session

from infra.local.aws import EmbeddedAws, longpoll
from tests.waiting import until

MIB = 1024 * 1024


def test_a_message_carries_its_attributes_and_its_history(sqs: Any, queue: str) -> None:
    before = time.time()
    attributes = {"error": {"DataType": "String", "StringValue": "not JSON: ü"}}
    sqs.send_message(QueueUrl=queue, MessageBody='{"a": "ü"}', MessageAttributes=attributes)
    message = _one(sqs, queue, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
    assert message["Body"] == '{"a": "ü"}'
    assert message["MessageAttributes"] == attributes
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert before - 1 <= int(message["Attributes"]["SentTimestamp"]) / 1000 <= time.time() + 1


def test_an_unfinished_message_comes_again_and_counts_up(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="again")
    first = _one(sqs, queue, VisibilityTimeout=1)
    assert _receive(sqs, queue) == []
    second = _one(sqs, queue, WaitTimeSeconds=5, AttributeNames=["ApproximateReceiveCount"])
    assert second["MessageId"] == first["MessageId"]
    assert second["Attributes"] == {"ApproximateReceiveCount": "2"}


def test_a_message_made_visible_reaches_a_waiting_receiver_at_once(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    first = _one(sqs, queue, VisibilityTimeout=600)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_receive, sqs, queue, WaitTimeSeconds=20)
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
        assert [message["Body"] for message in waiting.result(5)] == ["x"]


def test_an_extended_message_stays_hidden(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    first = _one(sqs, queue, VisibilityTimeout=1)
    sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=60)
    assert _receive(sqs, queue, WaitTimeSeconds=2) == []


def test_a_message_read_too_often_goes_to_the_dead_letter_queue(
    sqs: Any, queue: str, unique: Callable[[str], str]
) -> None:
    dead = sqs.create_queue(QueueName=unique("dead"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 2})
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy})
    attributes = {"error": {"DataType": "String", "StringValue": "kept"}}
    sqs.send_message(QueueUrl=queue, MessageBody="poison", MessageAttributes=attributes)
    for _ in range(2):
        message = _one(sqs, queue, VisibilityTimeout=60)
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert _receive(sqs, queue) == []
    moved = _one(sqs, dead, WaitTimeSeconds=5, MessageAttributeNames=["All"])
    assert (moved["Body"], moved["MessageAttributes"]) == ("poison", attributes)


def test_ten_are_sent_received_and_deleted_in_one_call_each(sqs: Any, queue: str) -> None:
    entries = [{"Id": str(number), "MessageBody": str(number)} for number in range(10)]
    assert len(sqs.send_message_batch(QueueUrl=queue, Entries=entries)["Successful"]) == 10
    messages = until(lambda: _receive(sqs, queue, MaxNumberOfMessages=10, VisibilityTimeout=30), "messages")
    assert sorted(message["Body"] for message in messages) == [str(number) for number in range(10)]
    handles = [{"Id": str(number), "ReceiptHandle": one["ReceiptHandle"]} for number, one in enumerate(messages)]
    assert len(sqs.delete_message_batch(QueueUrl=queue, Entries=handles)["Successful"]) == 10
    asked = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=asked)["Attributes"]
    assert set(left.values()) == {"0"}


def test_a_whole_mebibyte_fits_and_one_byte_more_does_not(sqs: Any, queue: str) -> None:
    sqs.send_message(QueueUrl=queue, MessageBody="x" * MIB)
    assert len(_one(sqs, queue)["Body"]) == MIB
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        sqs.send_message(QueueUrl=queue, MessageBody="x" * (MIB + 1))


def test_an_unknown_queue_is_named_so(sqs: Any, queue: str) -> None:
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=f"{queue}-not-there", MessageBody="x")


def test_a_waiting_receiver_gets_a_message_within_50_milliseconds(aws: EmbeddedAws) -> None:
    sqs = aws.session().client("sqs")
    queue = sqs.create_queue(QueueName="prompt")["QueueUrl"]
    with ThreadPoolExecutor(1) as pool:
        times = [_handed_over(pool, sqs, queue, aws) for _ in range(9)]
    assert median(times) < 0.05, times


def test_a_waiting_receiver_waits_no_longer_than_asked(sqs: Any, queue: str) -> None:
    started = time.monotonic()
    assert _receive(sqs, queue, WaitTimeSeconds=1) == []
    assert 0.95 <= time.monotonic() - started < 2


def test_an_abandoned_long_poll_swallows_nothing(session: Session, sqs: Any, queue: str) -> None:
    _abandon_long_poll(session, queue)
    sqs.send_message(QueueUrl=queue, MessageBody="for the living")
    message = _one(sqs, queue, AttributeNames=["ApproximateReceiveCount"], WaitTimeSeconds=2)
    assert message["Attributes"] == {"ApproximateReceiveCount": "1"}


def test_twin_that_does_not_look_at_its_client_swallows_the_message(
    embedded: EmbeddedAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(longpoll, "has_gone", lambda client: False)
    sqs = embedded.session().client("sqs")
    queue = sqs.create_queue(QueueName="twin")["QueueUrl"]
    _abandon_long_poll(embedded.session(), queue)
    sqs.send_message(QueueUrl=queue, MessageBody="for the living")
    until(lambda: _in_flight(sqs, queue) == 1, "one in flight")
    assert _receive(sqs, queue) == []


def test_many_receivers_share_the_messages_without_doubles(sqs: Any, queue: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(_receive, sqs, queue, WaitTimeSeconds=3) for _ in range(8)]
        for number in range(8):
            sqs.send_message(QueueUrl=queue, MessageBody=str(number))
        got = [message["Body"] for one in waiting for message in one.result(10)]
    assert len(got) == len(set(got))


def _handed_over(pool: ThreadPoolExecutor, sqs: Any, queue: str, aws: EmbeddedAws) -> float:
    """Seconds from the moment a message is sent until a receiver that waits for it has it."""
    aws.calls.clear()
    waiting = pool.submit(_timed_receive, sqs, queue)
    until(lambda: "sqs.ReceiveMessage" in aws.calls.counts(), "a receive")
    sent = time.monotonic()
    sqs.send_message(QueueUrl=queue, MessageBody="x")
    return waiting.result(25) - sent


def _timed_receive(sqs: Any, queue: str) -> float:
    message = _one(sqs, queue, WaitTimeSeconds=20)
    arrived = time.monotonic()
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    return arrived


def _abandon_long_poll(session: Session, queue: str) -> None:
    """A receiver whose client gives up after a second, in the middle of a long poll."""
    impatient = Config(read_timeout=1, retries={"total_max_attempts": 1})
    with pytest.raises(ReadTimeoutError):
        session.client("sqs", config=impatient).receive_message(QueueUrl=queue, WaitTimeSeconds=20)


def _receive(sqs: Any, queue: str, **options: Any) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = sqs.receive_message(QueueUrl=queue, **options).get("Messages", [])
    return messages


def _one(sqs: Any, queue: str, **options: Any) -> dict[str, Any]:
    [message] = _receive(sqs, queue, **options)
    return message


def _in_flight(sqs: Any, queue: str) -> int:
    name = "ApproximateNumberOfMessagesNotVisible"
    return int(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=[name])["Attributes"][name])
