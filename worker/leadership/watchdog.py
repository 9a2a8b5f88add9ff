"""The watchdog: every unit of work beats now and then; one that has stopped beating is no longer renewed for.

A flow that hangs in spite of all time-outs must not hold the lease for ever: no other worker could go on.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

SILENCE_SECONDS = 60.0


class Watchdog:
    """Who works, and when it last said so."""

    def __init__(self) -> None:
        self._heartbeats: dict[str, float] = {}

    @contextmanager
    def watching(self, name: str) -> Iterator[None]:
        """From here to the end `name` must beat."""
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
        return all(now - beat < SILENCE_SECONDS for beat in self._heartbeats.values())
