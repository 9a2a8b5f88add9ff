"""bootstrap/swarm-node.sh with real Docker engines: three managers and two workers, all at once, from nothing.

Each engine lives in a network namespace, on a bridge in a namespace of its own, so that nothing of the machine's own
network is touched. `aws` is the embedded one. Needs root and Debian's engine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from infra.lab import packages
from infra.local.aws import EmbeddedAws
from tests.e2e.cloudformation.commands import AwsCommand, on_path
from tests.e2e.cloudformation.docker_swarm import DockerCommand
from tests.e2e.cloudformation.machines import Cluster, Machine, nothing, until_all_in

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

ROUNDS: Final = int(os.environ.get("BOOTSTRAP_ROUNDS", "10"))
READY_SECONDS: Final = 30
STOP_SECONDS: Final = 10


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def namespace(name: str) -> Iterator[str]:
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        run("ip", "netns", "delete", name)


class Engines:
    """A hub, and an engine on it for each machine. Where a machine's address leads is here too."""

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self.folder, self._exits = folder, exits
        self._tag = f"b{os.getpid() % 10000}"
        # A socket's path has 107 bytes, of which containerd's needs 40.
        self._short = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="b", dir="/tmp")))
        self.sockets: dict[str, str] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.hub = exits.enter_context(namespace(f"{self._tag}hub"))
        run("ip", "-n", self.hub, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", self.hub, "link", "set", "bridge", "up")

    def start(self, machine: Machine) -> None:
        number = len(self.sockets) + 1
        name, near, far = (f"{self._tag}{kind}{number}" for kind in ("n", "v", "w"))
        machine.address = f"10.99.0.{number}"
        self._exits.enter_context(namespace(name))
        run("ip", "-n", name, "link", "add", near, "type", "veth", "peer", "name", far, "netns", self.hub)
        run("ip", "-n", self.hub, "link", "set", far, "master", "bridge", "up")
        run("ip", "-n", name, "address", "add", f"{machine.address}/24", "dev", near)
        run("ip", "-n", name, "link", "set", near, "up")
        run("ip", "-n", name, "route", "add", "default", "via", "10.99.0.254")
        self.power(machine, name)

    def power(self, machine: Machine, name: str) -> None:
        home = self.folder / f"e{len(self.sockets) + 1}"
        home.mkdir(exist_ok=True)
        self._run(machine, name, home)

    def restart(self, machine: Machine, meanwhile: Callable[[Path], object]) -> None:
        """The engine is stopped and started; its data is in the hands of `meanwhile` between the two."""
        home = Path(self.sockets[machine.instance].removeprefix("unix://")).parent
        process = self.processes[machine.instance]
        process.terminate()
        process.wait(STOP_SECONDS)
        meanwhile(home / "data")
        self._run(machine, f"{self._tag}n{home.name.removeprefix('e')}", home)

    def move(self, old: Machine, new: Machine) -> None:
        """A machine has another's address too."""
        for machine, doing in ((old, "delete"), (new, "add")):
            number = Path(self.sockets[machine.instance]).parent.name.removeprefix("e")
            link = ("dev", f"{self._tag}v{number}")
            run("ip", "-n", f"{self._tag}n{number}", "address", doing, f"{old.address}/24", *link)

    def _run(self, machine: Machine, name: str, home: Path) -> None:
        socket = f"unix://{home}/s"
        engine = (
            f"hostname {name}; exec dockerd --data-root {home}/data --exec-root {self._short / home.name} "
            f"-H {socket} --pidfile {home}/pid --bridge=none --iptables=false --label instance_id={machine.instance}"
        )
        command = ["nsenter", f"--net=/var/run/netns/{name}", "unshare", "--uts", "sh", "-c", engine]
        log = self._exits.enter_context((home / "log").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self._exits.callback(self._leave_nothing, machine.instance, home)
        self.sockets[machine.instance], self.processes[machine.instance] = socket, process
        self._until_ready(socket, home)

    def _until_ready(self, socket: str, home: Path) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while subprocess.run(["docker", "-H", socket, "info"], capture_output=True, check=False).returncode != 0:
            assert time.monotonic() < deadline, (home / "log").read_text()[-2000:]
            time.sleep(0.2)

    def kill(self, instance: str) -> None:
        process = self.processes[instance]
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _leave_nothing(self, instance: str, home: Path) -> None:
        """An engine that is asked to end takes its mounts along, mostly."""
        process = self.processes[instance]
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        self.kill(instance)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            place = line.split()[1]
            if place.startswith((f"{home}/", f"{self._short / home.name}/")):
                subprocess.run(["umount", "--lazy", place], check=False)

    def ask(self, machine: Machine, *words: str) -> str:
        return run("docker", "-H", self.sockets[machine.instance], *words)


class RealCluster(Cluster):
    """The same machines as in test_bootstrap, with engines of their own."""

    engines: Engines

    def environment(self, machine: Machine) -> dict[str, str]:
        return super().environment(machine) | {"DOCKER_HOST": self.engines.sockets[machine.instance]}


@pytest.fixture(scope="module", autouse=True)
def _packages() -> None:
    """Who is root gets what is missing."""
    asyncio.run(packages.install(print))


@pytest.fixture
def cluster(aws: EmbeddedAws, tmp_path: Path) -> Iterator[RealCluster]:
    command = AwsCommand(aws.session().client)
    with ExitStack() as exits:
        path = exits.enter_context(on_path(tmp_path / "bin", aws=command, iptables=nothing))
        cluster = RealCluster(aws, DockerCommand(), command, tmp_path, path)
        cluster.engines = Engines(tmp_path, exits)
        yield cluster


def powered(cluster: RealCluster, role: str, count: int) -> list[Machine]:
    machines = cluster.launch(role, count)
    for machine in machines:
        cluster.engines.start(machine)
    return machines


def nodes(cluster: RealCluster, machine: Machine) -> list[str]:
    """Status and what it is as a manager, of each node."""
    shape = "{{.Status}} {{.ManagerStatus}}"
    return sorted(line.strip() for line in cluster.engines.ask(machine, "node", "ls", "--format", shape).splitlines())


def until_shown(
    cluster: RealCluster,
    machine: Machine,
    expected: list[str],
    meanwhile: Callable[[], object] = lambda: time.sleep(0.2),
) -> None:
    """A manager that follows lags, and a new leader knows a node's state when that has reported to it."""
    deadline = time.monotonic() + 60
    while (found := _shown(cluster, machine)) != expected:
        assert time.monotonic() < deadline, found
        meanwhile()


def _shown(cluster: RealCluster, machine: Machine) -> list[str] | str:
    """Or why it shows nothing: while managers come and go there may be no leader."""
    try:
        return nodes(cluster, machine)
    except AssertionError as error:
        return str(error)


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_five_machines_that_boot_at_once_form_one_swarm(cluster: RealCluster, _round: int) -> None:
    managers, workers = powered(cluster, "manager", 3), powered(cluster, "worker", 2)
    until_all_in([*workers, *managers])
    expected = ["Ready", "Ready", "Ready Leader", "Ready Reachable", "Ready Reachable"]
    for manager in managers:
        until_shown(cluster, manager, expected)
    for machine in (*managers, *workers):
        assert machine.tend()[0] == 0
    until_shown(cluster, managers[0], expected)


def test_a_dead_manager_is_removed_and_its_successor_joins(cluster: RealCluster) -> None:
    managers = powered(cluster, "manager", 3)
    until_all_in(managers)
    dead = managers.pop()
    cluster.engines.kill(dead.instance)
    cluster.terminate(dead)
    [successor] = powered(cluster, "manager", 1)
    until_all_in([successor])
    managers.append(successor)
    expected = ["Ready Leader", "Ready Reachable", "Ready Reachable"]
    until_shown(cluster, successor, expected, lambda: [manager.tend() for manager in managers])
    deadline = time.monotonic() + 60
    while not successor.ask("settled"):  # a manager that answers late is not reached for a moment
        assert time.monotonic() < deadline, nodes(cluster, successor)
        time.sleep(0.2)
    assert cluster.written("manager", dead.instance) == {}


def serve_something(cluster: RealCluster, manager: Machine) -> None:
    create = (
        "service",
        "create",
        "--quiet",
        "--detach",
        "--no-resolve-image",
        "--replicas",
        "0",
        "--name",
        "kept",
        "x",
    )
    cluster.engines.ask(manager, *create)


def begun_anew(cluster: RealCluster, manager: Machine, address: str) -> None:
    """As docs/operations.md says."""
    cluster.engines.ask(manager, "swarm", "init", "--force-new-cluster", "--advertise-addr", address)
    assert manager.tend()[0] == 0
    assert cluster.engines.ask(manager, "service", "ls", "--format", "{{.Name}}") == "kept\n"


def test_one_manager_of_three_that_is_left_begins_anew_with_all_that_was_deployed(cluster: RealCluster) -> None:
    managers = powered(cluster, "manager", 3)
    until_all_in(managers)
    serve_something(cluster, managers[0])
    left, *dead = managers
    for machine in dead:
        cluster.engines.kill(machine.instance)
    cluster.terminate(*dead)
    deadline = time.monotonic() + 60
    while "leader" not in str(found := _shown(cluster, left)):  # who led gives up when it has not heard of the others
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    begun_anew(cluster, left, left.address)
    successors = powered(cluster, "manager", 2)
    until_all_in(successors)
    expected = ["Ready Leader", "Ready Reachable", "Ready Reachable"]
    until_shown(cluster, left, expected, lambda: [one.tend() for one in (left, *successors)])


def test_a_swarm_whose_managers_are_all_lost_comes_back_from_a_backup(cluster: RealCluster) -> None:
    [manager] = powered(cluster, "manager", 1)
    until_all_in([manager])
    serve_something(cluster, manager)
    backup = cluster.engines.folder / "swarm.tar.gz"
    cluster.engines.restart(manager, lambda data: run("tar", "-C", str(data), "-czf", str(backup), "swarm"))
    cluster.engines.kill(manager.instance)
    cluster.terminate(manager)
    [late, other] = powered(cluster, "manager", 2)
    code, said = late.tend()
    assert (code, "All managers of the Swarm are gone" in said) == (3, True)

    def restored(data: Path) -> None:
        shutil.rmtree(data / "swarm")
        run("tar", "-C", str(data), "-xzf", str(backup))

    cluster.engines.move(manager, late)
    cluster.engines.restart(late, restored)
    begun_anew(cluster, late, manager.address)
    until_all_in([other])
    until_shown(cluster, late, ["Ready Leader", "Ready Reachable"], lambda: [late.tend(), other.tend()])
    assert cluster.written("manager", manager.instance) == {}
