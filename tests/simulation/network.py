"""The way between a worker and what it calls: it takes time, it fails, it loses questions and answers.

A call is an event of the world once it is sent. Its effect and its answer are two further events, so a worker may
crash, or lose its lease, between them; and a call that its sender has given up may still take effect.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Any

from shared.errors import ScalerError, Unavailable
from tests.simulation.trace import Trace

if TYPE_CHECKING:
    from tests.simulation.loops import SimulatedLoop
    from tests.simulation.processes import Process


class Fate(StrEnum):
    """What becomes of a call."""

    FINE = "fine"
    OUTAGE = "outage"
    """The dependency is away: no effect."""
    THROTTLED = "throttled"
    """The dependency says "later": no effect."""
    LOST = "question lost"
    """No effect, no answer."""
    UNANSWERED = "answer lost"
    """It takes effect, and the sender never hears of it."""
    LATE = "late effect"
    """It takes effect after its sender has given it up."""
    REPEATED = "sent twice"
    """The SDK sends it again, since the first answer is lost."""


@dataclass(slots=True)
class Call:
    """One call on its way."""

    process: "Process"
    port: str
    name: str
    arguments: str
    act: Callable[["Call"], Any]
    issued_at: float
    deadline: float
    answer: "asyncio.Future[Any]"
    changes: bool
    """It changes something outside."""
    request: str | None
    """The request that is being worked on."""
    token: int | None
    """The token that the sender held when it sent, by the table's own word; None: it held none."""
    given_up: bool = False
    """The sender does not wait any more: it has had its time-out, or is gone."""
    heard: bool = False
    """The sender has had the answer."""


@dataclass(slots=True)
class Weather:
    """How the dependencies are at present, and how often single calls fail."""

    away: dict[str, float] = field(default_factory=dict)
    """Port to the time until which it is away."""
    hanging: set[str] = field(default_factory=set)
    """Those of them that do not even say so."""
    rates: dict[Fate, float] = field(default_factory=dict)
    """Chances of single calls, while the chaos lasts."""
    slow: float = 1.0
    """A factor of all latencies."""

    def clear(self) -> None:
        """Nothing fails any more."""
        self.away.clear()
        self.hanging.clear()
        self.rates.clear()
        self.slow = 1.0


NEVER_REPEATED = frozenset({"swarm", "alerts", "groups"})
"""Ports whose client sends nothing twice by itself (Auto Scaling's is opened with one attempt, see worker.process)."""
CHANGES_OFTENER = 3.0
"""What changes something is rare among all the calls, and its loss the more telling."""
RAISES_LATER = 15.0
"""A late raise may undo a later one: nothing can fence it, and only the group's protection keeps the instances."""
LONGEST_LATE = 6.0
"""So long after its sender's time-out may a call still take effect."""


def _often(call: Call, fate: Fate) -> float:
    """How much oftener than a question something happens to a call."""
    if fate is Fate.LATE and call.name == "groups.set_desired":
        return RAISES_LATER
    return CHANGES_OFTENER if call.changes else 1.0


class Network:
    """Carries the calls of all workers."""

    def __init__(self, loop: "SimulatedLoop", random: Random, trace: Trace) -> None:
        self._loop = loop
        self._random = random
        self._trace = trace
        self.weather = Weather()
        self.in_flight: set[int] = set()
        self._number = 0

    def send(self, call: Call) -> None:
        """Let a call go its way."""
        self._number += 1
        fate = self._fate(call)
        if fate is not Fate.FINE:
            self._trace.counts[f"call: {fate}"] += 1
            if call.changes:
                self._trace.add(call.process.name, f"~ {fate}", call=f"{call.name}({call.arguments})")
        note = self._trace.add if call.changes else self._trace.add_minor
        note(call.process.name, f"> {call.name}", to=call.arguments, request=call.request)
        self._carry(call, fate, self._number)

    def _fate(self, call: Call) -> Fate:
        if self.weather.away.get(call.port, 0.0) > self._loop.time():
            return Fate.LOST if call.port in self.weather.hanging else Fate.OUTAGE
        rates = self.weather.rates
        if not rates:
            return Fate.FINE
        draw = self._random.random()
        for fate, rate in rates.items():
            draw -= rate * _often(call, fate)
            if draw < 0:
                return Fate.FINE if fate is Fate.REPEATED and call.port in NEVER_REPEATED else fate
        return Fate.FINE

    def _carry(self, call: Call, fate: Fate, number: int) -> None:
        at, there, back = self._loop.call_at, self._latency(), self._latency()
        sent = call.issued_at
        match fate:
            case Fate.FINE:
                self._deliver(call, number, sent + there, back)
            case Fate.OUTAGE | Fate.THROTTLED:
                at(min(sent + there, call.deadline), self._fail, call, str(fate))
            case Fate.LOST:
                at(call.deadline, self._fail, call, "no answer in time")
            case Fate.UNANSWERED:
                self._deliver(call, number, sent + there, None)
                at(self._random.choice((call.deadline, sent + there + back)), self._fail, call, "connection lost")
            case Fate.LATE:
                self._deliver(call, number, call.deadline + self._random.random() * LONGEST_LATE, None)
                at(call.deadline, self._fail, call, "no answer in time")
            case Fate.REPEATED:
                half = sent + (call.deadline - sent) / 2
                self._deliver(call, number, sent + there, None)
                self._deliver(call, -number, half + there, back)
                at(call.deadline, self._fail, call, "no answer in time")

    def _latency(self) -> float:
        """Mostly milliseconds, now and then more than a second."""
        draw = self._random.random()
        return (0.002 + 0.03 * draw if draw < 0.97 else 1.5 * (draw - 0.97) / 0.03) * self.weather.slow

    def _deliver(self, call: Call, number: int, when: float, back: float | None) -> None:
        self.in_flight.add(number)
        self._loop.call_at(when, self._arrive, call, number, back)
        if back is not None:
            self._loop.call_at(call.deadline, self._fail, call, "no answer in time")  # it may arrive all the same

    def _arrive(self, call: Call, number: int, back: float | None) -> None:
        self.in_flight.discard(number)
        try:
            result, error = call.act(call), None
        except ScalerError as refusal:
            result, error = None, refusal
        if isinstance(result, asyncio.Future):
            result.add_done_callback(lambda done: self._reply(call, back, done.result(), None))
        else:
            self._reply(call, back, result, error)

    def _reply(self, call: Call, back: float | None, result: Any, error: ScalerError | None) -> None:
        if back is None or call.answer.done():
            return
        self._loop.call_later(back, self._answer, call, result, error)

    def _answer(self, call: Call, result: Any, error: ScalerError | None) -> None:
        if call.answer.done():
            return
        call.given_up = True
        if error is not None:
            self._trace.add_minor(call.process.name, f"< {call.name}", error=error)
            call.answer.set_exception(error)
        else:
            call.heard = call.process.alive
            call.answer.set_result(result)

    def _fail(self, call: Call, why: str) -> None:
        call.given_up = True
        if not call.answer.done():
            self._trace.add_minor(call.process.name, f"< {call.name}", error=why)
            call.answer.set_exception(Unavailable(f"{call.name}: {why}"))
