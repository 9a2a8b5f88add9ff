"""What is said of pauses, resumes and cancellations. When to say it, the flows know."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.alertmanager import Alert, Status
from shared.cancellation import Cancellation
from shared.pause import Pause
from worker.requests.wording import joined, moment

_OVER = "over"
NOT_PAUSED = "Node scales are not paused"


def pause_request(action: str) -> str:
    """The `request` annotation of a pause or a resume."""
    return "Pause node scales" if action == "pause" else "Resume node scales"


def paused(pause: Pause) -> str:
    """Node scales are paused from now on."""
    return f"Node scales are paused {_until(pause)}{_whose(pause)}"


def resumed(pause: Pause | None) -> str:
    """They are paused no more."""
    return "Node scales go on" if pause is None else f"Node scales go on, paused since {moment(pause.since)}"


def over(pause: Pause) -> str:
    """They are paused no more, for the time is over."""
    return f"{resumed(pause)} {_until(pause)}"


def ending(paused_by: str, pause: Pause) -> dict[str, object]:
    """The plan of a resume that nobody asked for (no message can have one): the request that had paused, its pause."""
    return {_OVER: {"request": paused_by, **pause.document()}}


def ended_pause(plan: Mapping[str, Any]) -> tuple[str, Pause] | None:
    """The reverse. None: somebody did ask for it."""
    document = plan.get(_OVER)
    try:
        return (str(document["request"]), Pause.parse(document)) if isinstance(document, Mapping) else None
    except (KeyError, ValueError, TypeError):
        return None


def paused_since(pause: Pause) -> str:
    """A node scale is not begun."""
    return (
        f"Paused since {moment(pause.since)} {_until(pause)}{_whose(pause)}: no node scale begins. "
        "Resume (POST /v1/resume), then repeat the request"
    )


def pause_over(until: datetime) -> str:
    """A pause that came too late to hold."""
    return f"The pause was to end at {moment(until)}, and that is over"


def outdone(request: str) -> str:
    """A pause or a resume that was requested before the one that counts."""
    return f"Request {request} paused or resumed later, and counts"


def pausing(status: Status, request: str, summary: str) -> Alert:
    """About a pause."""
    return Alert("scale_nodes", "pause", status, request, summary)


def _until(pause: Pause) -> str:
    return "until somebody resumes" if pause.until is None else f"until {moment(pause.until)}"


def _whose(pause: Pause) -> str:
    by, reason = f"by {pause.by}" if pause.by else "", f"({pause.reason})" if pause.reason else ""
    return "".join(f" {part}" for part in (by, reason) if part)


def cancelled(cancellation: Cancellation, *, unchanged: bool) -> str:
    """Why a request goes no further."""
    by = f"Cancelled by {cancellation.by or f'request {cancellation.request}'}"
    reason = f" ({cancellation.reason})" if cancellation.reason else ""
    return joined(f"{by}{reason}", "nothing was changed" if unchanged else "")


def capacity(group: str, desired: int) -> str:
    """The desired capacity as a cancelled node scale leaves it."""
    return f"the desired capacity of {group} is {desired}"


def what_comes(node_type: str) -> str:
    """What becomes of the nodes that a cancelled scale-up has asked for."""
    return f"{node_type} nodes that still come join by themselves, and nothing is rescheduled for them"


def no_request(request: str) -> str:
    """Nobody knows the request that is to be cancelled."""
    return f"There is no request {request}, or no worker has taken it yet"


def stopped(request: str, message: str) -> str:
    """The other request has ended."""
    return f"Request {request} was cancelled: {message}"


def ended_before(request: str, message: str) -> str:
    """The other request has done all of it."""
    return f"Request {request} ended before it could be cancelled: {message}"


def cancelling(status: Status, request: str, summary: str) -> Alert:
    """About a cancellation."""
    return Alert("scale_nodes", "cancel", status, f"Cancel request: {request}", summary)
