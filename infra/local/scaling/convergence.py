"""How a group meets its desired capacity: it launches what is missing, and takes out what is too much.

A launch that is refused is tried again a little later. How an instance comes and goes is left to the group.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from infra.local.scaling import causes, placement
from infra.local.scaling.activities import History


class Converging(Protocol):
    """A group as its convergence needs it."""

    @property
    def history(self) -> History:
        """Its activities."""

    @property
    def why(self) -> str:
        """Who wanted the number of instances that it has to have; empty: nobody yet."""

    def missing(self) -> int:
        """How many instances there are too few; below zero: too many."""

    def members(self) -> Sequence[placement.Member]:
        """Those that are not on their way out."""

    def suspended(self, *processes: str) -> bool:
        """Whether one of these is."""

    def launch(self, cause: str) -> bool:
        """One instance more. False where EC2 refuses it."""

    def take_out(self, instance_id: str, cause: str) -> object:
        """Terminate one that nobody has named."""

    def converge(self) -> None:
        """The time has come to look at the number again."""


class Convergence:
    """Of one group. `later`: has something done when a refused launch is to be tried again."""

    def __init__(self, group: Converging, later: Callable[[Callable[[], None]], object]) -> None:
        self._group = group
        self._later = later
        self._retrying = False

    def converge(self) -> None:
        """Launch what is missing, take out what is too much."""
        missing = self._group.missing()
        if missing > 0:
            self._launch(missing)
        elif missing < 0:
            self._shrink(-missing)

    def encourage(self) -> None:
        """Somebody wants a number of instances anew: a launch that failed does not hold the next one up."""
        self._retrying = False

    def retry_later(self) -> None:
        """EC2 has refused an instance, or has taken one back."""
        if not self._retrying:
            self._retrying = True
            self._later(self._retry)

    def _launch(self, number: int) -> None:
        group = self._group
        if group.suspended("Launch") or self._retrying:
            return
        for _ in range(number):
            if not group.launch(causes.too_few(group.history.now(), group.why, len(group.members()))):
                self.retry_later()
                return

    def _shrink(self, number: int) -> None:
        group = self._group
        if group.suspended("Terminate"):
            return
        now = group.history.now()
        chosen = placement.victims(group.members(), number)
        if len(chosen) < number:
            group.history.all_protected(causes.nothing_to_take(now, group.why))
        for instance_id in chosen:
            group.take_out(instance_id, causes.too_many(now, group.why, len(group.members()), instance_id))

    def _retry(self) -> None:
        self._retrying = False
        self._group.converge()
