"""Where errors become outcomes."""

import asyncio
from collections import deque
from datetime import timedelta

import pytest

from shared.errors import Refused, Unavailable
from shared.records import State
from tests.unit.desk import Desk
from worker.dispatch.outcomes import MOST_BROKEN_ENDINGS, Attempt
from worker.errors import GaveUp, LeaseLost
from worker.requests.request import OpenRequest

pytestmark = pytest.mark.looptime(idle_timeout=1)


class Plotted:
    """A flow of one step, `work`: each try raises the next of its errors; without any it ends the request."""

    def __init__(self, *errors: Exception, budget: float = 60.0) -> None:
        self.errors, self.endings = deque(errors), deque[Exception]()
        self.budget = timedelta(seconds=budget)
        self.tries: list[float] = []
        self.ends: list[float] = []

    async def step(self, request: OpenRequest) -> None:
        if request.record.step is None:
            await request.enter("work")
            return
        self.tries.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.popleft()
        await request.end(State.SUCCEEDED, "done")

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        self.ends.append(asyncio.get_running_loop().time())
        if self.endings:
            raise self.endings.popleft()
        await request.end(State.FAILED, reason)

    def retry_budget(self, _request: OpenRequest) -> timedelta:
        return self.budget


async def worked(flow: Plotted, desk: Desk | None = None) -> tuple[State, str]:
    """How a request ends with a flow."""
    desk = desk or Desk()
    request = desk.put()
    await Attempt(desk.leadership, desk.requests, flow, request).run()
    return request.record.state, request.record.message


async def test_a_step_that_is_done_leads_to_the_next() -> None:
    assert await worked(Plotted()) == (State.SUCCEEDED, "done")


async def test_what_is_unavailable_is_tried_again_with_growing_pauses() -> None:
    flow = Plotted(*[Unavailable("no answer")] * 5)
    assert await worked(flow) == (State.SUCCEEDED, "done")
    gaps = [round(after - before, 3) for before, after in zip(flow.tries, flow.tries[1:], strict=False)]
    assert gaps == [0.5, 1.0, 2.0, 5.0, 5.0]


async def test_the_retry_budget_of_a_step_ends_the_request_with_the_last_error() -> None:
    flow = Plotted(*[Unavailable("no answer")] * 100, budget=20.0)
    assert await worked(flow) == (State.FAILED, "no answer. It was tried for 20 seconds")
    assert 20 <= flow.tries[-1] - flow.tries[0] <= 25


@pytest.mark.parametrize("error", [Refused("AWS says no"), GaveUp("AWS says no")])
async def test_a_definite_no_ends_the_request_at_once(error: Exception) -> None:
    flow = Plotted(error)
    assert await worked(flow) == (State.FAILED, "AWS says no")
    assert (len(flow.tries), len(flow.ends)) == (1, 1)


async def test_what_nobody_expected_ends_the_request_and_says_where_to_look() -> None:
    assert await worked(Plotted(ValueError("boom"))) == (
        State.FAILED,
        (
            "An unexpected error in the worker ended it: look for request_failed_unexpectedly in the worker's log, and "
            "report it"
        ),
    )


async def test_an_ending_that_is_unavailable_is_tried_beyond_any_budget() -> None:
    flow = Plotted(Refused("no"), budget=1.0)
    flow.endings.extend([Unavailable("no answer")] * 50)
    assert await worked(flow) == (State.FAILED, "no")
    assert len(flow.ends) == 51


async def test_a_broken_ending_is_given_up_after_some_tries_with_pauses_in_between() -> None:
    flow = Plotted(Refused("no"))
    flow.endings.extend([ValueError("boom")] * 50)
    state, message = await worked(flow)
    assert state == State.FAILED
    assert message.endswith("What it had changed was not given back")
    assert len(flow.ends) == MOST_BROKEN_ENDINGS
    assert flow.ends[-1] - flow.ends[0] >= 5.0


async def test_the_end_of_the_leadership_is_nobodys_outcome() -> None:
    desk = Desk()
    with pytest.raises(LeaseLost):
        await worked(Plotted(LeaseLost("gone")), desk)
    assert desk.state() == State.RUNNING


async def test_a_step_that_no_flow_knows_ends_the_request() -> None:
    desk = Desk()
    request = desk.put(step="hand-over", state=State.RUNNING)

    class Idle(Plotted):
        async def step(self, request: OpenRequest) -> None:
            """Knows no such step."""

    await Attempt(desk.leadership, desk.requests, Idle(), request).run()
    assert desk.state() == State.FAILED
    assert "does not know the step hand-over of scale-nodes" in request.record.message
