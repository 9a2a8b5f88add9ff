"""`GET /v1/status`: what the worker has written, how old it is, who is active, and what is wrong."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from ingest.queue_counts import SqsCounts
from ingest.situation import situation
from ingest.stored import Lease, Stored
from ingest.turned_away import Door, TurnedAway
from shared.errors import Unavailable
from shared.status import GroupStatus, Heartbeat, NodeStatus, PauseStatus, Queue, Status, Trouble
from tests.behaviour.ingest.serving import Service
from tests.fakes.ingest import NOON

BEAT = Heartbeat(
    worker="w-1", since=NOON - timedelta(hours=1), at=NOON, revision=3, renewals=100, renewed_at=NOON, lease_seconds=15
)
WELL = Stored(
    status=Status(as_of=NOON - timedelta(hours=1)),
    status_token=7,
    status_revision=3,
    heartbeat=BEAT,
    heartbeat_token=7,
    lease=Lease("w-1", 7, 100),
)


def stored(**changes: Any) -> Stored:
    """As it is when all is well, but for some of it."""
    known = {name: getattr(WELL, name) for name in Stored.__slots__}
    return Stored(**{**known, **changes})


def seen(
    found: Stored = WELL, *, after: float = 0.0, queue: Queue | None = None, troubles: tuple[Trouble, ...] = ()
) -> Status:
    """What is shown so many seconds after the heartbeat."""
    return situation("default", found, queue, troubles, NOON + timedelta(seconds=after))


def codes(status: Status) -> list[str]:
    return [problem.code for problem in status.problems]


def sentence(status: Status, code: str) -> str:
    return next(problem.sentence for problem in status.problems if problem.code == code)


class TestWhoIsActive:
    def test_the_holder_of_the_lease(self) -> None:
        active = seen(after=3).active
        assert active is not None
        assert (active.worker, active.since, active.lease_age) == ("w-1", BEAT.since, 3.0)

    def test_renewals_since_the_heartbeat_say_when_the_last_one_was(self) -> None:
        """Eleven renewals in 57 seconds, one each 5 seconds: the last was 2 seconds ago."""
        status = seen(stored(lease=Lease("w-1", 7, 111)), after=57)
        assert (status.active is not None and status.active.lease_age, codes(status)) == (2.0, [])

    def test_a_renewal_that_was_missed_is_told(self) -> None:
        status = seen(stored(lease=Lease("w-1", 7, 106)), after=41)
        assert (status.active is not None, codes(status)) == (True, ["lease-not-renewed"])
        assert "not renewed its lease for 11 s" in sentence(status, "lease-not-renewed")

    def test_nobody_once_the_lease_has_run_out(self) -> None:
        status = seen(stored(lease=Lease("w-1", 7, 106)), after=48)
        assert (status.active, codes(status)) == (None, ["no-worker"])

    def test_nobody_at_once_where_it_was_released(self) -> None:
        status = seen(stored(lease=Lease(None, 7, 100)))
        assert (status.active, codes(status)) == (None, ["no-worker"])
        assert "the last one has stopped" in sentence(status, "no-worker")

    def test_nobody_where_there_never_was_one(self) -> None:
        status = seen(Stored())
        assert (status.active, status.as_of, status.age, codes(status)) == (None, None, None, ["no-worker"])
        assert "No worker has ever been active in cluster default" in sentence(status, "no-worker")

    def test_one_that_has_taken_over_just_now_says_nothing_of_its_lease_yet(self) -> None:
        status = seen(stored(lease=Lease("w-2", 8, 0)), after=30)
        assert status.active is not None
        assert (status.active.worker, status.active.since, status.active.lease_age) == ("w-2", None, None)
        assert codes(status) == []


class TestHowOldItIs:
    def test_a_heartbeat_confirms_a_document_that_was_written_long_ago(self) -> None:
        status = seen(after=10)
        assert (status.as_of, status.age) == (NOON, 10.0)

    @pytest.mark.parametrize("other", [{"heartbeat_token": 6}, {"status_revision": 4}])
    def test_a_heartbeat_of_another_document_confirms_nothing(self, other: dict[str, int]) -> None:
        assert seen(stored(**other)).as_of == NOON - timedelta(hours=1)

    def test_an_active_worker_that_says_nothing_is_told(self) -> None:
        status = seen(stored(lease=Lease("w-1", 7, 160)), after=301)
        assert codes(status) == ["old"]
        assert "5 min old" in sentence(status, "old")

    def test_one_that_has_said_nothing_yet_is_told(self) -> None:
        status = seen(Stored(lease=Lease("w-1", 1, 0)))
        assert codes(status) == ["old"]


class TestWhatIsWrong:
    def test_nothing(self) -> None:
        assert codes(seen(queue=Queue(waiting=3, oldest=2.0, dead_letters=0))) == []

    def test_paused(self) -> None:
        pause = PauseStatus(since=NOON, until=NOON + timedelta(hours=2), by="ann", reason="a deployment")
        status = seen(stored(status=Status(paused=pause)))
        assert sentence(status, "paused") == (
            "Node scales and replacements are paused by ann until 2026-11-22 14:00:00 UTC: a deployment."
        )

    def test_a_pause_that_is_over_is_none(self) -> None:
        pause = PauseStatus(since=NOON, until=NOON + timedelta(seconds=5))
        status = seen(stored(status=Status(paused=pause)), after=5)
        assert (status.paused, codes(status)) == (None, [])

    def test_what_does_not_answer_the_worker_or_ingest(self) -> None:
        docker = Trouble(what="Docker", since=NOON, last_error="no such file")
        status = seen(stored(status=Status(troubles=(docker,))), troubles=(Trouble(what="SQS", last_error="no"),))
        assert codes(status) == ["docker-silent", "sqs-silent"]
        assert sentence(status, "docker-silent") == (
            "Docker has not answered since 2026-11-22 12:00:00 UTC: no such file. "
            "Requests wait for it; does `docker node ls` answer on the managers?"
        )

    def test_messages_that_nobody_takes_and_dead_letters(self) -> None:
        status = seen(queue=Queue(waiting=2, oldest=61.0, dead_letters=1))
        assert codes(status) == ["queue-old", "dead-letters"]
        assert sentence(status, "dead-letters").startswith("1 dead letter:")

    def test_what_aws_could_not_launch_and_what_is_suspended(self) -> None:
        group = GroupStatus(name="g", desired=4, debt=2, debt_reason="No capacity.", suspended=("Launch",))
        status = seen(stored(status=Status(groups=(group,))))
        assert codes(status) == ["launch-failed", "group-suspended"]
        assert sentence(status, "launch-failed").startswith(
            "AWS could not launch 2 of 4 instances of g: No capacity. It goes on trying; "
        )

    def test_instances_that_never_joined_nodes_that_are_down_and_those_drained_by_hand(self) -> None:
        nodes = (
            NodeStatus(instance="i-1", state="not joined", launched_at=NOON - timedelta(hours=1)),
            NodeStatus(instance="i-2", state="not joined", launched_at=NOON - timedelta(seconds=20)),
            NodeStatus(instance="i-3", state="not joined", launched_at=NOON - timedelta(seconds=90), removable="yes"),
            NodeStatus(id="n1", hostname="a", state="down", availability="active"),
            NodeStatus(id="n2", hostname="b", state="ready", availability="drain"),
        )
        status = seen(stored(status=Status(nodes=nodes)))
        assert codes(status) == ["not-joined", "node-down", "out-of-use"]
        assert sentence(status, "not-joined").startswith("In service, and no node of the Swarm: i-1, i-3. ")
        assert sentence(status, "out-of-use").startswith(
            "Drained or paused, though no open request has asked for it: b"
        )


class TestTheRoute:
    async def test_it_shows_what_the_worker_has_written(self, service: Service) -> None:
        service.journal.stored = WELL
        service.counts.queue = Queue(waiting=4, oldest=3.5, dead_letters=0)
        answer = await service.get("/v1/status")
        assert answer.code == 200
        shown = answer.json
        assert (shown["cluster"], shown["active"]["worker"], shown["queue"]["waiting"]) == ("default", "w-1", 4)
        assert (shown["as_of"], shown["problems"]) == ("2026-11-22T12:00:00.000Z", [])

    async def test_it_exists_below_the_prefix_and_wants_the_token(self, prefixed: Service) -> None:
        assert (await prefixed.get("/scaler/v1/status")).code == 401
        login = {"Authorization": "Bearer correct horse"}
        for path in ("/v1/status", "/scaler/v1/status"):
            assert (await prefixed.get(path, headers=login)).code == 200

    async def test_no_sqs_costs_only_what_it_says(self, service: Service) -> None:
        service.journal.stored, service.counts.failure = WELL, Unavailable("SQS: no answer")
        shown = (await service.get("/v1/status")).json
        assert shown["queue"] is None
        assert [problem["code"] for problem in shown["problems"]] == ["sqs-silent"]

    async def test_no_table_is_503(self, service: Service) -> None:
        service.journal.failure = Unavailable("DynamoDB: no answer")
        answer = await service.get("/v1/status")
        assert answer.code == 503
        assert answer.message.startswith(
            "The table cannot be read: DynamoDB: no answer. Nothing is known of the cluster"
        )

    async def test_an_unknown_parameter_is_named(self, service: Service) -> None:
        assert (await service.get("/v1/status?watch=1")).code == 400


class TestWhatIsCounted:
    async def test_each_problem_has_its_code_while_it_lasts(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same as people are shown; what is over is gone, not 0."""
        monkeypatch.setattr("ingest.reads.FRESH_FOR_METRICS_SECONDS", 0.0)
        service.journal.stored = Stored()
        assert 'scaler_problems{code="no-worker"} 1.0' in await counted(service)
        service.journal.stored = WELL
        assert "scaler_problems{" not in await counted(service)

    async def test_a_table_that_cannot_be_read_is_one(self, service: Service) -> None:
        service.journal.failure = Unavailable("DynamoDB: no answer")
        assert 'scaler_problems{code="dynamodb-silent"} 1.0' in await counted(service)

    async def test_who_came_without_the_token_is_told_to_those_who_have_it_for_five_minutes(
        self, prefixed: Service
    ) -> None:
        prefixed.journal.stored = WELL
        assert (await prefixed.post("/scaler/v1/scale-nodes?scale=up")).code == 401
        login = {"Authorization": "Bearer correct horse"}
        [problem] = (await prefixed.get("/v1/status", headers=login)).json["problems"]
        assert problem["code"] == "wrong-token"
        assert problem["sentence"].startswith("1 request without the token, or with a wrong one, in the last 5 minutes")
        assert " for /scaler/v1/scale-nodes: nothing was done. Give that caller the secret " in problem["sentence"]


