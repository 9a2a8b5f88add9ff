"""Admission: whether a request still counts when its work could begin. Judged once."""

from datetime import timedelta

from shared.records import State
from worker.flows.nodes import direction, node_type
from worker.leadership.period import Leadership
from worker.requests import steering, wording
from worker.requests.request import OpenRequest


async def admit(leadership: Leadership, request: OpenRequest) -> None:
    """Begin a request with its step `plan`, or end it as skipped where it is stale."""
    reason = _stale(leadership, request)
    if reason is None:
        await request.enter("plan")
    else:
        await request.end(State.SKIPPED, reason)


async def no_node_scale_now(leadership: Leadership, request: OpenRequest) -> str | None:
    """Why a node scale, which a pause or a cool-down may stop too, does not begin. None: it does."""
    return _stale(leadership, request) or await paused(leadership) or await _cooling(leadership, request)


async def paused(leadership: Leadership) -> str | None:
    """Why no node scale or replacement may begin now: by whom it was paused, until when. None: it may.

    To be asked once, before anything is begun: what has begun goes on.
    """
    pause = await leadership.pausing.present()
    return None if pause is None else steering.paused_since(pause)


def _stale(leadership: Leadership, request: OpenRequest) -> str | None:
    """Why a request is too old to begin. None: it is not."""
    age, most = request.age(), leadership.settings.request_max_age
    if request.record.started_at is not None or age <= most:
        return None
    return (
        f"Stale: the request is {wording.duration(age.total_seconds())} seconds old, and "
        f"{wording.duration(most.total_seconds())} are allowed (REQUEST_MAX_AGE)"
    )


async def _cooling(leadership: Leadership, request: OpenRequest) -> str | None:
    """Why a node scale comes too soon after the last one in its direction. None: it does not."""
    cooldown = leadership.pools[node_type(request)].cooldowns[direction(request)]
    memory = await leadership.memory.of(node_type(request))
    ended = memory.up_ended_at if direction(request) == "up" else memory.down_ended_at
    if ended is None or not timedelta(0) <= (elapsed := leadership.clock.now() - ended) < cooldown:
        return None
    return (
        f"Cool-down: the last scale {request.record.scale} of {request.record.type} nodes ended "
        f"{wording.duration(elapsed.total_seconds())} seconds ago, the next may begin "
        f"{wording.duration(cooldown.total_seconds())} seconds after it"
    )
