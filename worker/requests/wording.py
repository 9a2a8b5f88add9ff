"""What is said to people: the sentences of records and alerts (CONTRACT section 5). The flows know when."""

from collections.abc import Sequence

from shared.alertmanager import Alert, Status

BACKEND = "aws"


def joined(*sentences: str) -> str:
    """A record's message: its sentences joined."""
    return "; ".join(sentence for sentence in sentences if sentence)


def duration(seconds: float) -> str:
    """Seconds as the sentences write them: whole, unless they are few."""
    return str(round(seconds)) if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f}"


# --- Node scales ------------------------------------------------------------------------------------------------


def nodes_request(scale: str, by: int | None, node_type: str) -> str:
    """The `request` annotation of a node scale."""
    return f"Scale nodes {scale} on: {BACKEND}, by: {by}, type: {node_type}"


def nodes(status: Status, request: str, summary: str) -> Alert:
    """About the number of nodes."""
    return Alert("scale_nodes", BACKEND, status, request, summary)


def changing(node_type: str, before: int, after: int) -> str:
    """The first sentence of a node scale."""
    return f"Changing the number of {node_type} nodes on {BACKEND} from {before} to {after}"


def at_bound(node_type: str, bound: str, number: int) -> str:
    """Nothing to do."""
    word = "scaled" if bound == "maximum" else "descaled"
    return f"{node_type} nodes are already {word} to the {bound} number of {number} nodes"


def waiting(node_type: str, before: int, after: int) -> Alert:
    """The wait begins."""
    summary = f"Waiting for {node_type} nodes to scale from {before} to {after} for rescheduling"
    return Alert("scale_nodes", "reschedule", "pending", "Wait to reschedule", summary)


def tick(node_type: str, seconds: float, total: int) -> Alert:
    """The wait goes on."""
    summary = f"Waited {duration(seconds)} seconds for a total of {total} {node_type} nodes to come online"
    return Alert("reschedule_service", "reschedule", "pending", "Waiting for nodes to scale", summary)


def launch_failed(node_type: str, total: int, reason: str) -> Alert:
    """AWS could not launch an instance; the wait goes on."""
    summary = f"AWS could not launch one of {total} {node_type} nodes: {_with_advice(reason)}"
    return Alert("reschedule_service", "reschedule", "pending", "Waiting for nodes to scale", summary)


def launch_reason(reason: str) -> str:
    """The same in a record."""
    return f"AWS could not launch an instance: {_with_advice(reason)}"


def _with_advice(reason: str) -> str:
    return (
        f"{reason.strip().rstrip('.')}. AWS goes on trying: see to the capacity, the quota or the instance type, or "
        "set the desired capacity back"
    )


def ready(node_type: str, number: int, services: Sequence[str], passed_over: Sequence[tuple[str, str]] = ()) -> str:
    """The nodes are there, and the labelled services have been rescheduled."""
    return f"{number} {node_type} nodes are up, {services_rescheduled(services, passed_over)}"


def nodes_ready(summary: str) -> Alert:
    """The end of an up."""
    return Alert("reschedule_service", "reschedule", "success", summary, summary)


def nodes_timeout(summary: str) -> Alert:
    """The end of an up that did not come about."""
    return Alert("reschedule_service", "reschedule", "error", "Waiting for nodes to scale", summary)


def timeout(node_type: str, seconds: float, total: int) -> str:
    """The nodes did not come."""
    return f"Timeout: waited {duration(seconds)} seconds for {total} {node_type} nodes to activate"


def removed(node_type: str, number: int, names: Sequence[str]) -> str:
    """The end of a down."""
    return f"{number} {node_type} nodes are up, {', '.join(names)} removed"


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

_ALERTNAMES = {
    "scale-nodes": "scale_nodes",
    "scale-service": "scale_service",
    "reschedule-services": "reschedule_service",
    "reschedule-service": "reschedule_service",
}


def bad_request(action: object, reason: str) -> Alert:
    """A message that can never be valid."""
    alertname = _ALERTNAMES.get(action, "scale_nodes") if isinstance(action, str) else "scale_nodes"
    return Alert(alertname, "bad_request", "error", "Incorrect request", reason)
