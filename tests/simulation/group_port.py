"""The worker's way to Auto Scaling."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from tests.simulation.cloud import at_once
from tests.simulation.network import Call
from tests.simulation.port import Port, carried
from worker.ports.hooks import Hold, Release
from worker.ports.scaling import Activities, Group, Member

if TYPE_CHECKING:
    from tests.simulation.processes import Process
    from tests.simulation.world import World


class GroupsPort(Port):
    """Auto Scaling and EC2: questions and changes."""

    port = "groups"

    def __init__(self, world: "World", process: "Process") -> None:
        super().__init__(world, process)
        self.seen: dict[str, int] = {}
        """The desired capacities that this process has read last."""

    @property
    def target(self) -> Any:
        """AWS."""
        return self.world.groups

    async def describe(self, name: str) -> Group:
        """See Groups."""
        group: Group = await self.ask("describe", lambda _: self.world.groups.look(name), name)
        self.seen[name] = group.desired
        return group

    async def activities(self, name: str) -> Activities:
        """See Groups."""
        found: Activities = await self.ask("activities", lambda _: self.world.groups.recent(name))
        return found

    refreshing = carried("refreshing")
    lifecycle_hooks = carried("lifecycle_hooks")
    gone = carried("gone")

    async def members(self, names: Collection[str]) -> Sequence[Member]:
        """See Groups."""
        found: Sequence[Member] = await self.ask("members", lambda _: self.world.groups.look_at_members(names))
        return found

    async def set_desired(self, name: str, desired: int) -> None:
        """See GroupChanges."""
        if desired < self.seen.get(name, 0):
            self.world.evidence.violate(5, f"{self.process.name} writes {desired} where it has read {self.seen[name]}")
        await self.change("set_desired", lambda call: self._set_desired(call, name, desired), f"{name} {desired}")

    async def terminate(self, instance_id: str) -> int | None:
        """See GroupChanges."""
        left: int = await self.change("terminate", lambda call: self._terminate(call, instance_id), instance_id)
        return left

    async def replace(self, instance_id: str) -> None:
        """See GroupChanges."""
        await self.change("replace", lambda call: self._replace(call, instance_id), instance_id)

    async def complete(self, hold: Hold, release: Release) -> None:
        """See GroupChanges."""

        def complete(call: Call) -> None:
            self.world.departures.completes(call, hold)
            self.world.groups.complete_named(hold, release)

        await self.change("complete", complete, f"{hold.instance_id} {release}")

    async def heartbeat(self, hold: Hold) -> None:
        """See GroupChanges."""

        def beat(call: Call) -> None:
            self.world.departures.beats(call, hold)
            at_once(self.world.groups.heartbeat(hold))

        await self.change("heartbeat", beat, hold.instance_id)

    def _set_desired(self, call: Call, name: str, desired: int) -> None:
        world, before = self.world, self.world.groups.groups[name].desired
        world.groups.write_desired("ours", name, desired)
        world.note(call, "desired", name, before, desired)

    def _terminate(self, call: Call, instance_id: str) -> int:
        world = self.world
        world.judge.before_terminate(call, instance_id)
        group = world.groups.groups[world.machines.group_of[instance_id]]
        before = group.desired
        world.groups.terminate_named(instance_id)
        world.note(call, "terminate", instance_id, before, group.desired)
        world.judge.after_terminate(call, instance_id)
        world.chaos.moments.terminated()
        return group.desired

    def _replace(self, call: Call, instance_id: str) -> None:
        world = self.world
        world.judge.before_terminate(call, instance_id)
        stays = world.machines.lives(instance_id)
        world.groups.replace_named(instance_id)
        world.note(call, "replace", instance_id, stays, False)
        world.judge.after_terminate(call, instance_id)
        world.chaos.moments.terminated()
