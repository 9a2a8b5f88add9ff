"""`make lab-up`, `lab-status`, `lab-down`, `lab-bench`, `lab-contract`: `python -m infra.lab up|status|...`. Root only.

`up` returns when the lab is ready; the lab goes on in a process of its own (`serving`) until `down`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from infra.lab import sweep
from infra.lab.places import MARKED
from infra.lab.status import report
from infra.local.children import SetUpFailed
from infra.local.surroundings import FOLDER

_UP_SECONDS: Final = 600.0  # packages may have to be fetched
_END_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.1


def main() -> int:
    """The exit code: 2 where the command is wrong, 1 where it fails."""
    commands: Mapping[str, Callable[[], int]] = {
        "up": up,
        "status": status,
        "down": down,
        "bench": bench,
        "contract": contract,
    }
    asked = sys.argv[1:]
    if len(asked) != 1 or asked[0] not in commands:
        sys.stderr.write(f"usage: python -m infra.lab {'|'.join(commands)}\n")
        return 2
    if os.geteuid() != 0:
        sys.stderr.write("The lab makes network namespaces and starts Docker engines: only root may\n")
        return 1
    return commands[asked[0]]()


def up() -> int:
    """Start it; 0 when it is ready, and what is where has been said."""
    began = time.monotonic()
    if sweep.recalled().get("pid") in sweep.marked():
        sys.stderr.write("A lab is running on this machine already: make lab-status, make lab-down\n")
        return 1
    output = FOLDER / "lab" / "logs" / "up.log"
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w") as log:
        lab = subprocess.Popen(
            [sys.executable, "-m", "infra.lab.serving"],
            env={**os.environ, **MARKED},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if not _follow_to_the_end(lab, output, began + _UP_SECONDS):
        return 1
    _say(f"Up in {time.monotonic() - began:.1f} s\n")
    return status()


def _follow_to_the_end(lab: subprocess.Popen[bytes], output: Path, deadline: float) -> bool:
    """As `_follow`; the lab ends where it does not come up, also by Ctrl-C."""
    ready = False
    try:
        ready = _follow(lab, output, deadline)
    finally:
        if not ready:
            lab.terminate()
            lab.wait(_END_SECONDS)
    return ready


def _follow(lab: subprocess.Popen[bytes], output: Path, deadline: float) -> bool:
    """Repeat what it says, until it is ready. False where it ends, or takes too long."""
    with output.open() as said:
        while time.monotonic() < deadline:
            ended = lab.poll() is not None
            text = said.read()
            sys.stdout.write(text)
            sys.stdout.flush()
            if ended or "Ready" in text.splitlines():
                return not ended
            time.sleep(_LOOK_SECONDS)
    sys.stderr.write(f"The lab is not up after {_UP_SECONDS:.0f} s; its log: {output}\n")
    return False


def status() -> int:
    """What there is; 1 where no lab runs."""
    try:
        text, running = asyncio.run(report(FOLDER / "env"))
    except SetUpFailed as error:
        text, running = str(error), False
    _say(text)
    return 0 if running else 1


def down() -> int:
    """Whatever a lab has made is gone, also one that crashed while it was being set up."""
    return asyncio.run(_down())


async def _down() -> int:
    await sweep.stop_lab()
    await sweep.sweep()
    remains = await sweep.left()
    for one in remains:
        sys.stderr.write(f"still there: {one}\n")
    if not remains:
        _say("Nothing of the lab is left")
    return 1 if remains else 0


def bench() -> int:
    """The published figures, as a table."""
    return _on_a_lab(lambda env: [sys.executable, "-m", "infra.lab.bench", str(env)])


def contract() -> int:
    """The contract tests of a Swarm engine and of the worker's adapter to it, on real engines."""
    return _on_a_lab(lambda _env: [sys.executable, "-m", "infra.lab.contract"])


def _on_a_lab(command: Callable[[Path], list[str]]) -> int:
    """Run it on the lab that runs; on one of its own, which ends with it, where none does. The exit code."""
    running = sweep.recalled().get("pid") in sweep.marked()
    if not running and up() != 0:
        return 1
    gone = 0
    try:
        words = command(Path(sweep.recalled()["env"]))
        code = subprocess.run(words, check=False).returncode  # noqa: S603 - ours
    finally:
        if not running:
            gone = down()
    return code or gone


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
