"""bootstrap/swarm-node.sh's guard on a real engine: which containers reach the instance metadata service.

Its stand-in answers on 169.254.169.254 in a network namespace of its own, one hop from that of the node. Needs root,
Debian's engine and iptables.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from infra.cloudformation.embed import SCRIPT
from infra.lab import packages
from tests.e2e.cloudformation.test_bootstrap_engines import READY_SECONDS, STOP_SECONDS, namespace, run

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

METADATA: Final = "169.254.169.254"
ANSWER: Final = "a-token"
IMAGE: Final = "127.0.0.1:1/asks:1"  # a registry where nobody listens
ASK: Final = f"""#!/bin/sh
printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox nc -w 3 {METADATA} 80 | busybox tail -n 1
echo asked
"""
TASK_SECONDS: Final = 60


@contextmanager
def metadata_service(name: str, folder: Path) -> Iterator[None]:
    """The stand-in, in that network namespace."""
    folder.mkdir()
    (folder / "index.html").write_text(f"{ANSWER}\n")
    server = [sys.executable, "-m", "http.server", "80", "--bind", METADATA, "--directory", str(folder)]
    command = ["nsenter", f"--net=/var/run/netns/{name}", *server]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


class Node:
    """A machine with an engine, and what is done on it."""

    def __init__(self, name: str, home: Path) -> None:
        self.name, self.home = name, home
        self.socket = f"unix://{home}/s"

    def start(self, exits: ExitStack) -> None:
        engine = (
            f"echo 1 >/proc/sys/net/ipv4/ip_forward; hostname {self.name}; exec dockerd --data-root {self.home}/data "
            f"--exec-root {self.home}/exec -H {self.socket} --pidfile {self.home}/pid"
        )
        command = ["nsenter", f"--net=/var/run/netns/{self.name}", "unshare", "--uts", "sh", "-c", engine]
        log = exits.enter_context((self.home / "log").open("wb"))
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        exits.callback(self._leave_nothing, process)
        deadline = time.monotonic() + READY_SECONDS
        while subprocess.run(["docker", "-H", self.socket, "info"], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, (self.home / "log").read_text()[-2000:]
            time.sleep(0.2)

    def _leave_nothing(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if (place := line.split()[1]).startswith(f"{self.home}/"):
                subprocess.run(["umount", "--lazy", place], check=False)

    def docker(self, *words: str) -> str:
        return run("docker", "-H", self.socket, *words)

    def does(self, function: str) -> None:
        """One of the script's functions, as on a manager."""
        own = {"PATH": os.environ["PATH"], "ROLE": "manager", "DOCKER_HOST": self.socket}
        command = ["nsenter", f"--net=/var/run/netns/{self.name}", "bash", "-c", f". {SCRIPT}; {function}"]
        done = subprocess.run(command, env=own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def image(self) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, content in (("busybox", Path("/bin/busybox").read_bytes()), ("ask", ASK.encode())):
                entry = tarfile.TarInfo(f"bin/{name}")
                entry.size, entry.mode = len(content), 0o755
                tar.addfile(entry, io.BytesIO(content))
            link = tarfile.TarInfo("bin/sh")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        command = ["docker", "-H", self.socket, "import", "-", IMAGE]
        subprocess.run(command, input=packed.getvalue(), check=True, capture_output=True)

    def asks_alone(self) -> bool:
        """A container of nobody's service, on the engine's default bridge."""
        return ANSWER in self.docker("run", "--rm", IMAGE, "/bin/ask")

    def asks(self, *networks: str) -> bool:
        """A task on these networks."""
        name = "-".join(("asks", *networks))
        chosen = [word for network in networks for word in ("--network", network)]
        how = ["--quiet", "--detach", "--no-resolve-image", "--restart-condition", "none", "--endpoint-mode", "dnsrr"]
        self.docker("service", "create", *how, "--name", name, *chosen, IMAGE, "/bin/ask")
        deadline = time.monotonic() + TASK_SECONDS
        while "asked" not in (said := self._said(name)):
            assert time.monotonic() < deadline, self.docker("service", "ps", "--no-trunc", name)
            time.sleep(0.2)
        self.docker("service", "rm", name)
        return ANSWER in said

    def _said(self, service: str) -> str:
        label = f"label=com.docker.swarm.service.name={service}"
        return "".join(self.docker("logs", one) for one in self.docker("ps", "-aq", "--filter", label).split())

    def asks_itself(self) -> bool:
        asking = ["curl", "-sS", "-m", "5", "--retry", "20", "--retry-connrefused", "--retry-delay", "1"]
        return ANSWER in run("nsenter", f"--net=/var/run/netns/{self.name}", *asking, f"http://{METADATA}/")


@pytest.fixture
def node() -> Iterator[Node]:
    asyncio.run(packages.install(print))
    tag = f"g{os.getpid() % 10000}"
    with ExitStack() as exits:
        home = Path(
            exits.enter_context(tempfile.TemporaryDirectory(prefix="g", dir="/tmp", ignore_cleanup_errors=True))
        )
        name, other = (exits.enter_context(namespace(f"{tag}{kind}")) for kind in ("node", "aws"))
        run("ip", "-n", name, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", other)
        for where, link, address in ((name, "near", "10.98.0.1/24"), (other, "far", "10.98.0.2/24")):
            run("ip", "-n", where, "address", "add", address, "dev", link)
            run("ip", "-n", where, "link", "set", link, "up")
        run("ip", "-n", other, "address", "add", f"{METADATA}/32", "dev", "lo")
        run("ip", "-n", name, "route", "add", "default", "via", "10.98.0.2")
        exits.enter_context(metadata_service(other, home / "answers"))
        node = Node(name, home)
        node.start(exits)
        node.image()
        node.docker("swarm", "init", "--advertise-addr", "10.98.0.1")
        node.docker("network", "create", "--driver", "overlay", "others")
        yield node


def test_only_services_on_the_network_metadata_reach_the_metadata_service_and_the_node_itself(node: Node) -> None:
    assert node.asks_itself(), "the stand-in answers"
    assert node.asks_alone(), "without the guard every container reads the node's credentials"
    for _ in range(2):  # as each minute
        node.does("guard")
        node.does("metadata_network")
    assert not node.asks_alone()
    assert not node.asks("others")
    assert node.asks("metadata")
    assert node.asks("metadata", "others"), "as ingest and worker"
    assert node.asks_itself()
