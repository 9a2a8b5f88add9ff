"""The watchdog: every unit of work sends heartbeats; the lease is not renewed for one that has stopped.

A flow that hangs in spite of all timeouts must not hold the lease for ever: no other worker could go on.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

SILENCE_SECONDS = 60.0
"""A unit of work that has sent no heartbeat for so long hangs."""


class Watchdog:
    """Who works, and when each sent its last heartbeat."""

    def __init__(self) -> None:
        self._heartbeats: dict[str, float] = {}

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """From here to the end `name` must send heartbeats."""
        self.heartbeat(name)
        try:
            yield
        finally:
            self._heartbeats.pop(name, None)

    @contextmanager
    def suspended(self, name: str) -> Iterator[None]:
        """From here to the end `name` waits for others, who are watched themselves."""
        self._heartbeats.pop(name, None)
        try:
            yield
        finally:
            self.heartbeat(name)

    def heartbeat(self, name: str) -> None:
        """Say that `name` makes progress."""
        self._heartbeats[name] = asyncio.get_running_loop().time()

    def all_alive(self) -> bool:
        """Nobody has been silent for too long."""
        now = asyncio.get_running_loop().time()
        return all(now - heartbeat < SILENCE_SECONDS for heartbeat in self._heartbeats.values())
