"""What pages show, made of the status and of records: numbers for bars, rows of tables, one page of many nodes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.records import Record
from shared.status import GroupStatus, NodeStatus, Status

NODES_A_PAGE = 100


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of a scale of 100."""

    start: float
    width: float


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group against its bounds."""

    group: GroupStatus
    ready: Bar
    booting: Bar
    owed: Bar
    minimum: float
    maximum: float


def group_view(group: GroupStatus) -> GroupView:
    """The group on a scale that ends at its maximum, or beyond it where the group is."""
    end = max(group.max, group.desired, group.instances, 1)
    ready, members = min(group.ready, end), max(group.instances, group.ready)
    return GroupView(
        group=group,
        ready=_bar(0, ready, end),
        booting=_bar(ready, members, end),
        owed=_bar(members, max(group.desired, members), end),
        minimum=round(100 * group.min / end, 1),
        maximum=round(100 * group.max / end, 1),
    )


def _bar(start: float, stop: float, end: float) -> Bar:
    return Bar(round(100 * start / end, 1), round(100 * max(stop - start, 0) / end, 1))


@dataclass(frozen=True, slots=True)
class NodesView:
    """One page of the nodes, and what all of them come to."""

    shown: Sequence[NodeStatus]
    total: int
    matching: int
    page: int
    pages: int
    text: str
    removable: int
    reasons: Sequence[tuple[str, int]]
    """Code, and how many nodes it keeps; the most frequent first."""


def nodes_view(status: Status, text: str, page: int) -> NodesView:
    """The nodes that hold a text in their names, zone, state or reasons."""
    wanted = text.strip().lower()
    matching = [node for node in status.nodes if not wanted or wanted in _searched(node)]
    pages = max(-(-len(matching) // NODES_A_PAGE), 1)
    page = min(max(page, 1), pages)
    kept = Counter(code for node in status.nodes for code in codes(node))
    return NodesView(
        shown=matching[(page - 1) * NODES_A_PAGE : page * NODES_A_PAGE],
        total=len(status.nodes),
        matching=len(matching),
        page=page,
        pages=pages,
        text=text.strip(),
        removable=sum(node.removable == "yes" for node in status.nodes),
        reasons=kept.most_common(),
    )


def codes(node: NodeStatus) -> tuple[str, ...]:
    """Why a node would not go, each code once."""
    if node.removable is None or node.removable == "yes":
        return ()
    return tuple(dict.fromkeys(obstacle.code for obstacle in node.removable))


def _searched(node: NodeStatus) -> str:
    words = (node.hostname, node.id, node.instance or "", node.type, node.zone, node.state, node.availability)
    removable = ("removable",) if node.removable == "yes" else codes(node)
    return " ".join((*words, *removable)).lower()


# --- One request ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StepView:
    """A step on the scale of the whole request."""

    name: str
    bar: Bar
    seconds: float
    open: bool


def step_views(record: Record, now: datetime) -> list[StepView]:
    """The steps, one after the other, on one scale."""
    if not record.steps:
        return []
    began = record.steps[0].started_at
    ended = max(record.ended_at or now, *(step.ended_at or began for step in record.steps))
    whole = max((ended - began).total_seconds(), 0.001)
    found = []
    for step in record.steps:
        stop = step.ended_at or ended
        start, seconds = (step.started_at - began).total_seconds(), (stop - step.started_at).total_seconds()
        bar = Bar(round(100 * start / whole, 1), round(max(100 * seconds / whole, 0.8), 1))
        found.append(StepView(step.name, bar, max(seconds, 0.0), step.ended_at is None))
    return found


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that a request looked at."""

    name: str
    goes: bool
    why: str
    code: str = ""
    moves: str = ""
    """Where its tasks would go: `web: 2 to ip-10-0-3-9`."""


def candidates(plan: Mapping[str, Any]) -> list[Candidate]:
    """Who goes and why, and who does not: of a dry run all nodes, else those that would have cost less."""
    nodes = plan.get("nodes")
    if isinstance(nodes, Sequence) and not isinstance(nodes, str):
        every = [_foreseen(node) for node in nodes if isinstance(node, Mapping) and "goes" in node]
        return sorted(every, key=lambda each: not each.goes)
    chosen, passed = plan.get("chosen"), plan.get("passed_over")
    found = []
    if isinstance(chosen, Mapping):
        found += [Candidate(str(name), True, str(why)) for name, why in chosen.items()]
    if isinstance(passed, Sequence) and not isinstance(passed, str):
        texts = [each for each in passed if isinstance(each, Mapping)]
        found += [
            Candidate(str(each.get("name", "")), False, str(each.get("text", "")), str(each.get("reason", "")))
            for each in texts
        ]
    return found


def _foreseen(node: Mapping[str, Any]) -> Candidate:
    """A node as a dry run explains it."""
    reasons = [each for each in node.get("reasons") or () if isinstance(each, Mapping)]
    first: Mapping[str, Any] = reasons[0] if reasons else {}
    moves = node.get("moves")
    places = [
        f"{service}: {count} to {host}"
        for service, hosts in (moves.items() if isinstance(moves, Mapping) else ())
        if isinstance(hosts, Mapping)
        for host, count in hosts.items()
    ]
    why = str(node.get("why") or first.get("text") or "")
    return Candidate(str(node.get("name", "")), bool(node["goes"]), why, str(first.get("code", "")), ", ".join(places))


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to a request."""

    at: datetime
    what: str


def timeline(record: Record) -> list[Moment]:
    """What happened when."""
    known = [(record.requested_at, f"Requested ({record.source})"), (record.received_at, "Taken by a worker")]
    known += [(step.started_at, f"Step {step.name}") for step in record.steps]
    known.append((record.ended_at, f"Ended: {record.state}"))
    moments = [Moment(at, what) for at, what in known if at is not None]
    return sorted(moments, key=lambda moment: moment.at)


def title(record: Any) -> str:
    """A request in a few words: `up 1 worker`, `web up 2`, or what its action is called."""
    by = "" if record.by is None else f" {record.by}"
    if record.scale and record.type:
        return f"{record.scale}{by} {record.type} node{'' if record.by == 1 else 's'}"
    if record.scale and record.service:
        return f"{record.service} {record.scale}{by}"
    return f"{record.action.replace('-', ' ')}{f' {record.service}' if record.service else ''}"
