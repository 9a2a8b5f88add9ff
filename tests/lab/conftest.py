"""One lab for all tests of this folder. Each leaves the Swarm whole: three managers and some workers, all Ready.

The lab's own default times are production's; here what only makes tests longer is shortened: `SETTINGS`, and the
Swarm's heartbeat, so that a machine without power is Down after 3 to 6 seconds instead of 15: its period is drawn
anew each time, up to half a second more or less, and three of them may pass.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from infra.lab import packages
from infra.lab.driver import Driver
from infra.lab.places import BRIDGE, CGROUP, CGROUPS, MARK, NAMESPACE_PREFIX, ROOT
from infra.local.surroundings import inherited

SETTINGS = {
    "BOOT_DELAY": "1",
    "LEASE_SECONDS": "5",
    "RESCHEDULE_TIMEOUT": "45",
    "DRAIN_TIMEOUT": "60",
    "ALERT_TIMEOUT": "3",  # longer than the second in which Alertmanager tells, shorter than any scale-down
}
HEARTBEAT_NANOSECONDS = 1_500_000_000


def lab(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`make lab-COMMAND`, its `.local` in that folder."""
    return subprocess.run(
        [sys.executable, "-m", "infra.lab", command],
        cwd=folder,
        env={**inherited(os.environ), **SETTINGS},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def remains() -> list[str]:
    """What any command of the system still shows of a lab."""
    shown = {"ip netns": NAMESPACE_PREFIX, "ip link": BRIDGE, "cat /proc/mounts": str(ROOT)}
    found = [str(path) for path in (ROOT, *CGROUPS.glob(CGROUP), *CGROUPS.glob(f"*/{CGROUP}")) if path.exists()]
    for command, name in shown.items():
        output = subprocess.run(command.split(), capture_output=True, text=True, check=False).stdout
        found += [line for line in output.splitlines() if name in line]
    running = psutil.process_iter(["environ", "cmdline"])
    return found + [str(process.info["cmdline"]) for process in running if MARK in (process.info["environ"] or ())]


@pytest.fixture(scope="session", autouse=True)
def _root_with_packages() -> None:
    """Only root can; and gets what is missing, which may take longer than a test waits for machines."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    asyncio.run(packages.install(lambda _line: None))


@pytest.fixture(scope="session")
def lab_env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The path of `.local/env`. Afterwards nothing of the lab is left."""
    folder = tmp_path_factory.mktemp("lab")
    up = lab("up", folder)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield folder / ".local" / "env"
    finally:
        down = lab("down", folder)
    assert down.returncode == 0, down.stdout + down.stderr
    assert remains() == []


@pytest_asyncio.fixture
async def driver(lab_env: Path) -> AsyncIterator[Driver]:
    """The lab, whole; and whole again after the test."""
    async with Driver(lab_env) as found:
        await quick_heartbeat(found)
        await found.formed(workers=await desired_workers(found))
        try:
            yield found
        finally:
            await mend(found)
        await found.formed(workers=await desired_workers(found))


async def quick_heartbeat(driver: Driver) -> None:
    swarm = await driver.swarm("GET", "/swarm")
    if swarm["Spec"]["Dispatcher"]["HeartbeatPeriod"] != HEARTBEAT_NANOSECONDS:
        spec = {**swarm["Spec"], "Dispatcher": {"HeartbeatPeriod": HEARTBEAT_NANOSECONDS}}
        await driver.swarm("POST", f"/swarm/update?version={swarm['Version']['Index']}", json=spec)


async def desired_workers(driver: Driver) -> int:
    return int((await driver.group())["DesiredCapacity"])


async def mend(driver: Driver) -> None:
    """No fault any more; every machine has power and is reached.

    One that lost power returns when the Swarm has given it up. In the moment in which it does, a node that registers
    may be written down as Ready and then as Down, and stays so for as long as its session lasts: see docs/lab.md.
    """
    await driver.control("DELETE", "/faults")
    await driver.control("PUT", "/thresholds", {})
    groups = [await driver.group("manager"), await driver.group("worker")]
    staying = {
        one["InstanceId"] for each in groups for one in each["Instances"] if one["LifecycleState"] == "InService"
    }
    for machine in [one for one in await driver.machines() if one["instance_id"] in staying]:
        if not machine["alive"]:
            await driver.down(machine["name"])
        await driver.control("POST", f"/nodes/{machine['name']}/{'mend' if machine['alive'] else 'return'}")


async def shell(script: str) -> str:
    """What a shell script prints; it fails where a command of it fails."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-ec",
        script,
        env=inherited(os.environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    return output
