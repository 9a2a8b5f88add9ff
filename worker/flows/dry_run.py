"""The dry run of a request: its own flow, over ports that change nothing, ended before its first effect.

So it decides by the very code that would do it. It waits for nobody: what it would wait behind, and a pause, it names.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import structlog

from shared.actions import ACTIONS
from shared.fields import Role
from shared.pause import Pause
from shared.records import State
from worker.errors import GaveUp
from worker.flows.batches import Batches
from worker.flows.explanation import explained
from worker.flows.flow import Context, Flow
from worker.flows.rollout import Rescheduler
from worker.flows.wave import Wave
from worker.leadership.memory import Memory
from worker.leadership.pausing import Pausing
from worker.ports.hooks import Hold, Release
from worker.ports.storage import GroupMemory
from worker.requests import steering, wording
from worker.requests.dry_run import DryRequest, Foreseen
from worker.requests.foresight import would
from worker.requests.request import OpenRequest

log = structlog.get_logger()

PATIENCE = timedelta(seconds=20)
"""Who asks what would be done waits for the answer."""


class DryRun:
    """The flow around the flow of a request."""

    def __init__(self, context: Context, make: Callable[[Context], Flow]) -> None:
        self._context = context
        self._inner = make(_without_effects(context))

    async def step(self, request: OpenRequest) -> None:
        """Say what would be done, or why nothing would be."""
        if isinstance(request, DryRequest):
            request.explain = lambda message: explained(self._context, request, message)
        try:
            if not _is_foreseen(request):
                await self._inner.step(request)
                return
        except Foreseen:
            pass
        except GaveUp as refused:
            if isinstance(request, DryRequest):
                request.refused = refused.code
            raise
        sentences = (would(request.record), self._behind(request), await self._pause())
        await request.end(State.SUCCEEDED, wording.joined(*sentences))

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End it as the request would end; where only the pause could not be read, nothing is to be undone."""
        if _is_foreseen(request):
            await request.end(State.FAILED, reason)
        else:
            await self._inner.give_up(request, reason)

    def retry_budget(self, _request: OpenRequest) -> timedelta:
        """How long a look may go on failing."""
        return PATIENCE

    def _behind(self, request: OpenRequest) -> str:
        """Which open request it would wait behind: the last of its lane, or of those about its service."""
        own = _turn_of(request)
        others = [*self._context.requests.running, *self._context.requests.queued]
        behind = [each.id for each in others if not each.record.dry_run and _turn_of(each) == own]
        return f"it would wait behind request {behind[-1]}" if own is not None and behind else ""

    async def _pause(self) -> str:
        pause = await self._context.leadership.pausing.present()
        return "" if pause is None else f"but {steering.paused_since(pause)}"


def _is_foreseen(request: OpenRequest) -> bool:
    """Whether its record says already what would be done."""
    return request.record.step not in {None, "plan"}


def _turn_of(request: OpenRequest) -> tuple[str, str] | None:
    """What a request waits for its turn at. None: at nothing."""
    action, service = ACTIONS.get(request.record.action), request.record.service
    if action is None or action.lane == "none":
        return None
    if action.lane == "nodes":
        return "nodes", ""
    return None if service is None else ("service", service)


def _without_effects(context: Context) -> Context:
    """The same context, over ports that change nothing."""
    real = context.leadership
    leadership = replace(
        real,
        change_groups=_NoChanges(),
        change_swarm=_NoChanges(),
        memory=_Remembered(real.memory),
        pausing=_NeverPaused(real.pausing),
        service_locks={},
        graces={},
    )
    rescheduler = Rescheduler(leadership)
    return Context(
        leadership,
        context.requests,
        context.capacity,
        rescheduler,
        Batches(leadership, rescheduler, context.requests),
        Wave(leadership, context.requests),
        context.look,
    )


class _NoChanges:
    """Groups and Swarm of which nothing is changed. What is done is noted in the log."""

    async def set_desired(self, name: str, desired: int) -> None:
        """See GroupChanges."""
        _note("set_desired", name, desired)

    async def terminate(self, instance_id: str) -> int | None:
        """See GroupChanges."""
        _note("terminate", instance_id)
        return None

    async def replace(self, instance_id: str) -> None:
        """See GroupChanges."""
        _note("replace", instance_id)

    async def complete(self, hold: Hold, release: Release) -> None:
        """See GroupChanges."""
        _note("complete", hold.instance_id, release)

    async def heartbeat(self, hold: Hold) -> None:
        """See GroupChanges."""
        _note("heartbeat", hold.instance_id)

    async def update_node(self, node_id: str, **_changes: Any) -> None:
        """See SwarmChanges."""
        _note("update_node", node_id)

    async def remove_node(self, node_id: str, *, force: bool = False) -> None:
        """See SwarmChanges."""
        _note("remove_node", node_id, force)

    async def update_service(self, service_id: str, _change: Any) -> None:
        """See SwarmChanges."""
        _note("update_service", service_id)

    async def idle(self) -> None:
        """See SwarmChanges."""


def _note(change: str, *what: object) -> None:
    log.info("would_change", change=change, what=what)


class _Remembered(Memory):
    """What is remembered, with changes that nobody else sees."""

    def __init__(self, real: Memory) -> None:
        self._real = real
        self._changed: dict[Role, GroupMemory] = {}

    async def of(self, node_type: Role) -> GroupMemory:
        """See Memory."""
        return self._changed.get(node_type) or await self._real.of(node_type)

    async def update(self, node_type: Role, **changes: Any) -> None:
        """See Memory."""
        self._changed[node_type] = replace(await self.of(node_type), **changes)


class _NeverPaused(Pausing):
    """A pause is named beside what would be done."""

    def __init__(self, _real: Pausing) -> None:
        pass

    async def present(self) -> Pause | None:
        """None."""
        return None
