"""Where errors become outcomes: one request, step by step, to its end.

`Unavailable` is tried again within the step's retry budget; `Refused` and `GaveUp` end the request, by way of the
flow's own giving up, which may take steps itself (undo). What nobody expected ends the request too, never the loop.
"""

import asyncio

import structlog

from shared.errors import Refused, Unavailable
from shared.records import State
from worker.errors import Cancelled, GaveUp, error_boundary
from worker.flows.flow import Flow
from worker.leadership.period import Leadership
from worker.requests.open_requests import OpenRequests
from worker.requests.request import OpenRequest

log = structlog.get_logger()

PAUSES_SECONDS = (0.5, 1.0, 2.0, 5.0)
"""After the first failure in a row, the second, and so on."""
MOST_BROKEN_ENDINGS = 5
"""So often giving up may fail in a way that nobody expected; then the request is ended without it."""
NO_TIME = "No time was left to try it again"
_EXPECTED = (GaveUp, Refused, Unavailable)


class Attempt:
    """The work on one request, from wherever its record stands."""

    def __init__(self, leadership: Leadership, requests: OpenRequests, flow: Flow, request: OpenRequest) -> None:
        self._leadership = leadership
        self._requests = requests
        self._flow = flow
        self._request = request
        self._reason: str | None = None
        """Why the request must not go on, once that is known."""
        self._failures = 0
        """In a row."""
        self._failing_since = 0.0
        """The first of them, by the event loop's clock."""
        self._broken_endings = 0

    async def run(self) -> None:
        """Return when the record has its outcome. Raises LeadershipOver."""
        while not self._request.ended:
            self._leadership.watchdog.heartbeat(self._request.id)
            self._requests.changed.set()  # in its present step others may join it
            self._failures += 1  # until the step has succeeded
            try:
                with error_boundary("request_failed_unexpectedly", self._unexpected, expected=_EXPECTED):
                    await self._advance()
                    self._failures = 0
            except (GaveUp, Refused) as error:
                self._failures = self._failures if self._reason else 0
                self._reason = str(error)
            except Unavailable as error:
                self._judge(error)
            if self._failures:
                await self._pause()

    async def _pause(self) -> None:
        """Before the next attempt; a cancellation ends it."""
        try:
            with self._request.interruption.possible():
                await asyncio.sleep(PAUSES_SECONDS[min(self._failures, len(PAUSES_SECONDS)) - 1])
        except Cancelled:
            return

    async def _advance(self) -> None:
        if self._reason is None:
            self._reason = self._request.stop_reason
        self._request.giving_up = self._reason is not None
        if self._reason is None:
            await self._take_step()
        elif self._request.record.step is None and self._request.record.cancelled is not None:
            await self._request.end(State.SKIPPED, self._reason)
        elif self._broken_endings < MOST_BROKEN_ENDINGS:
            await self._flow.give_up(self._request, self._reason)
            self._reason = None
        else:
            await self._request.end(State.FAILED, f"{self._reason}. What it had changed was not given back")

    async def _take_step(self) -> None:
        """Every step ends with a write. Raises GaveUp where a newer worker has left a step that no flow here knows."""
        before = self._request.record
        await self._flow.step(self._request)
        if self._request.record is before:
            raise GaveUp(
                f"This version of the worker does not know the step {before.step} of {before.action}. Update the "
                "workers, then repeat the request"
            )

    def _unexpected(self, _error: Exception) -> None:
        """A fault of ours: the request ends, and says where to look."""
        self._broken_endings += self._reason is not None
        self._reason = (
            "An unexpected error in the worker ended it: look for request_failed_unexpectedly in the worker's log, and "
            "report it"
        )

    def _judge(self, error: Unavailable) -> None:
        """Try again, unless the step's retry budget is used up."""
        log.warning("step_unavailable", step=self._request.record.step, error=str(error))
        self._request.waits.stumbles(error)
        self._leadership.events.check_now()
        now = asyncio.get_running_loop().time()
        self._failing_since = now if self._failures == 1 else self._failing_since
        steps = self._request.record.steps
        if not steps or self._reason is not None:
            return
        budget = self._flow.retry_budget(self._request)
        if self._leadership.deadline(steps[-1].started_at, budget).passed:
            tried = min(budget.total_seconds(), now - self._failing_since)  # nobody did while no worker ran
            self._reason = f"{error}. {f'It was tried for {tried:.0f} seconds' if tried >= 1 else NO_TIME}"
