"""What AWS plans for a machine: people are told once, with the date; and where they wish so, its node is replaced.

The replacement is a request of its own, with all that one has: it may be refused, and then says why.
"""

from collections.abc import Mapping

from shared.records import Record, State
from worker.decisions.named import find
from worker.decisions.refusals import Refusal
from worker.flows.admission import paused
from worker.flows.flow import ContextFlow
from worker.flows.named_node import pool_groups
from worker.requests import happenings
from worker.requests.request import OpenRequest


class ScheduledChange(ContextFlow):
    """The flow of `scheduled-change`."""

    async def step(self, request: OpenRequest) -> None:
        """The one step: which nodes it is about, and what to do."""
        named = sorted({str(each) for each in request.record.request.get("instances") or ()})
        hosts = await self._hosts(named)
        if not hosts:
            await request.end(State.SKIPPED, f"No node of the Swarm is any of {', '.join(named)}")
            return
        replacements, why_not = await self._replacements(request, hosts)
        for instance, host in hosts.items():
            request.say(happenings.planned(request.record, host, instance, replacements.get(instance), why_not))
        names = ", ".join(f"{host} ({instance})" for instance, host in hosts.items())
        by = ", ".join(replacements.values())
        await request.end(State.SUCCEEDED, happenings.planned_for(request.record, names, by, why_not))

    async def give_up(self, request: OpenRequest, reason: str) -> None:
        """Whatever is wrong here: the date is told."""
        names = ", ".join(map(str, request.record.request.get("instances") or ()))
        message = happenings.planned_for(request.record, names)
        await request.end(State.FAILED, f"{message} ({reason})", happenings.planned(request.record, names, names))

    async def _hosts(self, instances: list[str]) -> Mapping[str, str]:
        """Instance to its node's hostname, as far as it has a node that is known for sure."""
        nodes, groups = await self._leadership.swarm.nodes(), await pool_groups(self._leadership)
        found = {instance: find(instance, nodes, groups) for instance in instances}
        return {
            instance: named.name
            for instance, named in found.items()
            if not isinstance(named, Refusal) and named.node is not None
        }

    async def _replacements(self, request: OpenRequest, hosts: Mapping[str, str]) -> tuple[Mapping[str, str], str]:
        """Instance to the id of the request that replaces its node; and why none does though it should."""
        if self._leadership.settings.scheduled_change_action != "replace":
            return {}, ""
        reason = await paused(self._leadership)
        if reason is not None:
            return {}, reason
        return {instance: await self._replace(request, instance, host) for instance, host in hosts.items()}, ""

    async def _replace(self, request: OpenRequest, instance: str, host: str) -> str:
        """Once for each event: its id, and the instance, make the id of the request. Age does not count for it."""
        now = self._leadership.clock.now()
        record = Record(
            id=f"{request.id}-{instance}",
            action="replace-node",
            requested_at=now,
            received_at=now,
            source=request.record.source,
            request={"action": "replace-node", "node": instance},
            node=instance,
            reason=happenings.plan_of(request.record, host),
            token=self._leadership.token,
        )
        known = await self._leadership.journal.create(record)
        self._context.requests.take(known or record)
        return record.id
