"""What `--check` makes of AWS's answers to its trials, and of a table and hooks as AWS describes them."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.errors import Refused, ScalerError
from shared.settings import load
from worker.adapters.doctor_aws import DoctorAws
from worker.adapters.lifecycle_hooks import LifecycleHooks
from worker.ports.hooks import LifecycleHook
from worker.settings import WorkerSettings

SETTINGS = load(
    WorkerSettings,
    {
        "SQS_QUEUE_URL": "https://sqs/1/inbox",
        "SQS_DLQ_URL": "https://sqs/1/dead",
        "DYNAMODB_TABLE": "table",
        "AWS_MANAGER_ASG": "managers",
        "AWS_WORKER_ASG": "workers",
    },
)
READS = {
    "dynamodb:GetItem",
    "dynamodb:Query",
    "autoscaling:DescribeScalingActivities",
    "autoscaling:DescribeInstanceRefreshes",
}


class Client:
    """A client of any service that answers each call alike."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        self._answer = answer
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def call(**_: Any) -> Any:
            self.called.append(name)
            return self._answer()

        return call


def refusal(code: str, date: str = "") -> Callable[[], Any]:
    def answer() -> Any:
        metadata = {"HTTPStatusCode": 400, "HTTPHeaders": {"date": date}}
        raise ClientError({"Error": {"Code": code, "Message": "because"}, "ResponseMetadata": metadata}, "Call")

    return answer


def doctor(answer: Callable[[], Any]) -> DoctorAws:
    return DoctorAws(SETTINGS, *(Client(answer) for _ in range(4)))


async def outcomes(answer: Callable[[], Any]) -> Mapping[str, type[ScalerError] | None]:
    kinds: dict[str, type[ScalerError] | None] = {}
    for what, trial in doctor(answer).trials(["managers", "workers"]).items():
        try:
            await trial()
        except ScalerError as error:
            kinds[what] = type(error)
        else:
            kinds[what] = None
    return kinds


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "InvalidClientTokenId"])
async def test_what_is_not_allowed_is_no_success_of_any_trial(code: str) -> None:
    assert set((await outcomes(refusal(code))).values()) == {Refused}


async def test_a_change_that_goes_through_is_no_success_either() -> None:
    kinds = await outcomes(dict)
    assert {what for what, kind in kinds.items() if kind is None} == READS
    assert set(kinds.values()) == {None, ScalerError}


@pytest.mark.parametrize(
    ("code", "service"),
    [
        ("InvalidParameterValue", "sqs:"),
        ("ConditionalCheckFailedException", "dynamodb:"),
        ("ValidationError", "auto"),
        ("DryRunOperation", "ec2:"),
    ],
)
async def test_the_refusal_that_each_trial_aims_at_says_that_it_is_allowed(code: str, service: str) -> None:
    kinds = await outcomes(refusal(code))
    aimed = {what for what in kinds if what.startswith(service) and (service == "auto" or what not in READS)}
    assert {what for what, kind in kinds.items() if kind is None} == aimed


async def test_without_groups_nothing_is_asked_of_auto_scaling() -> None:
    assert not [what for what in doctor(dict).trials([]) if what.startswith("autoscaling")]


async def test_a_refusal_tells_the_time_as_well() -> None:
    ahead = await doctor(refusal("AccessDenied", "Thu, 01 Jan 2026 00:00:00 GMT")).clock_ahead()
    assert ahead is not None
    assert ahead > timedelta(days=1)


async def test_a_table_and_hooks_are_read_as_aws_describes_them() -> None:
    key = [{"AttributeName": "sk", "KeyType": "RANGE"}, {"AttributeName": "pk", "KeyType": "HASH"}]
    described = {
        "Table": {"TableStatus": "ACTIVE", "KeySchema": key},
        "TimeToLiveDescription": {"TimeToLiveStatus": "DISABLING", "AttributeName": "expires_at"},
        "LifecycleHooks": [
            {"LifecycleHookName": "a", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"},
            {
                "LifecycleHookName": "b",
                "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
                "HeartbeatTimeout": 60,
                "DefaultResult": "CONTINUE",
            },
        ],
    }
    facts = await doctor(lambda: described).table()
    assert (facts.key, facts.indexes, facts.expiry) == (("pk", "sk"), {}, None)
    hooks = await LifecycleHooks(Client(lambda: described), timedelta(seconds=1)).lifecycle_hooks("workers")
    assert list(hooks) == [
        LifecycleHook("a", "launch", timedelta(hours=1)),
        LifecycleHook("b", "termination", timedelta(minutes=1), "CONTINUE"),
    ]
