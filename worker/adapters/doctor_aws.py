"""What `--check` asks of AWS: attributes, and calls that need a permission and can never succeed.

Whether a call is allowed is decided before it is carried out, so "this can not be done" says that it is allowed.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from shared.aws import calling
from shared.errors import ScalerError
from shared.table import OPEN_INDEX, Layout
from worker.adapters.table import text
from worker.doctor.facts import TableFacts, Trial
from worker.settings import WorkerSettings

_NEVER = "attribute_exists(pk) AND attribute_not_exists(pk)"
_TOO_MANY = 1_000_000
"""No group has such a MaxSize."""
_NOBODY = "i-00000000000000000"


class DoctorAws:
    """The Aws of `worker.doctor.facts`."""

    def __init__(self, settings: WorkerSettings, sqs: Any, dynamodb: Any, autoscaling: Any, ec2: Any) -> None:
        self._settings = settings
        self._sqs = sqs
        self._dynamodb = dynamodb
        self._autoscaling = autoscaling
        self._ec2 = ec2
        self._limit = settings.call_timeout()

    async def queue(self, url: str) -> Mapping[str, str]:
        """A queue's attributes."""
        async with calling("SQS GetQueueAttributes", self._limit):
            answer = await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return dict(answer.get("Attributes", {}))

    async def table(self) -> TableFacts:
        """The table."""
        name = self._settings.dynamodb_table
        async with calling("DynamoDB DescribeTable", self._limit):
            found = (await self._dynamodb.describe_table(TableName=name))["Table"]
        async with calling("DynamoDB DescribeTimeToLive", self._limit):
            expiry = (await self._dynamodb.describe_time_to_live(TableName=name))["TimeToLiveDescription"]
        expires = expiry.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
        return TableFacts(
            status=found["TableStatus"],
            key=_key(found),
            indexes={each["IndexName"]: _key(each) for each in found.get("LocalSecondaryIndexes") or []},
            expiry=expiry.get("AttributeName") if expires else None,
        )

    async def clock_ahead(self) -> timedelta | None:
        """By the Date of an answer, be it a refusal; while it was under way no clock is ahead."""
        began = datetime.now(UTC)
        try:
            answer = await self._lease()
        except ClientError as error:
            answer = error.response
        headers = (answer or {}).get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return ahead(headers.get("date"), began, datetime.now(UTC))

    def trials(self, groups: Sequence[str]) -> Mapping[str, Trial]:
        """By IAM's name of what is to be allowed: a call that needs it, and changes nothing."""
        settings, sqs = self._settings, self._sqs
        inbox, dead = {"QueueUrl": settings.sqs_queue_url}, {"QueueUrl": settings.sqs_dlq_url}
        return {
            "sqs:ReceiveMessage": self._refused(sqs.receive_message, _INVALID, **inbox, MaxNumberOfMessages=11),
            "sqs:DeleteMessage": self._refused(sqs.delete_message, _INVALID, **inbox, ReceiptHandle="none"),
            "sqs:SendMessage to the dead-letter queue": self._refused(
                sqs.send_message, _INVALID, **dead, MessageBody="check", DelaySeconds=901
            ),
            **self._table_trials(),
            **(self._group_trials(groups) if groups else {}),
        }

    def _table_trials(self) -> Mapping[str, Trial]:
        table, client = {"TableName": self._settings.dynamodb_table}, self._dynamodb
        key = Layout(self._settings.scaler_cluster).key("check")
        held = {":pk": key["pk"]}
        query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": held, "Limit": 1}
        write = {"ConditionExpression": _NEVER}
        change = {"UpdateExpression": "SET x = :x", "ExpressionAttributeValues": {":x": text("x")}}
        return {
            "dynamodb:GetItem": self._allowed(self._lease),
            "dynamodb:Query": self._allowed(lambda: client.query(**table, IndexName=OPEN_INDEX, **query)),
            "dynamodb:PutItem": self._refused(client.put_item, _UNMET, **table, Item=key, **write),
            "dynamodb:UpdateItem": self._refused(client.update_item, _UNMET, **table, Key=key, **change, **write),
        }

    def _group_trials(self, groups: Sequence[str]) -> Mapping[str, Trial]:
        client, some = self._autoscaling, {"AutoScalingGroupName": groups[0]}
        resize, terminate = client.set_desired_capacity, client.terminate_instance_in_auto_scaling_group
        return {
            "ec2:DescribeInstances": self._refused(self._ec2.describe_instances, _DRY, DryRun=True),
            "autoscaling:DescribeScalingActivities": self._allowed(
                lambda: client.describe_scaling_activities(**some, MaxRecords=1), _IMPOSSIBLE
            ),
            "autoscaling:DescribeInstanceRefreshes": self._allowed(
                lambda: client.describe_instance_refreshes(**some), _IMPOSSIBLE
            ),
            **{
                f"autoscaling:SetDesiredCapacity on {name}": self._refused(
                    resize, _IMPOSSIBLE, AutoScalingGroupName=name, DesiredCapacity=_TOO_MANY
                )
                for name in groups
            },
            "autoscaling:TerminateInstanceInAutoScalingGroup": self._refused(
                terminate, _IMPOSSIBLE, InstanceId=_NOBODY, ShouldDecrementDesiredCapacity=True
            ),
            **self._hook_trials(some),
        }

    def _hook_trials(self, group: Mapping[str, str]) -> Mapping[str, Trial]:
        complete, heartbeat = (
            self._autoscaling.complete_lifecycle_action,
            self._autoscaling.record_lifecycle_action_heartbeat,
        )
        nobody = {**group, "LifecycleHookName": "check", "InstanceId": _NOBODY}
        return {
            "autoscaling:CompleteLifecycleAction": self._refused(
                complete, _IMPOSSIBLE, **nobody, LifecycleActionResult="CONTINUE"
            ),
            "autoscaling:RecordLifecycleActionHeartbeat": self._refused(heartbeat, _IMPOSSIBLE, **nobody),
        }

    async def _lease(self) -> Any:
        key = Layout(self._settings.scaler_cluster).key("lease")
        return await self._dynamodb.get_item(TableName=self._settings.dynamodb_table, Key=key, ConsistentRead=True)

    def _allowed(self, call: Callable[[], Awaitable[Any]], but: frozenset[str] = frozenset()) -> Trial:
        """One that succeeds where it is allowed, or is refused with one of the codes, which say nothing of that."""

        async def trial() -> None:
            async with calling("AWS says", self._limit):
                try:
                    await call()
                except ClientError as error:
                    if _code(error) not in but:
                        raise

        return trial

    def _refused(self, call: Callable[..., Awaitable[Any]], codes: frozenset[str], **arguments: Any) -> Trial:
        """One that AWS allows and then refuses with one of the codes."""

        async def trial() -> None:
            async with calling("AWS says", self._limit):
                try:
                    await call(**arguments)
                except ClientError as error:
                    if _code(error) in codes:
                        return
                    raise
            raise ScalerError("AWS did what it never does")

        return trial


_INVALID = frozenset(
    {"InvalidParameterValue", "InvalidParameterValueException", "ReceiptHandleIsInvalid", "ReadCountOutOfRange"}
)
_UNMET = frozenset({"ConditionalCheckFailedException"})
_DRY = frozenset({"DryRunOperation"})
_IMPOSSIBLE = frozenset({"ValidationError"})


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def ahead(date: str | None, began: datetime, ended: datetime) -> timedelta | None:
    """How far the clock by which a call began and ended is ahead of the answer's Date, which has whole seconds."""
    try:
        told = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    if told.tzinfo is None:
        return None
    if ended < told:
        return ended - told
    return max(began - told - timedelta(seconds=1), timedelta(0))


def _key(described: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = sorted(described.get("KeySchema", []), key=lambda each: str(each["KeyType"]))  # HASH, then RANGE
    return tuple(str(each["AttributeName"]) for each in kinds)
