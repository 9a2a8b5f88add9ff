"""Runs commands of the system, and keeps programs running that are to end with us."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from infra.lab.places import MARKED
from infra.local.children import Child, SetUpFailed

_SYSTEM_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


def search_path() -> str:
    """PATH with the folders of system programs, which a root shell does not always have."""
    return os.pathsep.join(filter(None, (os.environ.get("PATH"), _SYSTEM_PATH)))


def environ(**more: str) -> dict[str, str]:
    """For programs that need nothing of ours but what they are given: the search path, the lab's mark."""
    return {"PATH": search_path(), "LANG": "C.UTF-8", **MARKED, **more}


async def run(*command: str, typed: str = "", more: Mapping[str, str] | None = None) -> str:
    """What the command prints. Raises SetUpFailed with its words where it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environ(**(more or {})),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate(typed.encode())
    if process.returncode:
        words = errors.decode(errors="replace").strip() or output.decode(errors="replace").strip()
        raise SetUpFailed(f"{shlex.join(command)} failed ({process.returncode}): {words}")
    return output.decode(errors="replace")


async def start(name: str, command: Sequence[str], log: Path, url: str | None = None, last: str = "TERM") -> Child:
    """A program in a process group of its own, which gets the signal `last` when this process dies, however it dies."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", last, *command),
            env=environ(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    return Child(name, url, log, process)
