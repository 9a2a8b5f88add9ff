"""Running one seed."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random

from tests.simulation.evidence import Violation
from tests.simulation.profile import Profile, draw, with_events
from tests.simulation.trace import Trace, captured_logs
from tests.simulation.world import World

Change = Callable[[World, ExitStack], None]
"""Takes one protection away, for as long as the stack is open."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one seed came to."""

    seed: int
    violations: tuple[Violation, ...]
    requests: int
    counts: Counter[str]
    decisions: dict[str, str]
    """What the seed has decided, by name."""
    seconds: float
    """Of virtual time."""
    steps: int


def run(seed: int, change: Change | None = None, reshape: Callable[[Profile], Profile] | None = None) -> Result:
    """Run a seed, and judge it."""
    return observe(seed, change, reshape)[0]


def observe(
    seed: int, change: Change | None = None, reshape: Callable[[Profile], Profile] | None = None
) -> tuple[Result, Trace]:
    """The same, with its trace."""
    profile = with_events(seed, draw(Random(f"{seed} profile")))
    world = World(seed, reshape(profile) if reshape else profile)
    with ExitStack() as stack:
        stack.enter_context(captured_logs(world.take_log))
        if change is not None:
            change(world, stack)
        world.run()
        lines = len(world.trace.lines)
        world.dispose()
        del world.trace.lines[lines:]
    return _result(world), world.trace


def _result(world: World) -> Result:
    return Result(
        seed=world.seed,
        violations=tuple(world.evidence.violations),
        requests=sum(sent.good for sent in world.workload.sent),
        counts=world.trace.counts,
        decisions=world.decisions,
        seconds=world.clockwork.now,
        steps=world.clockwork.steps,
    )
