"""What it costs to remove an instance, and so which one goes first.

What never joined the Swarm, then nodes that are drained already, then those that are not Ready, then the fewest tasks
to move, then one of the fullest zone, then the newest; the worker's own node last of all.
"""

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from worker.ports.scaling import Instance
from worker.ports.swarm import Node

Cost = tuple[bool, int, int]


@dataclass(frozen=True, slots=True)
class Costs:
    """The costs, zones and age aside. `tasks`: node id to how many would have to move."""

    node_of: Mapping[str, Node]
    tasks: Mapping[str, int]
    own_node_id: str

    def of(self, instance_id: str) -> Cost:
        """The smaller, the sooner it goes."""
        node = self.node_of.get(instance_id)
        if node is None:
            return False, 0, 0
        rank = 1 if node.availability == "drain" else 2 + node.ready
        return node.id == self.own_node_id, rank, self.tasks.get(node.id, 0)

    def why(self, instance_id: str) -> str:
        """The same in words."""
        own, rank, tasks = self.of(instance_id)
        moving = "nothing has to move" if tasks == 0 else f"{tasks} task{'s' * (tasks > 1)} to move"
        words = ("it never joined the Swarm", "its node was drained already", "its node is not Ready", moving)[rank]
        return f"{words}; the active worker runs there, but no other would do" if own else words


class Order:
    """Candidates by cost; among equals always one of the zone that is the fullest by then, its newest."""

    def __init__(self, candidates: Sequence[Instance], members: Sequence[Instance], costs: Costs) -> None:
        """`members`: all instances that fill the zones."""
        priced = sorted(((costs.of(each.id), each) for each in candidates), key=lambda pair: pair[0])
        self._groups = [[each for _, each in equals] for _, equals in groupby(priced, key=lambda pair: pair[0])]
        self._zones = Counter(member.zone for member in members)

    def without(self, left_out: Collection[str]) -> Iterator[str]:
        """Their ids, but for some."""
        zones = Counter(self._zones)
        for equals in self._groups:
            yield from _by_zone([each for each in equals if each.id not in left_out], zones)


def _by_zone(equals: Sequence[Instance], zones: Counter[str]) -> Iterator[str]:
    queues: dict[str, deque[Instance]] = {}
    for instance in sorted(equals, key=_age, reverse=True):
        queues.setdefault(instance.zone, deque()).append(instance)
    while queues:
        zone = max(queues, key=lambda zone: (zones[zone], _age(queues[zone][0])))
        yield queues[zone].popleft().id
        zones[zone] -= 1
        queues = {name: queue for name, queue in queues.items() if queue}


def _age(instance: Instance) -> tuple[datetime, str]:
    return instance.launched_at or datetime.min.replace(tzinfo=UTC), instance.id
