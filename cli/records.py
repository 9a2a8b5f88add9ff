"""A request's record as people and scripts see it. Pure: a record is the JSON that ingest has said."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from rich.console import Group, RenderableType
from rich.text import Text

from cli.board import ENDS, Line, step_cells, step_lines, took
from cli.output import Cell, Table, for_people, joined, moment

Record = Mapping[str, Any]

COLUMNS: Final = ("id", "requested", "what", "state", "step", "took", "message")
SPARE: Final = ("step", "took", "requested")
STEPS: Final = ("step", "started", "ended", "took")
FACTS: Final = ("fact", "value")
NODES: Final = ("node", "goes", "reason", "why", "moves")
NOTICES: Final = ("notice", "status", "told")
_HIDDEN: Final = frozenset({"steps", "plan", "notices", "request"})
"""What has a table of its own, or is for programs."""


def what(record: Record) -> str:
    """What was asked for, in few words."""
    action = str(record.get("action") or "?").replace("-", " ")
    parts = [action, record.get("scale"), record.get("type"), record.get("service"), record.get("node")]
    by = record.get("by")
    return " ".join([*(str(part) for part in parts if part), *([f"by {by}"] if by else [])])


def row(record: Record) -> Sequence[Cell]:
    """One line of a list."""
    begun, ended = moment(record.get("started_at")), moment(record.get("ended_at"))
    message = joined((record.get("message"), waiting(record)))
    asked = moment(record.get("requested_at"))
    lasted = ended - begun if begun and ended else None
    return record.get("id"), asked, what(record), record.get("state"), record.get("step"), lasted, message


def listing(records: Sequence[Record]) -> Table:
    """A list of them."""
    return Table(COLUMNS, [row(record) for record in records], spare=SPARE)


def waiting(record: Record) -> str:
    """What an open request waits for, in a sentence; empty: it works."""
    waits = record.get("waiting_for")
    if not isinstance(waits, Mapping):
        return ""
    until = moment(waits.get("until"))
    behind, error = waits.get("behind"), waits.get("last_error")
    parts = (
        f"waits for {waits.get('what') or 'something'}",
        f"behind {behind}" if behind else "",
        f"until {for_people(until)}" if until else "",
        str(error or ""),
    )
    return joined(parts)


def tables(record: Record) -> Iterator[Table]:
    """All that stands in a record: facts, steps, nodes of the plan, notices."""
    yield Table(FACTS, list(_facts(record)), kind="fact")
    steps = record.get("steps") or ()
    if steps:
        yield Table(STEPS, [_step(step) for step in steps], kind="step")
    judged = nodes(record)
    if judged.rows:
        yield judged
    notices = record.get("notices") or ()
    if notices:
        yield Table(NOTICES, [_notice(notice) for notice in notices], kind="notice")


def nodes(record: Record) -> Table:
    """What the plan says of each node: whether it goes, and why or why not."""
    plan = record.get("plan")
    found = plan.get("nodes") if isinstance(plan, Mapping) else None
    judged = [node for node in found if isinstance(node, Mapping)] if isinstance(found, list) else []
    return Table(NODES, [_node(node) for node in judged], kind="node")


def _node(node: Mapping[str, Any]) -> Sequence[Cell]:
    """Why it would go, or the codes and sentences of the reasons why not; and where its tasks would go."""
    name, goes = node.get("name") or node.get("instance") or node.get("node") or "?", node.get("goes")
    reasons = [each for each in node.get("reasons") or () if isinstance(each, Mapping)]
    codes = joined(dict.fromkeys(each.get("code") for each in reasons))
    why = node.get("why") or "; ".join(str(each["text"]) for each in reasons if each.get("text"))
    return str(name), goes if isinstance(goes, bool) else None, codes, why, _moves(node.get("moves"))


def _moves(moves: Any) -> str:
    """`web to ip-1 (2), ip-2`; places may have a number of tasks each."""
    if not isinstance(moves, Mapping):
        return ""
    return "; ".join(f"{service} to {_places(places)}" for service, places in moves.items())


def _places(places: Any) -> str:
    if isinstance(places, Mapping):
        return joined(f"{place} ({number})" if number != 1 else place for place, number in places.items())
    return joined(places) if isinstance(places, list) else str(places)


def _facts(record: Record) -> Iterator[tuple[str, Cell]]:
    yield "what", what(record)
    yield "message", record.get("message") or waiting(record) or None
    for name, value in record.items():
        if name in _HIDDEN or name in ("message", "waiting_for") or value in (None, [], {}, ""):
            continue
        yield name, _value(name, value)
    if waiting(record):
        yield "waiting_for", waiting(record)


def _value(name: str, value: Any) -> Cell:
    if name.endswith("_at"):
        return moment(value) or str(value)
    if isinstance(value, list):
        return "; ".join(map(str, value))
    if isinstance(value, Mapping):
        return joined(f"{key} {_text(part)}" for key, part in value.items() if part)
    return value if isinstance(value, str | int | float | bool) else str(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _step(step: Mapping[str, Any]) -> Sequence[Cell]:
    return step.get("name"), moment(step.get("started_at")), moment(step.get("ended_at")), took(step)


def _notice(notice: Mapping[str, Any]) -> Sequence[Cell]:
    return str(notice.get("alertname") or "?"), notice.get("status"), notice.get("summary")


@dataclass(frozen=True, slots=True)
class Following:
    """One request that is followed, on the board."""

    title: str
    request_id: str
    seconds: float
    """Since it was asked for, or since somebody looks."""
    record: Record | None = None
    """None: no worker has taken it yet."""
    trouble: str = ""
    """Why ingest was not heard the last time."""

    def picture(self, height: int, width: int) -> RenderableType:
        """Steps, what it waits for, and its end."""
        del height, width
        head = Text.assemble(
            (" Docker Scaler ", "bold reverse"), f"  {self.title}  ", (f"{self.seconds:.1f} s", "bold")
        )
        parts = [head, Text(self.request_id, "dim"), *step_cells(self.record)]
        return Group(*parts, *(Text(text, "yellow") for text in filter(None, (self.standing(), self.trouble))))

    def standing(self) -> str:
        """What it waits for."""
        if self.record is None:
            return "no worker has taken it yet" if self.seconds > _SOON else ""
        return "" if self.record.get("state") in ENDS else waiting(self.record)

    def changes(self, before: Self | None) -> Iterator[Line]:
        """Steps and the end, each once; what it waits for, where that has changed."""
        if before is None:
            yield Line("id", self.request_id)
        yield from step_lines(self.record)[len(step_lines(before.record)) if before else 0 :]
        standing = self.standing()
        if standing and (before is None or before.standing() != standing):
            yield Line("waits", standing)
        if self.trouble and (before is None or not before.trouble):
            yield Line("trouble", self.trouble)


_SOON: Final = 5.0
"""Seconds in which a worker usually takes a request."""
