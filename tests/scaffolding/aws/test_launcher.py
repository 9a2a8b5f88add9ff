"""The launcher makes machines follow the groups; here the machines only write down what becomes of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from infra.local import living
from infra.local.aws import LAUNCHER_ACCESS_KEY, REGION, EmbeddedAws, Size, create_group, create_network
from infra.local.boot_knobs import BootKnobs
from infra.local.engine import SimulatedSwarm
from infra.local.launcher import Launcher
from infra.local.machines import BootedInstance, Role, SimulatedMachines


class Notebook:
    """Machines that only remember."""

    def __init__(self) -> None:
        self.up: dict[str, BootedInstance] = {}
        self.roles: list[Role] = []
        self.booted_at: dict[str, float] = {}
        self.killed: list[str] = []

    async def boot(self, instance: BootedInstance, role: Role) -> None:
        self.up[instance.instance_id] = instance
        self.roles.append(role)
        self.booted_at[instance.instance_id] = time.monotonic()

    async def kill(self, instance_id: str) -> None:
        self.up.pop(instance_id, None)
        self.killed.append(instance_id)


class Cluster:
    """Two groups, a launcher that follows them, and its machines."""

    def __init__(self, aws: EmbeddedAws, managers: str, workers: str) -> None:
        self.workers = workers
        self.api = aws.session().client("autoscaling")
        self.ec2 = aws.session().client("ec2")
        self.machines = Notebook()
        groups: dict[str, Role] = {workers: "worker", managers: "manager"}
        session = aws.session(LAUNCHER_ACCESS_KEY)
        self.launcher = Launcher(session, groups, self.machines, BootKnobs(0.2), aws.instance_changes)

    async def desire(self, number: int) -> None:
        await asyncio.to_thread(
            self.api.set_desired_capacity, AutoScalingGroupName=self.workers, DesiredCapacity=number
        )

    async def terminate(self, instance_id: str) -> None:
        await asyncio.to_thread(
            self.api.terminate_instance_in_auto_scaling_group,
            InstanceId=instance_id,
            ShouldDecrementDesiredCapacity=True,
        )

    def members(self) -> list[str]:
        found = self.api.describe_auto_scaling_groups(AutoScalingGroupNames=[self.workers])
        return [one["InstanceId"] for one in found["AutoScalingGroups"][0]["Instances"]]


@pytest.fixture(scope="module")
def subnets(embedded: EmbeddedAws) -> list[str]:
    return create_network(embedded.session())


@pytest.fixture
async def cluster(aws: EmbeddedAws, subnets: list[str], unique: Callable[[str], str]) -> AsyncIterator[Cluster]:
    names = unique("managers"), unique("workers")
    for name, size in zip(names, (Size(1, 3, 1), Size(0, 5, 1)), strict=True):
        create_group(aws.session(), name, size, subnets)
    cluster = Cluster(aws, *names)
    async with following(cluster.launcher):
        yield cluster
    aws.knobs.reset()
    for name in names:
        cluster.api.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)


@asynccontextmanager
async def following(one: Launcher) -> AsyncIterator[None]:
    ready = asyncio.Event()
    task = asyncio.create_task(one.run(ready.set))
    async with asyncio.timeout(5):
        await ready.wait()
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def until(holds: Callable[[], Any], within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


async def test_what_is_there_at_the_start_boots_at_once_managers_first(cluster: Cluster) -> None:
    assert cluster.machines.roles == ["manager", "worker"]


async def test_a_new_instance_becomes_a_machine_after_its_boot_delay(cluster: Cluster) -> None:
    cluster.launcher.knobs.set(boot_delay_seconds=0.5)
    asked = time.monotonic()
    await cluster.desire(2)
    await until(lambda: len(cluster.machines.up) == 3)
    assert 0.5 <= max(cluster.machines.booted_at.values()) - asked < 1.5


async def test_a_machine_knows_its_names_and_labels(cluster: Cluster) -> None:
    [instance_id] = await asyncio.to_thread(cluster.members)
    machine = cluster.machines.up[instance_id]
    assert machine.hostname == "ip-" + machine.private_address.replace(".", "-")
    assert machine.engine_labels == {
        "instance_id": instance_id,
        "availability_zone": machine.availability_zone,
        "instance_type": "t3.micro",
    }
    assert machine.availability_zone.startswith(REGION)


async def test_a_terminated_instance_loses_its_machine_before_it_leaves_the_group(
    aws: EmbeddedAws, cluster: Cluster
) -> None:
    aws.knobs.set(terminating_seconds=2)
    [victim] = await asyncio.to_thread(cluster.members)
    await cluster.terminate(victim)
    await until(lambda: cluster.machines.killed == [victim], within=1)
    assert await asyncio.to_thread(cluster.members) == [victim]


async def test_the_next_launches_may_never_join(cluster: Cluster) -> None:
    cluster.launcher.knobs.set(never_join_next=1)
    await cluster.desire(2)
    await until(lambda: cluster.launcher.knobs.snapshot()["never_join_next"] == 0)
    await cluster.desire(3)
    await until(lambda: len(cluster.machines.up) == 3)
    members = await asyncio.to_thread(cluster.members)
    assert len(set(members) - cluster.machines.up.keys()) == 1


async def test_one_instance_may_be_kept_from_joining_by_its_id(cluster: Cluster) -> None:
    cluster.launcher.knobs.set(next_boot_delays=[1.0])
    await cluster.desire(2)
    slow = (await asyncio.to_thread(cluster.members))[-1]
    cluster.launcher.knobs.set(never_join_instances=[slow])
    await cluster.desire(3)
    await until(lambda: len(cluster.machines.up) == 3)
    await until(lambda: time.monotonic() > max(cluster.machines.booted_at.values()) + 1)
    assert slow not in cluster.machines.up


async def test_one_that_is_terminated_while_it_boots_never_boots(cluster: Cluster) -> None:
    cluster.launcher.knobs.set(next_boot_delays=[600.0])
    await cluster.desire(2)
    slow = (await asyncio.to_thread(cluster.members))[-1]
    await until(lambda: cluster.launcher.knobs.snapshot()["next_boot_delays"] == [])
    await cluster.terminate(slow)
    await until(lambda: cluster.machines.killed == [slow])
    assert slow not in cluster.machines.booted_at


async def test_no_fault_of_aws_reaches_the_launcher(aws: EmbeddedAws, cluster: Cluster) -> None:
    await cluster.desire(2)
    aws.knobs.set(down=["*"], errors={"*": "throttle"}, describe_lag_seconds=60)
    await until(lambda: len(cluster.machines.up) == 3)


async def test_idle_it_asks_rarely(aws: EmbeddedAws, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(living, "RARELY_SECONDS", 1.0)
    await until(lambda: aws.calls.since(time.time() - 0.5) == [])
    asked = aws.calls.counts(LAUNCHER_ACCESS_KEY)["ec2.DescribeInstances"]
    await until(lambda: aws.calls.counts(LAUNCHER_ACCESS_KEY)["ec2.DescribeInstances"] == asked + 1, within=1.5)


async def test_without_word_of_changes_it_looks_all_the_time(aws: EmbeddedAws, cluster: Cluster) -> None:
    await until(lambda: len(cluster.machines.up) == 2)
    machines = Notebook()
    second = Launcher(aws.session(LAUNCHER_ACCESS_KEY), {cluster.workers: "worker"}, machines, BootKnobs(0.0))
    async with following(second):
        await cluster.desire(2)
        await until(lambda: len(machines.up) == 2, within=2)


def test_an_unknown_knob_is_refused() -> None:
    with pytest.raises(ValueError, match="boot_dealy"):
        BootKnobs().set(boot_dealy=1)


async def test_simulated_machines_join_and_die_as_nodes() -> None:
    async with SimulatedSwarm() as swarm:
        swarm.add_node("manager", role="manager")
        machines = SimulatedMachines(swarm)
        await machines.boot(
            BootedInstance("i-1", "ip-10-0-3-12.ec2.internal", "10.0.3.12", "us-east-1a", "t3.micro"), "worker"
        )
        [node] = [each for each in swarm.nodes if each.machine.hostname == "ip-10-0-3-12"]
        assert (node.spec.role, node.machine.address) == ("worker", "10.0.3.12")
        assert node.machine.engine_labels["instance_id"] == "i-1"
        assert (node.machine.nano_cpus, node.machine.memory_bytes) == (2 * 10**9, 2**30)
        await machines.kill("i-never-joined")
        assert swarm.membership.is_alive(node.id)
        await machines.kill("i-1")
        assert not swarm.membership.is_alive(node.id)
