"""An action that this version of the worker does not know: a newer worker had made the record."""

from datetime import timedelta

from shared.records import State
from worker.errors import GaveUp
from worker.requests.request import OpenRequest


class UnknownAction:
    """Ends the request, and says so."""

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
