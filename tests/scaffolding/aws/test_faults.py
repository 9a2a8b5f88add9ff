"""Faults and the call log: what a client of the embedded AWS sees of each, and that it ends with the knob."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from infra.local.aws import ACCESS_KEY, EmbeddedAws
from infra.local.aws.knobs import Knobs
from tests.waiting import until

ONCE = Config(retries={"total_max_attempts": 1})


def client(aws: EmbeddedAws, service: str) -> Any:
    return aws.session().client(service, config=ONCE)


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("sqs", "list_queues", "RequestThrottled"),
        ("dynamodb", "list_tables", "ProvisionedThroughputExceededException"),
        ("autoscaling", "describe_auto_scaling_groups", "Throttling"),
        ("ec2", "describe_instances", "RequestLimitExceeded"),
    ],
)
def test_each_service_throttles_in_its_own_words(aws: EmbeddedAws, service: str, call: str, code: str) -> None:
    aws.knobs.set(errors={service: "throttle"})
    with pytest.raises(ClientError) as caught:
        getattr(client(aws, service), call)()
    assert caught.value.response["Error"]["Code"] == code
    aws.knobs.reset()
    getattr(client(aws, service), call)()


def test_an_error_may_be_for_one_action_and_a_number_of_times(aws: EmbeddedAws) -> None:
    aws.knobs.set(errors={"dynamodb.ListTables": {"code": "InternalServerError", "times": 2}})
    dynamodb = client(aws, "dynamodb")
    dynamodb.describe_limits()
    for _ in range(2):
        with pytest.raises(dynamodb.exceptions.InternalServerError) as caught:
            dynamodb.list_tables()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    dynamodb.list_tables()


def test_throttled_calls_are_repeated_by_the_sdk(aws: EmbeddedAws) -> None:
    aws.knobs.set(errors={"sqs": {"code": "throttle", "times": 1}})
    aws.session().client("sqs").list_queues()
    assert aws.calls.counts()["sqs.ListQueues"] == 2


def test_a_service_that_is_down_closes_the_connection_and_others_go_on(aws: EmbeddedAws) -> None:
    aws.knobs.set(down=["sqs"])
    with pytest.raises(ConnectionClosedError):
        client(aws, "sqs").list_queues()
    client(aws, "dynamodb").list_tables()


def test_going_down_cuts_a_long_poll(aws: EmbeddedAws) -> None:
    sqs = client(aws, "sqs")
    queue = sqs.create_queue(QueueName="cut")["QueueUrl"]
    errors: list[Exception] = []
    poll = in_thread(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20), errors)
    until(lambda: "sqs.ReceiveMessage" in aws.calls.counts(), "a receive")
    aws.knobs.set(down="sqs")
    poll.join(5)
    assert [type(error) for error in errors] == [ConnectionClosedError]


def test_a_lost_answer_is_an_error_after_the_effect(aws: EmbeddedAws) -> None:
    sqs = client(aws, "sqs")
    queue = sqs.create_queue(QueueName="lost-answer")["QueueUrl"]
    aws.knobs.set(lose_answers={"sqs.SendMessage": 1})
    with pytest.raises(ConnectionClosedError):
        sqs.send_message(QueueUrl=queue, MessageBody="arrived")
    assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "arrived"
    sqs.send_message(QueueUrl=queue, MessageBody="answered")


def test_latency_delays_one_service_only(aws: EmbeddedAws) -> None:
    aws.knobs.set(latency_seconds={"sqs": 2})
    assert seconds(client(aws, "sqs").list_queues) >= 2
    assert seconds(client(aws, "dynamodb").list_tables) < 2


def test_a_slow_call_holds_up_nobody_else(aws: EmbeddedAws) -> None:
    aws.knobs.set(latency_seconds={"sqs.ListQueues": 3})
    slow = in_thread(client(aws, "sqs").list_queues, [])
    until(lambda: "sqs.ListQueues" in aws.calls.counts(), "a call")
    client(aws, "dynamodb").list_tables()
    assert slow.is_alive()
    slow.join()


def test_a_client_that_dies_while_it_sends_has_asked_for_nothing(aws: EmbeddedAws) -> None:
    host, port = aws.endpoint.removeprefix("http://").split(":")
    scope = f"Credential={ACCESS_KEY}/20261122/us-east-1/sqs/aws4_request"
    head = f"POST / HTTP/1.1\r\nHost: {host}\r\nAuthorization: AWS4-HMAC-SHA256 {scope}\r\n"
    with socket.create_connection((host, int(port))) as half:
        half.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        half.shutdown(socket.SHUT_WR)
        assert half.recv(100) == b""
    assert aws.calls.counts() == {}


def test_what_moto_cannot_do_is_an_internal_failure(aws: EmbeddedAws) -> None:
    with pytest.raises(ClientError) as caught:
        client(aws, "autoscaling").describe_account_limits()
    assert caught.value.response["Error"]["Code"] == "InternalFailure"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_the_call_log_tells_callers_apart(aws: EmbeddedAws) -> None:
    started = time.time()
    client(aws, "sqs").list_queues()
    worker = aws.session("AKIAWORKER").client("dynamodb")
    worker.list_tables()
    worker.list_tables()
    assert aws.calls.counts() == {"sqs.ListQueues": 1, "dynamodb.ListTables": 2}
    assert aws.calls.counts("AKIAWORKER") == {"dynamodb.ListTables": 2}
    [call] = aws.calls.since(started, ACCESS_KEY)
    assert (call.service, call.action, "Boto3" in call.user_agent) == ("sqs", "ListQueues", True)


def test_knobs_are_json_and_refuse_what_they_do_not_know() -> None:
    knobs = Knobs()
    knobs.set(refuse_launches="VcpuLimitExceeded", pending_seconds=2)
    shown = json.loads(json.dumps(knobs.snapshot()))
    assert (shown["refuse_launches"], shown["pending_seconds"]) == ({"*": "VcpuLimitExceeded"}, 2.0)
    for wrong in ({"latency": 1}, {"pending_seconds": "soon"}, {"pending_seconds": -1}, {"down": {"sqs": 1}}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            knobs.set(**wrong)
    knobs.reset()
    assert knobs.snapshot() == Knobs().snapshot()


def test_two_embedded_aws_know_nothing_of_each_other(aws: EmbeddedAws) -> None:
    with EmbeddedAws() as other:
        other.session().client("sqs").create_queue(QueueName="mine")
        assert other.account_id != aws.account_id
        with pytest.raises(ClientError, match="NonExistentQueue"):
            aws.session().client("sqs").get_queue_url(QueueName="mine")


def test_stopping_ends_every_thread_and_long_poll() -> None:
    before = set(threading.enumerate())
    aws = EmbeddedAws().start()
    sqs = client(aws, "sqs")
    queue = sqs.create_queue(QueueName="stop")["QueueUrl"]
    errors: list[Exception] = []
    poll = in_thread(lambda: sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20), errors)
    until(lambda: "sqs.ReceiveMessage" in aws.calls.counts(), "a receive")
    aws.stop()
    poll.join(5)
    assert errors
    until(lambda: set(threading.enumerate()) <= before, "the end of all threads")


def in_thread(work: Callable[[], Any], errors: list[Exception]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the test judges it
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def seconds(work: Callable[[], Any]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
