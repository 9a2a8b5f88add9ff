"""What a lifecycle hook holds: kept by heartbeats while there is work left, then let go once.

A hold that AWS does not know any more is over: it was completed, or its time ran out, and repeating the call is
pointless. Auto Scaling holds no longer than 100 time-outs or 48 hours, and so do the heartbeats.
https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from shared.errors import NotFound, Refused, Unavailable
from worker.leadership.deadline import Deadline
from worker.leadership.period import Leadership
from worker.ports.hooks import Hold, Release
from worker.requests.plans import HoldNote
from worker.requests.request import OpenRequest

log = structlog.get_logger()

MOST_TIMEOUTS = 100
LONGEST = timedelta(hours=48)
RETRY_SECONDS = 2.0
BEAT_SECONDS = 2.0
"""So long a step that fails waits for a heartbeat that is due."""
UNKNOWN_TIMEOUT = timedelta(seconds=60)
"""Of a hook whose time-out could not be read: short enough for most."""
LAPSE_SECONDS = 10.0
"""A hold is over for sure so long after its time-out: what a heartbeat may take on its way."""


@dataclass(slots=True)
class Keeping:
    """A hold that is kept."""

    until: Deadline | None = None
    """When AWS lets it go unless it takes another heartbeat. None: not known."""
    fresh: asyncio.Event = field(default_factory=asyncio.Event)
    """No heartbeat is due, as far as is known."""

    @property
    def lapsed(self) -> bool:
        """Whether AWS has let it go, for want of heartbeats."""
        return self.until is not None and self.until.elapsed > self.until.timeout + LAPSE_SECONDS


def hold_of(request: OpenRequest) -> Hold | None:
    """The hold that a request was made for. None: no hook holds the instance for it."""
    note = HoldNote.parse(request.record.request)
    if not note.group or not note.hook:
        return None
    return Hold(note.group, note.hook, note.instance, note.token)


@asynccontextmanager
async def kept(leadership: Leadership, request: OpenRequest) -> AsyncIterator[Keeping]:
    """While the block lasts, the hold of the request does not run out, as far as AWS takes heartbeats."""
    hold, keeping = hold_of(request), Keeping()
    if hold is None or hold.key in leadership.let_go:
        yield keeping
        return
    beating = asyncio.ensure_future(_beat(leadership, request, hold, keeping))
    try:
        yield keeping
    except Unavailable:  # a step that fails at once, again and again, must not keep the heartbeats from AWS
        with suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await keeping.fresh.wait()
        raise
    finally:
        beating.cancel()
        await asyncio.wait([beating])
        if not beating.cancelled():
            beating.exception()  # the end of the leadership: whatever runs here ends of the same


async def longest(leadership: Leadership, request: OpenRequest) -> timedelta:
    """For how long heartbeats can keep the hold of a request, from its beginning."""
    hold = hold_of(request)
    return LONGEST if hold is None else _longest(await _timeout(leadership, hold))


def _longest(timeout: timedelta) -> timedelta:
    return min(timeout * MOST_TIMEOUTS, LONGEST)


async def is_held(leadership: Leadership, request: OpenRequest) -> bool:
    """Whether AWS still holds the instance for a request, and will for another time-out: it has taken a heartbeat."""
    hold = hold_of(request)
    if hold is None or leadership.deadline(request.record.requested_at, await longest(leadership, request)).passed:
        return False
    try:
        await leadership.change_groups.heartbeat(hold)
    except (Unavailable, Refused) as error:
        log.info("hold_not_extended", request=request.id, hook=hold.hook, error=str(error))
        return False
    return True


async def let_go(leadership: Leadership, request: OpenRequest, release: Release) -> bool:
    """Complete the hold of a request, if it has one. Raises Unavailable, Refused. False: it was over already."""
    hold = hold_of(request)
    if hold is None:
        return True
    held = True
    try:
        await leadership.change_groups.complete(hold, release)
    except NotFound:
        held = False
    log.info(
        "hold_completed" if held else "hold_is_over",
        request=request.id,
        hook=hold.hook,
        instance=hold.instance_id,
        result=release,
    )
    leadership.let_go.add(hold.key)
    return held


async def _beat(leadership: Leadership, request: OpenRequest, hold: Hold, keeping: Keeping) -> None:
    """A heartbeat each half of the hook's time-out, the first counted from when the hold began.

    One that was found without its event, and so without a token, may have begun long ago: it gets one at once.
    """
    timeout = await _timeout(leadership, hold)
    began = leadership.deadline(request.record.requested_at, timedelta() if hold.token is None else timeout / 2)
    limit = leadership.deadline(request.record.requested_at, _longest(timeout))
    if hold.token is not None:
        keeping.until = leadership.deadline(request.record.requested_at, timeout)
    if not began.passed:
        keeping.fresh.set()
    await asyncio.sleep(began.remaining)
    while not limit.passed:
        if not await _sent(leadership, hold, limit):
            return
        keeping.fresh.set()
        keeping.until = Deadline(asyncio.get_running_loop().time(), timeout.total_seconds())
        await asyncio.sleep(timeout.total_seconds() / 2)


async def _sent(leadership: Leadership, hold: Hold, limit: Deadline) -> bool:
    """Whether AWS has taken a heartbeat; if not, the hold is over."""
    while not limit.passed:
        try:
            await leadership.change_groups.heartbeat(hold)
        except Unavailable as error:
            log.warning("heartbeat_not_taken_yet", hook=hold.hook, instance=hold.instance_id, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
        except Refused as error:
            log.warning("heartbeat_refused", hook=hold.hook, instance=hold.instance_id, error=str(error))
            leadership.let_go.add(hold.key)
            return False
        else:
            return True
    return False


async def _timeout(leadership: Leadership, hold: Hold) -> timedelta:
    try:
        hooks = await leadership.groups.lifecycle_hooks(hold.group)
    except (Unavailable, Refused) as error:
        log.warning("hooks_not_read", group=hold.group, error=str(error))
        return UNKNOWN_TIMEOUT
    return next((hook.timeout for hook in hooks if hook.name == hold.hook), UNKNOWN_TIMEOUT)
