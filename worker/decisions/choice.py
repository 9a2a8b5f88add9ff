"""Searching the cheapest candidates that may go together.

First greedily: the cheapest ones, and where one stands in the way of the set, it is passed over for the next. Where
that comes to nothing, set by set in the order of cost. What may be tried is bounded: where the bound is reached, a set
that would have done may be missed, but none is taken that would not do.
It is assumed that what keeps a set keeps every larger one; what is chosen was asked about as a whole.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice

from worker.decisions.reasons import Obstacle

MOST_TRIALS = 2_000
"""So many sets are asked about at most."""


@dataclass(slots=True)
class Search:
    """One search. `ordered`: the candidates by cost, without some; `hinders`: what keeps a set of them."""

    count: int
    ordered: Callable[[Collection[str]], Iterable[str]]
    hinders: Callable[[Sequence[str]], Obstacle | None]
    affordable: Callable[[], bool]
    """Whether the questions so far have not cost too much."""
    passed_over: dict[str, Obstacle] = field(default_factory=dict)
    """Candidates that could not go with the cheaper ones, with the reason."""
    trials: int = 0

    def run(self) -> tuple[str, ...] | None:
        """The cheapest set that may go, or None where none was seen."""
        return self._greedily() or self._set_by_set()

    @property
    def exhausted(self) -> bool:
        """Whether the bound was reached."""
        return self.trials >= MOST_TRIALS or not self.affordable()

    def _greedily(self) -> tuple[str, ...] | None:
        while not self.exhausted:
            picked = tuple(islice(self.ordered(self.passed_over.keys()), self.count))
            if len(picked) < self.count:
                return None
            obstacle = self._ask(picked)
            if obstacle is None:
                return picked
            number, obstacle = self._first_hindered(picked, obstacle)
            self.passed_over[picked[number - 1]] = obstacle
        return None

    def _first_hindered(self, picked: Sequence[str], obstacle: Obstacle) -> tuple[int, Obstacle]:
        """How many of them, the cheapest first, can no longer go together, and why; all of them cannot."""
        free, hindered = 0, len(picked)
        while hindered - free > 1:
            middle = (free + hindered) // 2
            answer = self._ask(picked[:middle])
            if answer is None:
                free = middle
            else:
                hindered, obstacle = middle, answer
        return hindered, obstacle

    def _set_by_set(self) -> tuple[str, ...] | None:
        if self.count == 1:
            return None  # each was asked about by itself
        alone: list[str] = []
        for each in self.ordered(()):
            if self.exhausted:
                return None
            if self._ask((each,)) is None:
                alone.append(each)
        for candidates in combinations(alone, self.count):
            if self.exhausted:
                return None
            if self._ask(candidates) is None:
                self._keep_cheaper_than(candidates)
                return candidates
        return None

    def _keep_cheaper_than(self, chosen: Sequence[str]) -> None:
        """Those passed over are the cheaper ones that are not among the chosen."""
        passed: dict[str, Obstacle] = {}
        for each in self.ordered(()):
            if each == chosen[-1]:
                break
            obstacle = None if each in chosen else self._ask((each,)) or self._ask((*chosen, each))
            if obstacle is not None:
                passed[each] = obstacle
        self.passed_over = passed

    def _ask(self, candidates: Sequence[str]) -> Obstacle | None:
        self.trials += 1
        return self.hinders(candidates)
