"""An AWS to test against: our embedded one, or the emulator that CONTRACT_AWS_ENDPOINT_URL names."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from localstack_client.session import Session

from infra.local.aws import EmbeddedAws
from infra.local.aws.embedded import EndpointSession

FAST = {"pending_seconds": 0.05, "terminating_seconds": 0.1, "launch_retry_seconds": 0.1, "health_check_seconds": 0.05}
_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _no_stray_event_loop() -> None:
    """Else pytest-asyncio asks Python 3.11 for the current event loop, which makes one that nobody closes."""
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def embedded() -> Iterator[EmbeddedAws]:
    """Our own, for what only it has: knobs and the call log."""
    with EmbeddedAws() as aws:
        yield aws


@pytest.fixture
def aws(embedded: EmbeddedAws) -> Iterator[EmbeddedAws]:
    """Ours with quick instances and an empty call log; every fault is gone afterwards."""
    embedded.calls.clear()
    embedded.knobs.set(**FAST)
    yield embedded
    embedded.knobs.reset()


@pytest.fixture(scope="session")
def session(embedded: EmbeddedAws) -> Session:
    """boto3 clients for what any AWS does."""
    elsewhere = os.environ.get("CONTRACT_AWS_ENDPOINT_URL")
    return EndpointSession(elsewhere) if elsewhere else embedded.session()


@pytest.fixture(scope="session")
def sqs(session: Session) -> Any:
    return session.client("sqs")


@pytest.fixture(scope="session")
def dynamodb(session: Session) -> Any:
    return session.client("dynamodb")


@pytest.fixture(scope="session")
def unique() -> Callable[[str], str]:
    """Names that nothing else in this run has."""
    return lambda prefix: f"{prefix}-{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def queue(sqs: Any, unique: Callable[[str], str]) -> Iterator[str]:
    """The URL of an empty queue."""
    url = sqs.create_queue(QueueName=unique("queue"))["QueueUrl"]
    yield url
    sqs.delete_queue(QueueUrl=url)
