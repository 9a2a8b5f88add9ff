"""What is said to people: the sentences of records and alerts. When to say them, the flows know."""

from collections.abc import Sequence

from shared.actions import ACTIONS
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


def up(node_type: str, number: int) -> str:
    """So many nodes are up."""
    return f"{number} {node_type} nodes are up"


def ready(node_type: str, number: int, services: Sequence[str], passed_over: Sequence[tuple[str, str]] = ()) -> str:
    """The nodes are there, and the labelled services have been rescheduled."""
    return f"{up(node_type, number)}, {services_rescheduled(services, passed_over)}"


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
    return f"{up(node_type, number)}, {', '.join(names)} removed"


def not_counted(names: Sequence[str]) -> str:
    """The instances that a scale-up did not wait for, with why."""
    return f"not counted: {', '.join(names)}" if names else ""


def lowered(node_type: str, group: str, desired: int, expected: int, asked: int) -> str:
    """Somebody else lowered the group while nodes were being removed."""
    return (
        f"Somebody else lowered the desired capacity of {group} to {desired} while {expected} {node_type} nodes were "
        f"on the way to {asked}. Repeat the request if there are still too many {node_type} nodes"
    )


def taken(node_type: str, node: str, group: str, desired: int, asked: int) -> str:
    """Somebody else takes a victim before it is terminated."""
    return (
        f"Somebody else is terminating {node}, or took it out of {group}, while it was drained: the desired capacity "
        f"of {group} is {desired}, {asked} was asked for. Repeat the request if there are still too many "
        f"{node_type} nodes"
    )


def joined_meanwhile(node: str, claiming: Sequence[str]) -> str:
    """A victim's instance is a node of the Swarm that was not drained for it."""
    return (
        f"{node} has joined the Swarm after all, as {', '.join(claiming)}: it stays. Repeat the request if it should "
        "go all the same"
    )


def lost_by_drain(tasks: Sequence[str]) -> str:
    """A drain would lose tasks for good."""
    return (
        f"A drain would stop {', '.join(tasks)}, and Swarm would not start it again (its restart attempts are used up, "
        "or it has just begun): it stays. Look at `docker service ps`, then repeat the request"
    )


def abandoned(tasks: Sequence[str], more: int, services: Sequence[str]) -> str:
    """After an undo: slots that Swarm leaves empty."""
    and_more = f" and {more} more" if more else ""
    again = ", ".join(f"`docker service update --force {name}`" for name in services)
    return f"Swarm will not start {', '.join(tasks)}{and_more} again by itself: {again} does"


def ended_by_others(node_type: str, node: str, group: str, desired: int, expected: int) -> str:
    """A victim was terminated, and not by our call."""
    return (
        f"Somebody else terminated {node} while it was being removed: the desired capacity of {group} is {desired}, "
        f"not {expected}. Repeat the request if there are still too many {node_type} nodes"
    )


def would_not_fit(nodes: Sequence[str], reasons: Sequence[str]) -> str:
    """A down is refused: tasks would have no place."""
    shown = "; ".join(reasons[:5]) + (f"; and {len(reasons) - 5} more" if len(reasons) > 5 else "")
    return (
        f"Nothing was removed: what runs on {', '.join(nodes)} would not run elsewhere: {shown}. "
        "Make room (or wait), then repeat the request"
    )


def not_given_back(why: str, nodes: str, reason: str) -> str:
    """Undo came no further."""
    return (
        f"{why}; and {nodes} could not be given back: {reason}. Look at `docker node ls`, and give them back with "
        "`docker node update --availability active` (and `docker node promote`)"
    )


def not_removed(message: str, nodes: str, reason: str) -> str:
    """The instances are terminated, and their nodes are still in `docker node ls`."""
    return (
        f"{message}; {nodes} terminated, but not removed from the Swarm: {reason}. The next node scale removes them, "
        "or `docker node rm --force` does"
    )


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
