"""Debian's packages that the lab needs: which are missing, and how they are put in without starting their services."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from infra.lab.commands import run, search_path
from infra.lab.places import MARK
from infra.local.children import SetUpFailed

PROGRAMS: Final = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "busybox": "busybox-static",
    "ip": "iproute2",
    "iptables": "iptables",
    "curl": "curl",
}
"""The package that each program comes from."""
_SPLIT: Final = {"docker": "docker-cli"}
"""Where newer releases have put what is not in that package any more."""
_PATIENT: Final = ("-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3")
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 10.0
_POLICY: Final = Path("/usr/sbin/policy-rc.d")
_HEADERS: Final = ((32, 8), (54, 2), (56, 2))  # where it says where its program headers are, and how many
_INTERPRETER: Final = 3
_START_NOTHING: Final = "#!/bin/sh\nexit 101\n"  # what invoke-rc.d takes for: do not


def where(program: str) -> str | None:
    """The program's path; None where it is not there."""
    found = shutil.which(program, path=search_path())
    if found and program == "busybox" and not _is_static(Path(found)):
        return None  # one that needs libraries is of no use in an image that has none
    return found


def busybox() -> Path:
    """The program's path. Raises SetUpFailed where it is not there."""
    found = where("busybox")
    if found is None:
        raise SetUpFailed("There is no static busybox")
    return Path(found)


def _is_static(program: Path) -> bool:
    """Whether an ELF file of 64 bits names no interpreter: see elf(5)."""
    text = program.read_bytes()
    start, size, count = (int.from_bytes(text[at : at + length], "little") for at, length in _HEADERS)
    kinds = [int.from_bytes(text[at : at + 4], "little") for at in range(start, start + size * count, size)]
    return text.startswith(b"\x7fELF") and _INTERPRETER not in kinds


def missing(programs: Mapping[str, str] = PROGRAMS) -> list[str]:
    """The packages of those programs that are not there."""
    return sorted({package for program, package in programs.items() if where(program) is None})


async def install(say: Callable[[str], None], programs: Mapping[str, str] = PROGRAMS) -> None:
    """Put in what is missing. Raises SetUpFailed."""
    if not missing(programs):
        return
    if shutil.which("apt-get", path=search_path()) is None:
        raise SetUpFailed(f"The lab needs {', '.join(missing(programs))}, and there is no apt-get to install them with")
    with _nothing_started():
        await _updated(say)
        await _put_in(missing(programs), say)
        await _put_in(missing(_SPLIT), say)
    if missing(programs):
        raise SetUpFailed(f"Installed, but still missing: {', '.join(missing(programs))}")


async def _updated(say: Callable[[str], None]) -> None:
    """The lists of packages. Who else reads them, reads them for seconds only."""
    for _ in range(_TRIES):
        try:
            return await _apt_get("update")
        except SetUpFailed as error:
            say(f"{error}\nIn {_PAUSE_SECONDS:.0f} s once more")
            await asyncio.sleep(_PAUSE_SECONDS)
    return await _apt_get("update")


async def _put_in(packages: list[str], say: Callable[[str], None]) -> None:
    if packages:
        say(f"apt-get install {' '.join(packages)}")
        await _apt_get("install", "-y", "--no-install-recommends", *packages)


async def _apt_get(*words: str) -> None:
    """It is not left half-way: who is told to stop stops afterwards, and to `sweep` it is no process of the lab's."""
    more = {"RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive", MARK: ""}
    running = asyncio.ensure_future(run("apt-get", "-q", *_PATIENT, *words, more=more))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await running
        raise


@contextmanager
def _nothing_started() -> Iterator[None]:
    """While it lasts, packages do not start their services. A policy that is there already stays."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text(_START_NOTHING)
    try:
        _POLICY.chmod(0o755)
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
