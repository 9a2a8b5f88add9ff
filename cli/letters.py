"""The dead-letter queue: what is in it, put back or dropped. Through the AWS SDK, with its own credentials.

SQS cannot be looked at without receiving: whoever looks hides the messages from others meanwhile, for a minute at most,
and shows them again at the end. Raises the errors of `shared.errors`; NoCredentials where there are none.
"""

from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cli.complaints import Complaint, Exit
from shared.aws import CALL_ERRORS, open_client, open_session, translated
from shared.credentials import NoCredentials, prove
from shared.environment import BadConfiguration, prepare_aws, resolve

HIDDEN: Final = timedelta(seconds=60)
"""How long a message is hidden from others while somebody looks."""
MOST: Final = 1000
"""So many are looked at."""
_EMPTY_ANSWERS: Final = 2
"""Answers without a message in a row that mean that there are no more: SQS asks only some of its servers each time."""
_PATIENCE: Final = timedelta(seconds=10)
_BATCH: Final = 10
REASON: Final = "error"
"""The message attribute that says why it was put aside."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message that was put aside."""

    id: str
    reason: str
    body: str
    sent_at: datetime | None
    receipt: str
    attributes: Mapping[str, Any]


@dataclass(slots=True)
class Letters:
    """Both queues; `inbox` is where messages go back to."""

    client: Any
    queue: str
    inbox: str | None
    seen: dict[str, Letter] = field(default_factory=dict)

    async def all(self) -> list[Letter]:
        """Every message that nobody else looks at, the oldest first."""
        empty = 0
        while empty < _EMPTY_ANSWERS and len(self.seen) < MOST:
            found = [_letter(message) for message in await self._received()]
            empty = 0 if any(letter.id not in self.seen for letter in found) else empty + 1
            self.seen |= {letter.id: letter for letter in found}
        never = datetime.max.replace(tzinfo=UTC)
        return sorted(self.seen.values(), key=lambda letter: letter.sent_at or never)

    async def hidden(self) -> int:
        """About how many messages somebody else looks at."""
        answer = await self._called(
            "GetQueueAttributes", QueueUrl=self.queue, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
        )
        return max(0, int(answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"]) - len(self.seen))

    async def send_again(self, letter: Letter) -> str:
        """Put it back, then take it out of the dead letters; the new message's id.

        In this order: where the second call fails it is there twice, never lost.
        """
        if self.inbox is None:
            raise Complaint(Exit.USAGE, "SQS_QUEUE_URL: is required to send messages again")
        sent = await self._called("SendMessage", QueueUrl=self.inbox, MessageBody=letter.body)
        await self.drop(letter)
        return str(sent["MessageId"])

    async def drop(self, letter: Letter) -> None:
        """For good."""
        await self._called("DeleteMessage", QueueUrl=self.queue, ReceiptHandle=letter.receipt)
        self.seen.pop(letter.id, None)

    async def show_to_others(self) -> None:
        """Nobody looks any more."""
        left = list(self.seen.values())
        for start in range(0, len(left), _BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                for number, letter in enumerate(left[start : start + _BATCH])
            ]
            await self._called("ChangeMessageVisibilityBatch", QueueUrl=self.queue, Entries=entries)

    async def _received(self) -> list[Mapping[str, Any]]:
        answer = await self._called(
            "ReceiveMessage",
            QueueUrl=self.queue,
            MaxNumberOfMessages=_BATCH,
            VisibilityTimeout=int(HIDDEN.total_seconds()),
            WaitTimeSeconds=1,
            AttributeNames=["SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages") or ())

    async def _called(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        method = "".join(f"_{each.lower()}" if each.isupper() else each for each in operation).lstrip("_")
        try:
            answer: Mapping[str, Any] = await getattr(self.client, method)(**parameters)
        except CALL_ERRORS as error:
            raise translated(error, f"SQS {operation}") from error
        return answer


@asynccontextmanager
async def opened(environ: MutableMapping[str, str]) -> AsyncIterator[Letters]:
    """The queues that the environment names. Raises Complaint."""
    queue, inbox = _queues(environ)
    async with AsyncExitStack() as stack:
        letters = Letters(await _client(stack, environ["AWS_DEFAULT_REGION"]), queue, inbox)
        try:
            yield letters
        finally:
            await letters.show_to_others()


def _queues(environ: MutableMapping[str, str]) -> tuple[str, str | None]:
    """The dead letters, and the inbox, where it is named. The SDK's own variables are put where it looks."""
    values, problems = resolve(environ, {"SQS_DLQ_URL", "SQS_QUEUE_URL"})
    if not problems and "SQS_DLQ_URL" not in values:
        problems = ["SQS_DLQ_URL: is required"]
    try:
        prepare_aws(environ)
    except BadConfiguration as error:
        problems += error.problems
    if problems:
        raise Complaint(Exit.USAGE, "\n".join(problems))
    return values["SQS_DLQ_URL"], values.get("SQS_QUEUE_URL")


async def _client(stack: AsyncExitStack, region: str) -> Any:
    session = open_session()
    try:
        await prove(session, _PATIENCE)
        return await open_client(stack, "sqs", region, read_timeout=timedelta(seconds=15), session=session)
    except NoCredentials as error:
        raise Complaint(Exit.FAILED, str(error)) from error
    except BadConfiguration as error:
        raise Complaint(Exit.USAGE, str(error)) from error


def _letter(message: Mapping[str, Any]) -> Letter:
    sent = message.get("Attributes", {}).get("SentTimestamp")
    attributes = {
        name: value.get("StringValue", "(binary)") for name, value in message.get("MessageAttributes", {}).items()
    }
    return Letter(
        id=message["MessageId"],
        reason=attributes.get(REASON, "no reason was given: it was received too often (the queue's redrive policy)"),
        body=message.get("Body", ""),
        sent_at=None if sent is None else datetime.fromtimestamp(int(sent) / 1000, UTC),
        receipt=message["ReceiptHandle"],
        attributes=attributes,
    )
