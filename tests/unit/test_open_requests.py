"""What is in hand, and in which order."""

from datetime import timedelta

import pytest

from shared.cancellation import Cancellation
from shared.records import State
from tests.unit.desk import TOKEN, Desk, later, record
from worker.errors import Cancelled
from worker.requests import open_requests

pytestmark = pytest.mark.looptime(idle_timeout=1)


async def test_what_had_begun_comes_first_then_the_oldest() -> None:
    desk = Desk()
    desk.requests.take(record("young", requested_at=later(5)))
    desk.requests.take(record("old", requested_at=later(1)))
    desk.requests.take(record("begun", requested_at=later(9), state=State.RUNNING, started_at=later(9)))
    assert [request.id for request in desk.requests.queued] == ["begun", "old", "young"]
    assert desk.requests.changed.is_set()


async def test_a_record_is_taken_once_and_not_again_after_it_was_settled() -> None:
    desk = Desk()
    desk.requests.take(record("a"))
    desk.requests.take(record("a"))
    (request,) = desk.requests.queued
    desk.requests.begin(request)
    request.record = request.record.but(state=State.SUCCEEDED, settled=True)
    desk.requests.finish(request)
    desk.requests.forget_settled()
    assert desk.requests.knows("a")
    desk.requests.take(record("a"))
    assert (desk.requests.queued, desk.requests.running) == ([], [])


@pytest.mark.parametrize("token", [TOKEN - 1, TOKEN + 1])
async def test_a_record_of_another_workers_token_has_to_be_claimed_first(token: int) -> None:
    desk = Desk()
    desk.requests.take(record("a", token=token))
    assert desk.requests.queued == []
    assert not desk.requests.knows("a")
    assert desk.requests.unclaimed.is_set()


async def test_of_one_that_has_ended_only_the_notices_are_left() -> None:
    desk = Desk()
    notice = {"alertname": "a", "service": "s", "status": "success", "request": "r", "summary": "done"}
    desk.requests.take(record("a", state=State.SUCCEEDED, ended_at=later(0), notices=(notice,)))
    assert desk.requests.queued == []
    assert [alert.summary for alert in desk.outbox.pending("a")] == ["done"]


async def test_no_more_settled_ids_are_remembered_than_a_late_answer_can_name() -> None:
    desk = Desk()
    for number in range(open_requests.RECENTLY_SETTLED + 1):
        desk.requests.take(record(str(number)))
        request = desk.requests.queued[0]
        desk.requests.begin(request)
        request.record = request.record.but(state=State.SKIPPED, settled=True)
        desk.requests.finish(request)
        desk.requests.forget_settled()
    assert not desk.requests.knows("0")
    assert desk.requests.knows("1")


async def test_scale_ups_of_a_type_are_listed_those_that_run_first() -> None:
    desk = Desk()
    for name, fields in {"a": {}, "b": {}, "c": {"type": "manager"}, "d": {"scale": "down"}}.items():
        desk.requests.take(record(name, **fields))
    desk.requests.begin(next(request for request in desk.requests.queued if request.id == "b"))
    assert [request.id for request in desk.requests.scale_ups("worker")] == ["b", "a"]


async def test_the_age_is_that_of_the_oldest_that_has_not_ended() -> None:
    desk = Desk()
    assert desk.requests.oldest_age() == timedelta()
    desk.requests.take(record("a", requested_at=later(-90)))
    desk.requests.take(record("b", requested_at=later(-900), state=State.FAILED, ended_at=later(-1)))
    assert desk.requests.oldest_age() == timedelta(seconds=90)


async def test_a_request_that_was_cancelled_in_time_writes_nothing_forward() -> None:
    desk = Desk()
    request = desk.put(step="wait", state=State.RUNNING)
    assert await request.cancel(Cancellation("c")) is None
    with pytest.raises(Cancelled, match="Cancelled"):
        await request.save(message="done all the same")
    assert desk.journal.records["r"].message == ""
