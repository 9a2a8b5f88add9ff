"""The request of a dry run: its flow writes and says nothing, and is stopped where the first effect would come.

What it has noted by then says what would be done. The record is written once, at its end.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from shared.alertmanager import Alert
from shared.documents import Document
from shared.errors import ScalerError
from shared.records import State, Step
from worker.requests.request import OpenRequest

Explanation = Sequence[Mapping[str, Any]]


class Foreseen(ScalerError):
    """A dry run has come to where the first effect would be: the record holds what would be done."""


async def _nothing(_message: str) -> Explanation:
    return ()


class DryRequest(OpenRequest):
    """One dry run. Its record is changed here only, until it ends."""

    explain: Callable[[str], Awaitable[Explanation]] = staticmethod(_nothing)
    """What the plan of its record says of each node, beside the outcome's sentence."""
    refused: str = ""
    """The code of the reason for which its flow gave up, where it has one."""

    @property
    def unwritten(self) -> bool:
        """Nothing is written before its end."""
        return False

    def say(self, *alerts: Alert) -> None:
        """Nobody is told."""

    async def save(self, *, plan: Document | None = None, **changes: Any) -> None:
        """Change the record here."""
        if plan is not None:
            changes["plan"] = plan.document()
        self.note(**changes)

    async def enter(
        self,
        step: str,
        *,
        through: str | None = None,
        plan: Document | None = None,
        waits: str | None = None,
        seconds: float | None = None,
        **changes: Any,
    ) -> None:
        """Begin to plan. Raises Foreseen at any other step."""
        del through, waits, seconds
        now = self.now()
        await self.save(step=step, steps=(Step("plan", now),), state=State.RUNNING, plan=plan, **changes)
        if step != "plan":
            raise Foreseen(step)

    async def end(self, state: State, message: str, *_alerts: Alert, **changes: Any) -> None:
        """The outcome, in one write with all that was noted. Where that fails, the dry run begins anew."""
        now, began = self.now(), self.entered("plan")
        document = dict(self.record.plan)
        document["nodes"] = [dict(each) for each in await self.explain(message)]
        before, self.record = self.record, self.record.but(plan=document)
        try:
            await super().save(
                state=state,
                message=message,
                step="plan",
                steps=(Step("plan", began, now),),
                started_at=began,
                ended_at=now,
                notified=True,
                settled=True,
                **changes,
            )
        except ScalerError:
            self.record = self.record if self.ended else before.but(step=None, steps=(), plan={}, state=State.QUEUED)
            raise
