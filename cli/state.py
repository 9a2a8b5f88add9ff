"""The status document as tables. Pure: it is the JSON that ingest has said, of whatever version."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from cli import records
from cli.output import Cell, Table, for_people, joined, moment

Status = Mapping[str, Any]

CLUSTER: Final = ("cluster", "active", "since", "lease age", "paused", "as of")
GROUPS: Final = ("type", "group", "desired", "instances", "ready", "min", "max", "bounds", "protected", "debt")
NODES: Final = ("node", "type", "state", "availability", "tasks", "protected", "removable", "zone", "instance", "id")
QUEUE: Final = ("waiting", "oldest", "dead letters")
PROBLEMS: Final = ("problem", "what to do")


def tables(status: Status) -> Iterator[Table]:
    """Everything, what is wrong first."""
    yield Table(CLUSTER, [_cluster(status)], kind="cluster", spare=("lease age", "since"))
    problems = [*map(_problem, _many(status, "problems")), *map(_trouble, _untold(status))]
    if problems:
        yield Table(PROBLEMS, problems, kind="problem")
    for kind, columns, row, spare in _KINDS:
        rows = [row(each) for each in _many(status, f"{kind}s")]
        if rows:
            yield Table(columns, rows, kind=kind, spare=spare)
    queue = status.get("queue")
    if isinstance(queue, Mapping):
        yield Table(QUEUE, [_queue(queue)], kind="queue")


def _untold(status: Status) -> Iterator[Mapping[str, Any]]:
    """Who does not answer, where no problem says so already: an older ingest has no words for all."""
    told = {each.get("code") for each in _many(status, "problems")}
    for trouble in _many(status, "troubles"):
        if f"{str(trouble.get('what')).lower()}-silent" not in told:
            yield trouble


def lasting(status: Status) -> Any:
    """What of a document says that something has changed: not what grows by itself."""
    active, queue = status.get("active"), status.get("queue")
    still = {
        **({"active": {**active, "lease_age": None}} if isinstance(active, Mapping) else {}),
        **({"queue": {**queue, "oldest": None}} if isinstance(queue, Mapping) else {}),
    }
    return {**status, **still, "as_of": None, "age": None}


def _many(status: Status, name: str) -> Sequence[Mapping[str, Any]]:
    found = status.get(name)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _cluster(status: Status) -> Sequence[Cell]:
    active = status.get("active")
    known = active if isinstance(active, Mapping) else {}
    since, age = moment(known.get("since")), _seconds(known.get("lease_age"))
    worker = known.get("worker") or "no worker is active"
    return status.get("cluster"), worker, since, age, _pause(status.get("paused")), moment(status.get("as_of"))


def _pause(paused: Any) -> str:
    """Who, why, until when; `no`."""
    if not paused:
        return "no"
    if not isinstance(paused, Mapping):
        return "yes"
    until = moment(paused.get("until"))
    ends = f"until {for_people(until)}" if until else "until resumed"
    by, reason = paused.get("by"), paused.get("reason")
    return joined((f"{ends}{f' by {by}' if by else ''}", reason))


def _group(group: Mapping[str, Any]) -> Sequence[Cell]:
    sources = dict.fromkeys(str(source) for source in (group.get("min_from"), group.get("max_from")) if source)
    counted = (group.get(name) for name in ("desired", "instances", "ready", "min", "max"))
    debt = joined((group.get("debt") or "", group.get("debt_reason")))
    suspended = " ".join(f"{process} is suspended" for process in group.get("suspended") or ())
    bounds, protected = joined(sources), group.get("protected")
    return group.get("type"), group.get("name"), *counted, bounds, protected, joined((debt, suspended)) or None


def _node(node: Mapping[str, Any]) -> Sequence[Cell]:
    kind = f"{node.get('type') or '?'}{' (leader)' if node.get('leader') else ''}"
    standing = (kind, node.get("state"), node.get("availability"), node.get("tasks"))
    place = (node.get("zone"), node.get("instance"), node.get("id"))
    protected = "yes" if node.get("protected") else None
    name = node.get("hostname") or node.get("instance") or node.get("id")
    return name, *standing, protected, _removable(node.get("removable")), *place


def _removable(verdict: Any) -> str | None:
    """`yes`, or the codes of the reasons with their sentences."""
    if isinstance(verdict, str):
        return verdict
    if isinstance(verdict, bool):
        return "yes" if verdict else "no"
    if not isinstance(verdict, list):
        return None
    reasons = [each if isinstance(each, Mapping) else {"code": str(each)} for each in verdict]
    return "; ".join(": ".join(str(part) for part in (r.get("code"), r.get("sentence")) if part) for r in reasons)


def _queue(queue: Mapping[str, Any]) -> Sequence[Cell]:
    return queue.get("waiting"), _seconds(queue.get("oldest")), queue.get("dead_letters")


def _problem(problem: Mapping[str, Any]) -> Sequence[Cell]:
    return str(problem.get("code") or "?"), problem.get("sentence")


def _trouble(trouble: Mapping[str, Any]) -> Sequence[Cell]:
    since = moment(trouble.get("since"))
    silent = f"has not answered since {for_people(since)}" if since else "does not answer"
    return "trouble", joined((f"{trouble.get('what') or 'something'} {silent}", trouble.get("last_error")))


def _seconds(value: Any) -> timedelta | None:
    return timedelta(seconds=value) if isinstance(value, int | float) else None


_KINDS: Final = (
    ("group", GROUPS, _group, ("bounds", "protected", "group")),
    ("node", NODES, _node, ("id", "zone", "instance", "protected", "availability")),
    ("request", records.COLUMNS, records.row, records.SPARE),
)
"""Lists of the document: each name without its `s`, its columns, a row of it, and what a narrow terminal spares."""
