"""The process that is the lab: `lab-up` starts it, SIGTERM by `lab-down` ends it."""

from __future__ import annotations

import asyncio
import os
import sys

from infra.lab.lab import Lab
from infra.local.surroundings import FOLDER, shield
from infra.local.terminal import log_to, run


def main() -> int:
    """The exit code: 0 after being told to stop, 1 with a reason where setting up fails."""
    shield(os.environ)
    log_to(FOLDER / "lab" / "logs" / "lab.log")
    return run(_serve(), stopped=0)


async def _serve() -> int:
    async with Lab(FOLDER, os.environ, _say):
        _say("Ready")
        await asyncio.Event().wait()
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
