"""The lookout: what AWS has done and no event has told. Events are best effort.

At a take-over, and now and then: instances that a lifecycle hook of ours holds, each as if its event had come; and Down
nodes whose instance has been terminated. A hold that is left though its record has ended is completed without another.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import structlog

from shared.clock import rfc3339
from shared.errors import NotFound, Refused, Unavailable
from shared.records import Record
from worker.decisions.matching import INSTANCE_LABEL
from worker.errors import error_boundary
from worker.flows.gone_nodes import gone_nodes
from worker.intake.arrivals import Arrivals
from worker.intake.envelope import Envelope
from worker.intake.records import record_of, request_of
from worker.leadership.period import Leadership
from worker.ports.hooks import Hold
from worker.ports.queue import Message
from worker.ports.scaling import Member, Phase
from worker.requests.events import instances_of
from worker.requests.open_requests import OpenRequests

log = structlog.get_logger()

EVERY_SECONDS = 20.0


class Lookout:
    """Of one leadership period."""

    def __init__(self, leadership: Leadership, requests: OpenRequests) -> None:
        self._leadership = leadership
        self._requests = requests
        self._groups = frozenset(pool.group for pool in leadership.pools.values() if pool.group)
        self._arrivals = Arrivals(leadership, requests)
        self._seen = -1
        """The generation of Swarm events at the last look that found no Down node."""

    async def run(self) -> None:
        """Look, for ever: first once it is known which requests are open. Raises LeadershipOver."""
        await self._requests.claimed.wait()
        while True:
            for look in (self._look_for_holds, self._look_at_nodes):
                with error_boundary("lookout_failed"):
                    try:
                        await look()
                    except (Unavailable, Refused) as error:
                        log.warning("lookout_sees_nothing", error=str(error))
            await asyncio.sleep(EVERY_SECONDS)

    # --- Holds --------------------------------------------------------------------------------------------------

    async def _look_for_holds(self) -> None:
        for member in await self._leadership.groups.members(self._groups) if self._groups else ():
            transition = "termination" if member.phase is Phase.LEAVING else "launch"
            for hook in await self._leadership.groups.lifecycle_hooks(member.group) if member.held else ():
                if hook.name in self._leadership.settings.hooks() and hook.transition == transition:
                    await self._held(member, hook.name)

    async def _held(self, member: Member, hook: str) -> None:
        hold = Hold(member.group, hook, member.id)
        if hold.key in self._leadership.let_go:
            if member.phase is Phase.LEAVING:
                await self._complete(hold)
        elif not self._in_hand(hold):
            leaves = member.phase is Phase.LEAVING
            request = {"action": "node-leaving", "cause": "termination"} if leaves else {"action": "node-joining"}
            about = {"group": hold.group, "hook": hold.hook, "instance": hold.instance_id}
            body: dict[str, object] = {**request, **about, **({} if leaves else {"warm": member.phase is Phase.WARM})}
            known = await self._take(f"hold-{hold.group}-{hold.hook}-{hold.instance_id}", body, "autoscaling")
            if known is not None and known.state.ended and leaves:
                await self._complete(hold)

    def _in_hand(self, hold: Hold) -> bool:
        """Whether an open request is about it."""
        every = (each.record for each in (*self._requests.running, *self._requests.queued) if not each.ended)
        same = (record.request for record in every if hold.instance_id in instances_of(record))
        return any((request.get("group"), request.get("hook")) == (hold.group, hold.hook) for request in same)

    async def _complete(self, hold: Hold) -> None:
        """Its record has ended, and yet it waits."""
        try:
            await self._leadership.change_groups.complete(hold, "CONTINUE")
        except NotFound:
            return
        log.warning("hold_completed_once_more", group=hold.group, hook=hold.hook, instance=hold.instance_id)

    # --- Nodes ---------------------------------------------------------------------------------------------

    async def _look_at_nodes(self) -> None:
        """Who has joined, and who is gone. Of the gone only those that say which instance they were: a hostname tells
        nothing without who bears it today.
        """
        generation = self._leadership.events.generation
        if generation == self._seen and not self._arrivals.owed:
            return
        nodes = await self._leadership.swarm.nodes()
        await self._arrivals.look(nodes)
        for node in await gone_nodes(self._leadership, (), nodes):
            instance = node.engine_labels[INSTANCE_LABEL]
            if self._requests.about(instance) is None:
                body = {"action": "node-gone", "instance": instance, "state": "terminated"}
                await self._take(f"gone-{node.id}", body, "swarm")
        if not any(node.state == "down" for node in nodes):
            self._seen = generation

    async def _take(self, name: str, body: Mapping[str, Any], source: str) -> Record | None:
        """Make it a record; the one that stands under its id already, if there is one."""
        now = self._leadership.clock.now()
        envelope = Envelope({**body, "requested_at": rfc3339(now)}, name, source)
        record = record_of(envelope, request_of(envelope, event=True), _unsent(name, now), self._leadership.token, now)
        known = await self._leadership.journal.create(record)
        if known is None:
            log.info("event_found", request=record.id, action=record.action)
        self._requests.take(known or record)
        return known


def _unsent(name: str, now: datetime) -> Message:
    """Nobody has sent a message about it."""
    return Message(name, "", "", now)
