"""The services as child processes: started in a group of their own, watched, ended by pid.

A child's output goes to its log. It hears no Ctrl-C of the terminal, and ends when we die.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TETHER: Final = Path(__file__).with_name("tether.py")
_STOP_SECONDS: Final = 12.0  # they promise 10
_LOOK_SECONDS: Final = 0.05
_LAST_LINES: Final = 15

Probe = Callable[[], Awaitable[bool]]


class SetUpFailed(Exception):
    """The environment could not be set up; the text is for a person."""


@dataclass(frozen=True, slots=True)
class Child:
    """One service's process. `url` is None where it serves no HTTP."""

    name: str
    url: str | None
    log: Path
    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        """Its process id, also after its end."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.returncode is None

    def kill(self) -> None:
        """End it as a crash would; nothing if it has ended."""
        if self.alive:
            self.process.kill()

    async def ended(self) -> str:
        """How it ended, in words, once it has."""
        code = await self.process.wait()
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def last_lines(self) -> str:
        """The end of its log, indented."""
        lines = self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"


async def start(name: str, module: str, environ: Mapping[str, str], log: Path, url: str | None) -> Child:
    """Start `python -m MODULE`."""
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-S", str(_TETHER), sys.executable, "-m", module),
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )
    return Child(name, url, log, process)


async def until(probe: Probe, needed: Iterable[Child], what: str, within: float) -> None:
    """Return when `probe` holds. Raises SetUpFailed when one of the needed children ends before, or time is up."""
    children = list(needed)
    deadline = asyncio.get_running_loop().time() + within
    while not await probe():
        for child in children:
            if not child.alive:
                raise SetUpFailed(f"{child.name} {await child.ended()}. The end of {child.log}:\n{child.last_lines()}")
        if asyncio.get_running_loop().time() > deadline:
            logs = "\n".join(f"The end of {child.log}:\n{child.last_lines()}" for child in children)
            raise SetUpFailed(f"{what} did not come about in {within:.0f} s. {logs}")
        await asyncio.sleep(_LOOK_SECONDS)


async def stop(children: Iterable[Child]) -> None:
    """SIGTERM to those that still run, all at once; SIGKILL to what has not ended in time."""
    running = [child for child in children if child.alive]
    for child in running:
        child.process.terminate()
    if not running:
        return
    waits = [asyncio.ensure_future(child.process.wait()) for child in running]
    await asyncio.wait(waits, timeout=_STOP_SECONDS)
    for child in running:
        child.kill()
    await asyncio.wait(waits)
