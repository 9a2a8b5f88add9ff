"""An AWS to test against: our embedded one, or the emulator that CONTRACT_AWS_ENDPOINT_URL names."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from localstack_client.session import Session

from infra.local.aws import EmbeddedAws, Size, create_group, create_network
from infra.local.aws.embedded import EndpointSession
from tests.scaffolding.aws.asg import Asg

Listen = Callable[..., str]
FAST = {"pending_seconds": 0.05, "terminating_seconds": 0.1, "launch_retry_seconds": 0.1, "health_check_seconds": 0.05}
# Nothing happens by itself: tests let the time pass.
STILL = {
    "pending_seconds": 100.0,
    "proceed_seconds": 100.0,
    "terminating_seconds": 100.0,
    "launch_retry_seconds": 100.0,
    "health_check_seconds": 100.0,
}
STEP = 101.0
_numbers = itertools.count(1)


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


@pytest.fixture(scope="session")
def subnets(embedded: EmbeddedAws) -> list[str]:
    return create_network(embedded.session())


@pytest.fixture
def make_group(aws: EmbeddedAws, subnets: list[str], unique: Callable[[str], str]) -> Iterator[Callable[..., Asg]]:
    made: list[Asg] = []

    def make(low: int, high: int, desired: int, protect_new: bool = True) -> Asg:
        group = Asg(aws, unique("group"))
        create_group(aws.session(), group.name, Size(low, high, desired), subnets, protect_new=protect_new)
        made.append(group)
        return group

    yield make
    for group in made:
        group.api.delete_auto_scaling_group(AutoScalingGroupName=group.name, ForceDelete=True)


@pytest.fixture
def still(make_group: Callable[..., Asg], aws: EmbeddedAws) -> Asg:
    """Two protected instances in service, bounds 1 to 4; from here on time passes only by `aws.skip`."""
    aws.knobs.set(**STILL)
    group = make_group(1, 4, 2)
    aws.skip(STEP)
    assert group.ready(2)
    return group


@pytest.fixture
def inbox(sqs: Any, queue: str) -> Callable[[], list[dict[str, Any]]]:
    """What has come into the queue since the last look, in order; nothing is waited for."""

    def look() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while batch := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in batch:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return found

    return look


@pytest.fixture
def queue_arn(sqs: Any, queue: str) -> str:
    answer = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    return str(answer["Attributes"]["QueueArn"])


@pytest.fixture
def listen(aws: EmbeddedAws, sqs: Any, queue: str, queue_arn: str, unique: Callable[[str], str]) -> Iterator[Listen]:
    """Has EventBridge send to the queue what matches a pattern; the rule's ARN."""
    events = aws.session().client("events")
    made: list[str] = []

    def rule(pattern: dict[str, Any], allowed: bool = True) -> str:
        name = unique("rule")
        arn = str(events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"])
        made.append(name)
        events.put_targets(Rule=name, Targets=[{"Id": "inbox", "Arn": queue_arn}])
        if allowed:
            statement = {
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": [arn]}},
            }
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
        return arn

    yield rule
    for name in made:
        events.remove_targets(Rule=name, Ids=["inbox"])
        events.delete_rule(Name=name)
