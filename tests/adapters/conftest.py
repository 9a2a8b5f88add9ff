"""The ports in memory beside the real things: the embedded AWS, or the one that CONTRACT_AWS_ENDPOINT_URL names."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
import pytest_asyncio
from localstack_client.session import Session

from infra.local.aws import REGION, EmbeddedAws, deploy
from infra.local.aws.embedded import EndpointSession
from shared.aws import open_client, open_session
from shared.table import Layout
from worker.process import USED

ELSEWHERE = os.environ.get("CONTRACT_AWS_ENDPOINT_URL")
CALL = timedelta(seconds=5)
_numbers = count(1)


@pytest.fixture(scope="package")
def embedded() -> Iterator[EmbeddedAws]:
    """Our own AWS, with its knobs."""
    with EmbeddedAws() as aws, pytest.MonkeyPatch.context() as environment:
        for name, value in aws.environment.items():
            environment.setenv(name, value)
        if ELSEWHERE:
            environment.setenv("AWS_ENDPOINT_URL", ELSEWHERE)
        yield aws


@pytest.fixture
def aws(embedded: EmbeddedAws) -> Iterator[EmbeddedAws]:
    """The same, for tests that set its knobs."""
    if ELSEWHERE:
        pytest.skip("only the embedded AWS has knobs")
    embedded.knobs.set(pending_seconds=0.1, terminating_seconds=0.2, launch_retry_seconds=0.2, health_check_seconds=0.1)
    yield embedded
    embedded.knobs.reset()


@pytest.fixture(scope="package")
def session(embedded: EmbeddedAws) -> Session:
    """boto3 clients, for what the tests themselves do."""
    return EndpointSession(ELSEWHERE) if ELSEWHERE else embedded.session()


@pytest.fixture(scope="package")
def table(session: Session) -> str:
    """The name of the table, as our template makes it."""
    return deploy(session, cluster=unique("contract"))["TableName"]


@pytest.fixture
def layout() -> Layout:
    """A cluster of this test's own."""
    return Layout(unique("cluster"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dynamodb(embedded: EmbeddedAws) -> AsyncIterator[Any]:
    """A client as the worker opens it."""
    async with AsyncExitStack() as stack:
        yield await open_client(stack, "dynamodb", REGION, read_timeout=CALL, connections=60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sqs(embedded: EmbeddedAws) -> AsyncIterator[Any]:
    """The same for SQS. The read time-out is longer than a poll."""
    async with AsyncExitStack() as stack:
        yield await open_client(stack, "sqs", REGION, read_timeout=timedelta(seconds=25))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def autoscaling(embedded: EmbeddedAws) -> AsyncIterator[Any]:
    """The same for Auto Scaling."""
    async with AsyncExitStack() as stack:
        yield await open_client(stack, "autoscaling", REGION, read_timeout=CALL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ec2(embedded: EmbeddedAws) -> AsyncIterator[Any]:
    """The same for EC2."""
    async with AsyncExitStack() as stack:
        yield await open_client(stack, "ec2", REGION, read_timeout=CALL, session=open_session(USED))


def unique(prefix: str) -> str:
    """A name that nothing else in this run has."""
    return f"{prefix}-{os.getpid()}-{next(_numbers)}"
