"""Makes the Swarm in memory follow the groups in memory: an instance becomes a node, and takes it down as it ends."""

import asyncio
from collections.abc import Mapping

from shared.fields import Role
from tests.fakes.groups import InMemoryGroups
from tests.fakes.swarm import InMemorySwarm
from worker.ports.scaling import Instance


class Launcher:
    """Boots and loses machines. `boot_seconds` and `never_joins` may be changed at any moment."""

    def __init__(
        self, groups: InMemoryGroups, swarm: InMemorySwarm, roles: Mapping[str, Role], *, boot_seconds: float = 3.0
    ) -> None:
        self._swarm = swarm
        self._roles = roles
        self.boot_seconds = boot_seconds
        self.never_joins = 0
        """So many of the next instances boot, and never become nodes."""
        self.nodes: dict[str, str] = {}
        """Instance ids, and the ids of their nodes."""
        self._ending: set[str] = set()
        groups.watch(launched=self._launched, ended=self._ended)
        for name, group in groups.groups.items():
            for instance in group.staying:
                self.join(name, instance)

    def join(self, group: str, instance: Instance) -> None:
        """The instance is a node now, unless it has begun to end. Without a leader it tries again."""
        if instance.id in self._ending:
            return
        cluster = self._swarm.cluster
        if cluster.nodes and cluster.leader is None:
            asyncio.get_running_loop().call_later(1.0, self.join, group, instance)
            return
        self.nodes[instance.id] = self._swarm.join(
            instance.private_dns_name.partition(".")[0],
            role=self._roles[group],
            engine_labels={"instance_id": instance.id},
        )

    def lives(self, instance_id: str) -> bool:
        """The instance has not begun to end."""
        return instance_id not in self._ending

    def boot(self) -> float | None:
        """Seconds until the next instance is a node. None: it never becomes one."""
        if self.never_joins > 0:
            self.never_joins -= 1
            return None
        return self.boot_seconds

    def _launched(self, group: str, instance: Instance) -> None:
        seconds = self.boot()
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, self.join, group, instance)

    def _ended(self, group: str, instance: Instance) -> None:
        self._ending.add(instance.id)
        if instance.id in self.nodes:
            self._swarm.lose(self.nodes[instance.id])
