"""Takes away whatever a lab has left on the machine: after `lab-down`, and after a crash.

It goes by what is there and bears the lab's names (see `places`), not by what somebody meant to have made, so it may
run at any time and any number of times.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from infra.lab import cgroups, commands, network
from infra.lab.places import CGROUP, MARKED, ROOT, STATE

_STOP_SECONDS: Final = 25.0
_LOOK_SECONDS: Final = 0.05


def remember(**facts: Any) -> None:
    """Write down what cannot be seen later: who runs the lab, what the machine was like before."""
    ROOT.mkdir(parents=True, exist_ok=True)
    STATE.with_suffix(".new").write_text(json.dumps(recalled() | facts))
    STATE.with_suffix(".new").replace(STATE)


def recalled() -> dict[str, Any]:
    """What was written down; nothing where there is no lab."""
    try:
        facts: dict[str, Any] = json.loads(STATE.read_text())
    except (OSError, ValueError):
        return {}
    return facts


async def stop_lab() -> None:
    """Have the lab end by itself, if it runs."""
    pid = recalled().get("pid")
    if pid is None or pid not in marked():
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    await _until_gone({pid}, _STOP_SECONDS)


async def sweep() -> None:
    """Nothing is left. The caller's own process, if it is one of the lab's, stays."""
    await _end_processes()
    await network.close_bridge()
    for mount in mounts():
        await commands.run("umount", "--lazy", mount)
    deadline = time.monotonic() + _STOP_SECONDS
    cgroups.remove(CGROUP)
    while any(cgroups.present(CGROUP)) and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_SECONDS)  # the kernel lets a group go a moment after its last process
        cgroups.remove(CGROUP)
    _give_back()
    await asyncio.to_thread(shutil.rmtree, ROOT, True)


async def left() -> list[str]:
    """What there is of a lab, in words."""
    return [
        *(f"process {pid}" for pid in sorted(marked())),
        *await network.left(),
        *(f"mount {mount}" for mount in mounts()),
        *(f"control group {group}" for group in cgroups.present(CGROUP)),
        *([f"folder {ROOT}"] if ROOT.exists() else []),
    ]


def marked() -> set[int]:
    """The lab's processes, as far as their environment tells; a container's ends with its machine."""
    (entry,) = (f"{name}={value}".encode() for name, value in MARKED.items())
    return {int(path.name) for path in Path("/proc").glob("[0-9]*") if entry in _environ(path)} - {os.getpid()}


def mounts() -> list[str]:
    """What is mounted below the lab's folder, the innermost first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [place for place in (line.split()[1] for line in reversed(lines)) if place.startswith(f"{ROOT}/")]


async def _end_processes() -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while (running := marked()) and time.monotonic() < deadline:
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await _until_gone(running, 1.0)


async def _until_gone(pids: set[int], within: float) -> None:
    deadline = time.monotonic() + within
    while pids & marked() and time.monotonic() < deadline:  # noqa: ASYNC110 - the kernel sets no event
        await asyncio.sleep(_LOOK_SECONDS)


def _give_back() -> None:
    """What the lab changed is as it was; its `.local/env` is gone."""
    facts = recalled()
    if facts.get("filtered") is not None and network.FILTERED.exists():
        network.FILTERED.write_text(facts["filtered"])
    if facts.get("env"):
        Path(facts["env"]).unlink(missing_ok=True)


def _environ(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
