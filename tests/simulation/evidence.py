"""What had an effect outside: one line for each change that a worker's call made, or could have made."""

from dataclasses import dataclass, field

from tests.simulation.network import Call


@dataclass(frozen=True, slots=True)
class Effect:
    """One call's arrival at what it changes."""

    time: float
    kind: str
    """desired, terminate, availability, role, removed, service."""
    target: str
    before: object
    after: object
    worker: str
    request: str | None
    token: int | None
    issued_at: float
    late: bool
    """Its sender had given it up: a call in flight, which nothing can fence."""
    call: Call

    @property
    def changed(self) -> bool:
        """It made a difference."""
        return self.before != self.after

    @property
    def unheard(self) -> bool:
        """Its sender has not heard of it, so far."""
        return not self.call.heard


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold."""

    invariant: int
    what: str

    def __str__(self) -> str:
        return f"invariant {self.invariant} ({INVARIANTS[self.invariant]}): {self.what}"


INVARIANTS = {
    0: "the worker runs",
    1: "nothing lost",
    2: "nothing twice",
    3: "one at a time",
    4: "in bounds",
    5: "only named instances die by our hand",
    6: "nothing running is lost",
    7: "quorum",
    8: "bad things stay small",
    9: "said is true",
    10: "what was touched in vain is given back",
    11: "nobody leaves unnoticed",
    12: "a dry run is the run",
}


@dataclass(slots=True)
class Evidence:
    """All effects of one world, and what was found wrong while they happened."""

    effects: list[Effect] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def effect(self, now: float, kind: str, target: str, before: object, after: object, call: Call) -> Effect:
        """Write one down."""
        made = Effect(
            time=now,
            kind=kind,
            target=target,
            before=before,
            after=after,
            worker=call.process.name,
            request=call.request,
            token=call.token,
            issued_at=call.issued_at,
            late=call.given_up,
            call=call,
        )
        self.effects.append(made)
        return made

    def violate(self, invariant: int, what: str) -> None:
        """Something must not be as it is. Said once."""
        found = Violation(invariant, what)
        if found not in self.violations:
            self.violations.append(found)

    def of(self, request: str, *kinds: str) -> list[Effect]:
        """The effects that belong to a request and made a difference."""
        return [
            effect for effect in self.effects if effect.request == request and effect.kind in kinds and effect.changed
        ]
