"""Machines that boot or do not: instances become nodes, sooner or later or never, and take their nodes with them."""

import asyncio
from collections import Counter
from random import Random

from tests.fakes.launcher import Launcher
from tests.simulation.cloud import ROLES, SimulatedGroups, SimulatedSwarm
from worker.ports.scaling import Instance
from worker.ports.swarm import Node


class Machines(Launcher):
    """Instances boot, sooner or later or never, and become nodes; they take their nodes down with them."""

    def __init__(self, groups: SimulatedGroups, swarm: SimulatedSwarm, random: Random) -> None:
        super().__init__(groups, swarm, ROLES)
        self._groups = groups
        self._tell = swarm.tell
        self._random = random
        self.late_share = 0.0
        self.never_share = 0.0
        self.certain = ""
        """The group whose instances all join: without them nobody could lead."""
        self._booting = ""
        self.instances: dict[str, str] = {}
        """Node ids, and the ids of their instances."""
        self.joined: dict[str, float] = {}
        """Node ids, and when they joined."""
        self.group_of: dict[str, str] = {}
        """Instance ids, and their groups, for ever."""
        self.left: set[str] = set()
        """Ids of nodes whose engines have left the Swarm for good, or belong to it under another id now."""
        self.baked: dict[str, str] = {}
        """Ids of nodes on other machines, and the instances that their labels name all the same."""
        self.counts: Counter[str] = Counter()

    def settle(self) -> None:
        """The instances there are at the beginning have booted."""
        for name, group in self._groups.groups.items():
            for instance in group.staying:
                self.join(name, instance)

    def boot(self) -> float | None:
        """Mostly some seconds, now and then a minute, or never."""
        draw = self._random.random()
        if self._booting == self.certain:
            return 1 + 7 * draw
        if self.never_joins > 0 or draw < self.never_share:
            self.never_joins = max(self.never_joins - 1, 0)
            self.counts["machine: never joins"] += 1
            return None
        late = draw < self.never_share + self.late_share
        self.counts["machine: boots late"] += late
        return 20 + 60 * self._random.random() if late else 1 + 7 * self._random.random()

    def _launched(self, group: str, instance: Instance) -> None:
        self.group_of[instance.id] = group
        self._booting = group
        if self._swarm.cluster.nodes:
            super()._launched(group, instance)

    def join(self, group: str, instance: Instance) -> None:
        """The instance is a node now, and remembered."""
        super().join(group, instance)
        node_id = self.nodes.get(instance.id)
        if node_id is not None and node_id not in self.instances:
            self.instances[node_id] = instance.id
            self.joined[node_id] = asyncio.get_running_loop().time()
            self._tell()

    def leave(self, node_id: str, seconds: float) -> None:
        """An engine leaves the Swarm, and joins it again after some seconds: as another node, on the same machine."""
        self.left.add(node_id)
        self._swarm.lose(node_id)
        asyncio.get_running_loop().call_later(seconds, self._join_again, self.instances[node_id])

    def _join_again(self, instance_id: str) -> None:
        name = self.group_of[instance_id]
        if self.lives(instance_id):
            del self.nodes[instance_id]
            self.join(name, self._groups.groups[name].instances[instance_id])

    def claimed_by(self, node_id: str) -> str:
        """The instance that a node is, or says it is. Empty: none of ours."""
        return self.instances.get(node_id) or self.baked.get(node_id, "")

    def is_ours(self, node_id: str) -> bool:
        """Whether a node is, or says it is, an instance of our groups."""
        return bool(self.claimed_by(node_id))

    @property
    def nodes_in_doubt(self) -> set[str]:
        """Ids of nodes whose instances other nodes have claimed, too."""
        return {node_id for node_id, instance_id in self.instances.items() if instance_id in self.baked.values()}

    def stays_down(self, node_id: str) -> bool:
        """A node's machine has ended, or its engine is no part of the Swarm any more."""
        instance_id = self.instances.get(node_id)
        return node_id in self.left or (instance_id is not None and not self.lives(instance_id))

    def leaves(self, instance_id: str) -> bool:
        """An instance is on its way out: its machine has ended, or hooks hold it before that."""
        group = self._groups.groups.get(self.group_of.get(instance_id, ""))
        there = None if group is None else group.instances.get(instance_id)
        return not self.lives(instance_id) or there is None or there.leaving

    def goes(self, node_id: str) -> bool:
        """A node stays Down, or its machine is on its way out."""
        return self.stays_down(node_id) or self.leaves(self.instances.get(node_id, ""))

    def node_of(self, instance_id: str) -> Node | None:
        """An instance's node, if there is one."""
        return self._swarm.cluster.nodes.get(self.nodes.get(instance_id, ""))

    def ready(self, group: str) -> int:
        """How many nodes that are, or say they are, a group's instances the Swarm calls Ready."""
        nodes = self._swarm.cluster.nodes
        return sum(
            node.ready and self.group_of[instance_id] == group
            for node in nodes.values()
            if (instance_id := self.instances.get(node.id) or self.baked.get(node.id)) is not None
        )
