"""Cancelling another request: it is stopped where that leaves nothing half done, and followed to its end.

The cancellation is written into the record of the request that it stops, before anything is stopped: a worker that
takes over stops it, too. Until when that can be done says `shared.cancellation`; how it ends is its own flow's.
"""

from datetime import timedelta

from shared.actions import CancelRequest
from shared.cancellation import Cancellation, refusal
from shared.errors import Unavailable
from shared.records import Record, State, asker
from worker.errors import GaveUp
from worker.flows.flow import ContextFlow
from worker.requests import steering
from worker.requests.request import OpenRequest

POLL_SECONDS = 0.25


class Cancel(ContextFlow):
    """The flow."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request."""
        match request.record.step:
            case None:
                await request.enter("plan")
            case "plan":
                await self._stop(request)
            case "wait":
                await self._follow(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a request that cannot go on."""
        await request.end(State.FAILED, reason, steering.cancelling("error", _other_id(request), reason))

    def retry_budget(self, _request: OpenRequest) -> timedelta:
        """How long it may go on failing."""
        return self._leadership.settings.request_max_age

    async def _stop(self, request: OpenRequest) -> None:
        """Raises GaveUp where it is too late, or was never possible."""
        record, other_id = request.record, _other_id(request)
        other = self._context.requests.get(other_id)
        if other is None:
            stopped = await self._ended(other_id)
            reason = refusal(stopped)
        else:
            by = asker(record.asked_by) or record.source
            reason, stopped = await other.cancel(Cancellation(request.id, by, record.reason or "")), other.record
            self._context.requests.changed.set()  # one that was queued begins only to end
        if reason is not None and Cancellation.parse(stopped.cancelled or {}).request != request.id:
            raise GaveUp(reason)
        await request.enter("wait")

    async def _follow(self, request: OpenRequest) -> None:
        async def ended() -> Record | None:
            other = self._context.requests.get(other_id)
            record = await self._ended(other_id) if other is None else other.record
            return record if record.state.ended else None

        other_id = _other_id(request)
        request.waits.begin(f"request {other_id} to end", behind=other_id)
        record = await self._leadership.poll(request.id, ended, every=POLL_SECONDS, on_events=False)
        assert record is not None  # noqa: S101 - without a deadline it always answers
        if record.state is State.SUCCEEDED:
            raise GaveUp(steering.ended_before(other_id, record.message))
        summary = steering.stopped(other_id, record.message)
        await request.end(State.SUCCEEDED, summary, steering.cancelling("success", other_id, summary))

    async def _ended(self, other_id: str) -> Record:
        """A request that is not in hand. Raises GaveUp where there is none, Unavailable where it is not in hand yet."""
        record = await self._leadership.journal.get(other_id)
        if record is None:
            raise GaveUp(steering.no_request(other_id))
        if not record.state.ended:
            self._context.requests.unclaimed.set()
            raise Unavailable(f"The journal: request {other_id} is not in hand yet")
        return record


def _other_id(request: OpenRequest) -> str:
    return CancelRequest.model_validate(request.record.request).request
