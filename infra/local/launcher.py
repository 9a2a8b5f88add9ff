"""The instance launcher: makes a Swarm follow the Auto Scaling groups.

It watches EC2 through the AWS API, which stays the source of truth: an instance of one of the groups becomes
a node after a boot delay, one that shuts down is killed hard. Which machines those are (the simulated Swarm's,
or real Docker engines) is behind `Machines`. It never talks to Auto Scaling, and decides nothing about capacity.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from localstack_client.session import Session

from infra.local.boot_knobs import BootKnobs
from infra.local.machines import BootedInstance, Machines, Role

_log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.2
RARELY_SECONDS: Final = 3.0
GROUP_TAG: Final = "aws:autoscaling:groupName"
_ALIVE: Final = ("pending", "running")


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
