"""Pausing and resuming: whether node scales may begin. The order that was requested last counts.

It is never stale: who paused while no worker was active meant what comes after that.
"""

from datetime import timedelta

from shared.actions import PauseScaling
from shared.alertmanager import Alert, Status
from shared.pause import Pause
from shared.records import State, asker
from worker.flows.flow import ContextFlow
from worker.leadership.pausing import is_later
from worker.ports.storage import PauseMemory
from worker.requests import steering
from worker.requests.request import OpenRequest


class Pauses(ContextFlow):
    """The flow of both actions."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request."""
        match request.record.step:
            case None:
                await request.enter("apply")
            case _:
                await self._apply(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a request that cannot go on. One whose order counts, though its answer was lost, has succeeded."""
        if await self._leadership.pausing.counts(request.id):
            await self._apply(request)
        else:
            await request.end(State.FAILED, reason, _alert(request, "error", reason))

    def retry_budget(self, _request: OpenRequest) -> timedelta:
        """How long it may go on failing."""
        return self._leadership.settings.request_max_age

    async def _apply(self, request: OpenRequest) -> None:
        over = steering.ended_pause(request.record.plan)
        if over is not None:
            await self._over(request, *over)
            return
        order = _order(request)
        until = None if order.pause is None else order.pause.until
        if until is not None and until <= request.now():
            await self._leadership.pausing.end(request.id, request.id)  # written where the answer was lost
            await request.end(State.SKIPPED, steering.pause_over(until))
            return
        last = await self._leadership.pausing.change(order)
        if is_later(last, order):
            await request.end(State.SKIPPED, steering.outdone(last.request))
        elif order.pause is not None:
            summary = steering.paused(order.pause)
            await request.end(State.SUCCEEDED, summary, _alert(request, "pending", summary))
        else:
            await self._resumed(request, last)

    async def _over(self, request: OpenRequest, paused_by: str, pause: Pause) -> None:
        """The time of a pause is over. Who has paused or resumed since then has said so."""
        last = await self._leadership.pausing.end(paused_by, request.id)
        if last.request not in {paused_by, request.id}:
            await request.end(State.SKIPPED, steering.outdone(last.request))
            return
        summary = steering.over(pause)
        await request.end(State.SUCCEEDED, summary, _alert(request, "success", summary))

    @staticmethod
    async def _resumed(request: OpenRequest, last: PauseMemory) -> None:
        pause = last.pause if last.pause is not None and last.pause.holds(request.now()) else None
        if pause is None and last.request != request.id:
            await request.end(State.SKIPPED, steering.NOT_PAUSED)
            return
        summary = steering.resumed(pause)
        await request.end(State.SUCCEEDED, summary, _alert(request, "success", summary))


def _alert(request: OpenRequest, status: Status, summary: str) -> Alert:
    return steering.pausing(status, steering.pause_request(request.record.action), summary)


def _order(request: OpenRequest) -> PauseMemory:
    """What a request wants, the same whenever it is asked."""
    record, pause = request.record, None
    if record.action == "pause":
        seconds = PauseScaling.model_validate(record.request).seconds
        until = None if seconds is None else record.requested_at + timedelta(seconds=seconds)
        by = asker(record.asked_by) or record.source
        pause = Pause(request.entered("apply"), until, by, record.reason or "")
    return PauseMemory(record.id, record.requested_at, pause)
