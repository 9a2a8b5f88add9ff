"""Seeded schedules of what can go wrong with sends that share a round trip: who is told what, and is it so?

Entries of a batch fail one by one, answers are lost after the messages were taken, SQS throttles or does not answer,
callers hang up. Whoever is told that its message is safe finds it in the queue; whoever is refused does not; nobody is
left without an answer, and nothing is sent twice.
"""

import asyncio
import json
import random
from collections import Counter
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from ingest.inbox import SEND, open_inbox
from shared.errors import Refused, Unavailable

pytestmark = pytest.mark.looptime(idle_timeout=1)

SEEDS = 60
CALLERS = 60
WHOLE = ("done", "done", "done", "lost", "throttled", "silent")
"""What may become of a call."""
EACH = ("safe", "safe", "safe", "refused", "failed", "not named", "forgotten")
"""What may become of one message of a batch that is answered; neither of the last two stands in the answer."""
SAID = {
    "refused": {"Code": "InvalidMessageContents", "SenderFault": True},
    "failed": {"Code": "InternalError", "SenderFault": False},
}


class FaultyQueue:
    """SQS, as the SDK's client shows it after its own retries."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.taken: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()

    async def send_message(self, *, QueueUrl: str, MessageBody: str) -> dict[str, Any]:  # noqa: N803 - AWS's names
        """One message."""
        del QueueUrl
        self.taken[MessageBody] += 1
        fate = await self._fate()
        if fate == "throttled":
            self.taken[MessageBody] -= 1
            raise ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "SendMessage")
        return {"MessageId": "m"}

    async def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803
        """Several, of which some may fail."""
        del QueueUrl
        assert 2 <= len(Entries) <= 10
        fates = {entry["Id"]: self.random.choice(EACH) for entry in Entries}
        self.seen.update(fates.values())
        taken = [entry["MessageBody"] for entry in Entries if fates[entry["Id"]] in {"safe", "not named"}]
        self.taken.update(taken)
        if await self._fate() == "throttled":
            self.taken.subtract(taken)
            raise ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, "SendMessageBatch")
        return {
            "Successful": [{"Id": each, "MessageId": "m"} for each, fate in fates.items() if fate == "safe"],
            "Failed": [{"Id": each, **SAID[fate], "Message": fate} for each, fate in fates.items() if fate in SAID],
        }

    async def _fate(self) -> str:
        """What becomes of a call that SQS has carried out."""
        fate = self.random.choice(WHOLE)
        self.seen[fate] += 1
        await asyncio.sleep(self.random.uniform(0.001, 0.4) if fate != "silent" else 60.0)
        if fate == "lost":
            raise aiohttp.ServerDisconnectedError
        return fate


async def ask(inbox: Any, number: int, told: dict[int, str], chance: random.Random) -> None:
    """One caller, at some moment; some hang up."""
    await asyncio.sleep(chance.uniform(0.0, 1.0))
    began = asyncio.get_running_loop().time()
    patience = chance.choice([None, None, None, 0.1])
    try:
        async with asyncio.timeout(patience):
            await inbox.send({"number": number})
        told[number] = "safe"
    except Refused:
        told[number] = "refused"
    except Unavailable:
        told[number] = "unknown"
    except TimeoutError:
        told[number] = "hung up"
    assert asyncio.get_running_loop().time() - began <= SEND.total_seconds() + 0.1


async def test_what_callers_are_told_is_so_whatever_becomes_of_batches_and_of_their_answers() -> None:
    seen: Counter[str] = Counter()
    for seed in range(SEEDS):
        queue, chance, told = FaultyQueue(seed), random.Random(-1 - seed), dict[int, str]()
        async with open_inbox(queue, "https://sqs/queue") as inbox, asyncio.TaskGroup() as callers:
            for number in range(CALLERS):
                callers.create_task(ask(inbox, number, told, chance))
        taken = {json.loads(body)["number"]: count for body, count in queue.taken.items()}
        for number in range(CALLERS):
            in_queue = taken.get(number, 0)
            assert in_queue <= 1, f"seed {seed}: message {number} was sent twice"
            assert not (told[number] == "safe" and not in_queue), f"seed {seed}: message {number} is said to be safe"
            assert not (told[number] == "refused" and in_queue), f"seed {seed}: message {number} is in the queue"
        seen += queue.seen + Counter(told.values())
    assert set(seen) == {*WHOLE, *EACH, "unknown", "hung up"}  # every kind of trouble, and of answer
