"""Waiting for a condition, with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], within: float = 5.0, every: float = 0.02) -> T:
    """The first true thing that `look` returns; an AssertionError when it has none in time."""
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"not within {within} s: last seen {seen!r}"
        time.sleep(every)
