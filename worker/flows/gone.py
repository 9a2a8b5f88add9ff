"""An instance that has ended by somebody else's hand: its node is removed from the Swarm.

Not before Swarm calls the node Down and EC2 the instance terminated: one that was stopped may come back. A node that an
open request takes away is left to that request.
"""

from collections.abc import Sequence
from functools import partial

from shared.fields import Role
from shared.records import State
from worker.decisions.matching import INSTANCE_LABEL
from worker.flows.flow import ContextFlow
from worker.flows.gone_nodes import gone_nodes, possible_instances, remember_members, remove_gone_node
from worker.leadership.period import TICK_SECONDS
from worker.ports.swarm import Node
from worker.requests import happenings, wording
from worker.requests.request import OpenRequest

SOON_SECONDS = 2.0
"""How soon a node is looked at again that is Down, while its instance still ends."""


class NodeGone(ContextFlow):
    """The flow of `node-gone`."""

    async def step(self, request: OpenRequest) -> None:
        """Do the present step of a request."""
        match request.record.step:
            case None:
                await self._begin(request)
            case "remove":
                await self._remove(request)

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """End a request that cannot go on. The next scale, or the next look, removes the node."""
        await request.end(
            State.FAILED, reason, happenings.node_gone(request.record, _instance(request), "error", reason)
        )

    async def _begin(self, request: OpenRequest) -> None:
        instance = _instance(request)
        other = self._context.requests.about(instance, but=request)
        if other is not None and other.record.step is not None:
            await request.end(State.SKIPPED, f"Request {other.id} sees to {instance}")
            return
        await self._remember()
        if not await self._nodes(instance):
            await request.end(State.SKIPPED, f"{instance} is no node of the Swarm: there is nothing to remove")
        else:
            seconds = self._leadership.settings.reschedule_timeout.total_seconds()
            await request.enter("remove", waits=_awaited(instance), seconds=seconds)

    async def _remove(self, request: OpenRequest) -> None:
        instance, removed = _instance(request), list[str]()
        deadline = self._leadership.deadline(request.entered("remove"), self._leadership.settings.reschedule_timeout)
        every = SOON_SECONDS if request.record.request.get("state") == "terminated" else TICK_SECONDS
        with request.waiting_for(_awaited(instance), seconds=deadline.remaining):
            done = await self._leadership.poll(
                request.id, partial(self._look, request, removed), every=every, deadline=deadline
            )
        if not done:
            await self._stays(request, deadline.timeout)
            return
        name = ", ".join(removed) or instance
        summary = f"{name} removed from the Swarm: its instance {instance} has ended"
        if not removed:
            summary = f"The node of {instance} has been removed from the Swarm meanwhile"
        await request.end(State.SUCCEEDED, summary, happenings.node_gone(request.record, name, "success", summary))

    async def _look(self, request: OpenRequest, removed: list[str]) -> bool | None:
        """Remove what can be removed; True once no node is the instance any more."""
        there = await self._nodes(_instance(request))
        if not all(node.engine_labels.get(INSTANCE_LABEL) for node in there):
            await self._remember()
        left = {node.id for node in there}
        for node in await gone_nodes(self._leadership, self._kinds, there):
            if await remove_gone_node(self._leadership, request, node):
                left.remove(node.id)
                removed.append(node.hostname or node.id)
        return None if left else True

    async def _stays(self, request: OpenRequest, seconds: float) -> None:
        """It was stopped, and may be started again; or Swarm goes on hearing from it."""
        instance = _instance(request)
        name = ", ".join(node.hostname or node.id for node in await self._nodes(instance)) or instance
        message = (
            f"{name} stays in the Swarm: {instance} was reported as {request.record.request.get('state')}, but has not "
            f"been terminated, or its node not Down, within {wording.duration(seconds)} seconds. It is removed once "
            "that is so"
        )
        await request.end(State.SKIPPED, message)

    @property
    def _kinds(self) -> tuple[Role, ...]:
        return tuple(self._leadership.pools)

    async def _nodes(self, instance: str) -> Sequence[Node]:
        """The nodes that were the instance, by their label or by the hostname that it had."""
        nodes = await self._leadership.swarm.nodes()
        return [node for node in nodes if instance in await possible_instances(self._leadership, self._kinds, node)]

    async def _remember(self) -> None:
        """Who is a member today: hostnames come back, and then nobody knows whose node it is."""
        for kind, pool in self._leadership.pools.items():
            if pool.group:
                await remember_members(self._leadership, kind, await self._leadership.groups.describe(pool.group))


def _instance(request: OpenRequest) -> str:
    return str(request.record.request.get("instance"))


def _awaited(instance: str) -> str:
    return f"the node of {instance} to be Down, and {instance} terminated"
