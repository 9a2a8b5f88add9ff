"""What `up` and `demo` have in common as programs: they run until done or told to stop, and leave nothing behind.

SIGINT and SIGTERM cancel the work once, however often they come; leaving goes on to its end.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from infra.local.children import SetUpFailed

_log = logging.getLogger(__name__)


def run(work: Coroutine[Any, Any, int], stopped: int) -> int:
    """The exit code: the work's own, `stopped` after a signal, 1 with a reason where setting up fails."""
    try:
        return asyncio.run(_until_told(work, stopped))
    except SetUpFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1


async def _until_told(work: Coroutine[Any, Any, int], stopped: int) -> int:
    loop = asyncio.get_running_loop()
    working = loop.create_task(work)
    told = asyncio.Event()

    def tell() -> None:
        if not told.is_set():
            told.set()
            working.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, tell)
    try:
        return await working
    except asyncio.CancelledError:
        if told.is_set():
            return stopped
        raise


def log_to(path: Path) -> None:
    """What our own parts log goes to a file: the terminal is for people."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(filename=path, level=logging.INFO, format=form, force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)