async def counted(service: Service) -> str:
    return (await service.get("/metrics")).text


def test_who_was_turned_away_is_forgotten_after_five_minutes() -> None:
    door = Door()
    assert door.lately(NOON) is None
    for second in (0, 200):
        door.refused(NOON + timedelta(seconds=second), "10.0.0.7", "/v1/status")
    assert door.lately(NOON + timedelta(seconds=200)) == TurnedAway(
        2, NOON + timedelta(seconds=200), "10.0.0.7", "/v1/status"
    )
    assert getattr(door.lately(NOON + timedelta(seconds=301)), "count", 0) == 1
    assert door.lately(NOON + timedelta(seconds=501)) is None


class FakeSqs:
    """Answers with numbers."""

    def __init__(self) -> None:
        self.numbers = {"inbox": "0", "dead": "2"}

    async def get_queue_attributes(self, **asked: Any) -> dict[str, Any]:
        return {"Attributes": {"ApproximateNumberOfMessages": self.numbers[asked["QueueUrl"]]}}


async def test_the_oldest_message_is_as_old_as_the_queue_has_not_been_seen_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sqs, loop, time = FakeSqs(), asyncio.get_running_loop(), [100.0]
    counts = SqsCounts(sqs, "inbox", "dead")
    assert await counts.look() == Queue(waiting=0, oldest=None, dead_letters=2)
    monkeypatch.setattr(loop, "time", lambda: time[0])
    sqs.numbers["inbox"] = "3"
    assert (await counts.look()).oldest == 0.0
    time[0] += 70
    assert (await counts.look()).oldest == 70.0
    sqs.numbers["inbox"] = "0"
    await counts.look()
    sqs.numbers["inbox"] = "1"
    assert (await counts.look()).oldest == 0.0


async def test_without_the_dead_letter_queue_their_number_is_unknown() -> None:
    assert (await SqsCounts(FakeSqs(), "inbox", None).look()).dead_letters is None


async def test_the_metrics_say_of_the_queues_what_the_status_says(service: Service) -> None:
    service.counts.queue = Queue(waiting=4, oldest=12.5, dead_letters=1)
    text = (await service.get("/metrics")).text
    assert 'scaler_queue_messages{queue="inbox"} 4.0' in text
    assert 'scaler_queue_messages{queue="dead_letters"} 1.0' in text
    assert "scaler_queue_oldest_seconds 12.5" in text
    service.counts.failure = Unavailable("SQS: no answer in time")
    assert "scaler_queue_messages{" not in (await service.get("/metrics")).text
