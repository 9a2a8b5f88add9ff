"""A twin of the worker or its world that lacks one protection: something else stands in the place of one method."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest import mock

from tests.simulation.profile import Profile
from tests.simulation.run import run
from tests.simulation.world import World


@dataclass(frozen=True, slots=True)
class Twin:
    """One protection less."""

    name: str
    lacks: str
    breaks: int
    """The invariant that it is there for: another finding does not count."""
    change: Callable[[World, ExitStack], None] = lambda _world, _stack: None
    reshape: Callable[[Profile], Profile] = lambda profile: profile
    known: int = 1
    """The first seed that found it, when it was last searched for from 1 on: the search begins there."""

    def finding(self, most: int) -> tuple[int, str] | None:
        """One of the seeds from 1 to `most` that finds it, and what it finds. None: none of them does."""
        for seed in (*range(self.known, most + 1), *range(1, self.known)):
            violations = run(seed, self.change, self.reshape).violations
            found = [violation for violation in violations if violation.invariant == self.breaks]
            if found:
                return seed, str(found[0])
        return None


def instead(target: Any, name: str) -> Callable[[Any], Callable[[World, ExitStack], None]]:
    """A change that puts a function in the place of a method."""

    def decorate(function: Any) -> Callable[[World, ExitStack], None]:
        def change(_world: World, stack: ExitStack) -> None:
            stack.enter_context(mock.patch.object(target, name, function))

        return change

    return decorate
