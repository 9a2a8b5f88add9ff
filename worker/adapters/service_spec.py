"""A service's specification with one change in it; fields that nobody here knows stay as they came."""

from collections.abc import Sequence
from typing import Any

from shared.errors import Refused
from worker.ports.swarm_changes import ServiceChange

Spec = dict[str, Any]


def changed_service(spec: Spec, change: ServiceChange) -> Spec | None:
    """The spec with the change in it. Raises Refused. None: this request's change is in it already."""
    if change.avoid or change.allow:
        return _with_constraints(spec, change)
    labels = spec.get("Labels") or {}
    if labels.get(change.label) == change.request_id:
        return None
    new = {**spec, "Labels": {**labels, change.label: change.request_id}}
    if change.replicas is not None:
        new["Mode"] = _with_replicas(spec, change.replicas)
    template = dict(spec.get("TaskTemplate") or {})
    if change.env is not None:
        container = dict(template.get("ContainerSpec") or {})
        template["ContainerSpec"] = {**container, "Env": _with_env(container.get("Env") or [], *change.env)}
    if change.force:
        template["ForceUpdate"] = (template.get("ForceUpdate") or 0) + 1
    return {**new, "TaskTemplate": template}


def _with_constraints(spec: Spec, change: ServiceChange) -> Spec | None:
    """The spec that avoids nodes, or allows them again, and is the same in all else: so only tasks there move."""
    template = spec.get("TaskTemplate") or {}
    placement = template.get("Placement") or {}
    present = tuple(placement.get("Constraints") or ())
    wanted = _with_nodes_avoided(present, change)
    if wanted == present:
        return None
    return {**spec, "TaskTemplate": {**template, "Placement": {**placement, "Constraints": list(wanted)}}}


def _with_replicas(spec: Spec, replicas: int) -> Spec:
    mode = spec.get("Mode") or {"Replicated": {}}
    if mode.get("Replicated") is None:
        raise Refused(f"service {spec['Name']} is not a replicated service: its number of tasks can not be set")
    return {**mode, "Replicated": {**mode["Replicated"], "Replicas": replicas}}


def _with_env(lines: list[str], key: str, value: str) -> list[str]:
    """The environment with the key set where it stood first, else at the end."""
    line = f"{key}={value}"
    places = [place for place, old in enumerate(lines) if old.partition("=")[0] == key]
    if not places:
        return [*lines, line]
    return [line if place == places[0] else old for place, old in enumerate(lines) if place not in places[1:]]


def _with_nodes_avoided(constraints: Sequence[str], change: ServiceChange) -> tuple[str, ...]:
    """Placement constraints as `avoid` and `allow` of a change make them; the same where they are so already."""
    allowed = {_avoiding(node_id) for node_id in change.allow}
    kept = [text for text in constraints if text.replace(" ", "") not in allowed]
    present = {text.replace(" ", "") for text in kept}
    return (*kept, *(text for text in map(_avoiding, change.avoid) if text not in present))


def _avoiding(node_id: str) -> str:
    return f"node.id!={node_id}"
