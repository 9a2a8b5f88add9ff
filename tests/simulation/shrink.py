"""From a seed that fails to a smaller schedule that fails in the same way: delta debugging over the seed's decisions.

What the seed decides is left out part by part, ever smaller parts, as long as the same invariant still breaks. In
the end nothing more can be left out alone (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.simulation.profile import Profile
from tests.simulation.run import Change, Result, run

Reshape = Callable[[Profile], Profile]


@dataclass(frozen=True, slots=True)
class Smaller:
    """The smallest schedule found."""

    result: Result
    invariant: int
    kept: tuple[str, ...]
    """The decisions that are left."""
    decided: int
    """How many there were."""
    runs: int

    @property
    def replay(self) -> str:
        """The command that runs it again."""
        return f"make simulate SEED={self.result.seed} ONLY={','.join(self.kept) or 'nothing'}"

    def text(self) -> str:
        """For people."""
        lines = [f"  {name:<16} {self.result.decisions[name]}" for name in self.kept]
        return "\n".join(
            (
                f"seed {self.result.seed} needs {len(self.kept)} of its {self.decided} decisions ({self.runs} runs):",
                *lines,
                *(f"  {violation}" for violation in self.result.violations),
                f"replay it: {self.replay}",
            )
        )


def shrink(seed: int, change: Change | None = None, reshape: Reshape | None = None) -> Smaller | None:
    """The smallest schedule that breaks the invariant which the seed breaks first. None: it breaks none."""
    whole = run(seed, change, reshape)
    if not whole.violations:
        return None
    invariant, results = whole.violations[0].invariant, {tuple(whole.decisions): whole}

    def fails(names: Sequence[str]) -> bool:
        kept = tuple(names)
        if kept not in results:
            results[kept] = run(seed, change, only(kept, reshape))
        return any(violation.invariant == invariant for violation in results[kept].violations)

    kept = tuple(minimal(tuple(whole.decisions), fails))
    return Smaller(results[kept], invariant, kept, len(whole.decisions), len(results))


def only(names: Sequence[str], reshape: Reshape | None = None) -> Reshape:
    """A change of a profile that leaves out every other decision."""

    def reshaped(profile: Profile) -> Profile:
        return replace(reshape(profile) if reshape else profile, only=frozenset(names))

    return reshaped


def minimal(names: Sequence[str], fails: Callable[[Sequence[str]], bool]) -> Sequence[str]:
    """Part of the names, in their order, which still fails, and does not with any one of them left out."""
    parts = 2
    while names:
        size = -(-len(names) // parts)
        rests = ([*names[:start], *names[start + size :]] for start in range(0, len(names), size))
        smaller = next((rest for rest in rests if fails(rest)), None)
        if smaller is not None:
            names, parts = smaller, max(parts - 1, 2)
        elif size == 1:
            break
        else:
            parts = min(2 * parts, len(names))
    return names
