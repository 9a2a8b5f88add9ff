"""The instance launcher: makes a Swarm follow the Auto Scaling groups.

It watches EC2 through the AWS API, which stays the source of truth: an instance of one of the groups becomes
a node after a boot delay, one that shuts down is killed hard. Which machines those are (the simulated Swarm's,
or real Docker engines) is behind `Machines`. It never talks to Auto Scaling, and decides nothing about capacity.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from botocore.exceptions import BotoCoreError, ClientError
from localstack_client.session import Session

_log = logging.getLogger(__name__)

Role = Literal["manager", "worker"]

POLL_SECONDS: Final = 0.2
RARELY_SECONDS: Final = 3.0
GROUP_TAG: Final = "aws:autoscaling:groupName"
_ALIVE: Final = ("pending", "running")


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


class BootKnobs:
    """How machines boot; thread-safe, with the names that `set` takes.

    `boot_delay_seconds`: from launch to node. `next_boot_delays`: for the next launches, one each.
    `never_join_next`: so many launches from now on never become nodes. `never_join_instances`: nor do these.
    """

    def __init__(self, boot_delay_seconds: float = 3.0) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, Any] = {
            "boot_delay_seconds": boot_delay_seconds,
            "next_boot_delays": [],
            "never_join_next": 0,
            "never_join_instances": [],
        }

    def set(self, **changes: Any) -> None:
        """Change the named knobs. Raises ValueError for an unknown name."""
        unknown = changes.keys() - self._values.keys()
        if unknown:
            raise ValueError(f"unknown knob {min(unknown)}; there are: {', '.join(self._values)}")
        with self._lock:
            self._values.update({name: _copied(value) for name, value in changes.items()})

    def clear(self) -> None:
        """Every machine joins, after the delay."""
        self.set(next_boot_delays=[], never_join_next=0, never_join_instances=[])

    def snapshot(self) -> dict[str, Any]:
        """All knobs, the caller's to keep."""
        with self._lock:
            return {name: _copied(value) for name, value in self._values.items()}

    def for_launch(self) -> float | None:
        """The boot delay of a launch that happens now, in seconds; None if it never joins. Counts it off."""
        with self._lock:
            if self._values["never_join_next"] > 0:
                self._values["never_join_next"] -= 1
                return None
            delays: list[float] = self._values["next_boot_delays"]
            return float(delays.pop(0) if delays else self._values["boot_delay_seconds"])

    def may_join(self, instance_id: str) -> bool:
        """Whether nobody said that this one never joins."""
        with self._lock:
            return instance_id not in self._values["never_join_instances"]


