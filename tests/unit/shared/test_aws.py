"""The SDK's errors as ours: what may be repeated, what may not, and what is not there."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from shared.aws import CALL_ERRORS, open_client, open_session, translated
from shared.errors import NotFound, Refused, ScalerError, Unavailable


def client_error(code: str, status: int = 400, message: str = "because") -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "SendMessage"
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("ThrottlingException"), Unavailable),
        (client_error("ProvisionedThroughputExceededException"), Unavailable),
        (client_error("ExpiredToken"), Unavailable),
        (client_error("Anything", 500), Unavailable),
        (client_error("Anything", 503), Unavailable),
        (client_error("Anything", 429), Unavailable),
        (client_error("AccessDenied", 403), Refused),
        (client_error("ValidationError"), Refused),
        (client_error("ResourceNotFoundException"), NotFound),
        (client_error("AWS.SimpleQueueService.NonExistentQueue"), NotFound),
        (NoCredentialsError(), Unavailable),
        (EndpointConnectionError(endpoint_url="http://x"), Unavailable),
        (ReadTimeoutError(endpoint_url="http://x"), Unavailable),
        (TimeoutError(), Unavailable),
        (ConnectionResetError(104, "reset"), Unavailable),
    ],
)
def test_each_error_is_one_of_ours(error: Exception, kind: type[ScalerError]) -> None:
    assert isinstance(error, CALL_ERRORS)
    assert type(translated(error, "SQS")) is kind
    assert str(translated(error, "SQS")).startswith("SQS: ")


def test_the_text_names_what_and_why() -> None:
    assert str(translated(client_error("AccessDenied", 403), "SQS")) == "SQS: because (AccessDenied)"
    assert str(translated(client_error("AccessDenied", 403, ""), "SQS")) == "SQS: AccessDenied (AccessDenied)"
    assert str(translated(TimeoutError(), "SQS")) == "SQS: no answer in time"


async def test_clients_have_bounded_calls_and_share_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    async with AsyncExitStack() as stack:
        session = open_session()
        clients = [
            await open_client(stack, name, "eu-west-1", read_timeout=timedelta(seconds=3), session=session)
            for name in ("sqs", "dynamodb")
        ]
        for client in clients:
            config = client.meta.config
            assert (config.read_timeout, config.connect_timeout) == (3.0, 2.0)
            assert config.retries["total_max_attempts"] == 2
            assert client.meta.region_name == "eu-west-1"


async def test_a_silent_endpoint_costs_no_more_than_two_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    met = 0

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal met
        met += 1
        try:
            await reader.read()  # until the caller hangs up, or the test is over before that is seen
        finally:
            writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as server, AsyncExitStack() as stack:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        client = await open_client(stack, "sqs", "us-east-1", read_timeout=timedelta(seconds=0.5))
        with pytest.raises(CALL_ERRORS):
            await client.send_message(QueueUrl="http://x/q", MessageBody="{}")
        assert met in {1, 2}  # a busy machine may not even come to accept one of them
