"""What is said to people of what AWS does by itself. Alerts name their node, and resolve only what was said of it."""

from collections.abc import Sequence
from datetime import datetime

from shared.alertmanager import Alert, Status
from shared.clock import rfc3339
from shared.records import Record
from worker.requests.events import EVENTS
from worker.requests.wording import BACKEND

NAMED = 5
"""At most so many tasks are named in a message."""


def node_gone(record: Record, node: str, status: Status, summary: str) -> Alert:
    """A node whose instance has ended."""
    return about(node, status, f"Node gone: {node} (instance {record.request.get('state')})", summary)


def leaving(record: Record, node: str, until: datetime | None) -> Alert:
    """A node begins to leave."""
    when = "" if until is None else f", until {rfc3339(until)}"
    return left(record, node, "pending", f"Moving what runs on {node}{when}")


def leaving_begun(record: Record, node: str) -> str:
    """The same as a record's message."""
    return f"Moving what runs on {node} ({record.request.get('cause')})"


def not_joined_yet(instance: str) -> str:
    """A machine leaves that is no node yet."""
    return f"{instance} leaves, and has not joined the Swarm yet: it is drained if it does before its machine ends"


def in_dispute(instance: str, dispute: str, *, over: bool) -> str:
    """A machine leaves, and nobody can tell which node it is. `over`: whether its time is."""
    what = "Neither was drained" if over else "Neither is drained while nobody can tell which it is"
    return (
        f"{instance} leaves, and is {dispute}. {what}: drain the one that it is (`docker node update --availability "
        "drain`), and give each Docker engine its own label instance_id=INSTANCE_ID"
    )


def quorum(record: Record, node: str, refusal: str, *, held: bool) -> Alert:
    """A manager leaves that must not be demoted yet."""
    what = "its hook is held until another manager is reachable" if held else "AWS does not wait: it goes all the same"
    return left(record, node, "error" if not held else "pending", f"{refusal}. {node} is leaving, and {what}")


def leaving_over(record: Record, node: str, cut_off: Sequence[str], how: str) -> str:
    """A node has left, or was not taken."""
    cause = record.request.get("cause")
    if not cut_off:
        return f"{node} left ({cause}): everything that ran there runs elsewhere; {how}"
    named = ", ".join(cut_off[:NAMED]) + (f" and {len(cut_off) - NAMED} more" if len(cut_off) > NAMED else "")
    return f"{node} left ({cause}) before all that ran there ran elsewhere: {named}; {how}. Make room for it"


def not_left(node: str, why: str) -> str:
    """A recommendation is not followed."""
    return f"{node} was not drained, though EC2 recommends to replace its machine: {why.rstrip('.')}"


def left(record: Record, node: str, status: Status, summary: str) -> Alert:
    """About a node that leaves."""
    return about(node, status, f"Node leaving: {node} ({record.request.get('cause')})", summary)


def planned(record: Record, node: str, instance: str, replaced_by: str | None = None, why_not: str = "") -> Alert:
    """AWS plans something for the machine of a node."""
    summary = planned_for(record, f"{node} ({instance})", replaced_by or "", why_not)
    return about(node, "pending", f"Scheduled change: {node}", summary)


def planned_for(record: Record, names: str, replaced_by: str = "", why_not: str = "") -> str:
    """The same in a record. `replaced_by`: the requests that replace them; `why_not`: why none does."""
    plan = plan_of(record, names)
    if replaced_by:
        return f"{plan}. Replaced by request {replaced_by}"
    not_replaced = f" It is not replaced: {why_not.rstrip('.')}." if why_not else ""
    return (
        f"{plan}.{not_replaced} Until then, drain the node and terminate its instance, so that the group launches "
        "another"
    )


def plan_of(record: Record, names: str) -> str:
    """What, for whom, and when."""
    return f"AWS plans {record.request.get('what')} for {names}, at {record.request.get('starts_at')}"


def joined(record: Record, instance: str, summary: str) -> Alert:
    """An instance that should have become a node, and has not."""
    return about(instance, "error", f"Node joining: {instance}", summary)


def held_up(record: Record, status: Status, summary: str) -> Alert:
    """Something that happened cannot be seen to for the moment, or can again."""
    instance = str(record.request.get("instance"))
    return about(instance, status, f"{EVENTS[record.action].summary}: {instance}", summary)


def about(node: str, status: Status, request: str, summary: str) -> Alert:
    """About one node."""
    return Alert("scale_nodes", BACKEND, status, request, summary, node=node)
