"""A tap on what our processes ask of AWS and of Docker: each call is seen as it arrives and when it has been carried
out, and an interception acts at the exact one that it waits for, before its effect or before its answer goes out.

How the calls come by here is the business of who taps (`docker_proxy`, `aws_tap`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.caller import ENDED

Matches = Callable[["Call"], bool]
Action = Callable[[int], bool]
"""What a interception does to the process that it intercepted. True: the call, or its answer, gets no further."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: an action of AWS (`PutItem`), or method and path of Docker (`POST /nodes/x/update`)."""

    name: str
    body: Mapping[str, Any]
    sender: int
    """The process that made it."""
    at: float = field(default_factory=time.monotonic)

    @property
    def record(self) -> Mapping[str, Any]:
        """The record that a write of the journal holds; nothing where it is no such write."""
        item = self.body.get("Item") or {}
        is_record = self.name == "PutItem" and item.get("sk", {}).get("S", "").startswith("request#")
        return json.loads(item["document"]["S"]) if is_record else {}


@dataclass(frozen=True, slots=True)
class Point:
    """A moment: the first call that matches, after others (which have been carried out), before or after its effect."""

    name: str
    matches: Matches
    after: bool
    since: Sequence[Matches] = ()


class Interception:
    """Acts once, at its point, on the process that made the call: `sender`."""

    def __init__(self, point: Point, action: Action) -> None:
        self.point = point
        self.sender: int | None = None
        self.done = threading.Event()
        self._action = action
        self._since = list(point.since)
        self._lock = threading.Lock()

    def meets(self, call: Call, *, after: bool) -> bool:
        """Whether the call, or its answer, is to be kept back."""
        with self._lock:
            if self._since:
                if after and self._since[0](call):
                    self._since.pop(0)
                return False
            if self.sender is not None or after != self.point.after or not self.point.matches(call):
                return False
            self.sender = call.sender
        try:
            return self._action(self.sender)
        finally:
            self.done.set()


class Tap:
    """Sees all calls; keeps those that were carried out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done: list[Call] = []
        self._interception: Interception | None = None

    def set(self, interception: Interception | None) -> None:
        """The one interception that is set from now on."""
        self._interception = interception

    def arrives(self, call: Call) -> bool:
        """A call has come, and has had no effect yet. True: it gets no further."""
        return self._interception is not None and self._interception.meets(call, after=False)

    def carried_out(self, call: Call) -> bool:
        """It has had its effect. True: nobody is to hear so."""
        with self._lock:
            self._done.append(call)
        return self._interception is not None and self._interception.meets(call, after=True)

    def done(self, matches: Matches) -> list[Call]:
        """The calls that were carried out since `forget`, and match."""
        with self._lock:
            return [call for call in self._done if matches(call)]

    def forget(self) -> None:
        """What was carried out until now is of no interest."""
        with self._lock:
            self._done.clear()


def named(name: str) -> Matches:
    """An action of AWS; or of Docker, where `*` in a path stands for one id: `POST /nodes/*/update`."""
    start, _, end = name.partition("*")
    return lambda call: call.name == name or ("*" in name and call.name.startswith(start) and call.name.endswith(end))


def asking(name: str, **wanted: object) -> Matches:
    """A call that asks for these values."""
    called = named(name)
    return lambda call: called(call) and all(call.body.get(key) == value for key, value in wanted.items())


def entering(step: str) -> Matches:
    """The journal's write that begins a step."""

    def matches(call: Call) -> bool:
        steps = call.record.get("steps") or [{}]
        return call.record.get("step") == step == steps[-1].get("name") and call.record["state"] not in ENDED

    return matches


def noting(key: str) -> Matches:
    """The journal's write of something that a flow has decided or done."""
    return lambda call: bool(call.record.get("plan", {}).get(key))


def ending(call: Call) -> bool:
    """The journal's write that ends a request."""
    return call.record.get("state") in ENDED


def queued(call: Call) -> bool:
    """The journal's write of a new request."""
    return call.record.get("state") == "queued"


def remembering(call: Call) -> bool:
    """The write of what is remembered of a node type."""
    return call.name == "PutItem" and call.body["Item"].get("sk", {}).get("S", "").startswith("group#")
