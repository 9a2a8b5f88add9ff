"""Setups of the crash matrix, one for each test that asks, used again by the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.crash_setup import CrashSetup


class CrashSetups:
    """One setup for all tests; a new one after a test that has failed, which may have left anything behind."""

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._house: CrashSetup | None = None

    @contextmanager
    def setup(self) -> Iterator[CrashSetup]:
        """The setup, with its workers gathered."""
        try:
            if self._house is None:
                self._house = CrashSetup(self._folder()).__enter__()
            self._house.restore()
            yield self._house
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave it."""
        setup, self._house = self._house, None
        if setup is not None:
            setup.__exit__(None, None, None)
