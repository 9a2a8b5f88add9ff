"""The `filters` parameter of lists and of the event stream, with the engine's rules.

Values of one filter are alternatives, filters add up; names and ids match by prefix, as the engine does it; labels
match by key or by key and value, and all of them have to. A filter that does not exist is an error.
"""

import json
from collections.abc import Iterable

from infra.local.engine.control import Control, task_name
from infra.local.engine.errors import invalid
from infra.local.engine.events import Event
from infra.local.engine.model import Node, Service, Task
from infra.local.engine.store import Store
from infra.local.engine.update_desk import is_dirty

NODE_FILTERS = frozenset({"id", "label", "node.label", "membership", "name", "role"})
SERVICE_FILTERS = frozenset({"id", "label", "mode", "name", "runtime"})
TASK_FILTERS = frozenset({"id", "label", "name", "node", "service", "desired-state", "_up-to-date", "runtime"})


class Filters:
    """The filters of one request."""

    def __init__(self, text: str | None, accepted: frozenset[str] | None = None) -> None:
        self._values = _parse(text) if text else {}
        for name in self._values:
            if accepted is not None and name not in accepted:
                raise invalid(f"invalid filter '{name}'")

    def __contains__(self, name: str) -> bool:
        return bool(self._values.get(name))

    def __getitem__(self, name: str) -> list[str]:
        return self._values.get(name, [])

    def admits_prefix(self, name: str, *candidates: str) -> bool:
        wanted = self[name]
        return not wanted or any(each.startswith(prefix) for prefix in wanted for each in candidates)

    def admits_exactly(self, name: str, candidate: str) -> bool:
        wanted = self[name]
        return not wanted or candidate in wanted

    def admits_labels(self, name: str, labels: dict[str, str]) -> bool:
        return all(_has_label(labels, wanted) for wanted in self[name])


def filtered_nodes(store: Store, filters: Filters) -> list[Node]:
    return [node for node in store.nodes.values() if _admits_node(filters, node)]


def _admits_node(filters: Filters, node: Node) -> bool:
    return (
        filters.admits_prefix("id", node.id)
        and filters.admits_prefix("name", node.machine.hostname)
        and filters.admits_exactly("role", node.role.value)
        and filters.admits_exactly("membership", "accepted" if node.spec.accepted else "pending")
        and filters.admits_labels("label", node.machine.engine_labels)
        and filters.admits_labels("node.label", node.spec.labels)
    )


def filtered_services(store: Store, filters: Filters) -> list[Service]:
    return [service for service in store.services.values() if _admits_service(filters, service)]


def _admits_service(filters: Filters, service: Service) -> bool:
    return (
        filters.admits_prefix("id", service.id)
        and filters.admits_prefix("name", service.spec.name)
        and filters.admits_exactly("mode", service.spec.mode.value)
        and filters.admits_exactly("runtime", "container")
        and filters.admits_labels("label", service.spec.labels)
    )


def filtered_tasks(store: Store, control: Control, filters: Filters) -> list[Task]:
    return [task for task in _candidates(store, control, filters) if _admits_task(filters, task, store)]


def _candidates(store: Store, control: Control, filters: Filters) -> Iterable[Task]:
    """As few tasks as the indexes allow; the other filters look at these one by one."""
    services = {control.service(name).id for name in filters["service"]}
    nodes = {control.node(name).id for name in filters["node"]}
    if nodes:
        on_nodes = (task for node_id in nodes for task in store.tasks_on(node_id))
        return (task for task in on_nodes if not services or task.service_id in services)
    if services:
        return (task for service_id in services for task in store.tasks_of(service_id))
    return store.tasks.values()


def _admits_task(filters: Filters, task: Task, store: Store) -> bool:
    return (
        filters.admits_prefix("id", task.id)
        and ("name" not in filters or filters.admits_prefix("name", task_name(task)))
        and filters.admits_exactly("desired-state", task.desired.name.lower())
        and filters.admits_exactly("runtime", "container")
        and "label" not in filters
        and ("_up-to-date" not in filters or _is_up_to_date(task, store))
    )


def _is_up_to_date(task: Task, store: Store) -> bool:
    service = store.services.get(task.service_id)
    return service is not None and not is_dirty(task, service, store)


def admits_event(filters: Filters, event: Event) -> bool:
    named = (event.actor_id, event.attributes.get("name", ""))
    return (
        filters.admits_exactly("type", event.kind)
        and filters.admits_exactly("event", event.action)
        and filters.admits_exactly("scope", "swarm")
        and filters.admits_labels("label", event.attributes)
        and all(
            kind not in filters or (event.kind == kind and filters.admits_prefix(kind, *named))
            for kind in ("node", "service", "network", "container", "image", "volume", "secret", "config")
        )
    )


def _has_label(labels: dict[str, str], wanted: str) -> bool:
    key, _, value = wanted.partition("=")
    return key in labels and value in ("", labels[key])


def _parse(text: str) -> dict[str, list[str]]:
    """Both forms: lists of values, and the older one with the values as keys."""
    try:
        body = json.loads(text)
        return {name: [str(value) for value in values] for name, values in body.items()}
    except (ValueError, AttributeError, TypeError):
        raise invalid("invalid filter") from None
