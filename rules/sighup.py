"""`python -m rules.sighup PID FILE`: tells a Prometheus that does not reload by itself that its rules have changed.

For Prometheus before 3.0, which has no `auto-reload-config`: start it beside Prometheus, as its user or root. It sends
SIGHUP when the file has become another one, and ends when the process has.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

LOOK_SECONDS: Final = 1.0
Seen = tuple[int, int, int]


def main(arguments: list[str]) -> int:
    """Run it. Returns the exit code: 0 when the process has ended, 2 where it is called wrongly."""
    if len(arguments) != 2 or not arguments[0].isdigit():
        sys.stderr.write("usage: python -m rules.sighup PID FILE\n")
        return 2
    watch(int(arguments[0]), Path(arguments[1]))
    return 0


def watch(pid: int, file: Path) -> None:
    """Send SIGHUP after each change of the file, until there is no such process."""
    before = seen(file)
    while True:
        now = seen(file)
        try:
            os.kill(pid, signal.SIGHUP if now != before else 0)
        except ProcessLookupError:
            return
        before = now
        time.sleep(LOOK_SECONDS)


def seen(file: Path) -> Seen | None:
    """What tells one content from another: a file that was renamed into place is another file."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