class Launcher:
    """Watches EC2 and boots and kills machines accordingly, until `run` is cancelled."""

    def __init__(
        self,
        session: Session,
        groups: Mapping[str, Role],
        machines: Machines,
        knobs: BootKnobs | None = None,
        changes: Callable[[], int] | None = None,
    ) -> None:
        """`changes`: a number that moves whenever an instance does; while it stands still EC2 is asked rarely."""
        self._ec2 = session.client("ec2")
        self._groups = dict(groups)
        self._machines = machines
        self.knobs = knobs or BootKnobs()
        self._known: dict[str, asyncio.Task[None]] = {}
        self._changes = changes
        self._seen: tuple[int, float] | None = None

    async def run(self, on_ready: Callable[[], None] | None = None) -> None:
        """Follow the groups. What is there at the start boots at once, managers first; then `on_ready` is called."""
        async with asyncio.TaskGroup() as tasks:
            await self._first_round(tasks)
            if on_ready is not None:
                on_ready()
            while True:
                await asyncio.sleep(POLL_SECONDS)
                instances = await self._look() if self._worth_a_look() else None
                if instances is not None:
                    await self._follow(instances, tasks)

    @contextlib.asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """`run` beside what the caller does, for as long as the context lasts."""
        task = asyncio.create_task(self.run(), name="instance launcher")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _first_round(self, tasks: asyncio.TaskGroup) -> None:
        for instance, role in await self._first_look():
            self._known[instance.instance_id] = tasks.create_task(self._boot(instance, role, 0.0))
            await asyncio.wait([self._known[instance.instance_id]])

    async def _first_look(self) -> list[tuple[BootedInstance, Role]]:
        while True:
            instances = await self._look()
            if instances is not None:
                return instances
            await asyncio.sleep(POLL_SECONDS)

    async def _follow(self, instances: Sequence[tuple[BootedInstance, Role]], tasks: asyncio.TaskGroup) -> None:
        alive = {instance.instance_id for instance, _ in instances}
        for gone in self._known.keys() - alive:
            await self._kill(gone)
        for instance, role in instances:
            if instance.instance_id not in self._known:
                delay = self.knobs.for_launch()
                self._known[instance.instance_id] = tasks.create_task(self._boot(instance, role, delay))

    async def _boot(self, instance: BootedInstance, role: Role, delay: float | None) -> None:
        if delay is None:
            return
        await asyncio.sleep(delay)
        if self.knobs.may_join(instance.instance_id):
            with _told("boot", instance.instance_id):
                await self._machines.boot(instance, role)

    async def _kill(self, instance_id: str) -> None:
        boot = self._known.pop(instance_id)
        boot.cancel()
        await asyncio.wait([boot])
        with _told("kill", instance_id):
            await self._machines.kill(instance_id)

    def _worth_a_look(self) -> bool:
        if self._changes is None:
            return True
        now, number = time.monotonic(), self._changes()
        if self._seen is not None and self._seen[0] == number and now < self._seen[1] + RARELY_SECONDS:
            return False
        self._seen = number, now
        return True

    async def _look(self) -> list[tuple[BootedInstance, Role]] | None:
        """The living instances of the groups, managers and older ones first; None while EC2 does not answer."""
        try:
            return await asyncio.to_thread(self._describe)
        except (BotoCoreError, ClientError) as error:
            self._seen = None
            _log.warning("launcher-sees-nothing: %s", error)
            return None

    def _describe(self) -> list[tuple[BootedInstance, Role]]:
        filters = [
            {"Name": f"tag:{GROUP_TAG}", "Values": list(self._groups)},
            {"Name": "instance-state-name", "Values": list(_ALIVE)},
        ]
        pages = self._ec2.get_paginator("describe_instances").paginate(Filters=filters)
        found = [one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]]
        found.sort(key=lambda one: (self._role(one) == "worker", one["LaunchTime"]))
        return [(_instance(one), self._role(one)) for one in found]

    def _role(self, described: Mapping[str, Any]) -> Role:
        tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
        return self._groups[tags[GROUP_TAG]]


class Swarm(Protocol):
    """The two things of the simulated Swarm that its machines need."""

    def add_node(
        self,
        hostname: str,
        *,
        role: str,
        address: str,
        engine_labels: dict[str, str],
        nano_cpus: int,
        memory_bytes: int,
    ) -> str:
        """A machine joins; the node's id."""

    def lose_node(self, node_id: str) -> None:
        """Its machine dies hard."""


class SimulatedMachines:
    """Machines of the simulated Swarm. To be used on the event loop the Swarm lives on."""

    def __init__(self, swarm: Swarm) -> None:
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


@contextlib.contextmanager
def _told(what: str, instance_id: str) -> Iterator[None]:
    """One machine's trouble is its own: it is logged, and the others go on."""
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever a machine's driver raises
        _log.exception("machine-%s-failed: %s", what, instance_id)


def _instance(described: Mapping[str, Any]) -> BootedInstance:
    return BootedInstance(
        described["InstanceId"],
        described["PrivateDnsName"],
        described["PrivateIpAddress"],
        described["Placement"]["AvailabilityZone"],
        described["InstanceType"],
    )


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value
