"""What the worker's twins do about nodes that AWS takes or that join: one protection less each."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from unittest import mock

from shared.errors import ScalerError
from tests.simulation.twin import instead
from tests.simulation.world import World
from worker.flows import drain, holding, joining, leaving
from worker.flows import give_back as give_back_flow
from worker.flows.leaving import NodeLeaving
from worker.flows.leaving_end import LeavingEnd
from worker.intake import eventbridge
from worker.intake.lookout import Lookout
from worker.intake.receiver import Receiver
from worker.leadership.period import Leadership
from worker.ports.hooks import Hold
from worker.requests import owners
from worker.requests.plans import LeavingPlan
from worker.requests.request import OpenRequest

HEARTBEAT_SECONDS = 10.0


@instead(NodeLeaving, "_moved")
async def move_nothing(_leaving: NodeLeaving, _request: OpenRequest) -> list[str]:
    """A hook is completed as soon as its node is paused."""
    return []


def hear_no_notice(_world: World, stack: ExitStack) -> None:
    """Spot interruptions are events like any other that nobody here knows."""
    known = {named: parse for named, parse in eventbridge.PARSERS.items() if "Interruption" not in named[1]}
    stack.enter_context(mock.patch.object(eventbridge, "PARSERS", known))


@instead(Lookout, "_look_for_holds")
async def look_for_nothing(_lookout: Lookout) -> None:
    """What no event tells, nobody sees."""


@asynccontextmanager
async def _kept_for_ever(leadership: Leadership, request: OpenRequest) -> AsyncIterator[holding.Keeping]:
    hold = holding.hold_of(request)
    if hold is not None:
        asyncio.ensure_future(_beat_for_ever(leadership, hold))  # noqa: RUF006 - the loop keeps it
    yield holding.Keeping()


async def _beat_for_ever(leadership: Leadership, hold: Hold) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        with suppress(ScalerError):
            await leadership.change_groups.heartbeat(hold)


def heartbeats_without_end(_world: World, stack: ExitStack) -> None:
    """The heartbeats of a hook outlive the request that they were for."""
    for flow in (leaving, joining):
        stack.enter_context(mock.patch.object(flow, "kept", _kept_for_ever))


@asynccontextmanager
async def _never_kept(_leadership: Leadership, _request: OpenRequest) -> AsyncIterator[holding.Keeping]:
    yield holding.Keeping()


def no_heartbeats(_world: World, stack: ExitStack) -> None:
    """Nobody extends a hook: it runs out over the work."""
    for flow in (leaving, joining):
        stack.enter_context(mock.patch.object(flow, "kept", _never_kept))


@instead(LeavingEnd, "_serves")
async def always_taken(_end: LeavingEnd, _plan: LeavingPlan) -> bool:
    """What AWS announces, it does."""
    return False


def own_what_others_took(_world: World, stack: ExitStack) -> None:
    """Nobody asks whether a departure has taken the node over."""
    for flow in (drain, give_back_flow):
        stack.enter_context(mock.patch.object(flow, "taken_by", return_value=None))


def lead_each(_world: World, stack: ExitStack) -> None:
    """Each cause of a departure drains the node for itself."""
    stack.enter_context(mock.patch.object(owners, "leaving", return_value=None))


def complete_any_hook(_world: World, stack: ExitStack) -> None:
    """Whose hook it is does not matter."""
    stack.enter_context(mock.patch.object(Receiver, "_is_our_hook", return_value=True))
