"""What was so, of late: how many nodes were Ready, who changed what. Claims of records are held against it."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from shared.fields import Role
from shared.records import Record, State
from tests.simulation.cloud import ROLES

if TYPE_CHECKING:
    from tests.simulation.world import World

GROUP_OF = {role: name for name, role in ROLES.items()}
LAG_SECONDS = 35.0
"""Describe lags by 20 s at most, and answers take a while; what is older everybody must have seen."""
LOOK_SECONDS = 30.0
"""Between the worker's last look and the arrival of what it writes: pauses within a lease, and calls that are late."""
MOMENT_SECONDS = 7.0
"""Between the worker's last look and the arrival of its call; what somebody else does then, nobody can see."""
STEP_SECONDS = 21.0
"""A wall clock may have stepped by so much in between."""


class Hindsight:
    """What is known of a world afterwards."""

    def __init__(self, world: "World", entered: dict[tuple[str, str], float]) -> None:
        self._world = world
        self._entered = entered
        """When the steps of requests were entered."""

    def _began(self, record: Record) -> float:
        """When its plan was entered: now, of one that ends with its first write."""
        return self._entered.get((record.id, "plan"), self._world.clockwork.now)

    def _promised(self, record: Record) -> list[int]:
        """The targets of the scale-ups beside it that are written down, and not known to be raised to."""
        kind = (record.action, record.scale, record.type)
        return [0] + [
            int(each.nodes_after or 0)
            for each in self._world.journal.records.values()
            if each.id != record.id
            and (each.action, each.scale, each.type, each.step, each.state) == (*kind, "apply", State.RUNNING)
        ]

    def _others_changed(self, group: str, since: float) -> bool:
        """Somebody else changed the capacity, or a call of ours did of which the worker had no answer in time."""
        judge, effects, now = self._world.judge, self._world.evidence.effects, self._world.clockwork.now
        return judge.changed_between(group, since, now + 1) or any(
            effect.unheard and effect.time > since and self._world.group_of(effect) == group for effect in effects
        )

    def _seen_desired(self, group: str, since: float) -> set[int]:
        """The desired capacities of a group since then: one of them is what Describe has shown."""
        history = self._world.groups.groups[group].history
        before = [seen.desired for time, seen in history if time <= since][-1:]
        return {*before, *(seen.desired for time, seen in history if time > since)}

    def _changed_of_late(self, target: str) -> bool:
        """Somebody else changed it, or a departure took it, so shortly before that nobody may have seen it."""
        now = self._world.clockwork.now
        return self._world.departures.took(target, now - LOOK_SECONDS) or self._world.judge.changed_between(
            target, now - LOOK_SECONDS, now + 1
        )

    def _long_ready(self, group: str) -> int:
        """How many instances of a group live and have had their node Ready and Active in all that time.

        One that a second node claims is nobody's for the worker, and need not be counted.
        """
        machines, since = self._world.machines, self._world.clockwork.now - LAG_SECONDS
        disputed = {
            instance_id
            for node_id, instance_id in machines.baked.items()
            if machines.instances.get(node_id) != instance_id
        }
        return sum(
            not self._world.departures.leaves(instance_id) and self._world.fine_since.get(node_id, since) < since
            for node_id, instance_id in machines.instances.items()
            if machines.group_of[instance_id] == group and instance_id not in disputed
        )

    def _seen_ready(self, group: str, seconds: float) -> list[int]:
        """How many nodes of a group were Ready within the last so many seconds."""
        history, since = self._world.ready_history[group], self._world.clockwork.now - seconds
        before = [count for time, count in history if time <= since][-1:]
        return [*before, *(count for time, count in history if time > since)] or [0]

    def _strays(self) -> int:
        """Ready nodes of no group that say nothing of themselves: where none is matched, they count like the others."""
        ours = self._world.machines.is_ours
        nodes = self._world.swarm.cluster.nodes.values()
        return sum(node.ready and not node.engine_labels and not ours(node.id) for node in nodes)

    def _violate(self, what: str) -> None:
        self._world.judge.violate(9, what)


def kind_of(record: Record) -> Role:
    return "manager" if record.type == "manager" else "worker"


def group_of(record: Record) -> str:
    return GROUP_OF[kind_of(record)]


def nodes_of(record: Record) -> Iterator[str]:
    """The ids of the nodes that a record takes away."""
    leaving: Any = record.plan.get("leaving") or ()
    for each in leaving:
        if isinstance(each, Mapping) and each.get("node_id"):
            yield str(each["node_id"])
