"""What is said to people: the sentences of records and alerts. When to say them, the flows know."""

from collections.abc import Sequence
from datetime import UTC, datetime

from shared.actions import ACTIONS
from shared.alertmanager import Alert, Status
from shared.records import Record

BACKEND = "aws"


def joined(*sentences: str) -> str:
    """A record's message: its sentences joined."""
    return "; ".join(sentence for sentence in sentences if sentence)


def duration(seconds: float) -> str:
    """Seconds as the sentences write them: whole, unless they are few."""
    return str(round(seconds)) if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f}"


def count(number: int, noun: str) -> str:
    """A number of things: `1 worker node`, `2 worker nodes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def moment(when: datetime) -> str:
    """A moment as the sentences write it: in UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- Node scales ------------------------------------------------------------------------------------------------


def nodes_request(scale: str, by: int | None, node_type: str) -> str:
    """The `request` annotation of a node scale."""
    return f"Scale nodes {scale} on: {BACKEND}, by: {by}, type: {node_type}"


def nodes(status: Status, request: str, summary: str) -> Alert:
    """About the number of nodes."""
    return Alert("scale_nodes", BACKEND, status, request, summary)


def node_request(record: Record) -> str:
    """The `request` annotation of a request about one node."""
    words = {"replace-node": "Replace node"}.get(record.action) or (
        "Give node back" if gives_back(record) else "Drain node"
    )
    return f"{words}: {record.node}"


def gives_back(record: Record) -> bool:
    """Whether a request about a drain is for its end."""
    return record.request.get("back") in (True, "true")


def changing(node_type: str, before: int, after: int) -> str:
    """The first sentence of a node scale."""
    return f"Changing the number of {node_type} nodes on {BACKEND} from {before} to {after}"


def at_bound(node_type: str, bound: str, number: int) -> str:
    """Nothing to do."""
    word = "scaled" if bound == "maximum" else "descaled"
    return f"{node_type} nodes are already {word} to the {bound} number of {count(number, 'node')}"


def limited(by: int | None, scale: str, limit: str) -> str:
    """The second sentence of a scale that a bound cut short."""
    if by is None:
        return f"limited to {limit}"
    return f"limited to {limit}, {by} {'more' if scale == 'up' else 'fewer'} were asked for"


def waiting(node_type: str, before: int, after: int) -> Alert:
    """The wait begins."""
    summary = f"Waiting for {node_type} nodes to scale from {before} to {after} for rescheduling"
    return Alert("scale_nodes", "reschedule", "pending", "Wait to reschedule", summary)


def tick(node_type: str, seconds: float, total: int) -> Alert:
    """The wait goes on."""
    total_nodes = count(total, f"{node_type} node")
    summary = f"Waited {duration(seconds)} seconds for a total of {total_nodes} to come online"
    return Alert("reschedule_service", "reschedule", "pending", "Waiting for nodes to scale", summary)


def launch_failed(node_type: str, total: int, reason: str) -> Alert:
    """AWS could not launch an instance; the wait goes on."""
    which = f"one of {total} {node_type} nodes" if total > 1 else f"{total} {node_type} node"
    summary = f"AWS could not launch {which}: {_with_advice(reason)}"
    return Alert("reschedule_service", "reschedule", "pending", "Waiting for nodes to scale", summary)


def launch_reason(reason: str) -> str:
    """The same in a record."""
    return f"AWS could not launch an instance: {_with_advice(reason)}"


def _with_advice(reason: str) -> str:
    return (
        f"{reason.strip().rstrip('.')}. AWS goes on trying: see to the capacity, the quota or the instance type, or "
        "set the desired capacity back"
    )


def up(node_type: str, number: int) -> str:
    """So many nodes are up."""
    return f"{count(number, f'{node_type} node')} {'is' if number == 1 else 'are'} up"


def ready(
    node_type: str,
    number: int,
    services: Sequence[str],
    failed: Sequence[tuple[str, str]] = (),
    passed_over: Sequence[tuple[str, str]] = (),
) -> str:
    """The nodes are there; the services have been rescheduled, or some have not."""
    told = reschedule_failures(failed, services) if failed else services_rescheduled(services, passed_over)
    return f"{up(node_type, number)}, {told}"


def refilling(node_type: str, total: int) -> str:
    """A node was terminated that its group replaces."""
    return f"Waiting for {count(total, f'{node_type} node')} to be Ready again"


def nodes_ready(summary: str) -> Alert:
    """The end of an up."""
    return Alert("reschedule_service", "reschedule", "success", summary, summary)


def nodes_timeout(summary: str) -> Alert:
    """The end of an up that did not come about."""
    return Alert("reschedule_service", "reschedule", "error", "Waiting for nodes to scale", summary)


def timeout(node_type: str, seconds: float, total: int) -> str:
    """The nodes did not come."""
    return f"Timeout: waited {duration(seconds)} seconds for {count(total, f'{node_type} node')} to activate"


def not_counted(names: Sequence[str]) -> str:
    """The instances that a scale-up did not wait for, with why."""
    return f"not counted: {', '.join(names)}" if names else ""


# --- Services ---------------------------------------------------------------------------------------------------


def service(status: Status, scale: str, name: str, summary: str) -> Alert:
    """About the replicas of one service."""
    return Alert("scale_service", name, status, f"Scale service {scale}: {name}", summary)


def scaling(name: str, before: int, after: int, minimum: int, maximum: int) -> str:
    """The replicas change."""
    return f"Scaling {name} from {before} to {after} replicas (min: {minimum}, max: {maximum})"


def service_at_bound(name: str, bound: str, number: int) -> str:
    """Nothing to do."""
    word = "scaled" if bound == "maximum" else "descaled"
    return f"{name} is already {word} to the {bound} number of {number} replicas"


def services_rescheduled(services: Sequence[str], passed_over: Sequence[tuple[str, str]]) -> str:
    """Which services were rescheduled, and which asked for it and were not, with reasons."""
    done = f"{', '.join(services)} rescheduled" if services else "No services to reschedule"
    return joined(done, f"passed over: {', '.join(f'{n} ({why})' for n, why in passed_over)}" if passed_over else "")


def rescheduled(request: str, status: Status, summary: str) -> Alert:
    """About rescheduling, asked for by itself."""
    return Alert("reschedule_service", "reschedule", status, request, summary)


ALL_REQUEST = "Rescheduling all labeled services"


def one_request(name: str) -> str:
    """The `request` annotation of rescheduling one service."""
    return f"Rescheduling service: {name}"


def reschedule_failures(failed: Sequence[tuple[str, str]], succeeded: Sequence[str]) -> str:
    """Some services could not be rescheduled; `failed` holds names with reasons, which follow at the end."""
    names, reasons = ", ".join(name for name, _ in failed), "; ".join(f"{name}: {reason}" for name, reason in failed)
    others = f" ({', '.join(succeeded)} succeeded)" if succeeded else ""
    return f"{names} failed to reschedule{others}: {reasons}"


# --- Bad requests -----------------------------------------------------------------------------------------------


def bad_request(action: object, reason: str) -> Alert:
    """A message that can never be valid."""
    known = ACTIONS.get(action) if isinstance(action, str) else None
    return Alert(known.alert_name if known else "scale_nodes", "bad_request", "error", "Incorrect request", reason)
