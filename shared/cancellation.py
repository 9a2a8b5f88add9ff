"""Cancelling a request: what a record keeps of it, and until when one can be cancelled.

ingest answers early by it, the worker decides by it; how far a request has come when the worker does may differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from shared.actions import ACTIONS
from shared.clock import rfc3339
from shared.reading import of_kind, readable
from shared.records import Record


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Who cancelled a request, and why: its record's `cancelled`."""

    request: str
    """The id of the request that cancels it."""
    by: str = ""
    reason: str = ""

    def document(self, at: datetime) -> dict[str, Any]:
        """As JSON."""
        return {"request": self.request, "by": self.by, "reason": self.reason, "at": rfc3339(at)}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """The reverse of `document`; what cannot be read is empty."""
        names = ("request", "by", "reason")
        return cls(**{name: readable(name, of_kind(str), document.get(name)) or "" for name in names})


def refusal(record: Record) -> str | None:
    """Why a request cannot be cancelled. None: it can, or it has been and is on its way to its end."""
    if record.cancelled is not None and not record.state.ended:
        return None
    return too_late(record)


def too_late(record: Record) -> str | None:
    """Why a request goes on to its end whoever cancels it. None: it can be stopped where it stands."""
    action = ACTIONS.get(record.action)
    name = f"Request {record.id} ({record.action})"
    if record.state.ended:
        return f"{name} has ended already: {record.state}"
    if action is None or action.stoppable is None:
        return f"{name} is of a kind that cannot be cancelled"
    if record.step is None:
        return None
    if record.step not in action.stoppable:
        return f"{name} can be cancelled no more: it is at the step {record.step}"
    if record.plan.get("terminated") or record.plan.get("intent"):
        return f"{name} can be cancelled no more: a node of it has been terminated, or is about to be"
    return None
