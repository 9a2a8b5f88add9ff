"""Machines: what an instance's life does to a Swarm, and the machines of the simulated one.

Which instances there are, and when one boots or dies, is left to `launcher`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from infra.local.engine import SimulatedSwarm

Role = Literal["manager", "worker"]


@dataclass(frozen=True, slots=True)
class BootedInstance:
    """An EC2 instance as its machine knows it."""

    instance_id: str
    private_dns_name: str
    private_address: str
    availability_zone: str
    instance_type: str

    @property
    def hostname(self) -> str:
        """`ip-10-0-3-12`: the first label of the private DNS name."""
        return self.private_dns_name.partition(".")[0]

    @property
    def engine_labels(self) -> dict[str, str]:
        """The labels that the cluster template's user data gives the Docker engine."""
        return {
            "instance_id": self.instance_id,
            "availability_zone": self.availability_zone,
            "instance_type": self.instance_type,
        }


class Machines(Protocol):
    """What an instance's life does to the Swarm."""

    async def boot(self, instance: BootedInstance, role: Role) -> None:
        """The machine is up and joins the Swarm."""

    async def kill(self, instance_id: str) -> None:
        """The machine loses power, now."""


class SimulatedMachines:
    """Machines of the simulated Swarm. To be used on the event loop the Swarm lives on."""

    def __init__(self, swarm: SimulatedSwarm) -> None:
        self._swarm = swarm
        self.nodes: dict[str, str] = {}
        """Node id by instance id, of the machines that run."""

    async def boot(self, instance: BootedInstance, role: Role) -> None:
        """It joins at once."""
        nano_cpus, memory_bytes = _SIZES.get(instance.instance_type, _DEFAULT_SIZE)
        self.nodes[instance.instance_id] = self._swarm.add_node(
            instance.hostname,
            role=role,
            address=instance.private_address,
            engine_labels=instance.engine_labels,
            nano_cpus=nano_cpus,
            memory_bytes=memory_bytes,
        )

    async def kill(self, instance_id: str) -> None:
        """One that never joined is nobody's loss."""
        node_id = self.nodes.pop(instance_id, None)
        if node_id is not None:
            self._swarm.lose_node(node_id)


_GIB: Final = 2**30
_DEFAULT_SIZE: Final = (2 * 10**9, 4 * _GIB)
# CPUs in billionths and memory of the instance types the local environment launches.
_SIZES: Final[Mapping[str, tuple[int, int]]] = {
    "t3.micro": (2 * 10**9, _GIB),
    "t3.small": (2 * 10**9, 2 * _GIB),
}
