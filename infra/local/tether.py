"""Runs a program that is told to end when its parent dies, however it dies: `python -S tether.py PROGRAM ARGUMENTS`.

So that not even `kill -9` of the environment leaves its services behind. Only Linux knows how; elsewhere it just runs.
Used by path, and kept to the standard library: it is a moment of every start.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def main() -> None:
    """Become the program."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 - what it is for


if __name__ == "__main__":
    main()
