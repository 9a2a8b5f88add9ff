"""The first boot of an instance with every command that it runs in a test's hand: PATH has these, and nothing else.

So a command that the script runs and that is not here is not found. Each can be told to fail, so many times.
"""

from __future__ import annotations

import shutil
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from infra.cloudformation.embed import SCRIPT, bare
from tests.e2e.cloudformation.commands import Answer, Command, on_path
from tests.e2e.cloudformation.machines import ENDED_SECONDS, Cluster, Machine

ALWAYS: Final = 10_000
OF_THE_SYSTEM: Final = ("awk", "bash", "cut", "date", "flock", "grep", "mkdir", "rm", "sed", "shuf", "sleep", "sort")
MORE_OF_THE_SYSTEM: Final = ("timeout", "tr", "xargs")
_REAL: Final = """#!/bin/bash
read -r left <{count}
if ((left > 0)); then
    echo $((left - 1)) >{count}
    echo "{name}: told to fail" >&2
    exit 1
fi
exec {path} "$@"
"""
_FACTS: Final = {
    "instance-id": "INSTANCE_ID",
    "local-ipv4": "ADDRESS",
    "instance-type": "t3.small",
    "placement/availability-zone": "us-east-1b",
    "api/token": "token",
}


@dataclass
class Machinery:
    """What the commands have done to one machine, and what they are to fail at."""

    cluster: Cluster
    machine: Machine
    folder: Path
    fails: dict[str, int] = field(default_factory=dict)
    """By how a command line begins: how many times it fails."""
    exit_code: int = 1
    """Of those that fail."""
    hangs: str = ""
    """How the command line begins that never ends."""
    done: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    installed: bool = False
    mounted: bool = False
    unhealthy: bool = False
    off: bool = False
    _over: threading.Event = field(default_factory=threading.Event)

    def boot(self, **settings: str) -> tuple[int, str]:
        """From the script's start to its end: exit code and what the console shows."""
        root = self.folder / self.machine.instance
        (root / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
        (root / "etc/fstab").touch()
        script = self.folder / "swarm-node"
        script.write_text(bare(SCRIPT.read_text()))
        with self._path() as path:
            own = {"PATH": str(path), "PAUSE_SECONDS": "0", "INSTANCE_ID": "", "ADDRESS": "", **settings}
            process = self.machine.start("/bin/bash", str(script), "boot", **own)
            said, _ = process.communicate(timeout=ENDED_SECONDS)
            self._over.set()
        return process.returncode, said

    @contextmanager
    def _path(self) -> Iterator[Path]:
        here = self.folder / "only"
        doing: dict[str, Command] = {
            name: self._command(name) for name in ("aws", "curl", "docker", "dnf", "rpm", "systemctl", "usermod")
        } | {name: self._command(name) for name in ("chattr", "iptables", "mount", "mountpoint")}
        with on_path(here, **doing) as path:
            for name in (*OF_THE_SYSTEM, *MORE_OF_THE_SYSTEM):
                self._real(here, name)
            yield path

    def _real(self, here: Path, name: str) -> None:
        count, script = here / f".{name}", here / name
        count.write_text(f"{self.fails.get(name, 0)}\n")
        script.write_text(_REAL.format(name=name, count=count, path=shutil.which(name)))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)

    def _command(self, name: str) -> Command:
        def command(arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
            line = f"{name} {' '.join(one for one in arguments if not one.startswith('--cli-') and one not in '5 20')}"
            told = next((start for start, left in self.fails.items() if line.startswith(start) and left > 0), None)
            if told:
                self.fails[told] -= 1
                return self.exit_code, "", f"{told}: told to fail\n"
            if self.hangs and line.startswith(self.hangs):
                self._over.wait()
            return self._doing(name, line, arguments, stdin, environ)

        return command

    def _doing(self, name: str, line: str, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        self.done.append(line)
        match name:
            case "aws":
                return self._aws(line, arguments, stdin, environ)
            case "docker":
                return self.cluster.docker(arguments, stdin, {**environ, "INSTANCE_ID": self.machine.instance})
            case "curl":
                return self._curl(arguments)
            case "rpm":
                return (0 if self.installed else 1), "", ""
            case "mountpoint":
                return (0 if self.mounted else 32), "", ""
        self.installed |= name == "dnf"
        self.mounted |= name == "mount"
        self.off |= line == "systemctl poweroff"
        return 0, "", ""

    def _aws(self, line: str, arguments: Sequence[str], stdin: str, environ: Mapping[str, str]) -> Answer:
        if "signal-resource" in arguments:
            assert self.machine.instance in arguments
            self.signals.append(arguments[-1])
            return 0, "", ""
        if "set-instance-health" in arguments:
            self.unhealthy = True
            return 0, "", ""
        return self.cluster.command(arguments, stdin, environ)

    def _curl(self, arguments: Sequence[str]) -> Answer:
        known = {"INSTANCE_ID": self.machine.instance, "ADDRESS": self.machine.address}
        value = next(value for path, value in _FACTS.items() if arguments[-1].endswith(path))
        return 0, known.get(value, value), ""


def ended(machinery: Machinery) -> str:
    """How it is with the machine: `joined`, `replaced`, `off`, or `waiting` (the timer goes on)."""
    if machinery.off:
        return "off"
    if machinery.unhealthy:
        return "replaced"
    return "joined" if machinery.machine.instance in machinery.cluster.docker.joined else "waiting"
