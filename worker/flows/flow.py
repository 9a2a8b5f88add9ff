"""What every flow is, and what a flow is made from."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from shared.records import State
from worker.errors import GaveUp
from worker.leadership.period import Leadership
from worker.requests.open_requests import OpenRequests
from worker.requests.request import OpenRequest

if TYPE_CHECKING:
    from worker.flows.batches import Batches
    from worker.flows.capacity import CapacityView
    from worker.flows.rollout import Rescheduler
    from worker.flows.shared_look import SharedLook
    from worker.flows.wave import Wave


class Flow(Protocol):
    """How one kind of request is done."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step. Raises Unavailable (come again), Refused or GaveUp (end it)."""

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """Bring a request that cannot go on nearer to its end. Safe to repeat."""

    def retry_budget(self, request: OpenRequest) -> timedelta:
        """How long the present step may go on being Unavailable."""


@dataclass(frozen=True, slots=True)
class Context:
    """What flows share within one leadership period."""

    leadership: Leadership
    requests: OpenRequests
    capacity: "CapacityView"
    rescheduler: "Rescheduler"
    batches: "Batches"
    wave: "Wave"
    look: "SharedLook"


class ContextFlow:
    """What flows have in common."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._leadership = context.leadership

    def retry_budget(self, _request: OpenRequest) -> timedelta:
        """RESCHEDULE_TIMEOUT, whichever the step; a flow that has more or less patience says so."""
        return self._leadership.settings.reschedule_timeout


class UnknownAction:
    """Of an action that this version of the worker does not know: a newer worker had made the record."""

    async def step(self, request: OpenRequest) -> None:
        """Raises GaveUp."""
        raise GaveUp(
            f"This version of the worker does not know the action {request.record.action}. Update the workers, then "
            "repeat the request"
        )

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End it."""
        await request.end(State.FAILED, reason)

    def retry_budget(self, _request: OpenRequest) -> timedelta:
        """Nothing is tried."""
        return timedelta()
