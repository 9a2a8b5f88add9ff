"""Where the lab keeps what it makes, and how that is named: `sweep` finds all of it again by these names alone.

There is one lab on a machine, since bridges and namespaces belong to the machine and not to a clone of the project.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path("/var/lib/docker-scaler-lab")
"""Machines' disks and sockets. Short: a socket's path has at most 107 bytes."""
MACHINES: Final = ROOT / "machines"
STATE: Final = ROOT / "state.json"
DOCKER_SOCKET: Final = ROOT / "docker.sock"
"""Leads to a manager that lives."""
BRIDGE: Final = "scaler-lab"
NAMESPACE_PREFIX: Final = "scaler-lab-"
LINK_PREFIX: Final = "scl"
NAMESPACES: Final = Path("/run/netns")
CGROUPS: Final = Path("/sys/fs/cgroup")
CGROUP: Final = "scaler-lab"
MARK: Final = "DOCKER_SCALER_LAB"
"""An environment variable that every process of the lab has, and no other."""
MARKED: Final = {MARK: str(ROOT)}
EXPORTER_PORT: Final = 9100
