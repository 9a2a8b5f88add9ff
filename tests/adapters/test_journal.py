"""The journal's contract, over memory and over DynamoDB."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.local.aws import EmbeddedAws
from ingest.journal import DynamoJournal as Reader
from ingest.stored import Lease, Stored
from shared.clock import SystemClock
from shared.documents import Document
from shared.errors import Refused, Unavailable
from shared.pause import Pause
from shared.records import Record, State, Step
from shared.status import GroupStatus, Heartbeat, NodeStatus, Status, unpacked
from shared.table import Layout
from tests.adapters.conftest import CALL
from tests.fakes import InMemoryJournal
from tests.waiting import tries
from worker.adapters.journal import DynamoJournal
from worker.adapters.lease import DynamoLeaseStore
from worker.adapters.table import PAGE
from worker.errors import Fenced
from worker.ports.storage import Drained, GroupMemory, Journal, LeaseItem, Overtaken, PauseMemory

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOON = datetime(2026, 11, 1, 12, 0, 0, 123000, tzinfo=UTC)


@pytest.fixture(params=["memory", "dynamodb"])
def journal(request: pytest.FixtureRequest) -> Journal:
    """Both."""
    if request.param == "memory":
        return InMemoryJournal(SystemClock())
    found: Journal = request.getfixturevalue("dynamo_journal")
    return found


@pytest.fixture
def dynamo_journal(dynamodb: Any, table: str, layout: Layout) -> DynamoJournal:
    """The real thing."""
    return DynamoJournal(dynamodb, table, layout, CALL, SystemClock())


Published = Callable[[str], Awaitable[Document]]


@pytest.fixture
def published(request: pytest.FixtureRequest, journal: Journal) -> Published:
    """Reads the status document, or the heartbeat, as it stands."""
    kinds: dict[str, type[Status | Heartbeat]] = {"status": Status, "heartbeat": Heartbeat}
    if isinstance(journal, InMemoryJournal):
        memory = journal

        async def remembered(sort: str) -> Document:
            return memory.published[kinds[sort]][2]

        return remembered
    dynamodb, table, layout = (request.getfixturevalue(name) for name in ("dynamodb", "table", "layout"))

    async def read(sort: str) -> Document:
        item = (await dynamodb.get_item(TableName=table, Key=layout.key(sort), ConsistentRead=True))["Item"]
        return kinds[sort].parse(unpacked(item["document"]["B"]))

    return read


def record(request_id: str = "one", **fields: Any) -> Record:
    """A request that has just come in."""
    known = {"action": "scale-nodes", "requested_at": NOON, "source": "http", "request": {"scale": "up", "by": 1}}
    return Record(id=request_id, **{**known, **fields})


class TestRecords:
    async def test_a_new_record_is_put_down_and_read_back_whole(self, journal: Journal) -> None:
        whole = record(
            state=State.RUNNING,
            steps=(Step("plan", NOON, NOON), Step("apply", NOON)),
            plan={"target": 3, "victims": ["i-1"]},
            notices=({"alertname": "scale_nodes"},),
            warnings=("careful",),
            request={"unknown": {"deep": [1, 2, None, "ü"]}},
            token=4,
        )
        assert await journal.create(whole) is None
        assert await journal.get("one") == whole

    async def test_what_is_read_is_the_readers_own(self, journal: Journal) -> None:
        def written() -> Record:
            return record(plan={"leaving": ["i-1"]}, notices=({"told": ["people"]},), token=4)

        assert await journal.create(written()) is None
        read = [await journal.create(record(token=5)), await journal.get("one"), *await journal.open()]
        for one in (*read, await journal.claim("one", 4), await journal.save(written())):
            assert one is not None
            one.plan["leaving"].append("i-2")
            one.notices[0]["told"].append("nobody")
        assert await journal.get("one") == written().but(revision=1)

    async def test_an_unknown_record_is_none(self, journal: Journal) -> None:
        assert await journal.get("nobody") is None

    async def test_a_known_id_answers_with_the_record_that_stands_there(self, journal: Journal) -> None:
        await journal.create(record())
        await journal.save(record(state=State.RUNNING, step="plan"))
        standing = await journal.create(record())
        assert standing is not None
        assert (standing.state, standing.step) == (State.RUNNING, "plan")

    async def test_creating_the_same_record_again_is_done(self, journal: Journal) -> None:
        await journal.create(record())
        assert await journal.create(record()) is None

    async def test_of_many_who_create_one_id_exactly_one_succeeds(self, journal: Journal) -> None:
        answers = await asyncio.gather(*(journal.create(record(source=f"source-{n}")) for n in range(20)))
        assert answers.count(None) == 1
        assert len({answer.source for answer in answers if answer}) == 1

    async def test_too_large_a_record_is_refused_and_changes_nothing(self, journal: Journal) -> None:
        await journal.create(record())
        with pytest.raises(Refused):
            await journal.save(record(message="x" * 420_000))
        with pytest.raises(Refused):
            await journal.create(record("two", message="x" * 420_000))
        assert await journal.get("one") == record()
        assert await journal.get("two") is None


class TestFencing:
    async def test_the_holder_of_the_token_saves_as_often_as_it_likes(self, journal: Journal) -> None:
        present = record(token=2)
        await journal.create(present)
        for message in ("a", "b", "b"):
            present = await journal.save(present.but(message=message))
        assert await journal.get("one") == present == record(token=2, message="b", revision=3)

    async def test_the_same_write_may_be_done_twice(self, journal: Journal) -> None:
        await journal.create(record(token=2))
        first = await journal.save(record(token=2, message="a"))
        assert await journal.save(record(token=2, message="a")) == first

    async def test_a_write_that_arrives_late_changes_nothing(self, journal: Journal) -> None:
        await journal.create(record(token=2))
        present = await journal.save(record(token=2, message="a"))
        with pytest.raises(Overtaken) as told:
            await journal.save(record(token=2, message="late"))
        assert told.value.record == present == await journal.get("one")

    @pytest.mark.parametrize("token", [1, 3])
    async def test_another_token_can_not_save(self, journal: Journal, token: int) -> None:
        await journal.create(record(token=2))
        with pytest.raises(Fenced):
            await journal.save(record(token=token, message="late"))
        assert await journal.get("one") == record(token=2)

    async def test_a_record_that_is_not_there_can_not_be_saved(self, journal: Journal) -> None:
        with pytest.raises(Fenced):
            await journal.save(record())
        assert await journal.get("one") is None

    async def test_claiming_raises_the_token_and_keeps_the_rest(self, journal: Journal) -> None:
        await journal.create(record(token=2, message="as it was"))
        claimed = await journal.claim("one", 5)
        assert claimed == record(token=5, message="as it was")
        assert await journal.get("one") == claimed
        with pytest.raises(Fenced):
            await journal.save(record(token=2))
        await journal.save(record(token=5, message="mine"))

    async def test_claiming_what_is_ours_only_reads(self, journal: Journal) -> None:
        await journal.create(record(token=5))
        assert await journal.claim("one", 5) == record(token=5)

    async def test_a_higher_token_is_not_claimed(self, journal: Journal) -> None:
        await journal.create(record(token=6))
        assert await journal.claim("one", 5) is None
        assert await journal.get("one") == record(token=6)

    async def test_claiming_makes_no_record(self, journal: Journal) -> None:
        assert await journal.claim("nobody", 5) is None
        assert await journal.get("nobody") is None


class TestOpenRecords:
    async def test_unsettled_records_oldest_first(self, journal: Journal) -> None:
        for age in (2, 9, 5):
            await journal.create(record(f"age-{age}", requested_at=NOON - timedelta(seconds=age)))
        await journal.create(record("done", state=State.SKIPPED, settled=True))
        assert [one.id for one in await journal.open()] == ["age-9", "age-5", "age-2"]

    async def test_an_ended_record_stays_open_until_it_is_settled(self, journal: Journal) -> None:
        await journal.create(record())
        ended = await journal.save(record(state=State.SUCCEEDED, notified=False))
        assert [one.id for one in await journal.open()] == ["one"]
        await journal.save(ended.but(settled=True))
        assert await journal.open() == []
        assert await journal.get("one") is not None

    async def test_a_claimed_record_stays_open(self, journal: Journal) -> None:
        await journal.create(record())
        await journal.claim("one", 3)
        assert await journal.open() == [record(token=3)]

    async def test_more_than_one_page(self, journal: Journal) -> None:
        for number in range(7):
            await journal.create(record(f"large-{number}", request={"padding": "x" * 300_000}))
        assert [one.id for one in await journal.open()] == [f"large-{number}" for number in range(7)]

    async def test_a_backlog_is_read_in_short_pages(self, dynamo_journal: Journal, aws: EmbeddedAws) -> None:
        ids = [f"small-{number:03}" for number in range(2 * PAGE + 1)]
        for each in ids:
            await dynamo_journal.create(record(each))
        began = time.time()
        assert [one.id for one in await dynamo_journal.open()] == ids
        assert [call.action for call in aws.calls.since(began)] == ["Query"] * 3

    async def test_dedup_keys_and_memories_are_no_records(self, journal: Journal) -> None:
        await journal.first_of("key", "one")
        await journal.remember("worker", GroupMemory(desired=1), 1)
        assert await journal.open() == []


class TestDedupKeys:
    async def test_the_first_holds_the_key(self, journal: Journal) -> None:
        assert await journal.first_of("key", "one") == "one"
        assert await journal.first_of("key", "two") == "one"
        assert await journal.first_of("other", "two") == "two"

    async def test_a_key_that_names_me_is_mine(self, journal: Journal) -> None:
        await journal.first_of("key", "one")
        assert await journal.first_of("key", "one") == "one"

    async def test_whom_I_expected_hands_over(self, journal: Journal) -> None:  # noqa: N802 - a sentence
        await journal.first_of("key", "one")
        assert await journal.first_of("key", "two", expected="one") == "two"
        assert await journal.first_of("key", "three", expected="one") == "two"
        assert await journal.first_of("key", "two", expected="one") == "two"

    async def test_of_many_at_once_one_holds_it_and_all_agree(self, journal: Journal) -> None:
        holders = await asyncio.gather(*(journal.first_of("key", f"request-{n}") for n in range(20)))
        assert len(set(holders)) == 1

    async def test_of_many_who_take_over_at_once_one_holds_it(self, journal: Journal) -> None:
        await journal.first_of("key", "old")
        takers = (journal.first_of("key", f"request-{n}", expected="old") for n in range(20))
        assert len(set(await asyncio.gather(*takers))) == 1

    async def test_any_text_can_be_a_key(self, journal: Journal) -> None:
        for number, key in enumerate(["", "ü" * 5000, "a#b", "\ud800"]):
            assert await journal.first_of(key, f"request-{number}") == f"request-{number}"


class TestMemory:
    async def test_nothing_is_remembered_at_first(self, journal: Journal) -> None:
        assert await journal.recall("worker", 1) == GroupMemory()

    async def test_what_is_written_is_recalled_per_node_type(self, journal: Journal) -> None:
        members = {"i-2": "ip-10-0-3-2.ec2.internal", "i-1": ""}
        memory = GroupMemory(
            desired=0,
            desired_at=NOON,
            up_ended_at=NOON,
            members=members,
            drained={"n1": Drained("r1", "active"), "n2": Drained("r2", "pause")},
            abandoned=("i-4", "i-3"),
            revision=1,
        )
        await journal.recall("worker", 1)
        await journal.remember("worker", memory, 1)
        recalled = await journal.recall("worker", 2)
        assert (recalled, list(recalled.members)) == (memory, ["i-2", "i-1"])
        assert await journal.recall("manager", 2) == GroupMemory()

    async def test_recalling_fences_the_lower_token_off(self, journal: Journal) -> None:
        await journal.remember("worker", GroupMemory(desired=1), 1)
        await journal.recall("worker", 2)
        with pytest.raises(Fenced):
            await journal.remember("worker", GroupMemory(desired=9), 1)
        with pytest.raises(Fenced):
            await journal.recall("worker", 1)
        assert await journal.recall("worker", 2) == GroupMemory(desired=1)

    async def test_what_is_none_is_forgotten(self, journal: Journal) -> None:
        await journal.remember("worker", GroupMemory(desired=1, up_ended_at=NOON), 1)
        await journal.remember("worker", GroupMemory(down_ended_at=NOON, revision=1), 1)
        assert await journal.recall("worker", 1) == GroupMemory(down_ended_at=NOON, revision=1)

    async def test_the_pause_is_recalled_as_it_was_written(self, journal: Journal) -> None:
        assert await journal.recall_pause(1) == PauseMemory()
        for revision, pause in enumerate((Pause(NOON, NOON, "alice", "why"), Pause(NOON), None), 1):
            memory = PauseMemory("r", NOON, pause, revision)
            await journal.remember_pause(memory, 1)
            assert await journal.recall_pause(1) == memory
        assert await journal.open() == []

    async def test_a_write_of_the_pause_is_fenced_and_never_goes_back(self, journal: Journal) -> None:
        later = PauseMemory("r", NOON, None, 2)
        await journal.remember_pause(later, 1)
        with pytest.raises(Unavailable):
            await journal.remember_pause(PauseMemory("p", NOON, Pause(NOON), 1), 1)
        assert await journal.recall_pause(2) == later
        for write in (journal.remember_pause(PauseMemory("p", NOON, Pause(NOON), 3), 1), journal.recall_pause(1)):
            with pytest.raises(Fenced):
                await write
        assert await journal.recall_pause(2) == later

    async def test_a_write_that_arrives_late_wipes_nothing_out(self, journal: Journal) -> None:
        later = GroupMemory(desired=3, revision=2)
        await journal.remember("worker", later, 1)
        with pytest.raises(Unavailable):
            await journal.remember("worker", GroupMemory(desired=2, revision=1), 1)
        await journal.remember("worker", later, 1)
        assert await journal.recall("worker", 1) == later

    async def test_another_token_writes_whatever_the_revision(self, journal: Journal) -> None:
        await journal.remember("worker", GroupMemory(desired=3, revision=7), 1)
        await journal.remember("worker", GroupMemory(desired=2, revision=1), 2)
        assert await journal.recall("worker", 2) == GroupMemory(desired=2, revision=1)


class TestStatus:
    """What stands there is read by ingest: its tests read what these writes leave."""

    async def test_a_later_revision_replaces_an_earlier_one(self, journal: Journal, published: Published) -> None:
        await journal.publish(Status(cluster="one"), 1, 1)
        await journal.publish(Status(cluster="one", groups=(GroupStatus(type="worker", desired=3),)), 1, 2)
        await journal.publish(Heartbeat(worker="w", revision=2), 1, 1)
        assert await published("status") == Status(cluster="one", groups=(GroupStatus(type="worker", desired=3),))
        assert await published("heartbeat") == Heartbeat(worker="w", revision=2)

    async def test_a_write_that_arrives_late_changes_nothing(self, journal: Journal, published: Published) -> None:
        await journal.publish(Status(cluster="new"), 1, 2)
        with pytest.raises(Unavailable):
            await journal.publish(Status(cluster="late"), 1, 1)
        await journal.publish(Status(cluster="new"), 1, 2)
        assert await published("status") == Status(cluster="new")

    async def test_a_worker_that_was_taken_over_from_writes_nothing(
        self, journal: Journal, published: Published
    ) -> None:
        await journal.publish(Status(cluster="mine"), 2, 1)
        with pytest.raises(Fenced):
            await journal.publish(Status(cluster="theirs"), 1, 9)
        await journal.publish(Status(cluster="the next one's"), 3, 1)
        assert await published("status") == Status(cluster="the next one's")

    async def test_one_that_is_too_large_is_refused(self, journal: Journal) -> None:
        noise = "".join(chr(33 + byte % 90) for byte in random.Random(1).randbytes(800_000))
        with pytest.raises(Refused):
            await journal.publish(Status(cluster=noise), 1, 1)


class TestOverDynamoDB:
    async def test_ingest_reads_the_status_and_the_lease_that_workers_write(
        self, dynamo_journal: DynamoJournal, dynamodb: Any, table: str, layout: Layout
    ) -> None:
        reader = Reader(dynamodb, table, layout)
        assert await reader.status() == Stored()
        status = Status(
            groups=(GroupStatus(desired=3),), nodes=(NodeStatus(hostname="n", removable="yes"),), as_of=NOON
        )
        await dynamo_journal.publish(status, 4, 2)
        await dynamo_journal.publish(Heartbeat(worker="w", at=NOON, revision=2), 4, 7)
        leases = DynamoLeaseStore(dynamodb, table, layout, CALL)
        assert await leases.replace(None, LeaseItem("w", 4, 9, "swarm"))
        assert await reader.status() == Stored(
            status=status,
            status_token=4,
            status_revision=2,
            heartbeat=Heartbeat(worker="w", at=NOON, revision=2),
            heartbeat_token=4,
            lease=Lease("w", 4, 9),
        )

    @pytest.mark.parametrize("spoilt", [{"B": b"not packed"}, {"S": "text"}])
    async def test_a_status_that_cannot_be_read_is_as_if_it_was_not_there(
        self, dynamodb: Any, table: str, layout: Layout, spoilt: Any
    ) -> None:
        item = {**layout.key("status"), "token": {"N": "1"}, "document": spoilt}
        await dynamodb.put_item(TableName=table, Item=item)
        assert (await Reader(dynamodb, table, layout).status()).status is None

    @pytest.mark.parametrize("spoilt", ["{", "[]", "null"])
    async def test_lists_that_cannot_be_read_cost_only_themselves(
        self, dynamo_journal: DynamoJournal, dynamodb: Any, table: str, layout: Layout, spoilt: str
    ) -> None:
        await dynamo_journal.remember("worker", GroupMemory(desired=1, members={"i-1": ""}), 1)
        await dynamodb.update_item(
            TableName=table,
            Key=layout.key("group#worker"),
            UpdateExpression="SET members = :spoilt, drained = :spoilt",
            ExpressionAttributeValues={":spoilt": {"S": spoilt}},
        )
        assert await dynamo_journal.recall("worker", 1) == GroupMemory(desired=1)

    async def test_a_write_whose_answer_was_lost_is_found_done(
        self, aws: EmbeddedAws, dynamo_journal: DynamoJournal
    ) -> None:
        aws.knobs.set(lose_answers={"dynamodb.PutItem": 1})
        assert await dynamo_journal.create(record()) is None
        aws.knobs.set(lose_answers={"dynamodb.PutItem": 1})
        await dynamo_journal.save(record(state=State.RUNNING))
        aws.knobs.set(lose_answers={"dynamodb.PutItem": 1})
        assert await dynamo_journal.first_of("key", "one") == "one"
        aws.knobs.set(lose_answers={"dynamodb.PutItem": 1})
        assert await dynamo_journal.first_of("key", "two", expected="one") == "two"
        aws.knobs.set(lose_answers={"dynamodb.UpdateItem": 1})
        assert await dynamo_journal.claim("one", 4) == record(state=State.RUNNING, token=4, revision=1)
        aws.knobs.set(lose_answers={"dynamodb.UpdateItem": 1})
        assert await dynamo_journal.recall("worker", 4) == GroupMemory()
        aws.knobs.set(lose_answers={"dynamodb.PutItem": 1})
        await dynamo_journal.remember("worker", GroupMemory(desired=1), 4)

    async def test_throttling_and_a_lost_table_server_are_unavailable(
        self, aws: EmbeddedAws, dynamo_journal: DynamoJournal
    ) -> None:
        aws.knobs.set(errors={"dynamodb": "throttle"})
        with pytest.raises(Unavailable) as throttled:
            await dynamo_journal.create(record())
        assert throttled.value.__cause__ is not None
        aws.knobs.set(errors={}, down=["dynamodb"])
        with pytest.raises(Unavailable):
            await dynamo_journal.open()

    async def test_the_whole_call_has_one_time_out(
        self, aws: EmbeddedAws, dynamodb: Any, table: str, layout: Layout
    ) -> None:
        hasty = DynamoJournal(dynamodb, table, layout, timedelta(seconds=0.3), SystemClock())
        aws.knobs.set(latency_seconds={"dynamodb": 2.0})
        loop = asyncio.get_running_loop()
        for one in tries():
            began = loop.time()
            with pytest.raises(Unavailable):
                await hasty.get("one")
            with one:
                assert loop.time() - began < 1.0

    async def test_a_missing_table_is_not_waited_for(self, dynamodb: Any, layout: Layout) -> None:
        nowhere = DynamoJournal(dynamodb, "no-such-table", layout, CALL, SystemClock())
        with pytest.raises(Refused):
            await nowhere.get("one")

    async def test_clusters_do_not_see_each_other(self, dynamodb: Any, table: str, layout: Layout) -> None:
        ours = DynamoJournal(dynamodb, table, layout, CALL, SystemClock())
        theirs = DynamoJournal(dynamodb, table, Layout(f"{layout.cluster}-2"), CALL, SystemClock())
        await ours.create(record())
        assert await theirs.open() == []
        assert await theirs.get("one") is None
        assert await theirs.first_of("key", "two") == "two"
        assert await ours.first_of("key", "one") == "one"

    async def test_items_expire(self, dynamo_journal: DynamoJournal, dynamodb: Any, table: str, layout: Layout) -> None:
        await dynamo_journal.create(record())
        await dynamo_journal.first_of("key", "one")
        page = await dynamodb.query(
            TableName=table,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": layout.partition}},
        )
        assert len(page["Items"]) == 2
        assert all(int(item["expires_at"]["N"]) > NOON.timestamp() for item in page["Items"])
